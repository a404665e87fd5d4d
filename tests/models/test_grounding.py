"""Grounding DINO and its kin: phrases score by their own tokens, long lists are spread, boxes are the stock ones."""

import shutil
import string

import numpy as np
import pytest
import torch
from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor, AutoTokenizer

from miner_resources.errors import InvalidData
from miner_resources.models.adapter import Query
from miner_resources.models.grounding_text import Chunk, phrase_ids, split
from miner_resources.models.loading import Settings, load_detector
from miner_resources.models.selection import select

FAMILIES = ("grounding_dino", "mm_grounding_dino")
PROMPTS = ("red circle", "a dog", "the blue square")
FLOOR = 0.05
QUERY = Query(PROMPTS, PROMPTS, FLOOR)
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


def pictures(count, shape=(90, 160), seed=5):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for _ in range(count)]


def asking(*prompts):
    return Query(prompts, prompts, FLOOR)


def equal(one, other):
    """Whether boxes, scores and texts are the same to the bit."""
    arrays = np.array_equal(one.boxes.xyxy, other.boxes.xyxy) and np.array_equal(one.boxes.scores, other.boxes.scores)
    return arrays and one.prompts == other.prompts


def by_transformers(folder, model, image, size):
    """The stock processor's text and the stock forward pass; a phrase scores as the best of its tokens."""
    processor = AutoProcessor.from_pretrained(folder)
    stock = AutoModelForZeroShotObjectDetection.from_pretrained(folder, dtype=torch.float32).eval()
    text = processor(text=[list(PROMPTS)], return_tensors="pt")
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
        np.testing.assert_allclose(one.boxes.scores, other.boxes.scores, atol=1e-5)
        np.testing.assert_allclose(one.boxes.xyxy, other.boxes.xyxy, atol=1e-5 * max(size))


@pytest.mark.parametrize("family", FAMILIES)
def test_boxes_are_in_pixels_of_the_original(family, detectors):
    model = detectors(family)
    images = [model.prepare(rgb) for rgb in pictures(1)]
    (small,) = model.detect(images, [(90, 160)], QUERY)
    (large,) = model.detect(images, [(180, 480)], QUERY)
    assert len(small.boxes) > 0
    assert large.prompts == small.prompts
    np.testing.assert_allclose(large.boxes.xyxy, small.boxes.xyxy * [3, 2, 3, 2], rtol=1e-5)


@pytest.mark.parametrize(
    "prompts", [PROMPTS, ("dog",), ("A Red circle", "running dog's shirt", "t-shirt & car"), (" the star ", "ÉTOILE")]
)
def test_the_text_is_the_one_that_the_stock_processor_writes(prompts, tokenizer, checkpoints):
    (chunk,) = split([phrase_ids(tokenizer, prompt) for prompt in prompts], 256)
    processor = AutoProcessor.from_pretrained(checkpoints.grounding_dino)
    assert [list(chunk.ids)] == processor(text=[list(prompts)]).input_ids
    for number, prompt in enumerate(prompts):
        start, stop = chunk.spans[number]
        assert list(chunk.ids[start:stop]) == tokenizer(prompt, add_special_tokens=False).input_ids


def test_what_would_cut_a_phrase_is_left_out(tokenizer):
    plain = phrase_ids(tokenizer, "red dog")
    assert phrase_ids(tokenizer, "Red. dog?") == plain
    assert phrase_ids(tokenizer, " . ? ") == phrase_ids(tokenizer, "") == ()
    for prompt in ("[SEP] dog", "[CLS]dog[SEP]", "[PAD]", "dog. [SEP] cat?"):
        ids = phrase_ids(tokenizer, prompt)
        assert ids
        assert not {0, 101, 102, 1012, 1029} & set(ids)


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
def test_long_lists_of_classes_find_what_their_own_text_finds(family, detectors, tokenizer):
    model = detectors(family)
    images = [model.prepare(rgb) for rgb in pictures(1)]
    names = [f"{word} {letter}xy" for word in ("red dog", "blue car", "star") for letter in string.ascii_lowercase]
    chunks = split([phrase_ids(tokenizer, name) for name in names], 256)
    assert len(chunks) > 1
    (found,) = model.detect(images, SIZES[:1], asking(*names))
    for chunk in chunks:
        own = [names[number] for number in chunk.spans]
        (alone,) = model.detect(images, SIZES[:1], asking(*own))
        mine = np.array([prompt in own for prompt in found.prompts], np.bool_)
        assert len(alone.boxes) > 0
        assert np.array_equal(found.boxes.xyxy[mine], alone.boxes.xyxy)
        assert np.array_equal(found.boxes.scores[mine], alone.boxes.scores)
        assert tuple(prompt for prompt in found.prompts if prompt in own) == alone.prompts


