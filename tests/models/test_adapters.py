"""The contract of adapters: the same assertions for every family, then what is special to each.

To cover another family: a checkpoint in `tiny_checkpoints.py` and a `Case` here.
"""

import gc
import shutil
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer, Owlv2ForObjectDetection, Owlv2Processor, SiglipModel

from miner_resources.errors import InvalidData, NotConfigured
from miner_resources.models.adapter import Query
from miner_resources.models.catalogue import DETECTION, EMBEDDING, TEXT_IMAGE
from miner_resources.models.loaded import Checkpoint
from miner_resources.models.loading import Settings, load_detector, load_embedder, load_text_image_model
from miner_resources.models.owlv2 import Owlv2Detector
from miner_resources.models.sources import resolve
from miner_resources.scores import sigmoid

PROMPTS = ("A red circle", "dog", "the blue square")
LABELS = ("circle", "dog", "square")
FLOOR = 0.1
QUERY = Query(PROMPTS, LABELS, FLOOR)
LOGIT_TOLERANCE = 1e-4
"""Ours against transformers' own forward pass, both in float32."""
BF16_TOLERANCE = 0.05
"""Of unit vectors and of scores, on random weights: bfloat16 has three significant digits."""
BATCH = 4


@dataclass(frozen=True)
class Case:
    """One adapter: how it is loaded, and a call that gives one comparable array per picture."""

    family: str
    load: Callable[..., Any]
    call: Callable[[Any, np.ndarray], list[np.ndarray]]

    def on(self, checkpoints, **settings):
        """Its model, loaded from the tiny checkpoint."""
        folder = str(getattr(checkpoints, self.family))
        return self.load(folder, Settings(**{"device": "cpu", "precision": "fp32", "batch_size": BATCH} | settings))

    def __str__(self):
        return f"{self.load.__name__.removeprefix('load_')}-{self.family}"


def _scores(model, images):
    return list(model.logits(model.image_features(images), model.text_features(PROMPTS)))


def _vectors(model, images):
    return list(model.embed(images))


def _boxes(model, images):
    return [_array(each) for each in model.detect(images, [(40, 90)] * len(images), QUERY)]


def _array(found):
    """Boxes, the numbers of their classes and, if there are any, their scores."""
    scores = np.zeros(len(found.boxes)) if found.boxes.scores is None else found.boxes.scores
    return np.column_stack([found.boxes.xyxy, [LABELS.index(label) for label in found.boxes.labels], scores])


SIGLIP = Case("siglip", load_text_image_model, _scores)
SCORERS = [SIGLIP, Case("naflex", load_text_image_model, _scores)]
DINO = [Case(name, load_embedder, _vectors) for name in ("dinov2", "dinov2_with_registers", "dinov3")]
EMBEDDERS = [*DINO, *(Case(name, load_embedder, _vectors) for name in ("siglip", "naflex"))]
OWLV2 = Case("owlv2", load_detector, _boxes)
GROUNDING = [Case(name, load_detector, _boxes) for name in ("grounding_dino", "mm_grounding_dino")]
CLOSED_SET = [Case(name, load_detector, _boxes) for name in ("rf_detr", "rt_detr", "rt_detr_v2", "d_fine")]
SAM3 = Case("sam3", load_detector, _boxes)
DETECTORS = [OWLV2, *GROUNDING, Case("florence2", load_detector, _boxes), *CLOSED_SET, SAM3]
SCORED = [case for case in DETECTORS if case.family != "florence2"]
CASES = [*SCORERS, *EMBEDDERS, *DETECTORS]


@pytest.fixture(scope="module")
def loaded(checkpoints):
    """case → its model in float32, loaded once."""
    models = {}

    def get(case, **settings):
        key = (case, *sorted(settings.items()))
        if key not in models:
            models[key] = case.on(checkpoints, **settings)
        return models[key]

    yield get
    for model in models.values():
        model.release()


def pictures(model, count, seed=1):
    """Noise of one size, as the model takes it."""
    rng = np.random.default_rng(seed)
    return [model.prepare(rng.integers(0, 256, (60, 100, 3), dtype=np.uint8)) for _ in range(count)]


