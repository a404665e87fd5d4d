"""How the suite ends, and what all of it may use."""

import os
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.models.tiny_checkpoints import Checkpoints

# The command line's tables fold at the width of the terminal, which differs from place to place.
os.environ["COLUMNS"] = "200"

_status = 0


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
