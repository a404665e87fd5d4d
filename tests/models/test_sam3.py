"""SAM 3: the same boxes as transformers, from the same pixels, one encoding of a picture for all texts."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, Sam3Config, Sam3Model, Sam3VideoConfig

from miner_resources.models.adapter import Query
from miner_resources.models.loading import Settings, load_detector
from miner_resources.models.selection import select
from tests.models.tiny_sam3 import QUERIES, SIDE

PROMPTS = ("a red circle", "dog", "blue square")
QUERY = Query(PROMPTS, PROMPTS, 0.02)
SIZES = [(300, 500), (40, 900), (700, 60)]


def load(folder, **settings):
    return load_detector(str(folder), Settings(**{"device": "cpu", "precision": "fp32", "batch_size": 2} | settings))


@pytest.fixture(scope="module")
def detector(checkpoints):
    model = load(checkpoints.sam3)
    yield model
    model.release()


def pictures(count, shape=(50, 80)):
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for _ in range(count)]


def by_transformers(folder, images, sizes, query):
    """The whole stock forward pass for each text, masks and all, and the stock definition of a score."""
    model = Sam3Model.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
    scores = np.full((len(images), len(query.prompts), QUERIES, len(query.prompts)), -1, np.float32)
    boxes = np.zeros((len(images), len(query.prompts), QUERIES, 4), np.float32)
    for number, prompt in enumerate(query.prompts):
        tokens = tokenizer([prompt] * len(images), padding="max_length", max_length=32, return_tensors="pt")
        with torch.no_grad():
            found = model(pixel_values=pixels, input_ids=tokens.input_ids, attention_mask=tokens.attention_mask)
        scores[:, number, :, number] = found.pred_logits.sigmoid() * found.presence_logits.sigmoid()
        boxes[:, number] = found.pred_boxes
    texts = len(query.prompts)
    return [
        select(scores[row].reshape(-1, texts), boxes[row].reshape(-1, 4) * [width, height, width, height], size, query)
        for row, size in enumerate(sizes)
        for height, width in [size]
    ]


def test_boxes_and_scores_are_those_of_transformers(detector, checkpoints):
    images = [detector.prepare(rgb) for rgb in pictures(3)]
    expected = by_transformers(checkpoints.sam3, images, SIZES, QUERY)
    found = detector.detect(images, SIZES, QUERY)
    assert sum(len(each.boxes) for each in expected) >= 6
    for one, other in zip(found, expected, strict=True):
        assert one.prompts == other.prompts
        np.testing.assert_allclose(one.boxes.scores, other.boxes.scores, atol=1e-5)
        np.testing.assert_allclose(one.boxes.xyxy, other.boxes.xyxy, atol=1e-2)


@pytest.mark.parametrize("shape", [(1, 1), (40, 900), (700, 60), (SIDE, SIDE), (1080, 1920)])
def test_pixels_are_squashed_and_smoothed(detector, shape):
    (rgb,) = pictures(1, shape)
    expected = np.asarray(Image.fromarray(rgb).resize((SIDE, SIDE), Image.Resampling.BILINEAR), np.int16)
    assert np.abs(detector.prepare(rgb).astype(np.int16) - expected).max() <= 1
    levels = torch.tensor([0, 128, 255], dtype=torch.uint8).reshape(1, 1, 3, 1).expand(1, 1, 3, 3)
    normal = detector.preprocess.normalize(levels, torch.float32)
    np.testing.assert_allclose(normal[0, 0, 0], [-1, 128 / 127.5 - 1, 1], atol=1e-6)


def test_a_text_is_encoded_once_and_only_if_somebody_asks(checkpoints):
    model = load(checkpoints.sam3)
    images = [model.prepare(rgb) for rgb in pictures(2)]
    asked = np.array([[True, False, False], [True, False, True]])
    found = model.detect(images, SIZES[:2], QUERY, asked)
    assert set(found[0].prompts) <= {PROMPTS[0]}
    assert set(found[1].prompts) <= {PROMPTS[0], PROMPTS[2]}
    assert set(model._texts) == {PROMPTS[0], PROMPTS[2]}
    known = dict(model._texts)
    model.detect(images, SIZES[:2], QUERY)
    assert all(model._texts[prompt] is text for prompt, text in known.items())
    model.release()


def test_what_is_found_for_a_text_does_not_depend_on_the_others(detector):
    images = [detector.prepare(rgb) for rgb in pictures(2)]
    alone = detector.detect(images, SIZES[:2], Query(PROMPTS[:1], PROMPTS[:1], 0.02))
    together = detector.detect(images, SIZES[:2], QUERY)
    for one, all_texts in zip(alone, together, strict=True):
        mine = np.array([prompt == PROMPTS[0] for prompt in all_texts.prompts], np.bool_)
        assert np.array_equal(all_texts.boxes.xyxy[mine], one.boxes.xyxy)
        assert np.array_equal(all_texts.boxes.scores[mine], one.boxes.scores)


def test_the_same_text_for_two_classes_finds_the_same_boxes(detector):
    images = [detector.prepare(rgb) for rgb in pictures(1)]
    twice = Query(("dog", "dog"), ("dog", "hound"), 0.02)
    (found,) = detector.detect(images, SIZES[:1], twice)
    (once,) = detector.detect(images, SIZES[:1], Query(("dog",), ("dog",), 0.02))
    assert np.array_equal(found.boxes.xyxy, once.boxes.xyxy)


def test_half_precision_spares_the_coordinates(checkpoints):
    model = load(checkpoints.sam3, precision="bf16")
    (found,) = model.detect([model.prepare(rgb) for rgb in pictures(1)], [(1080, 1920)], QUERY)
    on_a_grid = found.boxes.xyxy == torch.from_numpy(found.boxes.xyxy).bfloat16().float().numpy()
    inside = (found.boxes.xyxy > 0) & (found.boxes.xyxy < [1920, 1080, 1920, 1080])
    assert inside.sum() >= 4
    assert np.mean(on_a_grid[inside]) < 0.5
    model.release()


def test_the_released_repository_is_read_as_what_it_calls_itself(detector, checkpoints, tmp_path):
    """Its config is that of the video model, whose detector this is."""
    folder = tmp_path / "sam3"
    shutil.copytree(checkpoints.sam3, folder)
    config = Sam3VideoConfig(detector_config=Sam3Config.from_pretrained(checkpoints.sam3).to_dict())
    config.save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["model_type"] == "sam3_video"
    weights = load_file(folder / "model.safetensors")
    renamed = {f"detector_model.{name}": tensor for name, tensor in weights.items()}
    save_file({**renamed, "tracker_neck.extra": torch.zeros(2)}, folder / "model.safetensors", {"format": "pt"})
    model = load(folder)
    images = [model.prepare(rgb) for rgb in pictures(1)]
    (found,), (expected,) = (each.detect(images, SIZES[:1], QUERY) for each in (model, detector))
    assert np.array_equal(found.boxes.xyxy, expected.boxes.xyxy)
    model.release()
