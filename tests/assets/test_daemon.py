"""A real webserver, daemon and code server: a keyword becomes a dataset without a human."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from tests.internet import PretendInternet

PROGRAM = Path(sys.executable).with_name("video-miner")
LONGEST_S = 240

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
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture
def dev(project: Path, port: int, tmp_path: Path) -> Generator[subprocess.Popen[bytes]]:
    """`video-miner dev --watch`, stopped as a user stops it."""
    environment = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    log = (tmp_path / "dev.log").open("wb")
    command = [PROGRAM, "dev", project, "--watch", "--port", str(port)]
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(30)
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
            log.close()


def ask(port: int, query: str) -> dict[str, Any]:
    body = json.dumps({"query": query}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.loads(response.read())["data"]


def wait_for(what: Callable[[], bool], process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + LONGEST_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if what():
                return True
        except OSError:  # the webserver is not up yet
            pass
        time.sleep(1)
    return False


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