def same(one, other):
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


every = pytest.mark.parametrize("case", CASES, ids=str)


@every
def test_a_result_does_not_depend_on_the_other_pictures(case, loaded):
    model = loaded(case)
    images = pictures(model, 11)
    together = case.call(model, images)
    assert same(together, [row for i in range(11) for row in case.call(model, images[i : i + 1])])
    order = np.random.default_rng(2).permutation(11)
    assert same([together[i] for i in order], case.call(model, [images[i] for i in order]))
    assert same(together[3:10], case.call(model, images[3:10]))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="PyTorch compiles for the CPU with a C++ compiler")
@pytest.mark.filterwarnings("ignore")  # PyTorch's compiler uses what other parts of it deprecate
@pytest.mark.parametrize("case", [SIGLIP, DINO[0], OWLV2], ids=str)
def test_a_compiled_model_gives_the_same(case, loaded, checkpoints):
    images = pictures(loaded(case), BATCH + 1)
    model = case.on(checkpoints, compiled=True)
    expected = case.call(loaded(case), images)
    try:
        for row, wanted in zip(case.call(model, images), expected, strict=True):
            np.testing.assert_allclose(row, wanted, atol=1e-4)
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0, "something was compiled"
    finally:
        model.release()
        torch.compiler.reset()
        torch._dynamo.utils.counters.clear()


@every
def test_pictures_differ_in_their_results(case, loaded):
    rows = case.call(loaded(case), pictures(loaded(case), 2))
    assert not np.array_equal(rows[0], rows[1])


@every
def test_several_devices_give_the_same_in_the_same_order(case, loaded, monkeypatch, checkpoints):
    images = pictures(loaded(case), 11)
    monkeypatch.setattr("miner_resources.models.loading.devices", lambda _: ("cpu", "cpu", "cpu"))
    model = case.on(checkpoints, device="auto")
    assert model.batch_size == 3 * BATCH
    assert same(case.call(model, images), case.call(loaded(case), images))


@every
def test_loading_again_gives_the_same_bits_and_identity(case, loaded, checkpoints):
    model = loaded(case)
    again = case.load(
        str(getattr(checkpoints, case.family)), Settings(device="cpu", precision="fp32", batch_size=BATCH)
    )
    images = pictures(model, 5)
    assert same(case.call(model, images), case.call(again, images))
    assert again.identity == model.identity


@every
def test_no_pictures_give_no_rows(case, loaded):
    assert case.call(loaded(case), pictures(loaded(case), 0)) == []


@every
@pytest.mark.parametrize("shape", [(1, 1), (1, 200), (200, 1), (90, 1600)], ids=str)
def test_any_shape_of_picture_works(case, loaded, shape):
    model = loaded(case)
    rgb = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    (row,) = case.call(model, [model.prepare(rgb)])
    assert np.isfinite(row).all()


@every
def test_pictures_of_another_size_are_refused(case, loaded):
    model = loaded(case)
    fine = pictures(model, 1)
    for wrong in (np.zeros((5, 5, 3), np.uint8), fine[0].astype(np.float32), fine[0][..., 0]):
        with pytest.raises(InvalidData, match="takes"):
            case.call(model, [*fine, wrong])


@every
@pytest.mark.parametrize("shape", [(40, 60), (40, 60, 4), (40, 60, 1), (0, 60, 3)], ids=str)
def test_what_is_no_rgb_picture_is_refused(case, loaded, shape):
    with pytest.raises(InvalidData, match="must be"):
        loaded(case).prepare(np.zeros(shape, np.uint8))


@every
def test_pictures_of_several_shapes_may_come_together(case, loaded):
    model = loaded(case)
    rng = np.random.default_rng(5)
    shapes = [(60, 100), (100, 60), (60, 100), (80, 80), (60, 100), (30, 120), (60, 100)]
    images = [model.prepare(rng.integers(0, 256, (*shape, 3), dtype=np.uint8)) for shape in shapes]
    assert same(case.call(model, images), [row for image in images for row in case.call(model, [image])])


