"""Grounding DINO and its kin: phrases score by their own tokens, long lists are spread, boxes are the stock ones."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor, AutoTokenizer

from miner_resources.errors import InvalidData
from miner_resources.models.adapter import Query
from miner_resources.models.grounding_text import Chunk, check_tokenizer, phrase_ids, split
from miner_resources.models.loading import Settings, load_detector
from miner_resources.models.selection import select

FAMILIES = ("grounding_dino", "mm_grounding_dino")
PROMPTS = ("red circle", "a dog", "the blue square")
QUERY = Query(PROMPTS, PROMPTS, 0.05)
SIZES = [(90, 160), (300, 500)]


@pytest.fixture(scope="module")
def detectors(checkpoints):
    models = {}

    def get(family, **settings):
        key = (family, *sorted(settings.items()))
        if key not in models:
            values = {"device": "cpu", "precision": "fp32", "batch_size": 2} | settings
            models[key] = load_detector(str(getattr(checkpoints, family)), Settings(**values))
        return models[key]

    yield get
    for model in models.values():
        model.release()


@pytest.fixture(scope="module")
def tokenizer(checkpoints):
    return AutoTokenizer.from_pretrained(checkpoints.grounding_dino)


def pictures(count, shape=(90, 160)):
    rng = np.random.default_rng(5)
    return [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for _ in range(count)]


def by_transformers(folder, model, image, size):
    """The stock processor's text and the stock forward pass; a phrase scores as the best of its tokens."""
    processor = AutoProcessor.from_pretrained(folder)
    stock = AutoModelForZeroShotObjectDetection.from_pretrained(folder, dtype=torch.float32).eval()
    text = processor.tokenizer(" . ".join(PROMPTS) + " .", return_tensors="pt", return_token_type_ids=True)
    pixels = model.preprocess.normalize(torch.from_numpy(image[None]), torch.float32)
    with torch.no_grad():
        found = stock(pixel_values=pixels, **text)
    ids = text.input_ids[0].tolist()
    scores = np.zeros((found.logits.shape[1], len(PROMPTS)), np.float32)
    start = 1
    for number in range(len(PROMPTS)):
        stop = ids.index(1012, start)
        scores[:, number] = found.logits[0, :, start:stop].sigmoid().amax(-1)
        start = stop + 1
    centre, extent = found.pred_boxes[0, :, :2].numpy(), found.pred_boxes[0, :, 2:].numpy()
    corners = np.concatenate([centre - extent / 2, centre + extent / 2], 1)
    return select(scores, corners * [size[1], size[0], size[1], size[0]], size, QUERY)


@pytest.mark.parametrize("family", FAMILIES)
def test_boxes_and_scores_are_those_of_transformers(family, detectors, checkpoints):
    model = detectors(family)
    images = [model.prepare(rgb) for rgb in pictures(2)]
    found = model.detect(images, SIZES, QUERY)
    for one, image, size in zip(found, images, SIZES, strict=True):
        other = by_transformers(getattr(checkpoints, family), model, image, size)
        assert len(other.boxes) > 0
        assert one.prompts == other.prompts
        np.testing.assert_allclose(one.boxes.scores, other.boxes.scores, atol=1e-4)
        np.testing.assert_allclose(one.boxes.xyxy, other.boxes.xyxy, atol=0.05)


@pytest.mark.parametrize("prompts", [PROMPTS, ("dog",), ("a red circle", "running dog's shirt", "t-shirt & car")])
def test_the_text_is_the_one_that_the_stock_processor_writes(prompts, tokenizer):
    (chunk,) = split([phrase_ids(tokenizer, prompt) for prompt in prompts], 256)
    written = " . ".join(prompt.lower() for prompt in prompts) + " ."
    assert list(chunk.ids) == tokenizer(written).input_ids
    for number, prompt in enumerate(prompts):
        start, stop = chunk.spans[number]
        assert list(chunk.ids[start:stop]) == tokenizer(prompt, add_special_tokens=False).input_ids


def test_what_would_cut_a_phrase_is_left_out(tokenizer):
    plain = phrase_ids(tokenizer, "red dog")
    assert phrase_ids(tokenizer, "Red. dog?") == plain
    assert phrase_ids(tokenizer, " . ? ") == ()


