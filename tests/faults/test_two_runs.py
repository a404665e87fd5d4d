"""Two runs over the same partitions at once: each video is worked on by one of them, and both come to their end."""

import os
import subprocess
from pathlib import Path

import pytest

from miner_assets.pipeline_run import PipelineRun
from miner_assets.workspace import Workspace
from miner_resources.config import MinerConfig
from miner_resources.config_files import to_yaml
from miner_resources.records import Status
from tests.assets.conftest import demo_videos, mined  # noqa: F401 (fixtures)
from tests.assets.pipelines import demo_config, digests
from tests.assets.test_resume import COMMAND, PATIENCE_S


@pytest.mark.slow
def test_two_runs_at_once_end_in_the_same_bytes(
    mined: tuple[MinerConfig, PipelineRun],  # noqa: F811
    demo_videos: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    config = demo_config(tmp_path / "output", [demo_videos])
    file = tmp_path / "config.yaml"
    file.write_text(to_yaml(config))
    environment = {key: value for key, value in os.environ.items() if key != "DAGSTER_HOME"}
    command, logs = [COMMAND, "run-config", file], [tmp_path / "first.log", tmp_path / "second.log"]
    with logs[0].open("wb") as first, logs[1].open("wb") as second:
        runs = [subprocess.Popen(command, stdout=log, stderr=log, env=environment) for log in (first, second)]
        codes = [run.wait(PATIENCE_S) for run in runs]
    said = [log.read_text()[-3000:] for log in logs]
    assert codes == [0, 0], said
    assert {video.status for video in Workspace.open(config).catalog.videos()} == {Status.COMPLETE}
    assert digests(config.output_dir) == digests(mined[0].output_dir)
