"""Storyboards rank videos before they are downloaded, or keep them out."""

from pathlib import Path

import numpy as np
import pytest

from miner_assets.workspace import Workspace
from miner_resources.images import encode_image
from miner_resources.records import Rgb, Stage, Status
from miner_resources.video_index import read_index
from miner_resources.video_reader import decode_frames
from tests.assets.pipelines import run
from tests.assets.test_acquisition import URLS, config_for
from tests.internet import PretendInternet, PretendVideo

COLUMNS, ROWS = 4, 2
RICH, POOR, BLIND = "rich_______", "poor_______", "blind______"


def sheet(pictures: list[Rgb]) -> bytes:
    rows = [np.concatenate(pictures[start : start + COLUMNS], axis=1) for start in range(0, len(pictures), COLUMNS)]
    return encode_image(np.concatenate(rows, axis=0))


@pytest.fixture
def storyboards(youtube: PretendInternet, demo_videos: Path, tmp_path: Path) -> PretendInternet:
    """Three videos: one with frames of the demo world on its storyboard, one with grey, one without a storyboard."""
    youtube.folder = tmp_path / "served"
    youtube.folder.mkdir()
    source = demo_videos / youtube.files[0]
    (youtube.folder / "a.mp4").write_bytes(source.read_bytes())
    index = read_index(source)
    targets = np.linspace(0, len(index) - 1, COLUMNS * ROWS).astype(int).tolist()
    frames = [frame.rgb for frame in decode_frames(source, index, targets)]
    height, width = frames[0].shape[:2]
    (youtube.folder / "rich.jpg").write_bytes(sheet(frames))
    (youtube.folder / "poor.jpg").write_bytes(sheet([np.full_like(frames[0], 128)] * len(frames)))
    size = (COLUMNS, ROWS, width, height, len(frames))
    youtube.videos = {
        BLIND: PretendVideo(file="a.mp4"),
        POOR: PretendVideo(file="a.mp4", storyboard=("poor.jpg", *size)),
        RICH: PretendVideo(file="a.mp4", storyboard=("rich.jpg", *size)),
    }
    return youtube


def settings(*more: str) -> tuple[str, ...]:
    return ("stages=['search','download']", "prescreen.enabled=true", "download.max_concurrent=1", *more)


def test_the_best_video_is_downloaded_first_and_its_score_recorded(
    storyboards: PretendInternet, tmp_path: Path
) -> None:
    urls = tuple(URLS + name for name in storyboards.videos)
    config = config_for(storyboards, tmp_path / "output", *settings(), urls=urls)
    assert run(config).ok
    records = Workspace.open(config).catalog.stage_records(stage=Stage.DOWNLOAD)
    order = [record.video_id for record in sorted(records, key=lambda record: record.finished_at)]
    assert order[0] == RICH
    assert order[-1] == BLIND
    metrics = {record.video_id: record.metrics for record in records}
    assert float(str(metrics[RICH]["prescreen_score"])) > 0.5 > float(str(metrics[POOR]["prescreen_score"]))
    assert metrics[RICH]["prescreen_pictures"] == COLUMNS * ROWS
    assert metrics[RICH]["prescreen_class"] in config.classes
    assert "prescreen_score" not in metrics[BLIND]


def test_below_the_threshold_a_video_is_skipped_with_the_reason(storyboards: PretendInternet, tmp_path: Path) -> None:
    urls = tuple(URLS + name for name in storyboards.videos)
    config = config_for(storyboards, tmp_path / "output", *settings("prescreen.threshold=0.5"), urls=urls)
    done = run(config)
    assert done.ok
    assert set(done.left_out) == {POOR}
    assert "storyboard pictures scores" in str(done.left_out[POOR].error)
    catalog = Workspace.open(config).catalog
    assert catalog.videos(ids=[POOR])[0].status is Status.SKIPPED
    assert not any(POOR in seen.path for seen in storyboards.seen if "googlevideo" in seen.host)
    lower = config_for(storyboards, tmp_path / "output", *settings("prescreen.threshold=0.0"))
    assert {video.status for video in catalog.videos()} == {Status.SKIPPED, Status.DOWNLOADED}
    assert run(lower).ok
    assert {video.status for video in catalog.videos()} == {Status.DOWNLOADED}


def test_without_it_no_storyboard_is_asked_for(storyboards: PretendInternet, tmp_path: Path) -> None:
    config = config_for(
        storyboards, tmp_path / "output", "stages=['search','download']", urls=tuple(URLS + name for name in [RICH])
    )
    assert run(config).ok
    assert not any(seen.host == "i.ytimg.com" for seen in storyboards.seen)
