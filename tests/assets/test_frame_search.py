"""Finding frames by text and by picture, in a project that was really mined."""

from pathlib import Path

import polars as pl
import pytest

from miner_assets.frame_search import FrameSearch
from miner_assets.pipeline_run import PipelineRun
from miner_assets.workspace import Workspace
from miner_resources.config import MinerConfig
from miner_resources.errors import InvalidData, NotFound
from miner_resources.storage import Storage
from tests.assets.pipelines import demo_config

Mined = tuple[MinerConfig, PipelineRun]


@pytest.fixture(scope="module")
def search(mined: Mined) -> FrameSearch:
    return FrameSearch(Workspace.open(mined[0]))


@pytest.mark.parametrize("text", ["red circle", "yellow star"])
def test_a_text_finds_frames_that_show_it(search: FrameSearch, mined: Mined, text: str) -> None:
    storage = Storage(mined[0].output_dir)
    scores = pl.concat(pl.read_parquet(path) for path in storage.scores_tables())
    place = mined[0].classes and list(mined[0].classes).index(text)
    shows = {
        (video, index)
        for video, index, values in scores.select("video_id", "frame_index", "scores").iter_rows()
        if values[place] > 0.5
    }
    found = search.by_text(text, 10)
    assert len(found) == 10
    assert {(match.video_id, match.frame_index) for match in found} <= shows
    assert [match.score for match in found] == sorted((match.score for match in found), reverse=True)
    assert found[0].frame_id == f"{found[0].video_id}:{found[0].frame_index}"
    assert found[0].source_url is not None
    assert found[0].source_url.startswith("file:///")


def test_a_frame_is_most_like_itself(search: FrameSearch, mined: Mined) -> None:
    frame = search.by_text("blue square", 1)[0]
    by_id = search.by_image(frame.frame_id, 5)
    assert by_id[0].score == pytest.approx(1, abs=1e-5)
    assert frame.frame_id in {match.frame_id for match in by_id if match.score > 1 - 1e-5}
    table = pl.read_parquet(Storage(mined[0].output_dir).frames_table(frame.video_id))
    path = mined[0].output_dir / table.filter(frame_index=frame.frame_index)["path"].item()
    by_file = search.by_image(path, 5)
    assert by_file[0].score == pytest.approx(1, abs=1e-3)


def test_no_more_than_there_are(search: FrameSearch) -> None:
    everything = search.by_text("red circle", 1_000_000)
    assert len({match.frame_id for match in everything}) == len(everything) > 50
    assert search.by_text("red circle", 0) == []


def test_what_is_missing_is_named(search: FrameSearch, tmp_path: Path) -> None:
    empty = FrameSearch(Workspace.open(demo_config(tmp_path / "output", [])))
    with pytest.raises(NotFound, match="no features"):
        empty.by_text("red circle", 5)
    with pytest.raises(NotFound, match="nobody:3"):
        search.by_image("nobody:3", 5)
    with pytest.raises(InvalidData, match=r"absent\.jpg"):
        search.by_image(tmp_path / "absent.jpg", 5)
    assert not (tmp_path / "output").exists()
