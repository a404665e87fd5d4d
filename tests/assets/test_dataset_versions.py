"""Versions of the dataset: what stays, what is different and why."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from typer.testing import CliRunner

from miner_assets.cli import app
from miner_assets.commands.dataset_versions import current_version
from miner_assets.dataset import dataset
from miner_assets.dataset_step import DatasetStep
from miner_assets.dataset_versions import DatasetVersions, content_id
from miner_assets.logic.coco_format import read_coco, write_coco
from miner_assets.logic.version_diff import Side, diff_versions
from miner_assets.pipeline_run import PipelineRun
from miner_assets.workspace import Workspace
from miner_resources.config import MinerConfig
from miner_resources.errors import InvalidData, NotFound
from miner_resources.storage import Storage
from tests.assets.pipelines import digests, run

Mined = tuple[MinerConfig, PipelineRun]


@pytest.fixture
def copy(mined: Mined, tmp_path: Path) -> MinerConfig:
    """A copy of the mined project that may be changed."""
    target = tmp_path / "output"
    shutil.copytree(mined[0].output_dir, target)
    return mined[0].model_copy(update={"output_dir": target})


def changed(config: MinerConfig, **sections: Mapping[str, object]) -> MinerConfig:
    updates = {name: getattr(config, name).model_copy(update=values) for name, values in sections.items()}
    return config.model_copy(update=updates)


def step_of(config: MinerConfig) -> DatasetStep:
    return DatasetStep(Workspace.open(config), config.dataset)


def invoke(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


def version_bytes(storage: Storage, version: str) -> dict[str, str]:
    return {name: digest for name, digest in digests(storage.root).items() if f"versions/{version}/" in name}


def test_a_version_holds_the_dataset_and_is_named_by_its_content(mined: Mined) -> None:
    storage = Storage(mined[0].output_dir)
    (version,) = DatasetVersions(storage).all()
    assert version.record.version == content_id(storage.annotations) == current_version(storage)
    assert (version.folder / "annotations.json").read_bytes() == storage.annotations.read_bytes()
    names = {image["file_name"] for image in version.coco["images"]}
    assert {path.name for path in (version.folder / "images").iterdir()} == names
    one = next(iter(sorted(names)))
    assert (version.folder / "images" / one).samefile(storage.deduplicated_frames / one), "costs no disk"
    assert version.record.images == len(names)
    assert version.record.annotations == sum(version.record.per_class.values())
    kept = version.decisions.filter(pl.col("outcome") == "kept")
    assert len(kept) == len(names)
    frames = sum(len(pl.read_parquet(path)) for path in storage.root.glob("frames_raw/*/frames.parquet"))
    assert len(version.decisions) == frames, "every frame has an outcome"
    counts: dict[str, list[int]] = version.record.similarity["counts"]  # pyright: ignore
    assert {split: sum(found) for split, found in counts.items()} == version.record.per_split


def test_the_same_again_is_the_same_version_and_another_setting_is_another_one(copy: MinerConfig) -> None:
    storage = Storage(copy.output_dir)
    first = current_version(storage)
    before = version_bytes(storage, first)
    storage.discard(storage.version(first))
    assert not step_of(copy).is_current(), "a version that is missing is made again"
    step_of(copy).run()
    record = f"dataset/versions/{first}/version.json"
    again = version_bytes(storage, first)
    assert {**again, record: ""} == {**before, record: ""}, "all but its date"

    strict = changed(copy, detection={"confidence_threshold": 0.9})
    step_of(strict).run()
    second = current_version(storage)
    assert second != first
    assert version_bytes(storage, first) == again, "the old version stays"
    assert DatasetVersions(storage).find(second).record.parent == first
    step_of(copy).run()
    assert current_version(storage) == first
    assert len(DatasetVersions(storage).all()) == 2

    capped = changed(strict, dataset={"keep_versions": 1})
    step_of(capped).run()
    assert [version.record.version for version in DatasetVersions(storage).all()] == [second]


def test_differences_are_explained(copy: MinerConfig) -> None:
    storage = Storage(copy.output_dir)
    first = current_version(storage)
    settings = {"detection": {"confidence_threshold": 0.9}, "dedup": {"threshold": 0.3}}
    run(changed(copy, **settings).model_copy(update={"from_registry": "all"}))
    second = current_version(storage)
    found = json.loads(invoke("dataset", "diff", first, second, "--format", "json", "-O", copy.output_dir))
    assert found["settings"]["dedup.threshold"] == [0.85, 0.3]
    assert found["removed"]
    for change in found["removed"]:
        assert change["code"] in ("repeats_in_video", "repeats_other_video")
        assert "similarity" in change["why"]
        assert "dedup.threshold 0.85 → 0.3" in change["why"]
    removed_boxes = [change for change in found["boxes"] if change["what"] == "removed"]
    assert removed_boxes
    assert all("below detection.confidence_threshold 0.9" in change["why"] for change in removed_boxes)
    before, after = found["counts"]["boxes"]
    lost = len(removed_boxes) + found["with_frames"][1] - found["with_frames"][0]
    assert before - after == lost, "every box is accounted for"
    mirrored = json.loads(invoke("dataset", "diff", second, first, "--format", "json", "-O", copy.output_dir))
    assert {change["frame_id"] for change in mirrored["added"]} == {change["frame_id"] for change in found["removed"]}
    assert all(change["why"].startswith("before: repeats") for change in mirrored["added"])

    text = invoke("dataset", "diff", first[:6], "-O", copy.output_dir, "--limit", "2")
    assert f"{first} → {second}" in text
    assert "more (--limit" in text
    listed = invoke("dataset", "list", "-O", copy.output_dir).splitlines()
    assert [line.split()[0] for line in listed if line.strip()][-2:] == [first, second]
    assert "current" in listed[-2]
    rows = json.loads(invoke("dataset", "list", "-O", copy.output_dir, "--format", "json"))
    assert [(row["version"], row["current"]) for row in rows] == [(first, False), (second, True)]
    assert "No picture, box or split is different" in invoke("dataset", "diff", first, first, "-O", copy.output_dir)


def side(version: Any) -> Side:
    return Side(version.coco, version.decisions, version.record.config)


def test_a_new_video_and_pictures_that_were_not_sampled(mined: Mined) -> None:
    (version,) = DatasetVersions(Storage(mined[0].output_dir)).all()
    whole = side(version)
    name = whole.coco["videos"][0]["name"]
    less = Side(
        {**whole.coco, "images": [], "annotations": [], "videos": []},
        whole.decisions.filter((pl.col("video_id") == name) & (pl.col("frame_index") < 0)),
        whole.config,
    )
    found = diff_versions(less, whole)
    assert {change.why for change in found.added} == {"its video is new"}
    partly = Side(less.coco, whole.decisions.filter(pl.col("outcome") != "kept"), whole.config)
    whys = {change.why for change in diff_versions(partly, whole).added}
    assert "was not sampled before" in whys
    assert {change.why for change in diff_versions(whole, less).removed} == {"its video is not in the project any more"}


def test_names_of_versions(mined: Mined, tmp_path: Path) -> None:
    output = mined[0].output_dir
    versions = DatasetVersions(Storage(output))
    name = versions.all()[0].record.version
    assert versions.find(name[:4].upper()).record.version == name
    for wrong in (name[:3], "ffff", "../../etc"):
        with pytest.raises(NotFound, match="no version is called"):
            versions.find(wrong)
    with pytest.raises(InvalidData, match="no version of a dataset"):
        Storage(output).version("../../etc")
    assert "there is no version of a dataset yet" in invoke("dataset", "list", "-O", tmp_path, code=1)
    (tmp_path / "dataset" / "versions" / name).mkdir(parents=True)
    (tmp_path / "dataset" / "versions" / name / "version.json").write_text("{}")
    assert "cannot be read" in invoke("dataset", "list", "-O", tmp_path, code=1)
    assert "is not one of" in invoke("dataset", "list", "-O", tmp_path, "--format", "xml", code=2)


def check_results(config: MinerConfig) -> dict[str, bool]:
    with dg.DagsterInstance.ephemeral() as instance:
        done = dg.materialize(
            [dataset],
            instance=instance,
            resources={"workspace": Workspace.open(config)},
            selection=[dataset],
            raise_on_error=False,
        )
        return {check.check_name: check.passed for check in done.get_asset_check_evaluations()}


def test_the_check_blocks_when_lookalikes_lie_in_two_splits(copy: MinerConfig) -> None:
    """With 0.85 within and 0.999 across videos, frames that look alike are kept in both videos."""
    loose = changed(copy, dedup={"threshold": 0.85, "cross_video_threshold": 0.999})
    run(loose.model_copy(update={"from_registry": "all"}))
    assert check_results(loose)["splits_do_not_leak"], "they were put into one split"
    storage = Storage(copy.output_dir)
    coco = read_coco(storage.annotations)
    (version,) = [v for v in DatasetVersions(storage).all() if v.record.version == current_version(storage)]
    highest = version.record.similarity["highest"]
    assert highest is None or float(str(highest)) < 0.85
    splits = ["train", "val", "test"]
    for image in coco["images"]:
        image["split"] = splits[image["video_id"] % 3]
    with storage.publish_file(storage.annotations) as target:
        write_coco(target, coco)
    assert not check_results(loose)["splits_do_not_leak"]


def test_videos_of_one_channel_share_a_split(copy: MinerConfig) -> None:
    storage = Storage(copy.output_dir)
    for path in sorted((storage.root / "videos").glob("*.info.json")):
        facts = json.loads(path.read_text())
        facts["channel"] = "the same"
        path.write_text(json.dumps(facts))
    grouped = changed(copy, dataset={"group_by": "channel"})
    report = step_of(grouped).run()
    assert len({image["split"] for image in read_coco(storage.annotations)["images"]}) == 1
    assert "1 independent group" in report.warnings[0]
