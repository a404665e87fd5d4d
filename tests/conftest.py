"""How the suite ends."""

import os
import sys

import pytest

_status = 0


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
