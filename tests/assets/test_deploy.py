"""What `deploy/` hands out fits this repository: its files, programs, variables, and settings.

docs/scale.md says how the compose file and the chart's values were checked besides; with `VIDEO_MINER_LONG_TESTS=1` the
commands of the compose file run here, as processes beside a PostgreSQL server.
"""

import importlib.util
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from miner_resources.catalog import Catalog
from miner_resources.config_files import load_config, to_yaml
from miner_resources.demo.videos import write_demo_videos
from miner_resources.records import Status
from miner_resources.storage import Storage
from tests.assets.dagster_dev import LONGEST_S, free_port
from tests.assets.pipelines import CLASSES, MODELS
from tests.cluster.machines import postgres, postgres_programs
from tests.shared_data import REPOSITORY

DEPLOY = REPOSITORY / "deploy"
COMPOSE = DEPLOY / "compose"
BIN = Path(sys.executable).parent
SERVICES = ("webserver", "daemon")


def settings(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def compose() -> dict[str, Any]:
    return settings(COMPOSE / "compose.yaml")


def values() -> dict[str, Any]:
    return settings(DEPLOY / "kubernetes" / "values.yaml")


def leaves(tree: object, *path: str) -> Iterator[tuple[tuple[str, ...], object]]:
    """Keys on the way → value, of all plain values."""
    if not isinstance(tree, dict | list):
        yield path, tree
        return
    for key, inner in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield from leaves(inner, *path, str(key))


def test_with_postgresql_dagster_has_the_settings_of_a_project() -> None:
    ours = settings(DEPLOY / "postgres" / "dagster.yaml")
    assert ours.pop("storage")["postgres"]
    assert ours == settings(REPOSITORY / "dagster.yaml")


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_finds_its_files_and_programs(name: str) -> None:
    service = compose()["services"][name]
    for volume in service["volumes"]:
        source = volume.split(":")[0]
        assert source in compose()["volumes"] or (COMPOSE / source).is_file(), volume
    program, *words = shlex.split(service["command"])
    assert (BIN / program).exists()
    assert (REPOSITORY / words[words.index("-w") + 1]).is_file()
    assert service["depends_on"].keys() <= compose()["services"].keys()


def test_the_image_can_be_built_of_what_is_there() -> None:
    build = compose()["services"]["daemon"]["build"]
    context = (COMPOSE / build["context"]).resolve()
    assert context == REPOSITORY.resolve()
    copied = re.findall(r"^COPY (.+) \S+$", (context / build["dockerfile"]).read_text(), re.MULTILINE)
    assert copied
    assert [name for line in copied for name in line.split() if not (context / name).exists()] == []


def test_services_have_the_variables_that_the_settings_ask_for() -> None:
    asked = {value for path, value in leaves(settings(DEPLOY / "postgres" / "dagster.yaml")) if path[-1] == "env"}
    given = compose()["services"]["daemon"]["environment"]
    assert asked
    assert asked <= given.keys()
    shared = {name for name in given if not name.startswith("DAGSTER_")}
    for deployment in values()["dagster-user-deployments"]["deployments"]:
        assert {variable["name"] for variable in deployment["env"]} == shared


def test_nobody_else_reaches_the_containers() -> None:
    ports = [port for service in compose()["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_no_password_is_shipped() -> None:
    text = (COMPOSE / "compose.yaml").read_text()
    assert set(re.findall(r"PASSWORD: (.*)", text)) == {"${DAGSTER_PG_PASSWORD:?set a password}"}
    chart = values()
    assert [path for path, _ in leaves(chart) if path[-1].lower().endswith("password")] == []
    assert chart["generatePostgresqlPasswordSecret"] is False, "the chart's own password is known to everybody"
    assert chart["global"]["postgresqlSecretName"] == chart["postgresql"]["existingSecret"]


def test_pods_serve_a_module_of_ours_with_the_dagster_that_is_tested() -> None:
    for deployment in values()["dagster-user-deployments"]["deployments"]:
        module = deployment["dagsterApiGrpcArgs"][-1]
        assert importlib.util.find_spec(module)
        names = {volume["name"] for volume in deployment["volumes"]}
        assert {mount["name"] for mount in deployment["volumeMounts"]} == names
    assert f"--version {dg.__version__} " in (DEPLOY / "kubernetes" / "values.yaml").read_text()


@pytest.mark.slow
@pytest.mark.skipif("VIDEO_MINER_LONG_TESTS" not in os.environ, reason="two minutes: set VIDEO_MINER_LONG_TESTS=1")
@pytest.mark.skipif(postgres_programs() is None, reason="no PostgreSQL server here")
def test_the_services_mine_what_is_registered(tmp_path: Path) -> None:
    output, home = tmp_path / "data", tmp_path / "home"
    home.mkdir()
    shutil.copy(DEPLOY / "postgres" / "dagster.yaml", home)
    videos = sorted(write_demo_videos(tmp_path / "videos", seed=11, videos=2, targets=2).parent.glob("*.mp4"))
    words = [CLASSES, *MODELS, "extraction.strategy=time", "extraction.seconds=0.5", "device=cpu"]
    (tmp_path / "mine.yaml").write_text(to_yaml(load_config((), [*words, f"output_dir={output}"])))
    (tmp_path / "videos.txt").write_text("".join(f"{path}\n" for path in videos))
    here = {"DAGSTER_HOME": home, "VIDEO_MINER_OUTPUT": output, "VIDEO_MINER_CONFIG": tmp_path / "mine.yaml"}
    with postgres() as database:
        environment = {**os.environ, **{name: str(value) for name, value in here.items()}, **database}

        def said(*words: object) -> None:
            command = [BIN / str(words[0]), *map(str, words[1:])]
            subprocess.run(command, cwd=REPOSITORY, env=environment, check=True, capture_output=True)

        said("video-miner", "registry", "import", tmp_path / "videos.txt", "--output", output)
        running = [_started(name, environment, tmp_path / f"{name}.log") for name in SERVICES]
        try:
            said("dagster", "sensor", "start", "-w", "workspace.yaml", "new_videos")
            deadline = time.monotonic() + LONGEST_S
            while {video.status for video in Catalog(Storage(output)).videos()} != {Status.DETECTED}:
                assert time.monotonic() < deadline, (tmp_path / "daemon.log").read_text()[-3000:]
                assert [process.poll() for process in running] == [None, None]
                time.sleep(1)
        finally:
            for process in running:
                os.killpg(process.pid, signal.SIGINT)
            for process in running:
                process.wait(60)


def _started(service: str, environment: dict[str, str], log: Path) -> "subprocess.Popen[bytes]":
    """The command of a service, on a port of its own on loopback."""
    command = compose()["services"][service]["command"].replace("0.0.0.0", "127.0.0.1").replace("3000", "{port}")
    program, *words = shlex.split(command.format(port=free_port()))
    with log.open("wb") as said:
        return subprocess.Popen(
            [BIN / program, *words], cwd=REPOSITORY, env=environment, stdout=said, stderr=said, start_new_session=True
        )
