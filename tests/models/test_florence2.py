"""Florence-2 against transformers' own processor, and what only concerns this family."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Florence2ForConditionalGeneration, Florence2Processor

from miner_resources.errors import InvalidData
from miner_resources.models import runtime
from miner_resources.models.adapter import Query
from miner_resources.models.florence2_answers import in_pixels, read_answer, read_signs
from miner_resources.models.loading import Settings, load_detector
from miner_resources.models.unscored import select_unscored
from tests.models.tiny_florence2 import LONGEST

TASK = "<OPEN_VOCABULARY_DETECTION>"
PROMPTS = ("A red circle", "dog", " the blue square ")
QUERY = Query(PROMPTS, ("circle", "dog", "square"), 0.1)
SIZE = (480, 640)
SETTINGS = Settings(device="cpu", precision="fp32", batch_size=4)


@pytest.fixture(scope="module")
def detector(checkpoints):
    model = load_detector(str(checkpoints.florence2), SETTINGS)
    yield model
    model.release()


@pytest.fixture(scope="module")
def processor(checkpoints):
    return Florence2Processor.from_pretrained(checkpoints.florence2)


def noise(count, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8) for _ in range(count)]


def ids(processor, text):
    """Of an answer, token by token."""
    signs = re.findall(r"<[^<>]+>|[^<>\s]+", text)
    return processor.tokenizer.convert_tokens_to_ids(signs)


def boxes(processor, text, size=SIZE):
    return in_pixels(read_answer(ids(processor, text), read_signs(processor.tokenizer, "tiny")), size)


def stock(processor, text):
    height, width = SIZE
    return processor.post_process_generation(text, task=TASK, image_size=(width, height))[TASK]


def arrays(found):
    return [each.boxes.xyxy for each in found]


ANSWERS = [
    "</s><s>dog<loc_100><loc_200><loc_500><loc_600></s>",
    "<s>red circle<loc_0><loc_0><loc_999><loc_999><loc_5><loc_6><loc_7><loc_8></s><pad><pad>",
    "dog<loc_1><loc_2><loc_3><loc_4>cat<loc_10><loc_20><loc_30><loc_40></s>",
    "dog<loc_1><loc_2><loc_3></s>",
    "dog<loc_1><loc_2><loc_3>cat<loc_10><loc_20><loc_30><loc_40><loc_50></s>",
    "dog<loc_9><loc_20><loc_3><loc_4></s>",
    "dog</s>",
    "",
]


@pytest.mark.parametrize("answer", ANSWERS)
def test_boxes_are_read_as_the_stock_processor_reads_them(processor, answer):
    expected = np.array(stock(processor, answer)["bboxes"], float).reshape(-1, 4)
    actual = boxes(processor, answer)
    assert actual.dtype == np.float32
    # The stock processor cuts off fractions of pixels.
    assert np.array_equal(np.floor(actual + 1e-4), expected)


@pytest.mark.parametrize(
    "answer",
    [
        "dog<poly><loc_10><loc_20><loc_30><loc_5><loc_25><loc_40></poly></s>",
        "dog<poly><loc_10><loc_20><loc_30><loc_5><loc_25></poly>",
        "dog<poly><loc_10><loc_20><loc_30><loc_5><sep><loc_70><loc_80><loc_90><loc_60><loc_1></poly></s>",
        "dog<poly><loc_10><loc_20><loc_30><loc_5><loc_9><sep><loc_70><loc_80><loc_90><loc_60></poly></s>",
        "dog<poly><loc_10><loc_20><loc_30><loc_40></poly><poly><loc_50><loc_60><loc_70><loc_80></poly>",
        "dog<poly><loc_10><loc_20><loc_30><loc_5><loc_25><loc_40></s>",
    ],
)
def test_of_outlines_comes_the_box_around_what_the_stock_processor_reads(processor, answer):
    outlines = [
        np.concatenate([np.reshape(part, (-1, 2)) for part in each]) for each in stock(processor, answer)["polygons"]
    ]
    expected = np.array([[*points.min(axis=0), *points.max(axis=0)] for points in outlines])
    assert np.array_equal(np.floor(boxes(processor, answer) + 1e-4), expected)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("<loc_1><loc_2><loc_3><loc_4>", [(1, 2, 3, 4)]),
        ("<s><loc_1><loc_2></s><loc_3><loc_4>", [(1, 2, 3, 4)]),
        ("dog<loc_1><loc_2><unk><loc_3><loc_4>", []),
        ("dog<poly></poly><poly><sep></poly><poly><loc_1></poly>", []),
        ("dog<poly><loc_9><loc_2><loc_3><loc_4>dog<loc_5><loc_6><loc_7><loc_8>", [(3, 2, 9, 4), (5, 6, 7, 8)]),
        ("dog<sep><loc_1><loc_2><loc_3><loc_4><sep>", [(1, 2, 3, 4)]),
        ("<image><loc_1><loc_2><loc_3><loc_4><loc_5>", [(1, 2, 3, 4)]),
    ],
)
def test_what_is_malformed_is_read_as_far_as_it_goes(processor, answer, expected):
    assert read_answer(ids(processor, answer), read_signs(processor.tokenizer, "tiny")) == expected


def test_ids_beyond_the_vocabulary_are_words(processor):
    signs = read_signs(processor.tokenizer, "tiny")
    assert read_answer([10**9, -5, *ids(processor, "<loc_1><loc_2><loc_3><loc_4>"), 10**9], signs) == [(1, 2, 3, 4)]


def test_pictures_are_prepared_as_the_stock_processor_does(detector, processor):
    for shape in ((480, 640), (900, 200), (70, 70)):
        low = np.random.default_rng(3).integers(0, 256, (9, 12, 3), dtype=np.uint8)
        picture = np.asarray(Image.fromarray(low).resize(shape[::-1], Image.Resampling.BILINEAR))
        ready = torch.from_numpy(detector.prepare(picture))[None]
        expected = processor.image_processor(Image.fromarray(picture), return_tensors="pt").pixel_values
        level = max(1 / 255 / std for std in detector.preprocess.std)
        assert (detector.preprocess.normalize(ready, torch.float32) - expected).abs().max() <= 1.01 * level


def test_boxes_are_those_that_transformers_generates(detector, processor, checkpoints):
    reference = Florence2ForConditionalGeneration.from_pretrained(checkpoints.florence2, dtype=torch.float32).eval()
    images = [detector.prepare(picture) for picture in noise(3)]
    several, lengths = set(), set()
    for number, prompt in enumerate(PROMPTS):
        found = detector.detect(images, [SIZE] * 3, Query(PROMPTS, PROMPTS, 0), _only(3, number))
        for image, got in zip(images, found, strict=True):
            pixels = detector.preprocess.normalize(torch.from_numpy(image)[None], torch.float32)
            inputs = processor(images=Image.fromarray(image), text=TASK + prompt, return_tensors="pt")
            inputs["pixel_values"] = pixels
            with torch.no_grad():
                tokens = reference.generate(
                    **inputs, num_beams=1, do_sample=False, early_stopping=False, max_new_tokens=LONGEST - 1
                )
            # The tiny model says no words, and the stock processor reads no boxes without.
            answer = "dog" + processor.batch_decode(tokens, skip_special_tokens=False)[0]
            exact = boxes(processor, answer)
            assert np.floor(exact + 1e-3).tolist() == stock(processor, answer)["bboxes"]
            expected = select_unscored([exact], SIZE, Query((prompt,), (prompt,), 0))
            assert np.array_equal(got.boxes.xyxy, expected.boxes.xyxy)
            assert got.prompts == expected.prompts
            several.add(str(exact))
            lengths.add(len(exact))
    assert len(several) >= 6
    assert len(lengths) > 1


def _only(count, number):
    asked = np.zeros((count, len(PROMPTS)), np.bool_)
    asked[:, number] = True
    return asked


def test_nothing_has_scores(detector):
    images = [detector.prepare(picture) for picture in noise(2)]
    for asked in (None, np.zeros((2, 3), np.bool_)):
        assert [each.boxes.scores for each in detector.detect(images, [SIZE] * 2, QUERY, asked)] == [None, None]
    assert detector.detect(images, [SIZE] * 2, Query((), (), 0))[0].boxes.scores is None


def test_texts_of_one_class_find_an_object_once(detector):
    images = [detector.prepare(picture) for picture in noise(6)]
    several = detector.detect(images, [SIZE] * 6, Query(PROMPTS, PROMPTS, 0))
    one = detector.detect(images, [SIZE] * 6, Query(PROMPTS, ("thing",) * 3, 0))
    assert sum(map(len, arrays(one))) < sum(map(len, arrays(several)))
    assert {each.prompts[0] for each in one} == {PROMPTS[0]}


def test_a_picture_is_seen_once_and_only_what_is_asked_for_is_read(detector):
    model, _ = detector._replicas.first
    seen, read = [], []
    hooks = [
        model.model.vision_tower.register_forward_hook(lambda _, args, out: seen.append(len(args[0]))),
        model.get_encoder().register_forward_hook(
            lambda _, args, given, out: read.append(given["inputs_embeds"].shape[1]), with_kwargs=True
        ),
    ]
    images = [detector.prepare(picture) for picture in noise(8)]

    def calls(asked):
        seen.clear()
        read.clear()
        detector.detect(images, [SIZE] * 8, QUERY, asked)
        return len(seen), len(read)

    try:
        # Batches hold four; the first and the last text are equally long, so their questions share batches.
        assert calls(None) == (2, 6)
        assert calls(np.zeros((8, 3), np.bool_)) == (0, 0)
        assert calls(np.eye(8, 3, dtype=np.bool_)) == (1, 2)
        assert len(set(read)) == 2
        assert calls(_only(8, 1)) == (2, 2)
    finally:
        for hook in hooks:
            hook.remove()


def test_long_texts_are_cut_and_strange_ones_do_no_harm(detector):
    images = [detector.prepare(picture) for picture in noise(2)]
    strange = ("dog " * 500, "", "<image>", "</s><loc_5> {0}", "日本")
    detector.detect(images, [SIZE] * 2, Query(strange, strange, 0))
    after = detector.detect(images, [SIZE] * 2, QUERY)
    assert all(len(each.boxes) for each in after)


def test_running_out_of_memory_halves_the_batch_and_changes_nothing(checkpoints, detector, monkeypatch):
    monkeypatch.setattr(runtime, "_working_sizes", {})
    images = [detector.prepare(picture) for picture in noise(5)]
    model = load_detector(str(checkpoints.florence2), SETTINGS)
    inner, _ = model._replicas.first

    def full(_, args, given):
        if len(given["inputs_embeds"]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    inner.get_encoder().register_forward_pre_hook(full, with_kwargs=True)
    found = model.detect(images, [SIZE] * 5, QUERY)
    assert model.batch_size == 2
    assert all(map(np.array_equal, arrays(found), arrays(detector.detect(images, [SIZE] * 5, QUERY))))


def test_half_precision_answers_alike_and_chooses_words_in_float32(checkpoints, detector):
    model = load_detector(str(checkpoints.florence2), Settings(device="cpu", precision="bf16", batch_size=4))
    inner, _ = model._replicas.first
    assert inner.lm_head.weight.dtype == torch.float32
    assert inner.get_input_embeddings().weight.dtype == torch.bfloat16
    images = [detector.prepare(picture) for picture in noise(8)]
    full, half = (arrays(each.detect(images, [SIZE] * 8, QUERY)) for each in (detector, model))
    exact = {tuple(box) for boxes in full for box in boxes.tolist()}
    close = {tuple(box) for boxes in half for box in boxes.tolist()}
    assert len(exact & close) > len(exact) / 2


def test_only_the_image_tower_is_compiled(detector):
    model, _ = detector._replicas.first
    assert detector.hot_parts(model) == [model.model.vision_tower]


def test_wrong_special_tokens_in_the_settings_for_generation_do_not_matter(checkpoints, detector, tmp_path):
    shutil.copytree(checkpoints.florence2, tmp_path / "tuned")
    path = tmp_path / "tuned" / "generation_config.json"
    path.write_text(
        json.dumps(json.loads(path.read_text()) | {"bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0})
    )
    images = [detector.prepare(picture) for picture in noise(3)]
    tuned = load_detector(str(tmp_path / "tuned"), SETTINGS)
    assert all(map(np.array_equal, *(arrays(each.detect(images, [SIZE] * 3, QUERY)) for each in (tuned, detector))))


def test_a_tokenizer_without_places_is_refused(checkpoints, tmp_path):
    shutil.copytree(checkpoints.florence2, tmp_path / "other")
    path = tmp_path / "other" / "tokenizer.json"
    path.write_text(path.read_text().replace("<loc_7>", "<seven>"))
    with pytest.raises(InvalidData, match="999 of the 1000 places"):
        load_detector(str(tmp_path / "other"), SETTINGS)


def test_a_checkpoint_in_the_layout_of_its_authors_is_refused(checkpoints, tmp_path):
    shutil.copytree(checkpoints.florence2, tmp_path / "old")
    path = tmp_path / "old" / "config.json"
    config = json.loads(path.read_text())
    config["text_config"]["model_type"] = "florence2_language"
    path.write_text(json.dumps(config))
    with pytest.raises(InvalidData, match="layout of its authors"):
        load_detector(str(tmp_path / "old"), SETTINGS)
