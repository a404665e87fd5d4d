"""Exports of a mined project: by the `dataset` stage, and by `video-miner dataset export`."""

import json
import shutil
from pathlib import Path

import fsspec
import pytest
import yaml
from fsspec.implementations.memory import MemoryFileSystem
from pycocotools.coco import COCO

from miner_assets.pipeline_run import PipelineRun
from miner_resources.config import MinerConfig
from tests.assets.pipelines import demo_config, run
from tests.assets.test_cli import invoke

INDEX = "_export.json"


@pytest.fixture
def project(mined: tuple[MinerConfig, PipelineRun], tmp_path: Path) -> Path:
    """A copy of the mined project that may be changed."""
    return Path(shutil.copytree(mined[0].output_dir, tmp_path / "project"))


def test_the_dataset_stage_writes_its_formats_once(project: Path, demo_videos: Path) -> None:
    exports = project / "dataset" / "exports"
    config = demo_config(project, [demo_videos], "dataset.formats=[coco,yolo,manifest]")
    done = run(config)
    assert done.stages["dataset"].computed  # pyright: ignore
    assert sorted(path.name for path in exports.iterdir()) == ["manifest", "yolo"]
    made = {path: path.stat().st_mtime_ns for path in exports.rglob("*") if path.is_file()}
    annotations = json.loads((project / "detections" / "annotations.json").read_text())
    assert len(list(exports.glob("yolo/labels/*/*.txt"))) == len(annotations["images"])

    again = run(config)
    assert not again.stages["dataset"].computed  # pyright: ignore
    assert {path: path.stat().st_mtime_ns for path in exports.rglob("*") if path.is_file()} == made

    shutil.rmtree(exports / "yolo")
    run(config)
    assert (exports / "yolo" / INDEX).is_file()


def test_export_says_what_it_wrote(project: Path, tmp_path: Path) -> None:
    target = tmp_path / "coco"
    said = invoke("dataset", "export", "--format", "coco", target, "--output", project)
    coco = COCO(target / "annotations.json")
    assert f"coco: {len(coco.imgs)} pictures with {len(coco.anns)} boxes" in said
    assert str(target) in said.replace("\n", "")
    assert {path.name for path in (target / "images").iterdir()} == {image["file_name"] for image in coco.imgs.values()}


def test_export_to_a_url(project: Path) -> None:
    MemoryFileSystem.store.clear()
    invoke("dataset", "export", "-f", "webdataset", "memory://bucket/shards", "-O", project)
    files = fsspec.filesystem("memory").find("/bucket/shards")
    assert any(name.endswith("train-000000.tar") for name in files)
    assert json.loads(MemoryFileSystem.store[f"/bucket/shards/{INDEX}"].getvalue())["kind"] == "webdataset"


def test_export_of_another_dataset_folder(project: Path, tmp_path: Path) -> None:
    invoke("dataset", "export", "-f", "coco", tmp_path / "coco", "-O", project)
    invoke("dataset", "export", "-f", "yolo", tmp_path / "yolo", "--from", tmp_path / "coco")
    direct = tmp_path / "direct"
    invoke("dataset", "export", "-f", "yolo", direct, "-O", project)
    assert (tmp_path / "yolo" / INDEX).read_bytes() == (direct / INDEX).read_bytes()


def test_mistakes_are_named(project: Path, tmp_path: Path) -> None:
    said = invoke("dataset", "export", "-f", "coco", tmp_path / "there", "-O", tmp_path / "nothing", code=1)
    assert "cannot read" in said
    assert "run the dataset stage" in said
    assert "is not one of" in invoke("dataset", "export", "-f", "vhs", tmp_path / "there", "-O", project, code=2)
    said = invoke("dataset", "export", "-f", "coco", project, "-O", project, code=1)
    assert "which no export put there" in said
    assert "no-such-protocol" in invoke(
        "dataset", "export", "-f", "coco", "no-such-protocol://x", "-O", project, code=1
    )


def test_export_of_an_older_version(project: Path, demo_videos: Path, tmp_path: Path) -> None:
    (before,) = (path.name for path in (project / "dataset" / "versions").iterdir())
    old = json.loads((project / "detections" / "annotations.json").read_text())
    run(demo_config(project, [demo_videos], "detection.confidence_threshold=0.9"))
    now = json.loads((project / "detections" / "annotations.json").read_text())
    assert len(now["annotations"]) < len(old["annotations"])
    invoke("dataset", "export", "-f", "coco", tmp_path / "before", "--version", before[:8], "-O", project)
    exported = COCO(tmp_path / "before" / "annotations.json")
    assert len(exported.anns) == len(old["annotations"])
    said = invoke("dataset", "export", "-f", "coco", tmp_path / "x", "--version", "0badc0de", "-O", project, code=1)
    assert "no version is called '0badc0de'" in said
    both = ("--version", before, "--from", tmp_path / "before")
    assert "not both" in invoke("dataset", "export", "-f", "coco", tmp_path / "x", *both, "-O", project, code=2)


def test_the_hubs_readme_is_the_card(project: Path, tmp_path: Path) -> None:
    invoke("dataset", "export", "-f", "hf", tmp_path / "hf", "-O", project)
    front, card = (tmp_path / "hf" / "README.md").read_text().removeprefix("---\n").split("---\n", 1)
    assert yaml.safe_load(front)["configs"]
    assert card.strip() == (project / "dataset" / "README.md").read_text().strip()
