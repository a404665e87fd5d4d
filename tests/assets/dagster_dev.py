"""A real `video-miner dev` in tests: webserver, daemon, code server and picture server as processes on loopback."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = Path(sys.executable).with_name("video-miner")
LONGEST_S = 240


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def running_dev(log: Path, *arguments: object, keep_home: bool = False) -> Generator[subprocess.Popen[bytes]]:
    """`video-miner dev` with these arguments, stopped as a user stops it."""
    environment = {name: value for name, value in os.environ.items() if keep_home or name != "DAGSTER_HOME"}
    with log.open("wb") as said:
        command = [str(PROGRAM), "dev", *map(str, arguments)]
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=said, start_new_session=True)
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(30)
            finally:
                if process.returncode is None:
                    os.killpg(process.pid, signal.SIGKILL)


def ask(port: int, query: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The data of a GraphQL answer."""
    body = json.dumps({"query": query, "variables": variables or {}}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        answer = json.loads(response.read())
    assert "errors" not in answer, answer
    return answer["data"]


def wait_for(what: Callable[[], bool], process: subprocess.Popen[bytes]) -> bool:
    """Whether it came true while the process ran."""
    deadline = time.monotonic() + LONGEST_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if what():
                return True
        except OSError:  # the webserver is not up yet
            pass
        time.sleep(1)
    return False
