"""Models as Dagster resources: loaded once a step, released at the end whatever happens, never two at once."""

import gc
import weakref
from typing import Any

import dagster as dg
import pytest
import torch

from miner_resources.errors import NotConfigured, NotFound
from miner_resources.gpu_models import SLOT, ImageEmbedders, ModelSlot, ObjectDetectors, TextImageModels
from tests.models.tiny_checkpoints import build_dinov2, build_owlv2, build_siglip


@pytest.fixture(scope="module")
def siglip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("siglip")
    build_siglip(folder)
    return str(folder)


@pytest.fixture(scope="module")
def dinov2(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dinov2")
    build_dinov2(folder)
    return str(folder)


@pytest.fixture(scope="module")
def owlv2(tmp_path_factory):
    folder = tmp_path_factory.mktemp("owlv2")
    build_owlv2(folder)
    return str(folder)


@pytest.fixture(autouse=True)
def empty_slot():
    SLOT.release()
    yield
    SLOT.release()


class Recorder:
    """A model that notes when it goes."""

    def __init__(self, log: list[str], name: str) -> None:
        self.log, self.name = log, name
        log.append(f"load {name}")

    def release(self) -> None:
        self.log.append(f"release {self.name}")


def materialize(assets: list[Any], *, raise_on_error: bool = True) -> dg.ExecuteInProcessResult:
    resources = {
        "text_image_model": TextImageModels(device="cpu", precision="fp32"),
        "image_embedder": ImageEmbedders(device="cpu", precision="fp32"),
        "object_detector": ObjectDetectors(device="cpu", precision="fp32"),
    }
    return dg.materialize(assets, resources=resources, raise_on_error=raise_on_error)


def test_a_step_loads_once_and_the_run_leaves_nothing(siglip):
    before = SLOT.loads

    @dg.asset
    def scores(text_image_model: TextImageModels) -> None:
        models = [text_image_model.get(siglip, 2) for _ in range(5)]
        assert len({id(model) for model in models}) == 1
        assert not SLOT.empty

    assert materialize([scores]).success
    assert SLOT.loads == before + 1
    assert SLOT.empty


def test_a_step_that_fails_releases_too(siglip):
    @dg.asset
    def scores(text_image_model: TextImageModels) -> None:
        text_image_model.get(siglip, 2)
        raise ValueError("on purpose")

    assert not materialize([scores], raise_on_error=False).success
    assert SLOT.empty


def test_a_step_that_needs_no_model_loads_none(siglip):
    before = SLOT.loads

    @dg.asset
    def scores(text_image_model: TextImageModels) -> None:
        assert text_image_model.device == "cpu"

    assert materialize([scores]).success
    assert SLOT.loads == before


def test_steps_of_one_process_never_hold_two_models(siglip, dinov2, owlv2):
    alive: list[weakref.ref[Any]] = []
    before = SLOT.loads

    def only_the_newest_lives(model: Any) -> None:
        gc.collect()
        assert [each() is not None for each in alive] == [False] * len(alive)
        alive.append(weakref.ref(model))

    @dg.asset
    def scores(text_image_model: TextImageModels) -> None:
        only_the_newest_lives(text_image_model.get(siglip, "auto"))

    @dg.asset(deps=[scores])
    def vectors(image_embedder: ImageEmbedders) -> None:
        only_the_newest_lives(image_embedder.get(dinov2, 4))

    @dg.asset(deps=[vectors])
    def boxes(object_detector: ObjectDetectors) -> None:
        only_the_newest_lives(object_detector.get(owlv2, 4))

    assert materialize([scores, vectors, boxes]).success
    gc.collect()
    assert [each() is not None for each in alive] == [False] * 3
    assert SLOT.loads == before + 3
    assert SLOT.empty


def test_resources_hand_out_models_outside_of_runs_too(siglip, dinov2):
    first = TextImageModels(device="cpu").get(siglip)
    assert TextImageModels(device="cpu").get(siglip) is first
    assert TextImageModels(device="cpu").get(siglip, 3) is not first
    ImageEmbedders(device="cpu").get(dinov2)
    again = TextImageModels(device="cpu").get(siglip)
    assert again is not first


def test_errors_of_loading_keep_their_remedy(tmp_path):
    with pytest.raises(NotFound) as caught:
        ObjectDetectors(device="cpu").get("owlv3")
    assert "did you mean 'owlv2'" in caught.value.remedy
    assert SLOT.empty


@pytest.mark.skipif(torch.cuda.is_available(), reason="about machines without CUDA")
def test_a_missing_device_is_not_replaced(siglip):
    with pytest.raises(NotConfigured, match="cuda:0 is not there"):
        TextImageModels(device="cuda:0").get(siglip)


def test_the_slot_lets_go_before_it_loads():
    log: list[str] = []
    slot = ModelSlot()
    slot.get(("a",), lambda: Recorder(log, "a"))
    slot.get(("a",), lambda: Recorder(log, "never"))
    slot.get(("b",), lambda: Recorder(log, "b"))
    slot.release()
    slot.release()
    assert log == ["load a", "release a", "load b", "release b"]
    assert slot.loads == 2


def test_a_load_that_fails_leaves_the_slot_empty_and_usable():
    log: list[str] = []
    slot = ModelSlot()
    slot.get(("a",), lambda: Recorder(log, "a"))

    def broken() -> Recorder:
        raise NotConfigured("no weights", remedy="get some")

    with pytest.raises(NotConfigured):
        slot.get(("b",), broken)
    assert slot.empty
    assert slot.loads == 1
    slot.get(("a",), lambda: Recorder(log, "a"))
    assert log == ["load a", "release a", "load a"]
