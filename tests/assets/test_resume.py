"""A run that is killed in the middle of a stage resumes to the very same artifacts."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from miner_assets.pipeline_run import PipelineRun
from miner_resources.config import MinerConfig
from miner_resources.config_files import to_yaml
from tests.assets.pipelines import demo_config, digests

COMMAND = Path(sys.executable).with_name("video-miner")
PATIENCE_S = 120


def start(config_file: Path) -> subprocess.Popen[bytes]:
    environment = {key: value for key, value in os.environ.items() if key != "DAGSTER_HOME"}
    return subprocess.Popen(
        [COMMAND, "run-config", config_file], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )


def kill_when(process: subprocess.Popen[bytes], folder: Path, pattern: str) -> bool:
    """SIGKILL as soon as the first artifact is there; whether the process was still at work."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        if any(folder.glob(pattern)):
            process.send_signal(signal.SIGKILL)
            process.wait()
            return process.returncode == -signal.SIGKILL
        time.sleep(0.005)
    return False


@pytest.mark.slow
def test_killed_runs_resume_to_byte_identical_artifacts(
    mined: tuple[MinerConfig, PipelineRun], demo_videos: Path, tmp_path: Path
) -> None:
    output = tmp_path / "output"
    config_file = tmp_path / "config.yaml"
    config_file.write_text(to_yaml(demo_config(output, [demo_videos])))
    kills = [
        kill_when(start(config_file), output, pattern)
        for pattern in ("frames_raw/*", "frames_filtered/*", "embeddings/*.parquet", "detections/*.parquet")
    ]
    assert kills.count(True) >= 3, "the runs ended before they could be killed"
    assert start(config_file).wait(PATIENCE_S) == 0
    expected = digests(mined[0].output_dir)
    assert digests(output) == expected
    assert not list((output / ".tmp").iterdir()), "what the killed runs left behind is gone"


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(demo_videos: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    config_file = tmp_path / "config.yaml"
    config_file.write_text(to_yaml(demo_config(output, [demo_videos])))
    process = subprocess.Popen([COMMAND, "run-config", config_file], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + PATIENCE_S
    while not any(output.glob("frames_raw/*")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "Run the same command again to go on" in errors
    assert "Traceback" not in errors
    result = json.loads((output / "pipeline_result.json").read_text())
    assert result["stages"]["download"]["computed"] == 4
