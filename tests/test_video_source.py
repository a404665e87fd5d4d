"""From what a user typed to videos with stable ids."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from miner_resources.errors import NotFound, Unavailable
from miner_resources.records import Video
from miner_resources.video_source import LeftOut, Lost, find_videos, local_path
from miner_resources.web.listing import Hit

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def no_network(url: str) -> Sequence[Hit]:
    raise AssertionError(f"{url} should not be listed")


def find(*sources: object, registered: Sequence[Video] = (), list_url=no_network) -> list[Video | LeftOut | Lost]:
    texts = [str(source) for source in sources]
    return list(find_videos(texts, registered=registered, list_url=list_url, now=NOW))


def file(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_local_file_is_named_by_its_content(tmp_path: Path) -> None:
    path = file(tmp_path / "my film.mp4", b"content")
    (video,) = find(path)
    assert isinstance(video, Video)
    assert video.video_id == "file-" + hashlib.sha256(b"content").hexdigest()[:12]
    assert (video.url, video.title, video.added_at) == (str(path), "my film", NOW)


def test_a_folder_gives_its_videos_in_order_and_nothing_else(tmp_path: Path) -> None:
    for name in ("b.mkv", "a.MP4", "sub/c.webm", "notes.txt", ".hidden/d.mp4"):
        file(tmp_path / name, name.encode())
    found = [Path(video.url).name for video in find(tmp_path) if isinstance(video, Video)]
    assert found == ["a.MP4", "b.mkv", "c.webm"]


def test_file_urls_and_relative_paths_are_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file(tmp_path / "a b.mp4", b"x")
    monkeypatch.chdir(tmp_path)
    by_url, by_name = find(path.as_uri(), "a b.mp4")
    assert by_url == by_name


@pytest.mark.parametrize("source", ["https://example.org/v", "http://x/v.mp4", "ytsearch5:red car", "rtmp://x/y"])
def test_urls_are_not_local(source: str) -> None:
    assert local_path(source) is None


def test_what_is_not_there_is_lost_alone(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    good = file(tmp_path / "a.mp4", b"x")
    lost, empty, video = find(tmp_path / "none.mp4", tmp_path / "empty", good)
    assert isinstance(lost, Lost)
    assert isinstance(lost.error, NotFound)
    assert "none.mp4 does not exist" in lost.error.message
    assert isinstance(empty, Lost)
    assert "holds no video files" in empty.error.message
    assert isinstance(video, Video)


def test_a_known_file_is_not_hashed_again_until_it_changes(tmp_path: Path) -> None:
    path = file(tmp_path / "a.mp4", b"one")
    (first,) = find(path)
    assert isinstance(first, Video)
    renamed = replace(first, video_id="file-marker")
    assert find(path, registered=[renamed]) == [renamed]
    file(path, b"two")
    os.utime(path, ns=(1, 1))
    (second,) = find(path, registered=[renamed])
    assert isinstance(second, Video)
    assert second.video_id not in (first.video_id, "file-marker")


def test_known_urls_cost_no_request() -> None:
    known = Video(video_id="vimeo-1", url="https://vimeo.com/1", added_at=NOW)
    assert find("https://vimeo.com/1", registered=[known]) == [known]


def test_direct_links_with_one_file_name_stay_apart() -> None:
    def list_url(url: str) -> Sequence[Hit]:
        return [Hit(1, Video(video_id="generic-clip", url=url, added_at=NOW))]

    found = find("http://a/clip.mp4", "http://b/clip.mp4", list_url=list_url)
    ids = [video.video_id for video in found if isinstance(video, Video)]
    assert ids[0] == "generic-clip"
    assert ids[1].startswith("generic-clip-")
    again = find("http://b/clip.mp4", list_url=list_url, registered=[found[0]])  # pyright: ignore
    assert again[0].video_id == ids[1]


def test_a_url_that_cannot_be_listed_is_lost_with_its_reason() -> None:
    error = Unavailable("no answer", remedy="wait")

    def list_url(url: str) -> Sequence[Hit]:
        raise error

    assert find("http://a/clip.mp4", list_url=list_url) == [Lost("http://a/clip.mp4", error)]


def test_what_the_filters_leave_out_of_a_list_is_said_with_the_reason() -> None:
    video = Video(video_id="abc", url="http://a/1", added_at=NOW)

    def list_url(url: str) -> Sequence[Hit]:
        return [Hit(1, video), Hit(2, video, "too long")]

    assert find("http://a/list", list_url=list_url) == [video, LeftOut("http://a/list", video, "too long")]


def test_single_videos_of_youtube_cost_no_request_known_or_not() -> None:
    (new,) = find("https://youtu.be/dQw4w9WgXcQ")
    assert isinstance(new, Video)
    assert (new.video_id, new.url) == ("dQw4w9WgXcQ", "https://www.youtube.com/watch?v=dQw4w9WgXcQ")
    known = replace(new, title="Known")
    assert find("https://www.youtube.com/shorts/dQw4w9WgXcQ", registered=[known]) == [known]
