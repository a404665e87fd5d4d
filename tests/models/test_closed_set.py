"""Detectors of a fixed list of classes: their numbers are transformers' own, and texts mean the right class."""

import json
import logging
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForObjectDetection, RTDetrImageProcessorPil

from miner_resources.errors import InvalidData, NotConfigured
from miner_resources.models.adapter import Query
from miner_resources.models.boxes import iou
from miner_resources.models.closed_set_names import match, numbers_of, own_classes
from miner_resources.models.loading import Settings, load_detector
from tests.models.tiny_closed_set import NAMES, QUERIES, SIDE

FAMILIES = ("rf_detr", "rt_detr", "rt_detr_v2", "d_fine")
SIZES = [(40, 90), (300, 70), (64, 64), (720, 1280)]
ASKED = Query(("sofa", "dog", "blue square", "red circles"), ("seat", "pet", "square", "circle"), 0.0)
OWN = {"sofa": "sofa", "dog": "dog", "The Blue Square": "blue square", "a red circle": "red circles"}
"""Of those asked for: the model's own name, and the prompt that means it."""

COCO = """
person|bicycle|car|motorcycle|airplane|bus|train|truck|boat|traffic light|fire hydrant|stop sign|
parking meter|bench|bird|cat|dog|horse|sheep|cow|elephant|bear|zebra|giraffe|backpack|umbrella|
handbag|tie|suitcase|frisbee|skis|snowboard|sports ball|kite|baseball bat|baseball glove|skateboard|
surfboard|tennis racket|bottle|wine glass|cup|fork|knife|spoon|bowl|banana|apple|sandwich|orange|
broccoli|carrot|hot dog|pizza|donut|cake|chair|couch|potted plant|bed|dining table|toilet|tv|
laptop|mouse|remote|keyboard|cell phone|microwave|oven|toaster|sink|refrigerator|book|clock|vase|
scissors|teddy bear|hair drier|toothbrush
""".replace("\n", "").split("|")
"""As RF-DETR has them."""
OTHER = {
    "motorcycle": "motorbike",
    "airplane": "aeroplane",
    "couch": "sofa",
    "potted plant": "pottedplant",
    "dining table": "diningtable",
    "tv": "tvmonitor",
}
"""As RT-DETR and D-FINE have them."""
SPELLINGS = (COCO, [OTHER.get(name, name) for name in COCO])

each = pytest.mark.parametrize("family", FAMILIES)


def load(folder, **settings):
    return load_detector(str(folder), Settings(**{"device": "cpu", "precision": "fp32", "batch_size": 4} | settings))


@pytest.fixture(scope="module")
def loaded(checkpoints):
    """family → its model in float32, loaded once."""
    models = {family: load(getattr(checkpoints, family)) for family in FAMILIES}
    yield models
    for model in models.values():
        model.release()


@pytest.fixture
def edited(checkpoints, tmp_path):
    """A copy of a checkpoint with one of its JSON files changed."""

    def edit(family, file, **changes):
        folder = tmp_path / family
        shutil.copytree(getattr(checkpoints, family), folder)
        content = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps(content | changes))
        return folder

    return edit


def pictures(count, shape=(60, 100), seed=3):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for _ in range(count)]


@each
def test_boxes_and_scores_are_those_of_transformers(family, loaded, checkpoints):
    model = loaded[family]
    images = [model.prepare(picture) for picture in pictures(len(SIZES))]
    reference = AutoModelForObjectDetection.from_pretrained(getattr(checkpoints, family), dtype=torch.float32).eval()
    with torch.no_grad():
        outputs = reference(model.preprocess.normalize(torch.from_numpy(np.stack(images)), torch.float32))
    # RF-DETR's own decoding, which is the same, is in a module that needs torchvision.
    stock = RTDetrImageProcessorPil().post_process_object_detection(outputs, threshold=0, target_sizes=SIZES)
    count = 0
    for image, expected, (height, width) in zip(images, stock, SIZES, strict=True):
        # It gives as many of the best pairs of candidate and class as there are candidates.
        assert len(expected["scores"]) == QUERIES
        floor = float(expected["scores"].min()) - 1e-6
        (found,) = model.detect([image], [(height, width)], replace(ASKED, floor=floor))
        limit = np.array([width, height, width, height], np.float32)
        # Best first. Of one candidate the best class counts, and of one object the best candidate.
        wanted = {}
        for number, score, box in zip(*(expected[key] for key in ("labels", "scores", "boxes")), strict=True):
            if (name := NAMES[number]) in OWN:
                corners = np.clip(box.numpy(), 0, limit)
                wanted.setdefault(tuple(box.tolist()), (OWN[name], pytest.approx(float(score), abs=1e-5), corners))
        rows = list(zip(found.prompts, found.boxes.scores, found.boxes.xyxy, strict=True))
        for prompt, score, box in rows:
            assert any(
                (prompt, score) == (text, stock_score) and np.abs(corners - box).max() < 1e-6 * max(height, width)
                for text, stock_score, corners in wanted.values()
            )
        for text, stock_score, corners in wanted.values():
            empty = (corners[2:] <= corners[:2]).any()
            assert empty or any(
                prompt == text and score >= stock_score.expected - 1e-5 and iou(corners, box[None])[0] > 0.5
                for prompt, score, box in rows
            )
        count += len(rows)
    assert count > 10


