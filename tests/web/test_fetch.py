"""Downloads through the real yt-dlp: from a pretend YouTube, and from a media server that misbehaves."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from miner_resources.errors import CorruptMedia, InvalidData, MinerError, NotConfigured, NotWanted
from miner_resources.web.fetch import fetch
from miner_resources.web.trouble import SourceFailed, Trouble
from tests.internet import CC, PretendInternet, PretendVideo
from tests.loopback import LoopbackServer
from tests.web.conftest import Connect, linked_video, youtube_video

ID = "bbbbbbbbbbb"


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "part"


@pytest.fixture
def original(served: Path) -> bytes:
    return (served / "clip.mp4").read_bytes()


def test_one_video_only_file_of_the_wanted_height_comes_without_ffmpeg(
    internet: PretendInternet, connect: Connect, part: Path, original: bytes
) -> None:
    fetched = fetch(connect(internet, max_height=720), youtube_video(ID), part)
    assert fetched.path.read_bytes() == original
    assert fetched.source["format_id"] == "136"
    assert fetched.source["client"] == "visionos"
    assert fetched.source["formats_offered"] == 4
    assert fetched.source["yt_dlp_version"]
    assert fetched.video.title == "A pretend video"
    assert [seen.path for seen in internet.seen if "googlevideo" in seen.host] == ["/ok/136/clip.mp4"]


@pytest.mark.parametrize(
    ("codec", "height", "expected"),
    [("h264", 1080, "137"), ("vp9", 1080, "248"), ("h264", 720, "136"), ("vp9", 480, "243"), ("h264", 240, "134")],
)
def test_codec_and_height_are_preferences(
    codec: str, height: int, expected: str, internet: PretendInternet, connect: Connect, part: Path
) -> None:
    internet.videos[ID] = PretendVideo(vp9=(360, 720, 1080))
    client = connect(internet, codec=codec, max_height=height)
    assert fetch(client, youtube_video(ID), part).source["format_id"] == expected


def test_upscaled_formats_are_never_taken_and_their_number_is_told(
    internet: PretendInternet, connect: Connect, part: Path
) -> None:
    internet.videos[ID] = PretendVideo(heights=(360, 720), upscaled=(1080,))
    source = fetch(connect(internet), youtube_video(ID), part).source
    assert (source["format_id"], source["ai_upscaled_offered"], source["is_ai_upscaled"]) == ("136", 1, False)


def test_where_only_upscaled_pictures_are_offered_there_is_no_format(
    internet: PretendInternet, connect: Connect, part: Path
) -> None:
    internet.videos[ID] = PretendVideo(heights=(), upscaled=(1080,), combined=False)
    with pytest.raises(SourceFailed) as caught:
        fetch(connect(internet), youtube_video(ID), part)
    assert caught.value.trouble is Trouble.NO_FORMAT


def test_the_stand_in_that_youtube_gives_to_strangers_is_left_for_later(
    internet: PretendInternet, connect: Connect, part: Path
) -> None:
    internet.videos[ID] = PretendVideo(heights=())
    with pytest.raises(SourceFailed) as caught:
        fetch(connect(internet), youtube_video(ID), part)
    assert caught.value.trouble is Trouble.NO_FORMAT
    assert caught.value.retryable
    assert not any("googlevideo" in seen.host for seen in internet.seen)
    taken = fetch(connect(internet, accept_degraded=True), youtube_video(ID), part)
    assert taken.source["degraded"] is True


def test_nothing_secret_is_kept(internet: PretendInternet, connect: Connect, part: Path, tmp_path: Path) -> None:
    cookies = tmp_path / "cookies.txt"
    line = ".youtube.com\tTRUE\t/\tTRUE\t2147483647\tSECRET\tplanted"
    cookies.write_text(f"# Netscape HTTP Cookie File\n{line}\n")
    before = cookies.read_bytes()
    fetched = fetch(connect(internet, cookies_file=str(cookies)), youtube_video(ID), part)
    assert cookies.read_bytes() == before
    assert any("SECRET=planted" in (seen.cookie or "") for seen in internet.seen if seen.host == "www.youtube.com")
    assert not any("planted" in (seen.cookie or "") for seen in internet.seen if "googlevideo" in seen.host)
    assert "planted" not in json.dumps(dict(fetched.source))
    assert "signature" not in json.dumps(dict(fetched.source))
    assert not any(b"planted" in path.read_bytes() for path in part.rglob("*") if path.is_file())


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("how", ["ok", "reset", "short", "norange"])
def test_what_arrives_is_whole_however_the_host_behaves(
    how: str, server: LoopbackServer, connect: Connect, part: Path, original: bytes
) -> None:
    fetched = fetch(connect(), linked_video(f"{server.url}/{how}/clip.mp4"), part)
    assert fetched.path.read_bytes() == original
    resumed = [seen for seen in server.seen if seen.range and not seen.range.startswith("bytes=0")]
    assert bool(resumed) == (how in ("reset", "short"))


def test_a_download_that_was_stopped_goes_on_where_it_stopped(
    internet: PretendInternet, connect: Connect, part: Path, original: bytes
) -> None:
    client, half = connect(internet), len(original) // 2
    fetch(client, youtube_video(ID), part)
    (part / "video.mp4").unlink()
    (part / "video.mp4.part").write_bytes(original[:half])
    internet.seen.clear()
    assert fetch(client, youtube_video(ID), part).path.read_bytes() == original
    assert f"bytes={half}-" in str([seen.range for seen in internet.seen if "googlevideo" in seen.host])


def test_the_start_of_another_format_is_not_continued(
    internet: PretendInternet, connect: Connect, part: Path, original: bytes
) -> None:
    fetch(connect(internet, max_height=360), youtube_video(ID), part)
    (part / "video.mp4").unlink()
    (part / "video.mp4.part").write_bytes(b"x" * 1000)
    assert fetch(connect(internet, max_height=720), youtube_video(ID), part).path.read_bytes() == original


def test_a_stale_start_is_noticed_and_fetched_anew(
    internet: PretendInternet, connect: Connect, part: Path, original: bytes
) -> None:
    client = connect(internet)
    fetch(client, youtube_video(ID), part)
    (part / "video.mp4").unlink()
    (part / "video.mp4.part").write_bytes(b"x" * 30_000)
    assert fetch(client, youtube_video(ID), part).path.read_bytes() == original


def test_bytes_that_are_no_video_fail_with_a_reason(internet: PretendInternet, connect: Connect, part: Path) -> None:
    internet.videos[ID] = PretendVideo(how="html")
    with pytest.raises(CorruptMedia, match="web page"):
        fetch(connect(internet), youtube_video(ID), part)


def test_a_stream_without_end_stops_at_the_limit(server: LoopbackServer, connect: Connect, part: Path) -> None:
    with pytest.raises(NotWanted, match="max_filesize is 1000000"):
        fetch(connect(max_filesize=1_000_000), linked_video(f"{server.url}/endless/clip.mp4"), part)


def test_a_stream_without_end_and_limit_stops_before_the_disk_is_full(
    server: LoopbackServer, connect: Connect, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("miner_resources.web.watch.FREE_DISK_BYTES", 1 << 60)
    monkeypatch.setattr("miner_resources.web.watch.DISK_CHECK_BYTES", 1 << 20)
    with pytest.raises(MinerError, match="nearly full"):
        fetch(connect(), linked_video(f"{server.url}/endless/clip.mp4"), part)


@pytest.mark.usefixtures("hasty")
def test_a_trickle_is_given_up(server: LoopbackServer, connect: Connect, part: Path) -> None:
    with pytest.raises(SourceFailed, match="bytes came in") as caught:
        fetch(connect(timeout=1), linked_video(f"{server.url}/slow/clip.mp4"), part)
    assert caught.value.trouble is Trouble.NETWORK


def test_limits_are_checked_before_the_download(internet: PretendInternet, connect: Connect, part: Path) -> None:
    internet.videos[ID] = PretendVideo(duration=7200)
    with pytest.raises(NotWanted, match="lasts 7200 s"):
        fetch(connect(internet, max_duration_s=3600), youtube_video(ID), part)
    internet.videos[ID] = PretendVideo()
    with pytest.raises(NotWanted, match="max_filesize is 1000"):
        fetch(connect(internet, max_filesize=1000), youtube_video(ID), part)
    assert not any("googlevideo" in seen.host for seen in internet.seen)


def test_the_rate_limit_holds(internet: PretendInternet, connect: Connect, part: Path, original: bytes) -> None:
    import time

    rate = len(original) // 2
    began = time.monotonic()
    fetch(connect(internet, rate_limit=rate), youtube_video(ID), part)
    # Nothing is said about how fast it is otherwise: only that two seconds' worth of bytes took more than one.
    assert time.monotonic() - began > 1


def test_only_creative_commons_where_the_policy_says_so(
    internet: PretendInternet, connect: Connect, part: Path
) -> None:
    with pytest.raises(NotWanted, match="not stated"):
        fetch(connect(internet), youtube_video(ID), part, "cc")
    internet.videos[ID] = PretendVideo(license=CC)
    assert fetch(connect(internet), youtube_video(ID), part, "cc").video.license == CC


def test_trainability_is_asked_when_wanted_and_stored(internet: PretendInternet, connect: Connect, part: Path) -> None:
    asked = "/youtube/v3/videoTrainability"
    assert fetch(connect(internet), youtube_video(ID), part).video.trainable is None
    assert internet.asked(asked) == 0
    assert fetch(connect(internet, trainability=True), youtube_video(ID), part).video.trainable == "none"
    with pytest.raises(NotWanted, match="allows training to: none"):
        fetch(connect(internet), youtube_video(ID), part, "trainable")
    internet.videos[ID] = PretendVideo(permitted=("all",))
    assert fetch(connect(internet), youtube_video(ID), part, "trainable").video.trainable == "all"


def test_an_answer_that_makes_no_sense_is_no_answer(internet: PretendInternet, connect: Connect, part: Path) -> None:
    internet.broken_paths["/youtube/v3/videoTrainability"] = 404
    assert fetch(connect(internet, trainability=True), youtube_video(ID), part).video.trainable is None
    with pytest.raises(SourceFailed, match="who may train") as caught:
        fetch(connect(internet), youtube_video(ID), part, "trainable")
    assert caught.value.retryable


@pytest.mark.parametrize("line", [".youtube.com TRUE / TRUE 2147483647 LOGIN_INFO planted", "planted"])
def test_a_cookie_file_with_other_lines_is_refused_without_showing_them(
    line: str, internet: PretendInternet, connect: Connect, part: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cookies = part.with_name("cookies.txt")
    cookies.write_text(f"# Netscape HTTP Cookie File\n\n{line}\n")
    with pytest.raises(NotConfigured, match=r"line 3 of download\.cookies_file") as caught:
        fetch(connect(internet, cookies_file=str(cookies)), youtube_video(ID), part)
    assert "planted" not in str(caught.value) + "".join(capfd.readouterr())


def test_a_list_is_no_video_and_its_entries_are_not_asked_for(
    internet: PretendInternet, connect: Connect, part: Path
) -> None:
    internet.lists["/playlist"] = ["ccccccccccc", "ddddddddddd"]
    video = linked_video("https://www.youtube.com/playlist?list=PLpretendpretendpretendpretend1234")
    with pytest.raises(InvalidData, match="is a list of videos"):
        fetch(connect(internet), video, part)
    assert internet.asked("/watch") == 0


def test_without_a_runtime_the_stand_in_is_a_matter_of_setup(
    internet: PretendInternet, connect: Connect, part: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yt_dlp.utils._jsruntime._find_exe", lambda name: str(tmp_path / name))
    internet.videos[ID] = PretendVideo(heights=())
    with pytest.raises(SourceFailed) as caught:
        fetch(connect(internet), youtube_video(ID), part)
    assert caught.value.trouble is Trouble.SETUP


def test_a_stated_title_stays(internet: PretendInternet, connect: Connect, part: Path) -> None:
    video = replace(youtube_video(ID), title="Mine", license="Mine too")
    fetched = fetch(connect(internet), video, part).video
    assert (fetched.title, fetched.license, fetched.channel) == ("Mine", "Mine too", "Pretend channel")
