"""Every class of trouble, from the words of yt-dlp's own extractors: they run for real against a pretend YouTube."""

from pathlib import Path
from typing import Any

import pytest

from miner_resources.config_sections import PacingConfig
from miner_resources.errors import InvalidData, MinerError, NotConfigured, Waiting
from miner_resources.web.fetch import fetch
from miner_resources.web.trouble import POLICIES, SourceFailed, Trouble
from tests.internet import PretendInternet, PretendVideo
from tests.loopback import LoopbackServer
from tests.web.conftest import FAST, Connect, linked_video, youtube_video

ID = "aaaaaaaaaaa"


def unplayable(reason: str, status: str = "ERROR", **error_screen: Any) -> dict[str, Any]:
    """The player's answer when YouTube does not show a video."""
    return {"playabilityStatus": {"status": status, "reason": reason, "errorScreen": error_screen}, "streamingData": {}}


def said(reason: str, subreason: str = "") -> dict[str, Any]:
    """The same with the two lines of the error screen."""
    message = {"reason": {"simpleText": reason}, "subreason": {"simpleText": subreason}}
    return unplayable(reason, "UNPLAYABLE", playerErrorMessageRenderer=message)


ANSWERS: dict[str, tuple[Trouble, dict[str, Any]]] = {
    "bot check": (Trouble.BLOCKED, unplayable("Sign in to confirm you’re not a bot", "LOGIN_REQUIRED")),
    "captcha": (Trouble.BLOCKED, unplayable("Video unavailable", "UNPLAYABLE", playerCaptchaViewModel={"a": 1})),
    "session limit": (
        Trouble.RATE_LIMITED,
        said("Video unavailable", "This content isn't available, try again later."),
    ),
    "removed": (Trouble.GONE, said("Video unavailable", "This video has been removed by the uploader")),
    "terminated": (Trouble.GONE, said("Video unavailable", "This video is no longer available because the account")),
    "private": (Trouble.GONE, unplayable("Private video", "LOGIN_REQUIRED")),
    "deleted": (Trouble.GONE, unplayable("This video is unavailable")),
    "country": (
        Trouble.GEO,
        said("Video unavailable", "The uploader has not made this video available in your country"),
    ),
    "age": (Trouble.AGE, unplayable("Sign in to confirm your age", "LOGIN_REQUIRED")),
    "age words": (Trouble.AGE, unplayable("This video may be inappropriate for some users.", "LOGIN_REQUIRED")),
    "members": (
        Trouble.MEMBERS,
        unplayable("Join this channel to get access to members-only content like this video", "UNPLAYABLE"),
    ),
    "members level": (
        Trouble.MEMBERS,
        unplayable("This video is available to this channel's members on level: Gold (or any higher level)."),
    ),
    "premiere": (Trouble.UPCOMING, unplayable("Premieres in 3 hours", "LIVE_STREAM_OFFLINE")),
    "live soon": (Trouble.UPCOMING, unplayable("This live event will begin in 5 days.", "LIVE_STREAM_OFFLINE")),
    "no formats": (Trouble.NO_FORMAT, {"streamingData": {}}),
    "all protected": (Trouble.DRM, {"streamingData": {"licenseInfos": [{"drmFamily": "WIDEVINE"}]}}),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_what_youtube_says_becomes_its_class(
    case: str, internet: PretendInternet, connect: Connect, tmp_path: Path
) -> None:
    trouble, player = ANSWERS[case]
    internet.videos[ID] = PretendVideo(player=player)
    with pytest.raises(MinerError) as caught:
        fetch(connect(internet), youtube_video(ID), tmp_path / "part")
    error = caught.value
    if POLICIES[trouble].everybody:
        # With no patience, trouble of everybody is a reason to wait, never a failure.
        assert isinstance(error, Waiting)
        assert f"{trouble.value}: " in error.message
    else:
        assert isinstance(error, SourceFailed)
        assert error.trouble is trouble
        assert ID in error.message
    assert error.remedy
    assert "github.com" not in error.message
    assert "--cookies" not in error.message


def test_a_live_stream_is_upcoming_until_it_is_over(
    internet: PretendInternet, connect: Connect, tmp_path: Path
) -> None:
    details = {"videoId": ID, "title": "Now", "isLive": True, "isLiveContent": True, "lengthSeconds": "0"}
    internet.videos[ID] = PretendVideo(player={"videoDetails": details})
    with pytest.raises(SourceFailed) as caught:
        fetch(connect(internet), youtube_video(ID), tmp_path / "part")
    assert caught.value.trouble is Trouble.UPCOMING


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("path", "trouble"),
    [("403", Trouble.TOKEN), ("404", Trouble.GONE), ("410", Trouble.GONE), ("503", Trouble.NETWORK)],
)
def test_what_the_media_host_answers_becomes_its_class(
    path: str, trouble: Trouble, internet: PretendInternet, connect: Connect, tmp_path: Path
) -> None:
    internet.videos[ID] = PretendVideo(how=path)
    with pytest.raises(SourceFailed) as caught:
        fetch(connect(internet), youtube_video(ID), tmp_path / "part")
    assert caught.value.trouble is trouble


