"""The server of pictures for the UI: what it hands out, what it keeps, and that it ends."""

import io
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

from miner_assets.metadata import ADDRESS, PREVIEW_WIDTH, picture
from miner_assets.picture_server import build_app
from miner_resources.storage import Storage


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    found = Storage(tmp_path / "output")
    for name in ("contact_sheets/filter/a b.jpg", "detections/visualizations/1.png", "dataset/contact_sheet.jpg"):
        (found.root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (1200, 600), (200, 30, 30)).save(found.root / name)
    (found.root / "config.yaml").write_text("secret")
    (found.root / "frames_raw").mkdir()
    (found.root / "frames_raw" / "frame.jpg").write_bytes(b"frame")
    (found.root / "dataset" / "annotations.json").write_text("{}")
    (tmp_path / "outside.jpg").write_bytes(b"outside")
    (found.contact_sheets / "link.jpg").symlink_to(tmp_path / "outside.jpg")
    return found


@pytest.fixture
def client(storage: Storage) -> TestClient:
    return TestClient(build_app(storage), base_url="http://127.0.0.1")


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
        "",
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
    rebound = TestClient(build_app(storage), base_url="http://evil.example")
    assert rebound.get("/dataset/contact_sheet.jpg").status_code == 400


@pytest.fixture
def server(storage: Storage) -> Generator[tuple[subprocess.Popen[bytes], str]]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "miner_assets.picture_server", str(storage.root), str(port)]
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
