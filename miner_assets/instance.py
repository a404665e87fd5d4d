"""The Dagster instance of a project: a persistent home inside the output folder, with our settings."""

import os
import shutil
from pathlib import Path

import dagster as dg

from miner_resources.errors import NotConfigured
from miner_resources.locks import file_lock
from miner_resources.storage import Storage

POOLS = ("youtube", "decode", "gpu", "registry")
LOCK = "opening.lock"
"""Held while a home is made: another process would find half of it."""


def shipped(name: str) -> Path:
    """A settings file of the repository: beside this module in an installed package, at the root in a checkout."""
    here = Path(__file__).parent
    return next((path for path in (here / name, here.parent / name) if path.exists()), here / name)


def prepare_home(storage: Storage) -> Path:
    """Make the Dagster home (`DAGSTER_HOME`, else inside the output folder) and return it.

    Raises:
        NotConfigured: `DAGSTER_HOME` is not an absolute path.
    """
    home = Path(os.environ.get("DAGSTER_HOME") or storage.dagster_home)
    if not home.is_absolute():
        raise NotConfigured(f"DAGSTER_HOME is {home}", remedy="set it to an absolute path, or unset it")
    home.mkdir(parents=True, exist_ok=True)
    settings = home / "dagster.yaml"
    with file_lock(home / LOCK):
        if not settings.exists():
            shutil.copyfile(shipped("dagster.yaml"), settings)
    os.environ["DAGSTER_HOME"] = str(home)
    return home


def open_instance(storage: Storage) -> dg.DagsterInstance:
    """The instance whose runs, events and partitions the Dagster UI shows for this project."""
    home = prepare_home(storage)
    # One at a time: Dagster makes its tables at first, and fails if another process does so at that moment.
    with file_lock(home / LOCK):
        instance = dg.DagsterInstance.get()
        # Otherwise the first steps do so, and of several that do at once on PostgreSQL all but one fail.
        for pool in set(POOLS) - instance.event_log_storage.get_concurrency_keys():
            instance.event_log_storage.initialize_concurrency_limit_to_default(pool)
        return instance
