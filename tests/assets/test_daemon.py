"""A real webserver, daemon and code server: a keyword becomes a dataset without a human."""

import json
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.assets.dagster_dev import LONGEST_S, PROGRAM, ask, free_port, running_dev, wait_for
from tests.internet import PretendInternet

SENSORS = """{ repositoriesOrError { ... on RepositoryConnection {
    nodes { sensors { name sensorState { status } } } } } }"""
RUNS = "{ runsOrError { ... on Runs { results { jobName status } } } }"


@pytest.fixture
def project(youtube: PretendInternet, tmp_path: Path) -> Path:
    file = tmp_path / "mine.yaml"
    settings = {
        "output_dir": str(tmp_path / "output"),
        "classes": ["red circle", "blue square", "green triangle", "yellow star"],
        "download": {"proxy": youtube.url},
        "pacing": {"youtube_per_hour": 3_600_000, "request_interval": 0},
        "extraction": {"strategy": "time", "seconds": 0.5},
        "filter": {"model": "demo", "threshold": 0.5},
        "dedup": {"model": "demo", "threshold": 0.85},
        "detection": {"detector": "demo"},
    }
    file.write_text(json.dumps(settings))
    return file


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def dev(project: Path, port: int, tmp_path: Path) -> Generator[subprocess.Popen[bytes]]:
    with running_dev(tmp_path / "dev.log", project, "--watch", "--port", port) as process:
        yield process


@pytest.mark.slow
@pytest.mark.timeout(2 * LONGEST_S)
def test_a_keyword_becomes_a_dataset_without_a_human(
    dev: subprocess.Popen[bytes], project: Path, port: int, tmp_path: Path
) -> None:
    output = tmp_path / "output"
    subprocess.run(
        [PROGRAM, "keywords", "add", "cirque du soleil", "--max-results", "3", "--output", output], check=True
    )
    record = output / "dataset" / "made_from.json"
    assert wait_for(record.exists, dev), (tmp_path / "dev.log").read_text()[-5000:]
    coco = json.loads((output / "detections" / "annotations.json").read_text())
    assert coco["images"]
    assert coco["annotations"]
    assert {"https://www.youtube.com/watch"} == {video["url"].split("?")[0] for video in coco["videos"]}

    def quiet() -> bool:
        runs = ask(port, RUNS)["runsOrError"]["results"]
        return {run["status"] for run in runs} == {"SUCCESS"} and runs[0]["jobName"] == "build_dataset"

    assert wait_for(quiet, dev)
    (repository,) = ask(port, SENSORS)["repositoriesOrError"]["nodes"]
    states = {row["name"]: row["sensorState"]["status"] for row in repository["sensors"]}
    assert states == dict.fromkeys(("new_keywords", "new_videos", "finished_videos"), "RUNNING")
