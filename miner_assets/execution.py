"""Where the steps of a run are executed, and what each takes of a cluster."""

import json
from collections.abc import Mapping
from typing import Final

import dagster as dg

from miner_resources.errors import NotConfigured

EXECUTOR: Final = "VIDEO_MINER_EXECUTOR"
"""Environment variable: `in_process` or `ray`."""
PASSED_ON: Final = (
    "VIDEO_MINER_CONFIG",
    "VIDEO_MINER_OUTPUT",
    "VIDEO_MINER_PICTURES",
    "DAGSTER_PG_HOST",
    "DAGSTER_PG_PORT",
    "DAGSTER_PG_USERNAME",
    "DAGSTER_PG_PASSWORD",
    "DAGSTER_PG_DB",
    "VIDEO_MINER_RAY",
    "HF_HOME",
    "HF_HUB_OFFLINE",
)
"""Environment variables that a step needs on another machine; deploy/ray/dagster.yaml names them for runs."""

_RAY: Final = "dagster-ray/config"


def takes(*, cpus: int, gpus: int = 0) -> Mapping[str, str]:
    """Op tags of a stage: what its step reserves on a node of a Ray cluster. Other executors ignore them."""
    return {_RAY: json.dumps({"num_cpus": cpus, "num_gpus": gpus})}


def chosen_executor(name: str) -> dg.ExecutorDefinition:
    """The executor for the value of `VIDEO_MINER_EXECUTOR`.

    Raises:
        NotConfigured: there is none of that name, or its package is missing.
    """
    if name in ("", "in_process"):
        # Models live in the process of the step: a killed run must not leave a child that keeps the device.
        return dg.in_process_executor
    if name != "ray":
        raise NotConfigured(f"{EXECUTOR} is {name!r}", remedy="set it to in_process or ray, or unset it")
    try:
        from dagster_ray import ray_executor
    except ImportError as error:
        raise NotConfigured(f"{EXECUTOR}=ray needs dagster-ray", remedy="pip install 'video-miner[cluster]'") from error
    return ray_executor.configured({"ray": {"env_vars": list(PASSED_ON)}}, name="ray")
