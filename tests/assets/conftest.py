"""Demo videos and one mined project that several tests look at."""

from collections.abc import Generator
from pathlib import Path

import pytest

from miner_assets.pipeline_run import PipelineRun
from miner_resources.config import MinerConfig
from miner_resources.demo.videos import write_demo_videos
from tests.assets.pipelines import demo_config, run
from tests.internet import PretendInternet
from tests.shared_data import shared_data


@pytest.fixture(scope="session")
def demo_videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four short videos of the demo world, and `truth.json`; not to be changed."""
    return write_demo_videos(tmp_path_factory.mktemp("demo") / "videos", seed=11, videos=4, targets=3).parent


@pytest.fixture(scope="session")
def mined(demo_videos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[MinerConfig, PipelineRun]:
    """The demo videos mined once; not to be changed."""
    config = demo_config(tmp_path_factory.mktemp("mined") / "output", [demo_videos])
    return config, run(config)


@pytest.fixture
def youtube(demo_videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[PretendInternet]:
    """A pretend YouTube that answers searches with a recording and gives demo videos for what they find."""
    recordings = shared_data("innertube/search-cirque-du-soleil")
    with PretendInternet(demo_videos, tmp_path, recordings).running() as internet:
        internet.files = sorted(path.name for path in demo_videos.glob("*.mp4"))
        monkeypatch.setenv("SSL_CERT_FILE", str(internet.authority))
        yield internet
