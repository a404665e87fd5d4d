"""`video-miner dev`: the Dagster UI and daemon on this project."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from miner_assets.commands.shared import OutputDir, err, project_config, reports_errors


@reports_errors
def dev(
    files: Annotated[list[Path] | None, typer.Argument(metavar="[FILE...]", help="Configuration files.")] = None,
    port: Annotated[int, typer.Option(metavar="N", help="Port of the UI.")] = 3000,
    output: OutputDir = None,
) -> None:
    """Open the Dagster UI on this project: the same runs, partitions and events that `run-config` made.

    Examples:
      video-miner dev --output demo_output

      video-miner dev my.yaml --port 3333
    """
    from miner_assets.instance import prepare_home, shipped
    from miner_resources.storage import Storage

    config = project_config(output, files or [])
    storage = Storage(config.output_dir)
    home = prepare_home(storage)
    os.environ["VIDEO_MINER_OUTPUT"] = str(storage.root)
    if files:
        os.environ["VIDEO_MINER_CONFIG"] = os.pathsep.join(str(file.absolute()) for file in files)
    err.print(f"Dagster home {home}; UI on http://127.0.0.1:{port}; Ctrl-C stops it", highlight=False, markup=False)
    workspace_file = str(shipped("workspace.yaml"))
    # Replaces this process, so that Ctrl-C and SIGTERM reach Dagster itself.
    arguments = ["-m", "dagster", "dev", "-w", workspace_file, "-h", "127.0.0.1", "-p", str(port)]
    os.execv(sys.executable, [sys.executable, *arguments])
