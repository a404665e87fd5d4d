"""`video-miner dev`: the Dagster UI and daemon on this project."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from miner_assets.commands.shared import OutputDir, err, project_config, reports_errors
from miner_resources.errors import InvalidData

if TYPE_CHECKING:
    from miner_resources.storage import Storage


@reports_errors
def dev(
    files: Annotated[list[Path] | None, typer.Argument(metavar="[FILE...]", help="Configuration files.")] = None,
    port: Annotated[int, typer.Option(metavar="N", help="Port of the UI.")] = 3000,
    watch: Annotated[
        bool, typer.Option("--watch", help="Switch the sensors on: keywords become datasets by themselves.")
    ] = False,
    output: OutputDir = None,
) -> None:
    """Open the Dagster UI on this project: the same runs, partitions and events that `run-config` made.

    Examples:
      video-miner dev --output demo_output

      video-miner dev my.yaml --port 3333

      video-miner dev my.yaml --watch     # then: video-miner keywords add "forklift warehouse"
    """
    from miner_assets.instance import open_instance, prepare_home, shipped
    from miner_assets.metadata import ADDRESS
    from miner_resources.storage import Storage

    config = project_config(output, files or [])
    storage = Storage(config.output_dir)
    home = prepare_home(storage)
    open_instance(storage).dispose()
    os.environ["VIDEO_MINER_OUTPUT"] = str(storage.root)
    if files:
        os.environ["VIDEO_MINER_CONFIG"] = os.pathsep.join(str(file.absolute()) for file in files)
    os.environ[ADDRESS] = pages = _serve_pages(storage)
    addresses = f"UI on http://127.0.0.1:{port}; frames and boxes on {pages}"
    err.print(f"Dagster home {home}; {addresses}; Ctrl-C stops it", highlight=False, markup=False, soft_wrap=True)
    workspace_file = str(shipped("workspace.yaml"))
    if watch:
        _switch_on(workspace_file)
    # Replaces this process, so that Ctrl-C and SIGTERM reach Dagster itself.
    arguments = ["-m", "dagster", "dev", "-w", workspace_file, "-h", "127.0.0.1", "-p", str(port)]
    os.execv(sys.executable, [sys.executable, *arguments])


def _serve_pages(storage: "Storage") -> str:
    """Start the pages of `explore`, which end with this process or with what replaces it, and return their address.

    They also serve the pictures that the UI shows.

    Always on the same port if it can be had: the address is part of what Dagster remembers about a run.
    """
    from miner_assets.metadata import ADDRESS, DEFAULT_ADDRESS

    usual = urlsplit(os.environ.get(ADDRESS) or DEFAULT_ADDRESS).port or 0
    port = _free_port(usual) or _free_port(0)
    if port != usual:
        err.print(f"port {usual} is taken: previews of earlier runs do not show, new ones do", highlight=False)
    heard, held = os.pipe()
    command = [sys.executable, "-m", "miner_assets.explore.server", str(storage.root), str(port)]
    subprocess.Popen(command, stdin=heard)
    os.close(heard)
    os.set_inheritable(held, True)
    return f"http://127.0.0.1:{port}"


def _free_port(wanted: int) -> int | None:
    """`wanted` if it is free, any free one for 0."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", wanted))
        except OSError:
            return None
        return tried.getsockname()[1]


def _switch_on(workspace_file: str) -> None:
    """Start all sensors and schedules. Dagster remembers that: the UI switches them off again."""
    for kind in ("sensor", "schedule"):
        command = [sys.executable, "-m", "dagster", kind, "start", "--start-all", "-w", workspace_file]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise InvalidData(
                f"the {kind}s cannot be switched on: {done.stderr.strip()[-500:]}",
                remedy="run without --watch and switch them on in the UI, under Automation",
            )
    err.print("sensors and schedules are on; switch them off in the UI, under Automation", highlight=False)