@pytest.mark.parametrize("shape", [(60, 100), (640, 360), (64, 64), (31, 900)], ids=str)
@pytest.mark.parametrize("family", FAMILIES[1:])
def test_pictures_are_prepared_as_by_the_stock_processor(family, shape, loaded, checkpoints):
    processor = RTDetrImageProcessorPil.from_pretrained(getattr(checkpoints, family))
    (picture,) = pictures(1, shape)
    expected = processor(Image.fromarray(picture), return_tensors="pt").pixel_values
    assert np.abs(levels(loaded[family], picture) - expected.numpy() * 255).max() < 1.01


@pytest.mark.parametrize("shape", [(60, 100), (640, 360), (64, 64), (31, 900)], ids=str)
def test_rf_detr_samples_pictures_without_smoothing(shape, loaded):
    """Its processor class scales to 0..1, resizes with `antialias=False`, and normalises."""
    (picture,) = pictures(1, shape)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    values = torch.from_numpy(picture).permute(2, 0, 1)[None] / 255
    resized = torch.nn.functional.interpolate(values, size=(SIDE, SIDE), mode="bilinear", antialias=False)
    scale = (255 * std).numpy()
    actual = levels(loaded["rf_detr"], picture) * scale / 255
    difference = np.abs(actual - ((resized - mean) / std).numpy() * scale)
    assert difference.max() < 1.1
    assert difference.mean() < 0.5


def levels(model, picture):
    """What enters the model, times 255."""
    return model.preprocess.normalize(torch.from_numpy(model.prepare(picture))[None], torch.float32).numpy() * 255


def test_another_processor_class_of_rf_detr_smooths(edited, loaded):
    smooth = load(edited("rf_detr", "preprocessor_config.json", image_processor_type="DeformableDetrImageProcessor"))
    (picture,) = pictures(1, (300, 500))
    assert smooth.prepare(picture).std() < 0.5 * loaded["rf_detr"].prepare(picture).std()
    assert smooth.identity != loaded["rf_detr"].identity


@each
def test_half_precision_spares_the_coordinates(family, loaded, checkpoints):
    half = load(getattr(checkpoints, family), precision="bf16")
    kinds = {}
    inner = half._replicas.first[0].model
    hooks = [
        next(module for module in part.modules() if isinstance(module, torch.nn.Linear)).register_forward_hook(
            lambda _, __, output, name=name: kinds.update({name: output.dtype})
        )
        for name, part in inner.named_children()
        if name in {"encoder", "decoder"}
    ]
    stem = next(module for module in inner.backbone.modules() if isinstance(module, torch.nn.Conv2d))
    hooks.append(stem.register_forward_hook(lambda _, __, output: kinds.update(backbone=output.dtype)))
    images = [half.prepare(picture) for picture in pictures(4)]
    found = half.detect(images, [(1080, 1920)] * 4, Query(ASKED.prompts, ASKED.labels, 0))
    for hook in hooks:
        hook.remove()
    assert kinds.pop("decoder") == torch.float32
    assert set(kinds.values()) == {torch.bfloat16}
    boxes = np.concatenate([each.boxes.xyxy for each in found])
    inside = (boxes[(boxes > 0) & (boxes < 1080)] / 1920).astype(np.float32)
    assert len(inside) > 10
    assert np.mean(torch.tensor(inside).bfloat16().float().numpy() == inside) < 0.1


@each
def test_a_class_that_the_model_does_not_know_is_refused_even_without_pictures(family, loaded, caplog):
    model = loaded[family]
    query = Query(("dog", "forklift truck", "stacker", "sofas"), ("dog", "forklift", "forklift", "sofa"), 0.3)
    for images in ([], [model.prepare(picture) for picture in pictures(1)]):
        with pytest.raises(NotConfigured, match=r"'forklift' \(forklift truck, stacker\)") as caught:
            model.detect(images, SIZES[: len(images)], query)
    assert family in caught.value.message
    assert "only the 4 classes" in caught.value.message
    assert "The Blue Square" in caught.value.message
    assert "N/A" not in caught.value.message
    assert "'dog'" not in caught.value.message
    assert "grounding-dino" in caught.value.remedy
    assert not caplog.records


