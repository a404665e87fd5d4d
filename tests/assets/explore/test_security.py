"""Hostile titles, addresses, hosts and artifacts; and that nothing of the project is ever changed."""

import hashlib
import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from miner_assets.explore.cards import web_link
from miner_assets.explore.security import HEADERS, is_loopback
from miner_resources.storage import Storage
from tests.assets.explore.conftest import client_of
from tests.assets.explore.projects import FIRST, write_project
from tests.assets.explore.test_pages import PAGES

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{7*7}}"
TOKEN = "correct-horse"


@pytest.mark.parametrize("path", [*PAGES, "/nothing", "/?show=x", "/static/explore.css", "/thumb/first/0/320.jpg"])
def test_every_answer_has_the_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert HEADERS.items() <= dict(headers).items() | {(name, headers.get(name.lower())) for name in HEADERS}
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("path", PAGES)
def test_pages_have_no_inline_scripts_or_styles(client: TestClient, path: str) -> None:
    page = client.get(path).text
    assert not re.search(r"<script(?! src=)|<style|\sstyle=|\son\w+=|javascript:", page)


@pytest.mark.parametrize("path", PAGES)
def test_hostile_titles_are_text(tmp_path_factory: pytest.TempPathFactory, path: str) -> None:
    storage = write_project(tmp_path_factory.mktemp("hostile") / "project", title=HOSTILE)
    page = client_of(storage.root).get(path).text
    assert "<script>alert" not in page
    assert "<img src=x" not in page


@pytest.mark.parametrize("name", ["cls", "video", "keyword", "split", "reason", "q", "like", "title", "show", "page"])
def test_hostile_parameters_are_text(client: TestClient, name: str) -> None:
    for path in ("/", "/videos", "/repeats", "/video/first"):
        page = client.get(path, params={name: HOSTILE}).text
        assert "<script>alert" not in page
        assert "<img src=x" not in page


@pytest.mark.parametrize(
    "path",
    [
        "/image/first/0/../../../etc/passwd",
        "/image/..%2f..%2f/0",
        "/image/%2e%2e/0",
        "/thumb/..%2f/0/320.jpg",
        "/thumb/first/0/321.jpg",
        "/thumb/first/0/99999999999999999999.jpg",
        "/image/first/99999999999999999999999",
        "/media/..%2fregistry.duckdb",
        "/media/first",
        "/static/..%2fapp.py",
        "/static/../app.py",
        "/registry.duckdb",
        "/frames_raw/first/frame_000000.jpg",
        "/dataset/made_from.json",
        "/%00.jpg",
        "/" + "a" * 5000 + ".jpg",
    ],
)  # fmt: skip
def test_only_known_files_are_handed_out(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("path", ["../secret.jpg", "/etc/hostname", "registry.duckdb", "videos/x.jpg"])
def test_a_table_cannot_point_elsewhere(tmp_path: Path, path: str) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    client = client_of(write_project(tmp_path / "project", path=path).root)
    assert client.get(f"/image/{FIRST}/0").status_code == 404
    assert client.get(f"/thumb/{FIRST}/0/320.jpg").status_code == 404
    assert client.get(f"/frame/{FIRST}/0").status_code == 200


def test_a_link_to_outside_is_not_followed(tmp_path: Path) -> None:
    storage = write_project(tmp_path / "project")
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    frame = storage.raw_frames(FIRST) / "frame_000000.jpg"
    frame.unlink()
    frame.symlink_to(tmp_path / "secret.jpg")
    assert client_of(storage.root).get(f"/image/{FIRST}/0").status_code == 404


def test_a_damaged_picture_is_an_error_of_that_picture(tmp_path: Path) -> None:
    storage = write_project(tmp_path / "project")
    (storage.raw_frames(FIRST) / "frame_000000.jpg").write_bytes(b"\xff\xd8\xff no picture")
    client = client_of(storage.root)
    assert client.get(f"/thumb/{FIRST}/0/320.jpg").status_code == 400
    assert client.get(f"/thumb/{FIRST}/1/320.jpg").status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/", "/frame/first/0", "/image/first/0", "/static/explore.css", "/search"])
def test_it_only_reads(client: TestClient, method: str, path: str) -> None:
    assert client.request(method, path).status_code == 405


def test_nothing_of_the_project_is_changed(tmp_path: Path) -> None:
    storage = write_project(tmp_path / "project")
    before = _state(storage)
    client = client_of(storage.root)
    for path in (*PAGES, "/image/first/0", "/thumb/first/0/320.jpg", "/nothing"):
        client.get(path)
    assert _state(storage) == before


def test_other_hosts_that_point_here_get_nothing(storage: Storage) -> None:
    client = client_of(storage.root)
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 400
    assert client.get("/", headers={"Host": "localhost:3002"}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/image/first/0", "/static/explore.js", "/?token=wrong", "/?token="])
def test_without_the_token_nobody_gets_in(storage: Storage, path: str) -> None:
    answer = client_of(storage.root, TOKEN).get(path)
    assert answer.status_code == 401
    assert "A ride" not in answer.text


def test_the_token_opens_once_and_leaves_the_address(storage: Storage) -> None:
    client = client_of(storage.root, TOKEN)
    answer = client.get("/frame/first/0", params={"show": "all", "token": TOKEN}, follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/frame/first/0?show=all"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert client.get("/").status_code == 200


def test_a_redirect_stays_here(storage: Storage) -> None:
    address = f"http://127.0.0.1//evil.example/?token={TOKEN}"
    answer = client_of(storage.root, TOKEN).get(address, follow_redirects=False)
    assert answer.headers["location"] == "/evil.example/"


def test_addresses_of_this_machine() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "localhost", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.2", "example.com", "")))


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "/etc/passwd", None])
def test_only_web_addresses_become_links(url: str | None) -> None:
    assert web_link(url) is None


def _state(storage: Storage) -> dict[str, tuple[int, str]]:
    return {
        str(path): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(storage.root.rglob("*"))
        if path.is_file()
    }
