"""Runs whose process is gone are found out, and no others. With a real daemon: `test_kill.py`."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from miner_assets.run_launcher import PROCESS_TAG, WatchedRunLauncher, process_tag

GRPC_TAG = ".dagster/grpc_info"


def health(**tags: str) -> str:
    run = dg.DagsterRun(job_name="mine_videos", tags=dict(tags.items()))
    return WatchedRunLauncher().check_run_worker_health(run).status.value


def test_a_command_is_alive_as_long_as_its_process() -> None:
    assert health(**{PROCESS_TAG: process_tag()}) == "RUNNING"
    tag = "from miner_assets.run_launcher import process_tag; print(process_tag())"
    ended = subprocess.run([sys.executable, "-c", tag], capture_output=True, text=True, check=True)
    assert health(**{PROCESS_TAG: ended.stdout}) == "FAILED"


def test_a_process_id_that_is_used_again_is_not_taken_for_the_command() -> None:
    host, pid, began = json.loads(process_tag())
    assert health(**{PROCESS_TAG: json.dumps([host, pid, f"{began}0"])}) == "FAILED"


def test_nothing_is_said_about_other_machines_and_other_launchers() -> None:
    _, pid, began = json.loads(process_tag())
    assert health(**{PROCESS_TAG: json.dumps(["elsewhere", pid, f"{began}0"])}) == "RUNNING"
    assert health() == "RUNNING"


@pytest.mark.parametrize("kind", ["socket", "port"])
def test_a_code_server_that_does_not_listen_any_more_has_no_runs(kind: str, tmp_path: Path) -> None:
    if kind == "socket":
        server: dict[str, object] = {"host": "localhost", "socket": str(tmp_path / "gone")}
    else:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            server = {"host": "127.0.0.1", "port": found.getsockname()[1]}
    assert health(**{GRPC_TAG: json.dumps(server)}) == "FAILED"


def test_a_code_server_that_does_not_answer_in_time_is_given_the_benefit_of_the_doubt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("miner_assets.run_launcher._PATIENCE_S", 1.0)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "slow"))
        silent.listen()
        assert health(**{GRPC_TAG: json.dumps({"host": "localhost", "socket": str(tmp_path / "slow")})}) == "RUNNING"
