"""The hand-written project, and a client for its pages."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from miner_assets.explore.app import build_app
from miner_assets.explore.project import Project
from miner_assets.explore.queries import Queries
from miner_assets.workspace import Workspace
from miner_resources.config import MinerConfig
from miner_resources.storage import Storage
from tests.assets.explore.projects import config_of, queries_of, write_project


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    """Not to be changed."""
    return write_project(tmp_path_factory.mktemp("explore") / "project")


@pytest.fixture(scope="session")
def queries(storage: Storage) -> Queries:
    return queries_of(storage.root)


@pytest.fixture
def client(storage: Storage) -> TestClient:
    return client_of(storage.root)


def client_of(root: Path, token: str | None = None, config: MinerConfig | None = None) -> TestClient:
    project = Project(Workspace.open(config or config_of(root)), look_every_s=0)
    return TestClient(build_app(project, token=token), base_url="http://127.0.0.1")
