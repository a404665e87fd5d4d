"""The search page: answers, answers on their way, and reasons why there are none."""

import threading
import time
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from miner_assets.explore.text_search import TextSearch
from miner_assets.frame_search import FrameSearch, Match
from miner_assets.pipeline_run import PipelineRun
from miner_assets.workspace import Workspace
from miner_resources.config import MinerConfig
from tests.assets.explore.conftest import client_of
from tests.assets.explore.projects import config_of


def settled(client: TestClient, path: str) -> str:
    """The page once it no longer waits."""
    for _ in range(60):
        page = client.get(path).text
        if 'http-equiv="refresh"' not in page:
            return page
        time.sleep(0.1)
    pytest.fail("the search never ended")


def test_texts_and_frames_find_frames(mined: tuple[MinerConfig, PipelineRun]) -> None:
    client = client_of(mined[0].output_dir, config=mined[0])
    page = settled(client, "/search?q=red+circle")
    assert "“red circle”" in page
    assert page.count('<li class="card ') > 50
    assert "match 0." in page
    frame = page.split('href="/search?like=')
    assert len(frame) == 1, "only the page of a frame has that link"
    place = page.split('href="/frame/')[1].split("?")[0]
    video, index = place.split("/")
    like = settled(client, f"/search?like={video}:{index}")
    assert "Frames like this" in like
    assert "match 1.000" in like


def test_a_project_without_features_says_what_to_do(client: TestClient) -> None:
    page = settled(client, "/search?q=a+car")
    assert "no features" in page
    assert "video-miner run-config" in page


def test_an_answer_may_be_on_its_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()

    def slow(self: FrameSearch, text: str, top: int) -> list[Match]:
        assert gate.wait(60)
        return [Match("a:1", "a", 1, 0.5, 0.0, None)]

    monkeypatch.setattr(FrameSearch, "by_text", slow)
    search = TextSearch(Workspace.open(config_of(tmp_path)))
    assert search.ask("text", "x", 1, patience_s=0).hits is None
    gate.set()
    hits = search.ask("text", "x", 1, patience_s=60).hits
    assert hits is not None
    assert [(hit.frame_id, hit.score) for hit in hits] == [("a:1", 0.5)]
