"""Listing and downloading through the real yt-dlp against a loopback server."""

from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from miner_resources.config import DownloadConfig
from miner_resources.errors import InvalidData, MinerError, NotFound, RateLimited, Unavailable
from miner_resources.web_video import download, list_url, video_id_of
from tests.loopback import MediaServer
from tests.video_factory import write_video

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def server(tmp_path: Path) -> Generator[MediaServer]:
    folder = tmp_path / "served"
    folder.mkdir()
    write_video(folder / "clip.mp4", frames=12)
    with MediaServer(folder).running() as running:
        yield running


def test_a_direct_link_is_listed_as_one_video(server: MediaServer) -> None:
    (video,) = list_url(f"{server.url}/ok/clip.mp4", DownloadConfig(), NOW)
    assert (video.video_id, video.title, video.added_at) == ("generic-clip", "clip", NOW)
    assert video.url == f"{server.url}/ok/clip.mp4"


def test_download_gives_the_same_bytes(server: MediaServer, tmp_path: Path) -> None:
    (video,) = list_url(f"{server.url}/ok/clip.mp4", DownloadConfig(), NOW)
    folder = tmp_path / "download"
    folder.mkdir()
    path, facts = download(video, folder, DownloadConfig())
    assert path.read_bytes() == (server.folder / "clip.mp4").read_bytes()
    assert path.suffix == ".mp4"
    assert facts["extractor"] == "generic"


@pytest.mark.parametrize(
    ("path", "expected", "retryable"),
    [
        ("404/a.mp4", NotFound, False),
        ("403/a.mp4", Unavailable, True),
        ("429/a.mp4", RateLimited, True),
        ("503/a.mp4", Unavailable, True),
        ("html/page", InvalidData, False),
    ],
)
def test_failures_become_typed_errors_that_name_the_url(
    server: MediaServer, path: str, expected: type[MinerError], retryable: bool
) -> None:
    with pytest.raises(MinerError) as caught:
        list_url(f"{server.url}/{path}", DownloadConfig(), NOW)
    assert type(caught.value) is expected
    assert caught.value.retryable is retryable
    assert path in caught.value.message
    assert caught.value.remedy


def test_no_server_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        list_url("http://127.0.0.1:9/clip.mp4", DownloadConfig(), NOW)


@pytest.mark.parametrize(
    ("extractor", "native", "expected"),
    [
        ("Youtube", "dQw4w9WgXcQ", "dQw4w9WgXcQ"),
        ("Youtube", "-_abcdefghi", "-_abcdefghi"),
        ("Vimeo", "12345", "vimeo-12345"),
        ("generic", "clip", "generic-clip"),
    ],
)
def test_ids_are_those_of_the_contract(extractor: str, native: str, expected: str) -> None:
    assert video_id_of(extractor, native) == expected


def test_ids_with_other_characters_stay_apart() -> None:
    first, second = video_id_of("generic", "a b"), video_id_of("generic", "a/b")
    assert first != second
    assert first.startswith("generic-a-b-")
    assert second.startswith("generic-a-b-")
