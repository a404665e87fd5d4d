import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miner_resources.catalog import Catalog
from miner_resources.errors import InvalidData, NotFound
from miner_resources.events import publish
from miner_resources.records import Stage, Status
from miner_resources.registry.files import read_import, write_export
from miner_resources.storage import Storage, check_video_id
from tests.registry_samples import a_video

REGISTRY = """
videos:
  dQw4w9WgXcQ:
    url: https://www.youtube.com/watch?v=dQw4w9WgXcQ
    title: 2001
    channel: Rick
    duration_seconds: 212
    source_keyword: dancing
    status: filtered
    added: 2024-03-01
    stages: {download: {status: completed, finished_at: 2024-03-02}, filtering: done}
  broken-one:
    url: https://example.org/b
    status: FAILED
    added: "2024-03-01T10:00:00+02:00"
    stages:
      download: {status: completed}
      extraction: {status: failed, error: no frames, timestamp: 2024-03-05 10:00:00}
  -skip:
    url: https://example.org/s
    status: skipped
    added: "20240301"
  vimeo:76979871:
    url: https://vimeo.com/76979871
"""


def written(tmp_path, text, name="registry.yaml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_registry_is_read_into_videos_that_start_again(tmp_path):
    videos = {video.video_id: video for video in read_import(written(tmp_path, REGISTRY)).videos}
    rick = videos["dQw4w9WgXcQ"]
    assert (rick.title, rick.channel, rick.duration_s, rick.source_keyword) == ("2001", "Rick", 212.0, "dancing")
    assert rick.status is Status.PENDING
    assert rick.notes is not None
    assert "imported as filtered" in rick.notes
    assert rick.added_at == datetime(2024, 3, 1, tzinfo=UTC)
    assert videos["broken-one"].status is Status.FAILED
    assert videos["broken-one"].added_at == datetime(2024, 3, 1, 8, tzinfo=UTC)
    assert videos["-skip"].status is Status.SKIPPED
    assert videos["-skip"].added_at == datetime(2024, 3, 1, tzinfo=UTC)


def test_only_failures_of_stages_are_taken_over(tmp_path):
    (record,) = read_import(written(tmp_path, REGISTRY)).records
    assert (record.video_id, record.stage, record.status, record.error) == (
        "broken-one", Stage.EXTRACT, "failed", "no frames",
    )  # fmt: skip
    assert record.finished_at == datetime(2024, 3, 5, 10, tzinfo=UTC)


def test_an_unsafe_id_becomes_a_safe_one_that_is_always_the_same(tmp_path):
    path = written(tmp_path, REGISTRY)
    first, second = (read_import(path).videos[-1] for _ in range(2))
    assert check_video_id(first.video_id) == second.video_id
    assert first.video_id.startswith("vimeo-76979871-")
    assert first.notes == "imported as 'vimeo:76979871'"


def test_a_failed_video_without_stages_still_says_so(tmp_path):
    text = "videos: {a: {url: u, status: failed, error: gone}}"
    (record,) = read_import(written(tmp_path, text)).records
    assert (record.stage, record.error) == (Stage.DOWNLOAD, "gone")


def test_json_is_read_like_yaml(tmp_path):
    text = json.dumps({"videos": {"a": {"url": "https://example.org/a", "added": "2024-03-01T00:00:00Z"}}})
    assert read_import(written(tmp_path, text, "r.json")).videos == [
        a_video("a", added_at=datetime(2024, 3, 1, tzinfo=UTC))
    ]


def test_imported_registry_through_the_catalog_and_out_again(tmp_path):
    wanted = read_import(written(tmp_path, REGISTRY))
    storage = Storage(tmp_path / "output")
    catalog = Catalog(storage)
    catalog.add_videos(wanted.videos)
    for record in wanted.records:
        publish(storage, record)
    catalog.fold()
    assert {video.video_id: video.status for video in catalog.videos()} == {
        video.video_id: video.status for video in wanted.videos
    }
    assert [record.error for record in catalog.failures()] == ["no frames"]
    listed = read_import(written(tmp_path, write_export(catalog.videos()), "urls.txt"))
    assert sorted(listed.urls) == sorted(video.url for video in wanted.videos)
    assert catalog.add_videos(wanted.videos) == []
    catalog.rebuild()
    assert {video.video_id: video.status for video in catalog.videos()} == {
        video.video_id: video.status for video in wanted.videos
    }


def test_all_problems_of_a_registry_are_named_at_once(tmp_path):
    text = """
    videos:
      a: {url: u, status: analysed}
      b: {title: no url}
      c: {url: u, added: yesterday}
      d: {url: u, stages: {teleport: done}}
      e: just text
      1234: {url: u}
      f: {url: u, duration_seconds: long}
    """
    with pytest.raises(InvalidData) as caught:
        read_import(written(tmp_path, text))
    message = str(caught.value)
    assert "videos.a: status is 'analysed', allowed is one of pending, downloading" in message
    assert "videos.b: url is missing" in message
    assert "videos.c: added is 'yesterday'" in message
    assert "videos.d: stages.teleport is unknown" in message
    assert "videos.e: must be an object" in message
    assert "videos.1234: the id must be text" in message
    assert "videos.f: duration_seconds is 'long'" in message


@pytest.mark.parametrize("text", ["", "videos: [a]", "- a", "videos: {a: [", "!!python/object/apply:os.getcwd []"])
def test_what_is_no_registry_is_refused(tmp_path, text):
    with pytest.raises(InvalidData):
        read_import(written(tmp_path, text))


def test_a_list_of_urls(tmp_path):
    text = "\ufeff# mine\nhttps://example.org/a  # the first\r\n\n https://example.org/b#t=3\n/films/my film.mp4\nhttps://example.org/a\n"
    assert read_import(written(tmp_path, text, "urls.txt")).urls == [
        "https://example.org/a", "https://example.org/b#t=3", "/films/my film.mp4",
    ]  # fmt: skip


def test_wrong_lines_are_named(tmp_path):
    text = "https://example.org/a\nhttps://a.org https://b.org\n--exec rm\n/film\x07.mp4\n"
    with pytest.raises(InvalidData) as caught:
        read_import(written(tmp_path, text, "urls.txt"))
    for number in (2, 3, 4):
        assert f"line {number}:" in str(caught.value)
    assert "line 1:" not in str(caught.value)


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(NotFound):
        read_import(tmp_path / "none.txt")
    (tmp_path / "film.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidData, match="cannot be read"):
        read_import(tmp_path / "film.txt")


@settings(deadline=None)
@given(st.lists(st.from_regex(r"https://[a-z]{1,9}\.org/[a-zA-Z0-9?=&#%_-]{0,20}", fullmatch=True)))
def test_an_export_is_read_back(tmp_path_factory, urls):
    videos = [a_video(f"v{index}", url=url) for index, url in enumerate(urls)]
    path = written(tmp_path_factory.mktemp("export"), write_export(videos), "urls.txt")
    assert read_import(path).urls == list(dict.fromkeys(urls))