@pytest.mark.parametrize("family", FAMILIES)
def test_pictures_of_other_shapes_do_not_matter(family, detectors):
    model = detectors(family)
    shapes = [(90, 160), (160, 90), (100, 100), (30, 900), (6, 119), (90, 160)]
    images = [model.prepare(pictures(1, shape, seed)[0]) for seed, shape in enumerate(shapes)]
    assert len({image.shape for image in images}) == 5
    together = model.detect(images, shapes, QUERY)
    assert all(len(found.boxes) for found in together)
    for one, image, size in zip(together, images, shapes, strict=True):
        assert equal(one, model.detect([image], [size], QUERY)[0])


@pytest.mark.parametrize("nothing", ["", "   ", " . ", "?"])
def test_texts_that_say_nothing_find_nothing(nothing, detectors):
    model = detectors("grounding_dino")
    images = [model.prepare(rgb) for rgb in pictures(1)]
    assert len(model.detect(images, SIZES[:1], asking(nothing))[0].boxes) == 0
    (found,) = model.detect(images, SIZES[:1], asking(nothing, "dog"))
    assert len(found.boxes) > 0
    assert equal(found, model.detect(images, SIZES[:1], asking("dog"))[0])


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_that_say_the_same_count_once(family, detectors):
    model = detectors(family)
    images = [model.prepare(rgb) for rgb in pictures(1)]
    (alone,) = model.detect(images, SIZES[:1], asking("dog"))
    twice = Query(("dog", "DOG. "), ("dog", "pet"), FLOOR)
    assert len(alone.boxes) > 0
    assert equal(model.detect(images, SIZES[:1], twice)[0], alone)
    (second,) = model.detect(images, SIZES[:1], twice, np.array([[False, True]]))
    assert set(zip(second.prompts, second.boxes.labels, strict=True)) == {("DOG. ", "pet")}
    assert np.array_equal(second.boxes.scores, alone.boxes.scores)


def test_a_text_that_is_too_long_is_read_up_to_the_limit(detectors):
    model = detectors("grounding_dino")
    images = [model.prepare(rgb) for rgb in pictures(1)]
    (long,) = model.detect(images, SIZES[:1], asking("dog " * 600))
    (cut,) = model.detect(images, SIZES[:1], asking("dog " * 253))
    assert len(long.boxes) > 0
    assert np.array_equal(long.boxes.xyxy, cut.boxes.xyxy)
    assert np.array_equal(long.boxes.scores, cut.boxes.scores)


@pytest.mark.parametrize("family", FAMILIES)
def test_half_precision_spares_the_coordinates(family, detectors):
    model = detectors(family, precision="bf16")
    (found,) = model.detect([model.prepare(pictures(1)[0])], [(1080, 1920)], QUERY)
    on_a_grid = found.boxes.xyxy == torch.from_numpy(found.boxes.xyxy).bfloat16().float().numpy()
    inside = (found.boxes.xyxy > 0) & (found.boxes.xyxy < [1920, 1080, 1920, 1080])
    assert inside.sum() >= 2
    assert np.mean(on_a_grid[inside]) < 0.5


@pytest.mark.parametrize("family", FAMILIES)
def test_half_precision_spares_the_places_of_the_feature_maps(family, detectors):
    model = detectors(family, precision="bf16")
    inner = model._replicas.first[0].model
    formats = set()

    def note(_, __, inputs):
        formats.update(inputs[name].dtype for name in ("reference_points", "valid_ratios"))

    handle = inner.decoder.register_forward_pre_hook(note, with_kwargs=True)
    try:
        model.detect([model.prepare(pictures(1)[0])], SIZES[:1], QUERY)
    finally:
        handle.remove()
    assert formats == {torch.float32}


def test_another_tokenizer_is_refused(checkpoints, tmp_path):
    folder = tmp_path / "toy"
    shutil.copytree(checkpoints.grounding_dino, folder)
    AutoTokenizer.from_pretrained(checkpoints.owlv2).save_pretrained(folder)
    with pytest.raises(InvalidData, match=r"the tokenizer of .*toy is not BERT's"):
        load_detector(str(folder), Settings(device="cpu"))
