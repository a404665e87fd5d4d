"""Croissant metadata of a mined project, as `mlcroissant` reads it."""

import json
from pathlib import Path

import mlcroissant
import pytest

from miner_assets.pipeline_run import PipelineRun
from miner_assets.workspace import Workspace
from miner_resources.config import MinerConfig

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of rdflib, in mlcroissant


@pytest.fixture
def described(mined: tuple[MinerConfig, PipelineRun]) -> Path:
    return Workspace.open(mined[0]).storage.dataset / "croissant.json"


def test_its_records_are_those_of_the_annotations(described: Path) -> None:
    dataset = mlcroissant.Dataset(str(described))
    file = json.loads(described.read_text())["distribution"][0]
    coco = json.loads((described.parent / file["contentUrl"]).read_text())
    for name in ("videos", "categories", "images", "annotations"):
        records = list(dataset.records(name))
        assert len(records) == len(coco[name]) > 0
        for record, row in zip(records, coco[name], strict=True):
            assert record[f"{name}/id"] == row["id"]
    record, box = next(iter(dataset.records("annotations"))), coco["annotations"][0]
    assert [float(number) for number in record["annotations/bbox"]] == pytest.approx(box["bbox"], rel=1e-6)
    record, image = next(iter(dataset.records("images"))), coco["images"][0]
    assert record["images/file_name"].decode() == image["file_name"]
    assert record["images/timestamp_s"] == pytest.approx(image["timestamp_s"])


def test_it_says_how_it_was_collected_and_who_checked_it(described: Path) -> None:
    metadata = mlcroissant.Dataset(str(described)).metadata
    assert not metadata.ctx.issues.errors
    said = metadata.to_json()
    assert "no person has checked" in str(said["rai:dataAnnotationProtocol"])
    assert "no sample of the world" in str(said["rai:dataBiases"]).replace("\n", " ")
    assert "license" not in said, "every source has its own"


def test_a_file_that_was_changed_is_noticed(described: Path, tmp_path: Path) -> None:
    changed = json.loads(described.read_text())
    file = changed["distribution"][0]
    file["sha256"] = "0" * 64
    (tmp_path / file["contentUrl"]).parent.mkdir(parents=True)
    (tmp_path / file["contentUrl"]).write_bytes((described.parent / file["contentUrl"]).read_bytes())
    (tmp_path / "croissant.json").write_text(json.dumps(changed))
    with pytest.raises(mlcroissant.GenerationError, match="Download"):
        list(mlcroissant.Dataset(str(tmp_path / "croissant.json")).records("videos"))