@every
def test_weights_are_float32_on_the_cpu_whatever_the_file_says(case, checkpoints):
    model = case.load(
        str(getattr(checkpoints, case.family)), Settings(device="cpu", precision="auto", batch_size="auto")
    )
    assert model.batch_size == 16
    assert {weight.dtype for weight in model._replicas.first[0].parameters()} == {torch.float32}


@every
def test_number_format_is_part_of_the_identity(case, loaded):
    assert loaded(case).identity != loaded(case, precision="bf16").identity


@every
def test_release_frees_the_model_and_may_be_repeated(case, checkpoints):
    model = case.on(checkpoints, batch_size=1)
    case.call(model, pictures(model, 1))
    weights = {name: weakref.ref(weight) for name, weight in model._replicas.first[0].named_parameters()}
    model.release()
    model.release()
    gc.collect()
    assert [name for name, weight in weights.items() if weight() is not None] == []


@pytest.mark.parametrize("case", [*SCORERS, *EMBEDDERS], ids=str)
def test_bfloat16_is_close(case, loaded):
    full, half = loaded(case), loaded(case, precision="bf16")
    images = pictures(full, 6)
    numbers = [np.stack(case.call(model, images)) for model in (full, half)]
    if case.load is load_text_image_model:
        numbers = [sigmoid(logits) for logits in numbers]
    assert np.abs(numbers[0] - numbers[1]).max() < BF16_TOLERANCE


@pytest.mark.parametrize("case", SCORED, ids=str)
def test_bfloat16_finds_each_class_about_as_surely(case, loaded):
    _about_as_sure(case, loaded(case), loaded(case, precision="bf16"))


def _about_as_sure(case, full, half):
    images = pictures(full, 6)
    best = [
        [
            [row[row[:, 4] == number, 5].max(initial=FLOOR) for number in range(len(LABELS))]
            for row in case.call(model, images)
        ]
        for model in (full, half)
    ]
    assert np.max(best[0]) > FLOOR
    # Not all: which places of a picture become candidates is a choice, and close calls fall otherwise.
    assert np.mean(np.abs(np.subtract(*best)) < BF16_TOLERANCE) > 0.8


@pytest.mark.parametrize("case", EMBEDDERS, ids=str)
def test_vectors_have_unit_length_and_the_promised_dimension(case, loaded):
    vectors = loaded(case).embed(pictures(loaded(case), 5))
    assert vectors.shape == (5, loaded(case).dimension)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("case", DINO, ids=str)
def test_a_vector_is_the_class_token(case, loaded, checkpoints):
    model = loaded(case)
    images = pictures(model, 3)
    reference = AutoModel.from_pretrained(getattr(checkpoints, case.family), dtype=torch.float32).eval()
    with torch.no_grad():
        hidden = reference(pixel_values=model.preprocess.normalize(torch.from_numpy(np.stack(images)), torch.float32))
    expected = torch.nn.functional.normalize(hidden.last_hidden_state[:, 0], dim=-1)
    np.testing.assert_allclose(model.embed(images), expected.numpy(), atol=1e-5)


def test_logits_are_those_of_transformers(loaded, checkpoints):
    model = loaded(SIGLIP)
    images = pictures(model, 3)
    reference = SiglipModel.from_pretrained(checkpoints.siglip, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(checkpoints.siglip)
    ids = tokenizer([text.lower() for text in PROMPTS], padding="max_length", max_length=16, return_tensors="pt")
    with torch.no_grad():
        pixels = model.preprocess.normalize(torch.from_numpy(np.stack(images)), torch.float32)
        expected = reference(input_ids=ids.input_ids, pixel_values=pixels).logits_per_image.numpy()
    actual = model.logits(model.image_features(images), model.text_features(PROMPTS))
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected, atol=LOGIT_TOLERANCE)


each_scorer = pytest.mark.parametrize("case", SCORERS, ids=str)


