"""What Dagster loads: the asset graph over the configuration that the environment names.

`VIDEO_MINER_CONFIG` names the configuration files (separated like PATH), `VIDEO_MINER_OUTPUT` overrides `output_dir`.
Without files, the configuration of the last run in that folder counts.
"""

import os
from pathlib import Path

from miner_assets.graph import build_definitions
from miner_assets.workspace import Workspace
from miner_resources.config_files import load_project


def configured_workspace() -> Workspace:
    """The workspace that the environment names."""
    files = [Path(part) for part in os.environ.get("VIDEO_MINER_CONFIG", "").split(os.pathsep) if part]
    output = os.environ.get("VIDEO_MINER_OUTPUT")
    return Workspace.open(load_project(files, Path(output) if output else None))


defs = build_definitions(configured_workspace())
