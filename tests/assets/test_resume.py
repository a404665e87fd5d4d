"""A run that is stopped keeps what is finished; `tests/faults` kills them."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from miner_resources.config_files import to_yaml
from tests.assets.pipelines import demo_config

COMMAND = Path(sys.executable).with_name("video-miner")
PATIENCE_S = 120


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
