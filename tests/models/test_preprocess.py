"""Resizing is within one level of the processors that models were trained with, for any shape of picture."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import BitImageProcessorPil, SiglipImageProcessorPil

from miner_resources.errors import InvalidData
from miner_resources.models.preprocess import CROP, PAD, SQUASH, Square, read_preprocess, square

HALF = (0.5, 0.5, 0.5)
SHAPES = [(72, 128), (128, 72), (48, 48), (1, 1), (1, 300), (300, 1), (7, 2000), (3, 3), (1080, 1920)]
LEVELS = 1
"""Largest difference from PIL that is allowed when shrinking, of 255."""
LEVELS_ENLARGED = 2
"""The same for pictures that are smaller than the input: torch keeps weights in 16 bits, PIL in 22."""


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def distance(one, other):
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def squash(size=48, mode="bicubic", mean=HALF, std=HALF):
    return Square(size=size, mode=mode, mean=mean, std=std)


def pad(size, mode="bilinear"):
    return Square(size=size, mode=mode, mean=HALF, std=HALF, resize_to=PAD)


def read(folder, resize_to=SQUASH):
    return read_preprocess(folder, lambda values: square(values, resize_to))


@pytest.mark.parametrize("shape", [(72, 128), (360, 640), (1080, 1920), (48, 48)], ids=str)
@pytest.mark.parametrize(("mode", "resample"), [("bicubic", 3), ("bilinear", 2)])
def test_squashing_is_what_the_stock_processor_does(shape, mode, resample):
    rgb = picture(*shape)
    stock = SiglipImageProcessorPil(size={"height": 48, "width": 48}, resample=resample)
    pixels = stock(Image.fromarray(rgb), return_tensors="np").pixel_values[0]
    expected = np.rint((pixels * 0.5 + 0.5) * 255).transpose(1, 2, 0)
    assert distance(squash(mode=mode).resize(rgb), expected) <= LEVELS


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("mode", "resample"), [("bicubic", 3), ("bilinear", 2)])
def test_squashing_is_pil_with_the_horizontal_pass_first(shape, mode, resample):
    rgb = picture(*shape)
    horizontal = Image.fromarray(rgb).resize((48, shape[0]), resample)
    expected = np.asarray(horizontal.resize((48, 48), resample))
    allowed = LEVELS if min(shape) >= 48 else LEVELS_ENLARGED
    assert distance(squash(mode=mode).resize(rgb), expected) <= allowed


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_padding_is_a_grey_square_resized_by_pil(shape):
    rgb = picture(*shape)
    side = max(shape)
    square = np.full((side, side, 3), 128, np.uint8)
    square[: shape[0], : shape[1]] = rgb
    expected = np.asarray(Image.fromarray(square).resize((64, 64), Image.Resampling.BILINEAR))
    assert distance(pad(64).resize(rgb), expected) <= LEVELS


def test_padding_a_sliver_needs_no_square_of_its_length():
    out = pad(32).resize(np.zeros((2, 60_000, 3), np.uint8))
    assert out.shape == (32, 32, 3)
    assert (out[1:] == 128).all()


@pytest.mark.parametrize("shape", [(64, 64), (64, 100), (100, 64)], ids=str)
@pytest.mark.parametrize("make", [squash, pad])
def test_output_is_contiguous_uint8_and_the_input_is_untouched(shape, make):
    rgb = picture(*shape)
    before = rgb.copy()
    out = make(64, "bilinear").resize(rgb)
    out[:] = 0
    assert out.shape == (64, 64, 3)
    assert out.dtype == np.uint8
    assert out.flags.c_contiguous
    assert np.array_equal(rgb, before)


def test_read_only_and_strided_pictures_give_the_same():
    rgb = picture(60, 90)
    frozen = rgb.copy()
    frozen.flags.writeable = False
    strided = np.repeat(rgb, 2, axis=1)[:, ::2]
    assert np.array_equal(squash().resize(frozen), squash().resize(rgb))
    assert np.array_equal(squash().resize(strided), squash().resize(rgb))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
    ids=["grey", "rgba", "float", "empty"],
)
def test_what_is_no_picture_is_refused(array):
    with pytest.raises(InvalidData, match="uint8"):
        squash().resize(array)


def test_normalizing_is_what_the_stock_processor_does():
    rgb = picture(48, 48)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    stock = BitImageProcessorPil(do_resize=False, do_center_crop=False, image_mean=list(mean), image_std=list(std))
    expected = stock(Image.fromarray(rgb), return_tensors="pt").pixel_values
    actual = squash(48, "bicubic", mean, std).normalize(torch.from_numpy(rgb)[None], torch.float32)
    torch.testing.assert_close(actual, expected, atol=2e-6, rtol=0)


def test_normalizing_rounds_only_at_the_end():
    batch = torch.from_numpy(picture(8, 8))[None]
    full = squash(8).normalize(batch, torch.float32)
    assert torch.equal(squash(8).normalize(batch, torch.bfloat16), full.to(torch.bfloat16))


def test_a_centre_crop_becomes_a_squash_to_its_size(checkpoints):
    found = read(checkpoints.dinov2)
    assert found == squash(42, "bicubic", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize("shape", [(72, 128), (128, 72), (360, 640), (1080, 1920), (50, 50)], ids=str)
def test_a_crop_is_what_the_stock_processor_does(checkpoints, shape):
    rgb = picture(*shape)
    preprocess = read(checkpoints.dinov2, CROP)
    stock = BitImageProcessorPil.from_pretrained(checkpoints.dinov2, do_normalize=False, do_rescale=False)
    expected = stock(Image.fromarray(rgb), return_tensors="np").pixel_values[0].transpose(1, 2, 0)
    assert preprocess.resize(rgb).shape == (42, 42, 3)
    assert distance(preprocess.resize(rgb), expected) <= LEVELS


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (3, 60_000)], ids=str)
def test_a_crop_of_a_sliver_is_its_middle_and_needs_little_memory(checkpoints, shape):
    preprocess = read(checkpoints.dinov2, CROP)
    rgb = np.zeros((*shape, 3), np.uint8)
    rgb[shape[0] // 2 - 1 : shape[0] // 2 + 2, shape[1] // 2 - 1 : shape[1] // 2 + 2] = 200
    out = preprocess.resize(rgb)
    assert out.shape == (42, 42, 3)
    assert out[21, 21].min() > 100


def test_embedders_can_be_given_all_of_a_picture_or_its_middle(checkpoints):
    rgb = np.zeros((60, 200, 3), np.uint8)
    rgb[:, :20] = 255
    seen = {how: read(checkpoints.dinov2, how).resize(rgb).max() for how in (SQUASH, CROP, PAD)}
    assert seen[SQUASH] > 200
    assert seen[PAD] > 200
    assert seen[CROP] == 0


def test_settings_are_found_inside_a_processor_config_too(checkpoints):
    assert (checkpoints.siglip / "processor_config.json").exists()
    assert read(checkpoints.siglip) == squash(48)


BASE = {"size": {"height": 32, "width": 32}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, squash(32)),
        ({"resample": 2}, squash(32, "bilinear")),
        ({"size": 32}, squash(32)),
        ({"size": {"shortest_edge": 32}}, squash(32)),
        ({"do_normalize": False}, squash(32, "bicubic", (0.0,) * 3, (1.0,) * 3)),
        ({"do_center_crop": True, "crop_size": 28}, squash(28)),
    ],
    ids=["plain", "bilinear", "number", "shortest edge", "not normalized", "crop"],
)
def test_old_and_new_spellings_are_read(tmp_path, changes, expected):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(BASE | changes))
    assert read(tmp_path) == expected


@pytest.mark.parametrize(
    "content",
    [
        None,
        "{",
        "[]",
        json.dumps(BASE | {"resample": 0}),
        json.dumps(BASE | {"size": {"height": 32, "width": 64}}),
        json.dumps(BASE | {"rescale_factor": 1.0}),
        json.dumps(BASE | {"image_mean": [0.5]}),
        json.dumps({"size": 32}),
    ],
    ids=["missing", "broken", "a list", "nearest", "oblong", "rescaled", "one channel", "no mean"],
)
def test_settings_that_cannot_be_honoured_are_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "preprocessor_config.json").write_text(content)
    with pytest.raises(InvalidData, match="does not say how to prepare pictures"):
        read(tmp_path)


@pytest.mark.parametrize(("height", "width"), [(90, 160), (160, 90), (33, 47)])
def test_dinov3_gets_what_its_definition_says_within_one_level(checkpoints, height, width):
    """Its processor needs torchvision, so it is spelled out: rescale, antialiased bilinear resize, normalize."""
    rgb = picture(height, width)
    preprocess = read(checkpoints.dinov3)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (preprocess.mean, preprocess.std))
    pixels = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255
    resized = torch.nn.functional.interpolate(pixels, size=(32, 32), mode="bilinear", antialias=True)
    expected = (resized - mean) / std
    actual = preprocess.normalize(torch.from_numpy(preprocess.resize(rgb))[None], torch.float32)
    assert float(((actual - expected) * std * 255).abs().max()) <= 1.0