@each_scorer
def test_texts_are_independent_of_each_other_and_of_case(case, loaded):
    model = loaded(case)
    features = model.text_features(PROMPTS)
    assert np.array_equal(features[1:2], model.text_features(["dog"]))
    assert np.array_equal(model.text_features(["A RED circle"]), features[:1])
    assert model.text_features([]).shape == (0, features.shape[1])
    long = model.text_features(["dog " * 100])
    np.testing.assert_allclose(np.linalg.norm(long, axis=1), 1, atol=1e-6)


@each_scorer
def test_a_logit_does_not_depend_on_the_other_rows(case, loaded):
    model = loaded(case)
    images, texts = model.image_features(pictures(model, 9)), model.text_features(PROMPTS)
    together = model.logits(images, texts)
    alone = np.array([[model.logits(image[None], text[None])[0, 0] for text in texts] for image in images])
    assert np.array_equal(together, alone)


def test_boxes_are_those_of_transformers(loaded, checkpoints):
    model = loaded(OWLV2)
    images, sizes = pictures(model, 2), [(40, 90), (200, 70)]
    reference = Owlv2ForObjectDetection.from_pretrained(checkpoints.owlv2, dtype=torch.float32).eval()
    processor = Owlv2Processor.from_pretrained(checkpoints.owlv2)
    texts = processor.tokenizer([text.lower() for text in PROMPTS] * 2, padding="max_length", return_tensors="pt")
    with torch.no_grad():
        pixels = model.preprocess.normalize(torch.from_numpy(np.stack(images)), torch.float32)
        outputs = reference(pixel_values=pixels, **texts)
    expected = processor.post_process_grounded_object_detection(outputs, threshold=0, target_sizes=sizes)
    found = model.detect(images, sizes, Query(PROMPTS, PROMPTS, 0))
    for want, got, (height, width) in zip(expected, found, sizes, strict=True):
        assert len(got.boxes)
        limit = torch.tensor([width, height, width, height])
        stock = torch.minimum(want["boxes"].clamp(min=0), limit).numpy()
        for box, score, prompt in zip(got.boxes.xyxy, got.boxes.scores, got.prompts, strict=True):
            row = np.abs(stock - box).max(axis=1).argmin()
            np.testing.assert_allclose(box, stock[row], atol=1e-3)
            assert score == pytest.approx(float(want["scores"][row]), abs=1e-5)
            assert prompt == PROMPTS[int(want["labels"][row])]


each_detector = pytest.mark.parametrize("case", DETECTORS, ids=str)


@each_detector
def test_boxes_lie_in_the_picture_and_come_best_first(case, loaded):
    model = loaded(case)
    sizes = [(40, 90), (300, 20), (1, 1)]
    for found, (height, width) in zip(model.detect(pictures(model, 3), sizes, QUERY), sizes, strict=True):
        xyxy, scores = found.boxes.xyxy, found.boxes.scores
        assert xyxy.dtype == np.float32
        assert (xyxy >= 0).all()
        assert (xyxy <= [width, height, width, height]).all()
        assert (xyxy[:, 2:] > xyxy[:, :2]).all()
        assert [LABELS[PROMPTS.index(prompt)] for prompt in found.prompts] == list(found.boxes.labels)
        if scores is not None:
            assert scores.dtype == np.float32
            assert (scores >= FLOOR).all()
            assert (np.diff(scores) <= 0).all()


@each_detector
def test_what_is_not_asked_for_is_not_found_and_changes_nothing_else(case, loaded):
    model = loaded(case)
    images, sizes = pictures(model, 3), [(40, 90)] * 3
    asked = np.ones((3, len(PROMPTS)), np.bool_)
    everything = model.detect(images, sizes, QUERY)
    assert same([*map(_array, model.detect(images, sizes, QUERY, asked))], [*map(_array, everything)])
    asked[1] = [True, False, False]
    asked[2] = False
    some = model.detect(images, sizes, QUERY, asked)
    assert np.array_equal(_array(some[0]), _array(everything[0]))
    assert set(some[1].boxes.labels) <= {LABELS[0]}
    assert len(some[2].boxes) == 0


@each_detector
def test_without_prompts_or_pictures_there_are_no_boxes(case, loaded):
    model = loaded(case)
    found = model.detect(pictures(model, 2), [(9, 9)] * 2, Query((), (), 0))
    assert [len(each.boxes) for each in found] == [0, 0]
    assert model.detect([], [], QUERY) == []