@pytest.mark.parametrize("limit", [8, 9, 12, 20, 256])
def test_phrases_are_spread_whole_and_in_order(limit):
    phrases = [(500 + number,) * (1 + number % 4) for number in range(30)] + [(), (500,)]
    chunks = split(phrases, limit)
    assert all(len(chunk.ids) <= limit for chunk in chunks)
    seen = {}
    for chunk in chunks:
        assert (chunk.ids[0], chunk.ids[-1]) == (101, 102)
        for number, (start, stop) in chunk.spans.items():
            assert chunk.ids[start:stop] == phrases[number]
            assert chunk.ids[stop] == 1012
            assert number not in seen
            seen[number] = True
    assert set(seen) == set(range(len(phrases))) - {30}
    assert split([], limit) == []
    assert split([()], limit) == []


def test_a_phrase_that_is_longer_than_a_text_loses_its_end():
    assert split([tuple(range(500, 600))], 10) == [Chunk((101, *range(500, 507), 1012, 102), {0: (1, 8)})]


@pytest.mark.parametrize("family", FAMILIES)
def test_long_lists_of_classes_find_what_their_own_text_finds(family, detectors, monkeypatch):
    model = detectors(family)
    images = [model.prepare(rgb) for rgb in pictures(1)]
    monkeypatch.setattr(model._config, "max_text_len", 6)
    chunked = model.detect(images, SIZES[:1], QUERY)[0]
    monkeypatch.undo()
    alone = [model.detect(images, SIZES[:1], Query((text,), (text,), QUERY.floor))[0] for text in PROMPTS]
    assert sum(len(each.boxes) for each in alone) > 0
    for text, single in zip(PROMPTS, alone, strict=True):
        mine = np.array([prompt == text for prompt in chunked.prompts], np.bool_)
        assert np.array_equal(chunked.boxes.xyxy[mine], single.boxes.xyxy)
        assert np.array_equal(chunked.boxes.scores[mine], single.boxes.scores)


@pytest.mark.parametrize("family", FAMILIES)
def test_pictures_of_other_shapes_do_not_matter(family, detectors):
    model = detectors(family)
    shapes = [(90, 160), (160, 90), (100, 100), (30, 900), (90, 160)]
    images = [model.prepare(pictures(1, shape)[0]) for shape in shapes]
    together = model.detect(images, shapes, QUERY)
    for one, image, size in zip(together, images, shapes, strict=True):
        (alone,) = model.detect([image], [size], QUERY)
        assert np.array_equal(one.boxes.xyxy, alone.boxes.xyxy)
        assert np.array_equal(one.boxes.scores, alone.boxes.scores)


def test_texts_that_say_nothing_find_nothing(detectors):
    model = detectors("grounding_dino")
    images = [model.prepare(rgb) for rgb in pictures(1)]
    (nothing,) = model.detect(images, SIZES[:1], Query((" . ",), ("x",), 0.05))
    assert len(nothing.boxes) == 0
    (found,) = model.detect(images, SIZES[:1], Query((" . ", "dog"), ("x", "dog"), 0.05))
    (alone,) = model.detect(images, SIZES[:1], Query(("dog",), ("dog",), 0.05))
    assert set(found.prompts) <= {"dog"}
    assert np.array_equal(found.boxes.scores, alone.boxes.scores)


@pytest.mark.parametrize("family", FAMILIES)
def test_half_precision_spares_the_coordinates(family, detectors):
    model = detectors(family, precision="bf16")
    (found,) = model.detect([model.prepare(pictures(1)[0])], [(1080, 1920)], QUERY)
    on_a_grid = found.boxes.xyxy == torch.from_numpy(found.boxes.xyxy).bfloat16().float().numpy()
    inside = (found.boxes.xyxy > 0) & (found.boxes.xyxy < [1920, 1080, 1920, 1080])
    assert inside.sum() >= 2
    assert np.mean(on_a_grid[inside]) < 0.5


def test_another_tokenizer_is_refused(checkpoints):
    with pytest.raises(InvalidData, match="the tokenizer of toy is not BERT's"):
        check_tokenizer(AutoTokenizer.from_pretrained(checkpoints.owlv2), "toy")
