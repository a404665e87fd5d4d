"""Every detector through the whole pipeline: `run-config` with its checkpoint ends in a COCO file."""

import json
import shutil
from pathlib import Path

import pytest
from pycocotools.coco import COCO
from typer.testing import CliRunner

from miner_assets.cli import app
from miner_assets.logic.coco_checks import check_coco
from miner_assets.pipeline_run import PipelineRun
from miner_resources.config import MinerConfig
from miner_resources.config_files import to_yaml
from tests.models.test_adapters import DETECTORS

UNSCORED = {"florence2"}
CLASSES = {
    "red circle": {"prompts": ["red circle", "cat"]},
    "blue square": {"prompts": ["blue square", "dog"]},
}
"""Closed-set detectors know some of the texts only."""


@pytest.mark.parametrize("case", DETECTORS, ids=lambda case: case.family)
def test_a_run_ends_in_a_coco_file(
    case, checkpoints, mined: tuple[MinerConfig, PipelineRun], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "output"
    shutil.copytree(mined[0].output_dir, output)
    detection = mined[0].detection.model_copy(
        update={"detector": str(getattr(checkpoints, case.family)), "confidence_threshold": 0.05}
    )
    classes = mined[0].model_validate({"classes": CLASSES}).classes
    config = mined[0].model_copy(update={"output_dir": output, "detection": detection, "classes": classes})
    file = tmp_path / "project.yaml"
    file.write_text(to_yaml(config), encoding="utf-8")
    result = CliRunner().invoke(app, ["run-config", str(file)])
    assert result.exit_code == 0, result.output

    path = output / "detections" / "annotations.json"
    coco = json.loads(path.read_text(encoding="utf-8"))
    assert check_coco(coco) == []
    found = COCO(str(path)).loadAnns(COCO(str(path)).getAnnIds())
    assert found, "the checkpoint finds something"
    assert {each["score"] is None for each in found} == {case.family in UNSCORED}
    assert [category["name"] for category in coco["categories"]] == list(CLASSES)
