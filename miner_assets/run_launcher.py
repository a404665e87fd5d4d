"""The run launcher of `dagster.yaml`: Dagster's own, which also notices that the process of a run is gone.

Dagster's code server sees its children die. But after a power failure, or if the server itself was killed, nobody is
left to see it: runs would be "in progress" for ever, keeping their pools and their videos. Run monitoring asks the
launcher about every run in progress; this one answers. A person or the daemon can then start the run again.
"""

import json
import os
import socket
from pathlib import Path
from typing import Final

import dagster as dg

# Dagster exports the launchers but not what they answer; launchers outside of Dagster import these as well.
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import deserialize_value

PROCESS_TAG: Final = "video_miner/process"
"""On runs that the command line executes itself: JSON list of host, process id, and when that process began."""

_PATIENCE_S: Final = 10.0
_ALIVE: Final = CheckRunHealthResult(WorkerStatus.RUNNING)


class WatchedRunLauncher(dg.DefaultRunLauncher):
    """Starts runs as children of the code server, and finds those whose process is gone."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """It does."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Failed only if the process is certainly gone: in doubt (another machine, no answer in time) it is alive."""
        if PROCESS_TAG in run.tags:
            return _gone("the command that executed it") if _has_ended(run.tags[PROCESS_TAG]) else _ALIVE
        if GRPC_INFO_TAG not in run.tags:
            return _ALIVE
        server = json.loads(run.tags[GRPC_INFO_TAG])
        if not _answers(server):
            return _gone("the code server that started it")
        return _ALIVE if _knows(server, run.run_id) else _gone("its process")


def process_tag() -> str:
    """The value of `PROCESS_TAG` for runs that this process executes."""
    return json.dumps([socket.gethostname(), os.getpid(), _began(os.getpid())])


def _gone(what: str) -> CheckRunHealthResult:
    return CheckRunHealthResult(WorkerStatus.FAILED, f"{what} is gone; what it had finished is kept, run it again")


def _has_ended(tag: str) -> bool:
    host, pid, began = json.loads(tag)
    if host != socket.gethostname():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # of another user
    return _began(pid) != began


def _began(pid: int) -> str:
    """When a process began, in ticks since the machine did; process ids are used again. Empty outside of Linux."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def _answers(server: dict[str, str | int]) -> bool:
    """Whether somebody listens where the code server did; one that is only slow does."""
    path = server.get("socket")
    with socket.socket(socket.AF_UNIX if path else socket.AF_INET) as asked:
        asked.settimeout(_PATIENCE_S)
        try:
            asked.connect(str(path) if path else (str(server["host"]), int(server["port"])))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
    return True


def _knows(server: dict[str, str | int], run_id: str) -> bool:
    """Whether the code server has the run's process; another server may listen there by now."""
    port, path = server.get("port"), server.get("socket")
    client = DagsterGrpcClient(
        host=str(server["host"]),
        port=int(port) if port else None,
        socket=str(path) if path else None,
        use_ssl=bool(server.get("use_ssl", False)),
    )
    try:
        answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run_id), timeout=int(_PATIENCE_S))
    except dg.DagsterError:
        return True
    return deserialize_value(answer, CanCancelExecutionResult).can_cancel
