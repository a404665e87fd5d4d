"""What Dagster loads: the asset graph over the configuration that the environment names.

`VIDEO_MINER_CONFIG` names the configuration files (separated like PATH), `VIDEO_MINER_OUTPUT` overrides `output_dir`.
Without files, the configuration of the last run in that folder counts. `VIDEO_MINER_EXECUTOR` says where steps run.
"""

import os
from pathlib import Path

from miner_assets.execution import EXECUTOR, chosen_executor
from miner_assets.graph import build_definitions
from miner_assets.workspace import Workspace
from miner_resources.config_files import load_project

PATIENCE_S = 60.0
"""Longest cool-down that a run waits out where Dagster starts the runs: it would keep the pools from others."""


def configured_workspace() -> Workspace:
    """The workspace that the environment names.

    Unless the configuration says how long to wait for a site, runs wait a minute: sensors come back to what is left.
    """
    files = [Path(part) for part in os.environ.get("VIDEO_MINER_CONFIG", "").split(os.pathsep) if part]
    output = os.environ.get("VIDEO_MINER_OUTPUT")
    config = load_project(files, Path(output) if output else None)
    if config.pacing.patience is None:
        config = config.model_copy(update={"pacing": config.pacing.model_copy(update={"patience": PATIENCE_S})})
    return Workspace.open(config)


defs = build_definitions(configured_workspace(), chosen_executor(os.environ.get(EXECUTOR, "")))