@each_detector
def test_a_size_is_needed_for_every_picture(case, loaded):
    model = loaded(case)
    with pytest.raises(ValueError, match="zip"):
        model.detect(pictures(model, 2), [(9, 9)], QUERY)


def test_prompts_of_one_class_suppress_each_other(loaded):
    model = loaded(OWLV2)
    images = pictures(model, 4)
    several = model.detect(images, [(64, 64)] * 4, Query(PROMPTS, PROMPTS, 0))
    one = model.detect(images, [(64, 64)] * 4, Query(PROMPTS, ("thing",) * 3, 0))
    assert all(set(found.boxes.labels) == {"thing"} for found in one)
    assert sum(len(found.boxes) for found in one) <= sum(len(found.boxes) for found in several)
    assert {prompt for found in one for prompt in found.prompts} <= set(PROMPTS)


def test_a_floor_above_all_scores_leaves_no_boxes(loaded):
    model = loaded(OWLV2)
    found = model.detect(pictures(model, 2), [(9, 9)] * 2, Query(PROMPTS, LABELS, 1.1))
    assert [len(each.boxes) for each in found] == [0, 0]


def test_heads_stay_in_float32(checkpoints):
    source = resolve(str(checkpoints.owlv2), DETECTION)
    model = Owlv2Detector(
        Checkpoint(
            name="owl",
            folder=checkpoints.owlv2,
            identity=source.identity,
            devices=("cpu",),
            dtype=torch.bfloat16,
            batch_size=2,
        )
    )
    inner = model._replicas.first[0]
    assert {weight.dtype for weight in inner.box_head.parameters()} == {torch.float32}
    assert {weight.dtype for weight in inner.owlv2.vision_model.parameters()} == {torch.bfloat16}
    found = model.detect(pictures(model, 2), [(1080, 1920)] * 2, Query(PROMPTS, LABELS, 0))
    coarse = torch.tensor(found[0].boxes.xyxy / 1920).bfloat16().float().numpy() * 1920
    assert not np.array_equal(coarse, found[0].boxes.xyxy)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every
def test_a_gpu_agrees_with_the_cpu_and_with_itself(case, loaded):
    gpu = loaded(case, device="cuda")
    images = pictures(gpu, 11)
    together = case.call(gpu, images)
    assert same(together, [row for i in range(11) for row in case.call(gpu, images[i : i + 1])])
    pairs = list(zip(together, case.call(loaded(case), images), strict=True))
    alike = [(one, other) for one, other in pairs if one.shape == other.shape]
    assert len(alike) > len(pairs) / 2
    for one, other in alike:
        np.testing.assert_allclose(one, other, atol=1e-2)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("case", SCORED, ids=str)
def test_bfloat16_on_a_gpu_finds_each_class_about_as_surely(case, loaded):
    _about_as_sure(case, loaded(case), loaded(case, device="cuda", precision="bf16"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("case", [*SCORERS, *EMBEDDERS], ids=str)
def test_bfloat16_on_a_gpu_is_close_and_repeatable(case, loaded):
    full, half = loaded(case), loaded(case, device="cuda", precision="bf16")
    images = pictures(full, 11)
    together = case.call(half, images)
    assert same(together, [row for i in range(11) for row in case.call(half, images[i : i + 1])])
    expected = case.call(full, images)
    squeeze = sigmoid if case in SCORERS else np.asarray
    for one, other in zip(together, expected, strict=True):
        np.testing.assert_allclose(squeeze(one), squeeze(other), atol=BF16_TOLERANCE)


def test_tasks_are_not_mixed_up(checkpoints):
    for load, folder, task in (
        (load_detector, checkpoints.siglip, DETECTION),
        (load_embedder, checkpoints.owlv2, EMBEDDING),
        (load_text_image_model, checkpoints.dinov2, TEXT_IMAGE),
    ):
        with pytest.raises(NotConfigured, match=f"cannot use for {task}"):
            load(str(folder), Settings(device="cpu", batch_size=1))