def test_a_text_without_a_class_is_left_out_with_one_warning(loaded, caplog):
    model = loaded["rt_detr"]
    images = [model.prepare(picture) for picture in pictures(2)]
    query = Query(("puppy", "dog"), ("dog", "dog"), 0.0)
    with caplog.at_level(logging.WARNING):
        found = [model.detect(images, SIZES[:2], query) for _ in range(2)]
    assert [record.getMessage() for record in caplog.records] == [
        f"{model._name} has no class for these prompts and ignores them: puppy"
    ]
    assert {prompt for each in found[0] for prompt in each.prompts} == {"dog"}
    alone = model.detect(images, SIZES[:2], Query(("dog",), ("dog",), 0.0))
    for one, other in zip(found[1], alone, strict=True):
        assert np.array_equal(one.boxes.xyxy, other.boxes.xyxy)
        assert np.array_equal(one.boxes.scores, other.boxes.scores)


def test_a_text_may_mean_several_classes(loaded, edited):
    names = {str(number): "Dog" if name == "sofa" else name for number, name in enumerate(NAMES)}
    merged, model = load(edited("rf_detr", "config.json", id2label=names)), loaded["rf_detr"]
    images = [model.prepare(picture) for picture in pictures(4)]
    one = merged.detect(images, SIZES, Query(("dog",), ("pet",), 0.0))
    two = model.detect(images, SIZES, Query(("dog", "sofa"), ("pet", "pet"), 0.0))
    assert {prompt for found in two for prompt in found.prompts} == {"dog", "sofa"}
    for found, expected in zip(one, two, strict=True):
        assert np.array_equal(found.boxes.xyxy, expected.boxes.xyxy)
        assert np.array_equal(found.boxes.scores, expected.boxes.scores)


def test_unclear_class_numbers_are_refused(edited):
    folder = edited("d_fine", "config.json", id2label={str(2 * n): name for n, name in enumerate(NAMES)})
    with pytest.raises(InvalidData, match="numbered up to 10"):
        load(folder)


def test_a_size_that_keeps_the_aspect_ratio_is_refused(edited):
    folder = edited("rt_detr", "preprocessor_config.json", size={"shortest_edge": 64, "longest_edge": 128})
    with pytest.raises(InvalidData, match="not a height and a width"):
        load(folder)


def test_a_backbone_of_a_package_that_is_not_here_is_named(edited):
    backbone = {"model_type": "timm_backbone", "backbone": "resnet50d", "out_indices": [2, 3, 4]}
    with pytest.raises(NotConfigured, match="timm") as caught:
        load(edited("rt_detr", "config.json", backbone_config=backbone))
    assert "rt-detr" in caught.value.remedy


@pytest.mark.parametrize("names", SPELLINGS, ids=["rf-detr", "rt-detr"])
def test_each_name_of_coco_means_one_class_in_either_spelling(names):
    known = own_classes(dict(enumerate(names)))
    assert len(known) == 80
    for spelling in SPELLINGS:
        for number, name in enumerate(spelling):
            assert numbers_of(name, known) == (number,)
            assert numbers_of(f"the {name.upper()}", known) == (number,)


@pytest.mark.parametrize("names", SPELLINGS, ids=["rf-detr", "rt-detr"])
@pytest.mark.parametrize(
    ("text", "coco"),
    [
        ("plane", "airplane"),
        ("Aeroplanes", "airplane"),
        ("motor-bike", "motorcycle"),
        ("bikes", "bicycle"),
        ("television", "tv"),
        ("TV monitor", "tv"),
        ("tvs", "tv"),
        ("people", "person"),
        ("a pedestrian", "person"),
        ("persons", "person"),
        ("mobile phone", "cell phone"),
        ("cellphones", "cell phone"),
        ("table", "dining table"),
        ("potted plants", "potted plant"),
        ("hair dryer", "hair drier"),
        ("buses", "bus"),
        ("horses", "horse"),
        ("wine glasses", "wine glass"),
        ("sandwiches", "sandwich"),
        ("knives", "knife"),
        ("ski", "skis"),
        ("fridge", "refrigerator"),
        ("mug", None),
        ("woman", None),
        ("", None),
        ("-", None),
        ("air", None),
        ("cap", None),
    ],
)
def test_other_names_and_plurals(text, coco, names):
    wanted = () if coco is None else (COCO.index(coco),)
    assert numbers_of(text, own_classes(dict(enumerate(names)))) == wanted


def test_the_models_own_name_comes_before_another_name_of_the_thing():
    known = {0: "person", 1: "pedestrian", 2: "people", 3: "sofa", 4: "Sofa", 5: "Monitor/TV"}
    assert numbers_of("Pedestrian", known) == (1,)
    assert numbers_of("pedestrians", known) == (1,)
    assert numbers_of("human", known) == (0, 1, 2)
    assert numbers_of("couch", known) == (3, 4)
    assert numbers_of("television", known) == (5,)
    assert numbers_of("monitor", known) == (5,)


def test_every_impossible_class_is_named():
    with pytest.raises(NotConfigured) as caught:
        match(("forklift", "cat", "pallet"), ("forklift", "cat", "pallet"), dict(enumerate(COCO)), "rf-detr")
    assert "'forklift', 'pallet' is none" in caught.value.message
    assert len(caught.value.message) < 300
