"""Asset checks: they pass on what the pipeline makes, and see what a disk or another program did to it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest

from miner_assets.checks import CHECKS, evaluate
from miner_assets.graph import build_definitions
from miner_assets.instance import open_instance
from miner_assets.pipeline_run import PipelineRun
from miner_assets.workspace import Workspace
from miner_resources.config import MinerConfig
from miner_resources.records import Stage
from miner_resources.storage import Storage
from miner_resources.tables import read_keys, write_table
from tests.assets.pipelines import dagster_home

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture
def copy(mined: tuple[MinerConfig, PipelineRun], tmp_path: Path) -> Storage:
    shutil.copytree(mined[0].output_dir, tmp_path / "output")
    return Storage(tmp_path / "output")


def videos_of(storage: Storage) -> list[str]:
    return sorted(path.parent.name for path in storage.scores_tables())


def changed(path: Path, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    keys = read_keys(path)
    assert keys is not None
    table = change(pl.read_parquet(path))
    path.unlink()
    write_table(path, table, keys)


def passed(stage: Stage, storage: Storage) -> dict[str, bool]:
    return {str(result.check_name): result.passed for result in evaluate(stage, storage, videos_of(storage))}


@pytest.mark.parametrize("stage", CHECKS)
def test_what_the_pipeline_makes_passes(stage: Stage, copy: Storage) -> None:
    assert set(passed(stage, copy).values()) == {True}
    assert len(videos_of(copy)) == 4


def shorten(storage: Storage, video_id: str) -> None:
    facts = json.loads(storage.info(video_id).read_text())
    storage.info(video_id).write_text(json.dumps(facts | {"duration_s": 3600.0}))


def lose_a_picture(storage: Storage, video_id: str) -> None:
    next(storage.raw_frames(video_id).glob("*.jpg")).unlink()


def add_a_picture(storage: Storage, video_id: str) -> None:
    (storage.raw_frames(video_id) / "frame_999999.jpg").write_bytes(b"")


def swap_times(storage: Storage, video_id: str) -> None:
    changed(storage.frames_table(video_id), lambda table: table.with_columns(pl.col("timestamp_s").reverse()))


def pass_all(storage: Storage, video_id: str) -> None:
    changed(storage.scores_table(video_id), lambda table: pl.concat([table] * 5).with_columns(kept=pl.lit(value=True)))


def damage_the_video(storage: Storage, video_id: str) -> None:
    path = storage.video(video_id)
    assert path is not None
    path.unlink()
    path.write_bytes(b"no video")


def spoil_vectors(storage: Storage, video_id: str) -> None:
    def nan(table: pl.DataFrame) -> pl.DataFrame:
        vectors = table["embedding"].to_numpy().copy()
        vectors[0, 0] = np.nan
        return table.with_columns(embedding=pl.Series(vectors, dtype=table.schema["embedding"]))

    changed(storage.embeddings_table(video_id), nan)


def move_boxes(storage: Storage, video_id: str) -> None:
    changed(storage.detections_table(video_id), lambda table: table.with_columns(x=pl.col("x") + 10_000))


def break_table(storage: Storage, video_id: str) -> None:
    path = storage.detections_table(video_id)
    path.unlink()
    path.write_bytes(b"no table")


@pytest.mark.parametrize(
    ("stage", "spoil", "words"),
    [
        (Stage.DOWNLOAD, shorten, "3600.0 s were promised"),
        (Stage.DOWNLOAD, damage_the_video, "is not a video"),
        (Stage.EXTRACT, lose_a_picture, "1 pictures are missing"),
        (Stage.EXTRACT, add_a_picture, "1 files are in no row"),
        (Stage.EXTRACT, swap_times, "timestamp_s does not rise"),
        (Stage.FILTER, pass_all, "100% of"),
        (Stage.EMBED, spoil_vectors, "vectors are not of length 1"),
        (Stage.DETECT, move_boxes, "outside of their picture"),
        (Stage.DETECT, break_table, "cannot read"),
    ],
)
def test_a_fault_is_seen_and_named(
    stage: Stage, spoil: Callable[[Storage, str], None], words: str, copy: Storage
) -> None:
    bad = max(videos_of(copy), key=lambda name: len(pl.read_parquet(copy.detections_table(name))))
    spoil(copy, bad)
    (result,) = evaluate(stage, copy, videos_of(copy))
    assert not result.passed
    assert result.metadata["problems"].value == 1
    (row,) = result.metadata["what"].records
    assert row.data["video"] == bad
    assert words in row.data["problem"]


def test_a_filter_that_lets_nothing_pass_is_seen(copy: Storage) -> None:
    videos = videos_of(copy)
    none = pl.lit(value=False)
    for video_id in videos[1:]:
        changed(copy.scores_table(video_id), lambda table: pl.concat([table] * 20).with_columns(kept=none))
    assert passed(Stage.FILTER, copy) == {"selective": True}, "one video shows something"
    (result,) = evaluate(Stage.FILTER, copy, videos[1:])
    assert not result.passed
    assert "frames passes: the threshold may be too high" in result.metadata["what"].records[0].data["problem"]


def test_runs_report_their_checks(mined: tuple[MinerConfig, PipelineRun]) -> None:
    config = mined[0]
    names = {f"{key.asset_key.to_user_string()}:{key.name}" for key in _check_keys(config)}
    assert names >= {
        "videos:complete",
        "frames:whole",
        "filtered_frames:selective",
        "embeddings:unit_length",
        "detections:inside",
        "unique_frames:adds_up",
        "dataset:rights",
        "dataset:splits_do_not_leak",
    }
    with dagster_home(config.output_dir), open_instance(Storage(config.output_dir)) as instance:
        records = instance.event_log_storage.get_latest_asset_check_execution_by_key(_check_keys(config))
    assert {f"{key.asset_key.to_user_string()}:{key.name}" for key in records} == names
    assert {record.status.value for record in records.values()} == {"SUCCEEDED"}


def _check_keys(config: MinerConfig) -> list[dg.AssetCheckKey]:
    graph = build_definitions(Workspace.open(config)).resolve_asset_graph()
    return list(graph.asset_check_keys)


def build_dataset(config: MinerConfig) -> dict[str, bool]:
    with dagster_home(config.output_dir), open_instance(Storage(config.output_dir)) as instance:
        job = build_definitions(Workspace.open(config)).resolve_job_def("build_dataset")
        done = job.execute_in_process(instance=instance, run_config=QUIET, raise_on_error=False)
        return {check.check_name: check.passed for check in done.get_asset_check_evaluations()}


def test_what_is_wrong_with_the_dataset_is_seen(mined: tuple[MinerConfig, PipelineRun], copy: Storage) -> None:
    config = mined[0].model_copy(update={"output_dir": copy.root})
    assert set(build_dataset(config).values()) == {True}

    coco = json.loads(copy.annotations.read_text())
    by_video: dict[int, list[dict[str, object]]] = {}
    for image in coco["images"]:
        by_video.setdefault(image["video_id"], []).append(image)
    crowded = max(by_video.values(), key=len)
    crowded[0]["split"] = next(split for split in ("train", "val", "test") if split != crowded[0]["split"])
    copy.annotations.write_text(json.dumps(coco))
    assert not build_dataset(config)["splits_do_not_leak"]

    next(copy.deduplicated_frames.iterdir()).unlink()
    assert not build_dataset(config)["valid"]

    changed(copy.unique_table, lambda table: table.head(len(table) - 1))
    assert not build_dataset(config)["adds_up"]
