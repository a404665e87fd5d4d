"""The bundled checkpoints, through the product's adapters, on scenes that no training has seen."""

from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from miner_resources.models.catalogue import CHECKPOINTS
from scripts.train_demo_models import evaluate, frames


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    work: Path = tmp_path_factory.mktemp("frames")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(frames.SPLITS, "unseen", (9_000_000, 60))
        return evaluate.evaluate(work, "unseen")


def test_they_are_small_and_half_precision() -> None:
    files = [path for path in CHECKPOINTS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 2_000_000
    for path in CHECKPOINTS.glob("*/model.safetensors"):
        with safe_open(path, framework="pt") as weights:
            assert {str(weights.get_slice(name).get_dtype()) for name in weights.keys()} == {"F16"}  # noqa: SIM118


def test_the_filter_keeps_what_shows_a_class_and_nothing_else(report: dict[str, Any]) -> None:
    for template in ("{}", "a photo of a {}", "This is a photo of {}."):
        found = report["siglip"][f"{template} at 0.5"]
        assert found["precision"] >= 0.95
        assert found["recall"] >= 0.95
    assert report["siglip"]["highest score of unknown words"] < 0.25


def test_copies_are_alike_and_different_scenes_are_not(report: dict[str, Any]) -> None:
    found = report["dinov2"]["at 0.85"]
    assert found["frames of one shot alike"] >= 0.97
    assert found["copies in other videos alike"] >= 0.95
    assert found["different scenes alike"] <= 0.002


def test_the_detector_finds_the_objects(report: dict[str, Any]) -> None:
    assert report["owlv2"]["map50"] >= 0.80
    assert report["owlv2"]["precision at 0.3"] >= 0.80
    assert report["owlv2"]["recall at 0.3"] >= 0.80
