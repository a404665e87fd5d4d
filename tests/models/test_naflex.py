"""SigLIP 2 NaFlex: grids, pixels and logits are those of transformers, for pictures of any shape."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import AutoTokenizer, Siglip2ImageProcessorPil, Siglip2Model
from transformers.models.siglip2.image_processing_pil_siglip2 import get_image_size_for_max_num_patches

from miner_resources.errors import InvalidData, NotConfigured
from miner_resources.models.loading import Settings, load_embedder, load_text_image_model
from miner_resources.models.preprocess import read_preprocess
from miner_resources.models.preprocess_patches import Patches, patches
from tests.models.tiny_naflex import MOST, PATCH, TEXT_LENGTH

HALF = (0.5, 0.5, 0.5)
PROMPTS = ("A red circle", "dog", "the blue square")
LEVELS = 1
"""Largest difference from PIL that is allowed, of 255."""
LOGIT_TOLERANCE = 1e-4
BF16_TOLERANCE = 0.05
SHAPES = [(60, 100), (100, 60), (64, 64), (1, 1), (1, 300), (300, 1), (90, 1600), (33, 47)]
SIDES = st.one_of(st.integers(1, 40), st.integers(1, 5000), st.integers(1, 100_000))


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def grids_of(patch, most):
    return Patches(patch=patch, most=most, mode="bilinear", mean=HALF, std=HALF)


@pytest.fixture(scope="module")
def load(checkpoints):
    """Precision → the model."""
    models = {}

    def get(precision="fp32"):
        if precision not in models:
            models[precision] = load_text_image_model(
                str(checkpoints.naflex), Settings(device="cpu", precision=precision, batch_size=4)
            )
        return models[precision]

    yield get
    for model in models.values():
        model.release()


@pytest.fixture(scope="module")
def stock(checkpoints):
    return Siglip2Model.from_pretrained(checkpoints.naflex, dtype=torch.float32).eval()


@settings(deadline=None, max_examples=400)
@given(SIDES, SIDES, st.sampled_from([8, 14, 16, 32]), st.sampled_from([1, 2, 7, 40, 256, 576, 1024]))
def test_the_grid_is_that_of_transformers(height, width, patch, most):
    preprocess = grids_of(patch, most)
    rows, columns = preprocess.grid(height, width)
    assert (rows * patch, columns * patch) == get_image_size_for_max_num_patches(height, width, patch, most)
    assert preprocess.accepts(rows * patch, columns * patch)


@pytest.mark.parametrize(
    ("size", "expected"), [((1080, 1920), (12, 21)), ((1920, 1080), (21, 12)), ((500, 500), (16, 16))], ids=str
)
def test_a_picture_keeps_its_shape(size, expected):
    assert grids_of(16, 256).grid(*size) == expected


@pytest.mark.parametrize("size", [(5, 5), (16, 24), (24, 16), (0, 16), (16, 16 * 257), (272, 256)], ids=str)
def test_what_is_no_grid_within_the_budget_is_refused(size):
    assert not grids_of(16, 256).accepts(*size)


@pytest.mark.parametrize("most", [40, 256, 1024])
@pytest.mark.parametrize(
    "shape", [*SHAPES, (3, 3), (7, 2000), (2000, 7), (360, 640), (1080, 1920), (1920, 1080), (40, 5000)], ids=str
)
def test_pixels_are_within_one_level_of_the_stock_processor(shape, most):
    rgb = picture(*shape)
    processed = Siglip2ImageProcessorPil(patch_size=16, max_num_patches=most)(Image.fromarray(rgb), return_tensors="np")
    rows, columns = processed.spatial_shapes[0]
    flat = processed.pixel_values[0][: rows * columns].reshape(rows, columns, 16, 16, 3)
    expected = (flat.transpose(0, 2, 1, 3, 4).reshape(rows * 16, columns * 16, 3) * 0.5 + 0.5) * 255
    actual = grids_of(16, most).resize(rgb)
    assert actual.shape == expected.shape
    assert np.abs(actual - np.rint(expected)).max() <= LEVELS


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_patches_and_mask_are_those_of_the_stock_processor(checkpoints, shape):
    preprocess = read_preprocess(checkpoints.naflex, patches)
    image = preprocess.resize(picture(*shape))
    expected = Siglip2ImageProcessorPil.from_pretrained(checkpoints.naflex, do_resize=False)(image, return_tensors="pt")
    values, mask = preprocess.patches(preprocess.normalize(torch.from_numpy(image)[None], torch.float32))
    assert values.shape == (1, MOST, PATCH * PATCH * 3)
    torch.testing.assert_close(values, expected.pixel_values, atol=2e-6, rtol=0)
    assert torch.equal(mask, expected.pixel_attention_mask)


def test_logits_are_those_of_transformers(load, stock, checkpoints):
    model = load()
    images = [model.prepare(picture(*shape, seed)) for seed, shape in enumerate(SHAPES)]
    processor = Siglip2ImageProcessorPil.from_pretrained(checkpoints.naflex, do_resize=False)
    tokenizer = AutoTokenizer.from_pretrained(checkpoints.naflex)
    ids = tokenizer(
        [text.lower() for text in PROMPTS], padding="max_length", max_length=TEXT_LENGTH, return_tensors="pt"
    ).input_ids
    with torch.no_grad():
        expected = stock(input_ids=ids, **processor(images, return_tensors="pt")).logits_per_image.numpy()
    actual = model.logits(model.image_features(images), model.text_features(PROMPTS))
    assert ids.shape == (3, TEXT_LENGTH)
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected, atol=LOGIT_TOLERANCE)
    assert np.abs(expected - expected[:1]).max() > 100 * LOGIT_TOLERANCE


def test_scores_from_raw_pictures_agree_with_the_stock_processor(load, stock, checkpoints):
    """Pixels may differ by one level, which moves logits a little."""
    model = load()
    raw = [picture(*shape, seed) for seed, shape in enumerate(SHAPES)]
    processor = Siglip2ImageProcessorPil.from_pretrained(checkpoints.naflex)
    with torch.no_grad():
        inputs = processor([Image.fromarray(rgb) for rgb in raw], return_tensors="pt")
        pooled = stock.get_image_features(**inputs).pooler_output
    expected = torch.nn.functional.normalize(pooled, dim=-1).numpy()
    actual = model.image_features([model.prepare(rgb) for rgb in raw])
    np.testing.assert_allclose(actual, expected, atol=2e-3)


def test_half_precision_is_close_for_every_shape(load):
    full, half = load(), load("bf16")
    images = [full.prepare(picture(*shape, seed)) for seed, shape in enumerate(SHAPES)]
    np.testing.assert_allclose(half.image_features(images), full.image_features(images), atol=BF16_TOLERANCE)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_shapes_in_one_call_do_not_change_each_other(load, precision):
    model = load(precision)
    shapes = [*SHAPES, *SHAPES[::-1], *SHAPES[:3]]
    images = [model.prepare(picture(*shape, seed)) for seed, shape in enumerate(shapes)]
    alone = np.concatenate([model.image_features([image]) for image in images])
    assert np.array_equal(model.image_features(images), alone)


def test_the_shape_of_a_picture_counts(load):
    """The same pixels as a row, a column and a rectangle: positions follow the grid."""
    model = load()
    tile = picture(PATCH, PATCH)
    images = [np.tile(tile, (rows, columns, 1)) for rows, columns in ((1, 12), (12, 1), (3, 4))]
    features = model.image_features(images)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(features[one] - features[other]).max() > 1e-3


@pytest.mark.parametrize("resize", ["crop", "pad"])
def test_ways_to_make_pictures_square_are_refused(checkpoints, resize):
    with pytest.raises(NotConfigured, match=f"own shape, so resize: {resize}"):
        load_embedder(str(checkpoints.naflex), Settings(device="cpu", resize=resize))


def test_vectors_are_the_features_of_the_filter(load, checkpoints):
    embedder = load_embedder(str(checkpoints.naflex), Settings(device="cpu", precision="fp32", batch_size=4))
    image = embedder.prepare(picture(60, 100))
    assert np.array_equal(embedder.embed([image]), load().image_features([image]))
    assert embedder.identity == load().identity
    assert embedder.embed([]).shape == (0, embedder.dimension)


STATISTICS = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, grids_of(16, 256)),
        ({"patch_size": 14, "max_num_patches": 1024, "resample": 2}, grids_of(14, 1024)),
    ],
    ids=["left to the class", "spelled out"],
)
def test_settings_are_read(tmp_path, changes, expected):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(STATISTICS | changes))
    assert read_preprocess(tmp_path, patches) == expected


@pytest.mark.parametrize(
    "changes", [{"patch_size": 0}, {"max_num_patches": 0}, {"patch_size": [8, 16]}, {"resample": 0}], ids=str
)
def test_settings_that_cannot_be_honoured_are_refused(tmp_path, changes):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(STATISTICS | changes))
    with pytest.raises(InvalidData, match="does not say how to prepare pictures"):
        read_preprocess(tmp_path, patches)
