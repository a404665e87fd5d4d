"""Serving the pages: in the foreground for `video-miner explore`, beside Dagster for `video-miner dev`.

`python -m miner_assets.explore.server FOLDER PORT` serves until its standard input is closed.
"""

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import uvicorn

from miner_assets.explore.app import build_app
from miner_assets.explore.project import Project
from miner_assets.workspace import Workspace
from miner_resources.config_files import load_project

HOST: Final = "127.0.0.1"


def make_server(project: Project, *, host: str, port: int, token: str | None = None) -> uvicorn.Server:
    """A server that is ready to run."""
    app = build_app(project, token=token)
    config = uvicorn.Config(app, host=host, port=port, log_level="warning", access_log=False, server_header=False)
    return uvicorn.Server(config)


def serve(server: uvicorn.Server, started: Callable[[], None]) -> None:
    """Run until Ctrl-C; `started` is called once it answers."""

    def announce() -> None:
        while not server.started and not server.should_exit:
            pause.wait(0.02)
        if server.started:
            started()

    pause = threading.Event()
    threading.Thread(target=announce, daemon=True).start()
    try:
        server.run()
    finally:
        pause.set()


def main() -> None:
    """Serve until standard input ends, as it does when the process that started this one is gone."""
    named = [Path(part) for part in os.environ.get("VIDEO_MINER_CONFIG", "").split(os.pathsep) if part]
    project = Project(Workspace.open(load_project(named, Path(sys.argv[1]))))
    server = make_server(project, host=HOST, port=int(sys.argv[2]))

    def wait() -> None:
        sys.stdin.buffer.read()
        server.should_exit = True

    threading.Thread(target=wait, daemon=True).start()
    server.run()
    os._exit(0)  # as `miner_assets.cli.main` does and for the same reason


if __name__ == "__main__":
    main()
