"""Tiny checkpoints for all tests of models, built once."""

import pytest

from tests.models.tiny_checkpoints import Checkpoints, build_all


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory) -> Checkpoints:
    return build_all(tmp_path_factory.mktemp("checkpoints"))
