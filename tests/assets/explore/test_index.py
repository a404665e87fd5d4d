"""What became of each frame, as the artifacts say it, also when some of them are missing or broken."""

from pathlib import Path

import polars as pl
import pytest

from miner_assets.explore.index import ACROSS, IN_VIDEO
from miner_assets.explore.queries import Queries
from miner_resources.storage import Storage
from tests.assets.explore.projects import FIRST, SECOND, queries_of, write_project


@pytest.mark.parametrize(
    ("frame", "fate", "reason", "group"),
    [
        ("first:0", "unique", None, "first:0"),
        ("first:1", "repeat", IN_VIDEO, "first:0"),
        ("first:2", "unique", None, "first:2"),
        ("first:3", "rejected", "below_threshold", None),
        ("first:4", "waiting", None, None),
        ("first:5", "waiting", None, None),
        ("second:0", "repeat", ACROSS, "first:0"),
        ("second:10", "repeat", IN_VIDEO, "first:0"),
    ],
)
def test_every_frame_has_its_fate(
    queries: Queries, frame: str, fate: str, reason: str | None, group: str | None
) -> None:
    index = queries.index
    (row,) = index.frames.filter(frame_id=frame).to_dicts()
    assert (row["fate"], row["reason"]) == (fate, reason)
    assert (None if row["root"] is None else index.frames["frame_id"][row["root"]]) == group


def test_groups_reach_over_videos(queries: Queries) -> None:
    frames = queries.index.frames
    assert frames.filter(frame_id="second:10")["copies"].item() == 4
    assert frames.filter(frame_id="first:2")["copies"].item() == 1
    similarity = dict(frames.filter(fate="repeat").select("frame_id", "similarity").iter_rows())
    assert similarity == pytest.approx({"first:1": 0.97, "second:0": 0.93, "second:10": 0.91})


def test_frames_are_in_the_order_of_videos_and_time(queries: Queries) -> None:
    assert queries.index.frames["video_id"].to_list() == [FIRST] * 6 + [SECOND] * 2
    assert queries.index.frames["row"].to_list() == list(range(8))
    assert queries.index.row_of(SECOND, 10) == 7
    assert queries.index.row_of(SECOND, 9) is None
    assert queries.index.row_of("other", 0) is None


def test_boxes_that_count_are_told_from_weak_ones(queries: Queries) -> None:
    boxes = queries.index.boxes.filter(row=0)
    assert boxes.select("category", "sure").rows() == [("car", True), ("dog", True), ("car", False)]
    assert queries.index.frames["boxes"].to_list() == [2, 0, 0, 0, 0, 0, 1, 0]


def test_only_unique_frames_have_a_split(queries: Queries) -> None:
    assert queries.index.frames.filter(pl.col("split").is_not_null())["frame_id"].to_list() == ["first:0", "first:2"]


def test_a_project_without_anything_is_empty(tmp_path: Path) -> None:
    index = queries_of(tmp_path / "nothing").index
    assert index.frames.is_empty()
    assert not (tmp_path / "nothing").exists()


def test_without_later_stages_frames_wait(tmp_path: Path) -> None:
    storage = write_project(tmp_path / "project")
    for path in (storage.scores_table(FIRST), storage.scores_table(SECOND), storage.unique_table):
        path.unlink()
    for video in (FIRST, SECOND):
        storage.embeddings_table(video).unlink()
    assert set(queries_of(storage.root).index.frames["fate"]) == {"waiting"}


def test_a_broken_file_is_named_and_the_others_are_shown(tmp_path: Path) -> None:
    storage = write_project(tmp_path / "project")
    storage.scores_table(SECOND).write_bytes(b"no parquet")
    index = queries_of(storage.root).index
    assert len(index.frames) == 8
    assert index.frames.filter(fate="rejected")["frame_id"].to_list() == ["first:3"]
    (problem,) = index.artifacts.problems
    assert "second/scores.parquet" in problem


def test_without_a_registry_none_is_made(tmp_path: Path) -> None:
    storage: Storage = write_project(tmp_path / "project")
    storage.registry.unlink()
    index = queries_of(storage.root).index
    assert len(index.frames) == 8
    assert not storage.registry.exists()
