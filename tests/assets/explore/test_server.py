"""The pages beside the Dagster UI: the pictures it shows, and that they end with it; and `video-miner explore`."""

import io
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from PIL import Image
from starlette.testclient import TestClient
from typer.testing import CliRunner

from miner_assets.cli import app
from miner_assets.metadata import ADDRESS, PREVIEW_WIDTH, picture
from miner_resources.storage import Storage
from tests.assets.explore.conftest import client_of
from tests.assets.explore.projects import write_project

PROGRAM = Path(sys.executable).with_name("video-miner")


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    found = Storage(tmp_path / "output")
    for name in ("contact_sheets/filter/a b.jpg", "detections/visualizations/1.png", "dataset/contact_sheet.jpg"):
        (found.root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (1200, 600), (200, 30, 30)).save(found.root / name)
    (found.root / "config.yaml").write_text("classes: [secret]")
    (found.root / "frames_raw").mkdir()
    (found.root / "frames_raw" / "frame.jpg").write_bytes(b"frame")
    (found.root / "dataset" / "annotations.json").write_text("{}")
    (tmp_path / "outside.jpg").write_bytes(b"outside")
    (found.contact_sheets / "link.jpg").symlink_to(tmp_path / "outside.jpg")
    return found


@pytest.fixture
def client(storage: Storage) -> TestClient:
    return client_of(storage.root)


def test_pictures_of_the_metadata_are_found(client: TestClient, storage: Storage, monkeypatch) -> None:
    monkeypatch.setenv(ADDRESS, "http://127.0.0.1:4001")
    path = storage.contact_sheets / "filter" / "a b.jpg"
    shown = str(picture(storage, path)["preview"].value)
    address = shown.split("(")[1].split(")")[0]
    assert address.startswith("http://127.0.0.1:4001/")
    answer = client.get(address.removeprefix("http://127.0.0.1:4001"))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    with Image.open(io.BytesIO(answer.content)) as small:
        assert small.size == (PREVIEW_WIDTH, PREVIEW_WIDTH // 2)
    whole = shown.rsplit("(", 1)[1].rstrip(")")
    assert client.get(whole.removeprefix("http://127.0.0.1:4001")).content == path.read_bytes()
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_folder_has_no_preview(storage: Storage) -> None:
    assert list(picture(storage, storage.root / "frames_raw")) == ["sample"]
    assert picture(storage, None) == {}


@pytest.mark.parametrize(
    "path",
    [
        "contact_sheets",
        "contact_sheets/absent.jpg",
        "config.yaml",
        "frames_raw/frame.jpg",
        "dataset/annotations.json",
        "contact_sheets/link.jpg",
        "contact_sheets/%2e%2e/%2e%2e/outside.jpg",
        "contact_sheets/..%2f..%2foutside.jpg",
        "%2fetc%2fpasswd",
    ],
)
def test_nothing_else_is_handed_out(client: TestClient, path: str) -> None:
    assert client.get(f"/{path}").status_code == 404


def test_it_only_reads(client: TestClient) -> None:
    assert client.post("/dataset/contact_sheet.jpg").status_code == 405
    assert client.delete("/dataset/contact_sheet.jpg").status_code == 405


def test_other_hosts_that_point_here_get_nothing(storage: Storage) -> None:
    rebound = client_of(storage.root)
    assert rebound.get("/dataset/contact_sheet.jpg", headers={"Host": "evil.example"}).status_code == 400


@pytest.fixture
def server(storage: Storage) -> Generator[tuple[subprocess.Popen[bytes], str]]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "miner_assets.explore.server", str(storage.root), str(port)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    yield process, f"http://127.0.0.1:{port}/dataset/contact_sheet.jpg"
    process.kill()
    process.wait()


def test_it_ends_when_its_input_ends(server: tuple[subprocess.Popen[bytes], str]) -> None:
    process, address = server
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                assert answer.status == 200
            break
        except urllib.error.URLError:
            time.sleep(0.1)
    else:
        pytest.fail("the server never answered")
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(timeout=60) == 0


@pytest.fixture
def project(tmp_path: Path) -> Storage:
    return write_project(tmp_path / "project")


def explore(*arguments: object) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VIDEO_MINER")}
    command = [str(PROGRAM), "explore", "--no-open", *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def address_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://\S+", line)
    assert found, line + process.communicate(timeout=30)[1]
    return found[0]


def test_explore_says_where_it_is_and_ends_with_control_c(project: Storage) -> None:
    with explore("--output", project.root, "--port", 0) as process:
        try:
            address = address_of(process)
            with urllib.request.urlopen(address, timeout=60) as answer:
                assert b"A ride" in answer.read()
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert "Traceback" not in said
    assert process.returncode in (0, 130)


def test_other_machines_need_the_token(project: Storage) -> None:
    with explore("--output", project.root, "--port", 0, "--host", "0.0.0.0") as process:
        try:
            address = address_of(process)
            port, token = urlsplit(address).port, parse_qs(urlsplit(address).query)["token"][0]
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60)
            visitor = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
            with visitor.open(f"http://127.0.0.1:{port}/?token={token}", timeout=60) as answer:
                assert b"A ride" in answer.read()
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert "warning" in said
    assert len(token) >= 20


def test_explore_explains_what_it_cannot_do(project: Storage, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for arguments, words in (
            (["--output", tmp_path / "absent"], "does not exist"),
            (["--output", project.root, "--port", port], f"port {port} cannot be used"),
        ):
            result = CliRunner().invoke(app, ["explore", "--no-open", *map(str, arguments)])
            assert result.exit_code == 1
            assert words in " ".join(result.output.split())
