"""What operators do to a real webserver, daemon and code server: scattered backfills, cancelling, killing."""

import os
import re
import signal
import subprocess
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from miner_assets.instance import open_instance
from miner_assets.search import register_inputs
from miner_assets.workspace import Workspace
from miner_resources.config import MinerConfig
from miner_resources.config_files import to_yaml
from miner_resources.records import Stage
from tests.assets.dagster_dev import LONGEST_S, ask, free_port, running_dev, wait_for
from tests.assets.pipelines import dagster_home, demo_config, digests, run
from tests.video_factory import write_video

COUNT = 8
BUSY = {"downloading", "extracting", "filtering", "deduplicating", "detecting"}

BACKFILL = """mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
RUNS = """query ($tag: ExecutionTag!) { runsOrError(filter: {tags: [$tag]}) {
    ... on Runs { results { runId status tags { key value } } } } }"""
MATERIALIZED = """query ($path: [String!]!) { assetNodeOrError(assetKey: {path: $path}) { ... on AssetNode {
    assetPartitionStatuses { ... on DefaultPartitionStatuses { materializedPartitions failedPartitions } } } } }"""
EVENTS = """query ($run: ID!) { logsForRun(runId: $run) { ... on EventConnection {
    events { ... on MessageEvent { message } } } } }"""
TERMINATE = """mutation ($run: String!) { terminateRun(runId: $run) { __typename } }"""


@dataclass(frozen=True)
class Project:
    """A project that is open in the UI."""

    config: MinerConfig
    ids: Sequence[str]
    port: int
    process: subprocess.Popen[bytes]

    def backfill(self, asset: str, ids: Sequence[str]) -> str:
        params = {"assetSelection": [{"path": [asset]}], "partitionNames": list(ids), "fromFailure": False}
        started = ask(self.port, BACKFILL, {"params": params})["launchPartitionBackfill"]
        assert started["__typename"] == "LaunchBackfillSuccess", started
        return started["backfillId"]

    def download(self) -> None:
        """What is not there yet, in this process."""
        assert run(stages(self.config, Stage.SEARCH, Stage.DOWNLOAD)).ok

    def runs(self, backfill: str) -> list[dict[str, Any]]:
        tag = {"key": "dagster/backfill", "value": backfill}
        return ask(self.port, RUNS, {"tag": tag})["runsOrError"]["results"]

    def wait(self, backfill: str, *ends: str, runs: int = 1) -> list[dict[str, Any]]:
        def ended() -> bool:
            found = [run["status"] for run in self.runs(backfill)]
            return len(found) >= runs and all(status in ends for status in found)

        assert wait_for(ended, self.process), self.runs(backfill)
        return self.runs(backfill)

    def partitions(self, asset: str) -> tuple[set[str], set[str]]:
        node = ask(self.port, MATERIALIZED, {"path": [asset]})["assetNodeOrError"]
        found = node["assetPartitionStatuses"]
        return set(found["materializedPartitions"]), set(found["failedPartitions"])

    def makers(self, asset: str, ids: Sequence[str]) -> set[str]:
        """Runs that computed these partitions; not those that found them there."""
        wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=list(ids))
        with dagster_home(self.config.output_dir), open_instance(Workspace.open(self.config).storage) as instance:
            records = instance.fetch_materializations(wanted, limit=1000).records
        made = [
            record for record in records if (event := record.asset_materialization) and "reused" not in event.metadata
        ]
        return {record.run_id for record in made}

    def said(self, run: str) -> str:
        events = ask(self.port, EVENTS, {"run": run})["logsForRun"]["events"]
        return "\n".join(event.get("message", "") for event in events)

    def statuses(self) -> set[str]:
        return {video.status.value for video in Workspace.open(self.config).catalog.videos()}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Generator[Project]:
    """Videos whose frames take a second or two each: one film, with a number at its end."""
    folder = tmp_path_factory.mktemp("operations")
    (folder / "videos").mkdir()
    film = write_video(folder / "film.mp4", frames=100, width=960, height=544).read_bytes()
    for number in range(COUNT):
        box = (12).to_bytes(4) + b"free" + number.to_bytes(4)
        (folder / "videos" / f"{number:02d}.mp4").write_bytes(film + box)
    slow = ("strategy=interval", "interval=1", "image_format=png", "workers=1")
    config = demo_config(folder / "output", [folder / "videos"], *(f"extraction.{setting}" for setting in slow))
    file = folder / "project.yaml"
    file.write_text(to_yaml(config))
    workspace = Workspace.open(config)
    ids = register_inputs(workspace).video_ids
    with dagster_home(config.output_dir), open_instance(workspace.storage) as instance:
        instance.add_dynamic_partitions("videos", ids)
    settings = workspace.storage.dagster_home / "dagster.yaml"
    settings.write_text(settings.read_text().replace("poll_interval_seconds: 30", "poll_interval_seconds: 2"))
    port = free_port()
    with running_dev(folder / "dev.log", file, "--port", port) as process:
        found = Project(config, ids, port, process)
        assert wait_for(lambda: bool(found.runs("none")) or True, process)
        yield found


@pytest.mark.slow
@pytest.mark.timeout(3 * LONGEST_S)
def test_scattered_partitions_take_a_run_for_each_stretch(project: Project) -> None:
    wanted = [key for place, key in enumerate(project.ids) if place % 4 in (0, 1)]
    runs = project.wait(project.backfill("videos", wanted), "SUCCESS", runs=COUNT // 4)
    assert len(runs) == COUNT // 4
    assert project.partitions("videos") == (set(wanted), set())
    assert len(project.makers("videos", wanted)) < len(runs), "no run took along what the others waited for"
    project.download()
    assert project.partitions("videos") == (set(project.ids), set())


@pytest.mark.slow
@pytest.mark.timeout(3 * LONGEST_S)
def test_cancelling_keeps_what_is_done_and_leaves_nothing_busy(project: Project) -> None:
    project.download()
    backfill = project.backfill("frames", project.ids)
    assert wait_for(lambda: len(project.partitions("frames")[0]) >= 2, project.process)
    (running,) = project.runs(backfill)
    answer = ask(project.port, TERMINATE, {"run": running["runId"]})["terminateRun"]
    assert answer["__typename"] == "TerminateRunSuccess", answer
    project.wait(backfill, "CANCELED")
    done, _ = project.partitions("frames")
    assert 2 <= len(done) < COUNT
    on_disk = {key for key in project.ids if Workspace.open(project.config).storage.frames_table(key).exists()}
    assert on_disk == done
    assert not project.statuses() & BUSY


@pytest.mark.slow
@pytest.mark.timeout(3 * LONGEST_S)
def test_a_killed_run_is_tried_again_by_itself_and_ends_in_the_same_bytes(project: Project, tmp_path: Path) -> None:
    project.download()
    done, _ = project.partitions("frames")
    missing = [key for key in project.ids if key not in done]
    backfill = project.backfill("frames", missing)
    assert wait_for(lambda: len(project.partitions("frames")[0]) > len(done), project.process)
    killed = project.runs(backfill)[0]["runId"]
    pid = re.search(r"Started process for run \(pid: (\d+)\)", project.said(killed))
    assert pid is not None
    os.kill(int(pid.group(1)), signal.SIGKILL)

    def made_up_for() -> bool:
        states = {run["runId"]: run["status"] for run in project.runs(backfill)}
        return states.pop(killed) == "FAILURE" and "SUCCESS" in states.values()

    assert wait_for(made_up_for, project.process), project.runs(backfill)
    assert project.partitions("frames")[0] == set(project.ids)
    assert not project.statuses() & BUSY
    records = Workspace.open(project.config).catalog.stage_records(stage=Stage.EXTRACT)
    assert {record.status for record in records} == {"done"}
    other = project.config.model_copy(update={"output_dir": tmp_path / "output"})
    assert run(stages(other, Stage.SEARCH, Stage.DOWNLOAD, Stage.EXTRACT)).ok
    assert digests(project.config.output_dir) == digests(other.output_dir)


def stages(config: MinerConfig, *wanted: Stage) -> MinerConfig:
    return config.model_copy(update={"stages": [*wanted]})
