"""The pretend internet and a client that is connected to it."""

from collections.abc import Callable, Generator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from miner_resources.catalog import Catalog
from miner_resources.config_sections import DownloadConfig, PacingConfig
from miner_resources.records import Video
from miner_resources.storage import Storage
from miner_resources.web.client import WebClient
from tests.internet import PretendInternet
from tests.loopback import LoopbackServer, MediaServer
from tests.video_factory import write_video

NOW = datetime(2026, 1, 2, tzinfo=UTC)
FAST = PacingConfig(youtube_per_hour=3_600_000, other_per_hour=3_600_000, request_interval=0, patience=0)

Connect = Callable[..., WebClient]


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one short video; not to be changed."""
    folder = tmp_path_factory.mktemp("served")
    write_video(folder / "clip.mp4", frames=300)
    return folder


@pytest.fixture
def internet(served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[PretendInternet]:
    with PretendInternet(served, tmp_path).running() as running:
        monkeypatch.setenv("SSL_CERT_FILE", str(running.authority))
        yield running


@pytest.fixture
def server(served: Path) -> Generator[LoopbackServer]:
    with MediaServer(served).running() as running:
        yield running


@pytest.fixture
def connect(tmp_path: Path) -> Connect:
    """Makes clients of one project: `connect(internet, max_height=720, pacing=…)`; without internet no proxy."""

    def make(internet: PretendInternet | None = None, pacing: PacingConfig = FAST, **download: object) -> WebClient:
        proxy = None if internet is None else internet.url
        config = DownloadConfig.model_validate({"proxy": proxy, **download})
        return WebClient(config, pacing, Catalog(Storage(tmp_path / "project")))

    return make


def youtube_video(video_id: str) -> Video:
    return Video(video_id=video_id, url=f"https://www.youtube.com/watch?v={video_id}", added_at=NOW)


def linked_video(url: str) -> Video:
    return Video(video_id="generic-clip", url=url, added_at=NOW)
