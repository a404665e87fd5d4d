"""How the suite ends, and what all of it may use."""

import gc
import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.models.tiny_checkpoints import Checkpoints

# The command line's tables fold at the width of the terminal, which differs from place to place.
os.environ["COLUMNS"] = "200"
# Libraries that start a thread for each processor, in each worker, get in the way of each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

_status = 0
_module: Path | None = None


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> "Checkpoints":
    """Tiny checkpoints of every family, with random weights."""
    from tests.models.tiny_checkpoints import build_all

    return build_all(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses between the attempts of one request."""
    monkeypatch.setattr("miner_resources.web.client.FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("miner_resources.web.fetch.FIRST_PAUSE_S", 0.01)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begin each module without what the last one, in this process, has left in the environment.

    Opening a project in a test leaves its Dagster home there, which a program that a later test starts would take.
    What is imported by now stays: the garbage collector need not walk over it in each test that asks for a collection.
    """
    global _module
    if item.path != _module:
        _module = item.path
        gc.freeze()
        for name in ("DAGSTER_HOME", "VIDEO_MINER_PICTURES"):
            os.environ.pop(name, None)


def pytest_xdist_auto_num_workers() -> int:
    """Two more than there are processors: tests of real servers and daemons mostly wait."""
    return 2 + (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The contract of adapters as a table: how many of its assertions each family has passed."""
    counts: dict[str, Counter[str]] = {}
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(outcome, []):
            test, _, case = report.nodeid.partition("[")
            if "test_adapters.py::" in test and case.startswith(("detector-", "embedder-", "text_image_model-")):
                counts.setdefault(case.rstrip("]"), Counter())[outcome] += 1
    if counts:
        terminalreporter.section("contract of model adapters")
        width = max(map(len, counts))
        for case, outcomes in sorted(counts.items()):
            terminalreporter.write_line(
                f"{case:<{width}}  " + ", ".join(f"{number} {outcome}" for outcome, number in outcomes.items())
            )


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Remember how it went."""
    global _status
    _status = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """End without tearing the interpreter down, as `miner_assets.cli.main` does and for the same reason."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(_status)
