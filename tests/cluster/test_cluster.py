"""The same project mined by a Ray cluster with PostgreSQL: the same bytes, also when a machine is lost."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from miner_assets.instance import shipped
from miner_resources.demo.videos import write_demo_videos
from tests.assets.dagster_dev import LONGEST_S, PROGRAM, free_port, running_dev
from tests.assets.pipelines import CLASSES, MODELS, dagster_home, digests
from tests.cluster.machines import RayCluster, postgres, postgres_programs, ray_cluster

pytest.importorskip("dagster_ray")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3 * LONGEST_S),
    pytest.mark.skipif(postgres_programs() is None, reason="no PostgreSQL server here"),
]
ALL = "VIDEO_MINER_LONG_TESTS" in os.environ
NODES, VIDEOS = (3, 8) if ALL else (2, 4)


@pytest.fixture(scope="module")
def demo_videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo_videos(tmp_path_factory.mktemp("demo") / "videos", seed=11, videos=VIDEOS, targets=3).parent


@pytest.fixture(scope="module")
def alone(demo_videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project mined by one process."""
    folder = tmp_path_factory.mktemp("alone")
    with dagster_home(folder):
        program("registry", "import", listed(demo_videos, folder), "--output", folder / "output")
        program("run-config", settings(folder))
    return folder / "output"


def listed(demo_videos: Path, folder: Path) -> Path:
    file = folder / "videos.txt"
    file.write_text("".join(f"{path}\n" for path in sorted(demo_videos.glob("*.mp4"))))
    return file


def settings(folder: Path) -> Path:
    from miner_resources.config_files import load_config, to_yaml

    words = [CLASSES, *MODELS, "extraction.strategy=time", "extraction.seconds=0.5", "device=cpu"]
    words += [f"output_dir={folder / 'output'}", "automation.videos_per_run=2", f"automation.runs_at_once={NODES}"]
    file = folder / "mine.yaml"
    file.write_text(to_yaml(load_config((), words)))
    return file


def program(*words: object, **environment: str) -> str:
    done = subprocess.run(
        [PROGRAM, *map(str, words)], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[RayCluster]:
    """Nodes, a database, and a Dagster home that uses both."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copyfile(shipped("deploy") / "ray" / "dagster.yaml", home / "dagster.yaml")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with postgres() as database, ray_cluster(os.environ, NODES) as nodes:
        for name, value in {**database, "VIDEO_MINER_RAY": nodes.url}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("DAGSTER_HOME", str(home))
        yield nodes


def counts(output: Path) -> dict[str, int]:
    from miner_resources.catalog import Catalog
    from miner_resources.storage import Storage

    found: dict[str, int] = {}
    for video in Catalog(Storage(output)).videos():
        found[video.status.value] = found.get(video.status.value, 0) + 1
    return found


def wait_until(what: Callable[[], Any], log: Path) -> None:
    deadline = time.monotonic() + 2 * LONGEST_S
    while not what():
        assert time.monotonic() < deadline, log.read_text()[-5000:]
        time.sleep(1)


LONG = pytest.mark.skipif(not ALL, reason="ten minutes: set VIDEO_MINER_LONG_TESTS")


@pytest.mark.parametrize(
    ("executor", "lose"),
    [("in_process", False), pytest.param("in_process", True, marks=LONG), pytest.param("ray", True, marks=LONG)],
)
def test_many_machines_make_the_same_bytes_as_one(
    cluster: RayCluster,
    alone: Path,
    demo_videos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    executor: str,
    lose: bool,
) -> None:
    output, log = tmp_path / "output", tmp_path / "dev.log"
    if executor == "ray":  # what the run held, its steps would wait for
        file = tmp_path / "home" / "dagster.yaml"
        file.write_text(file.read_text().replace("num_cpus: 1 ", "num_cpus: 0 "))
    monkeypatch.setenv("VIDEO_MINER_EXECUTOR", executor)
    program("registry", "import", listed(demo_videos, tmp_path), "--output", output)
    with running_dev(log, settings(tmp_path), "--watch", "--port", free_port(), keep_home=True):
        if lose:
            wait_until(lambda: counts(output).get("filtered") or counts(output).get("filtering"), log)
            cluster.kill_node(NODES - 1)
        wait_until(
            lambda: counts(output) == {"complete": VIDEOS} and (output / "dataset" / "made_from.json").exists(), log
        )
        jobs = cluster.jobs()
    # The sensors build the dataset whenever videos have come through, and a video stays in its split: only datasets
    # that are built in one go can be compared.
    shutil.rmtree(output / "dataset")
    program("run-config", settings(tmp_path), "--stages", "dataset")
    assert digests(output) == digests(alone)
    assert len({job["node"] for job in jobs}) > 1, "several nodes had work"