@pytest.mark.usefixtures("hasty")
def test_a_refused_token_is_asked_for_once_more_with_a_fresh_extraction(
    internet: PretendInternet, connect: Connect, tmp_path: Path
) -> None:
    internet.videos[ID] = PretendVideo(how="403")
    with pytest.raises(SourceFailed):
        fetch(connect(internet), youtube_video(ID), tmp_path / "part")
    assert internet.asked("/watch") == 2


@pytest.mark.usefixtures("hasty")
def test_no_route_is_trouble_with_the_network_and_tried_three_times(connect: Connect, tmp_path: Path) -> None:
    client = connect(proxy="http://127.0.0.1:9")
    with pytest.raises(SourceFailed) as caught:
        fetch(client, youtube_video(ID), tmp_path / "part")
    assert caught.value.trouble is Trouble.NETWORK


def test_without_a_javascript_runtime_missing_formats_are_a_matter_of_setup(
    internet: PretendInternet, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Both runtimes are looked for beside Python and on PATH.
    monkeypatch.setattr("yt_dlp.utils._jsruntime._find_exe", lambda name: str(tmp_path / name))
    internet.videos[ID] = PretendVideo(player={"streamingData": {}})
    with pytest.raises(SourceFailed) as caught:
        fetch(connect(internet), youtube_video(ID), tmp_path / "part")
    assert caught.value.trouble is Trouble.SETUP
    assert "deno" in caught.value.remedy


def test_only_protected_formats_are_drm(internet: PretendInternet, connect: Connect, tmp_path: Path) -> None:
    stream = {"itag": 136, "url": "https://r1.googlevideo.com/x", "mimeType": 'video/mp4; codecs="avc1.4d401f"'}
    player = {"streamingData": {"adaptiveFormats": [{**stream, "drmFamilies": ["WIDEVINE"], "quality": "medium"}]}}
    internet.videos[ID] = PretendVideo(player=player)
    with pytest.raises(SourceFailed) as caught:
        fetch(connect(internet), youtube_video(ID), tmp_path / "part")
    assert caught.value.trouble is Trouble.DRM


def test_a_429_says_how_long_to_wait(server: LoopbackServer, connect: Connect, tmp_path: Path) -> None:
    with pytest.raises(Waiting) as caught:
        fetch(connect(), linked_video(f"{server.url}/429/clip.mp4"), tmp_path / "part")
    assert "rate_limited" in caught.value.message


def test_a_short_rest_is_waited_out_and_the_video_comes(
    server: LoopbackServer, connect: Connect, tmp_path: Path
) -> None:
    patient = FAST.model_copy(update={"patience": 30})
    fetched = fetch(connect(pacing=patient), linked_video(f"{server.url}/busy/clip.mp4"), tmp_path / "part")
    assert fetched.path.read_bytes() == (server.folder / "clip.mp4").read_bytes()


def test_a_page_without_video_is_no_trouble_of_the_site(
    server: LoopbackServer, connect: Connect, tmp_path: Path
) -> None:
    with pytest.raises(InvalidData, match="html/page"):
        fetch(connect(), linked_video(f"{server.url}/html/page"), tmp_path / "part")


def test_cookies_that_are_not_there_are_named(connect: Connect, tmp_path: Path) -> None:
    with pytest.raises(NotConfigured, match=r"none\.txt"):
        fetch(connect(cookies_file=str(tmp_path / "none.txt")), youtube_video(ID), tmp_path / "part")


def test_every_class_has_a_policy_that_says_what_to_do() -> None:
    assert set(POLICIES) == set(Trouble)
    assert all(policy.remedy for policy in POLICIES.values())
    assert PacingConfig().patience is None
