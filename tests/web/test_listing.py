"""Searches and lists: yt-dlp's own extractors read recorded and pretended answers of YouTube."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest

from miner_resources.config_sections import SearchConfig
from miner_resources.errors import InvalidData, MinerError, Waiting
from miner_resources.web import listing
from miner_resources.web.listing import Hit, video_id_of, youtube_video
from miner_resources.web.trouble import SourceFailed, Trouble
from tests.internet import CC, PretendInternet, PretendVideo
from tests.loopback import LoopbackServer
from tests.shared_data import shared_data
from tests.web.conftest import NOW, Connect

RECORDED = ("search-cirque-du-soleil", "search-hash-shorts", "search-corrected-spelling")


def reasons(hits: Sequence[Hit]) -> dict[str, str | None]:
    return {hit.video.video_id: hit.reason for hit in hits}


def search(*arguments: Any, **options: Any) -> list[Hit]:
    return list(listing.search(*arguments, **options))


def list_url(*arguments: Any) -> list[Hit]:
    return list(listing.list_url(*arguments))


def filters(**values: object) -> SearchConfig:
    return SearchConfig.model_validate(values)


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_searches_give_videos_by_rank(name: str, internet: PretendInternet, connect: Connect) -> None:
    internet.recordings = shared_data(f"innertube/{name}")
    hits = search(connect(internet), "cirque  du soleil", filters(max_results=25), NOW)
    assert len(hits) == 25
    assert [hit.rank for hit in hits] == list(range(1, 26))
    assert len({hit.video.video_id for hit in hits}) == 25
    for hit in hits:
        assert hit.video.url == f"https://www.youtube.com/watch?v={hit.video.video_id}" or "/shorts/" in hit.video.url
        assert hit.video.source_keyword == "cirque  du soleil"
        assert "\u00a0" not in (hit.video.title or "")
    assert all(seen.path in ("/", "/youtubei/v1/search") for seen in internet.seen)


def test_channels_among_the_results_are_no_videos(internet: PretendInternet, connect: Connect) -> None:
    internet.recordings = shared_data("innertube/search-channels-only")
    assert search(connect(internet), "anything", filters(max_results=35), NOW) == []


def test_a_search_with_one_result_is_fine(internet: PretendInternet, connect: Connect) -> None:
    internet.recordings = shared_data("innertube/search-single-result")
    assert len(search(connect(internet), "anything", filters(), NOW)) == 1


def test_flat_filters_cost_no_request_and_keep_the_rank(internet: PretendInternet, connect: Connect) -> None:
    internet.recordings = shared_data("innertube/search-cirque-du-soleil")
    every = search(connect(internet), "cirque", filters(max_results=25), NOW)
    asked = len(internet.seen)
    hits = search(connect(internet), "cirque", filters(max_results=25, max_duration_s=600, min_duration_s=60), NOW)
    assert len(internet.seen) == 2 * asked
    for before, hit in zip(every, hits, strict=True):
        duration = before.video.duration_s or 60
        expected = before.reason or ("too short" if duration < 60 else "too long" if duration > 600 else None)
        assert (hit.rank, hit.video.video_id, hit.reason) == (before.rank, before.video.video_id, expected)
    assert {hit.reason for hit in hits} == {None, "too long", "live now"}


def test_dates_and_licences_are_asked_for_each_candidate_and_what_is_not_told_passes(
    internet: PretendInternet, connect: Connect
) -> None:
    internet.recordings = shared_data("innertube/search-cirque-du-soleil")
    ids = [hit.video.video_id for hit in search(connect(internet), "cirque", filters(max_results=5), NOW)]
    free, old, gone, _, undated = ids
    internet.ordinary = PretendVideo()
    internet.videos[free] = PretendVideo(license=CC)
    internet.videos[old] = PretendVideo(license=CC, upload_date="2009-01-01")
    internet.videos[gone] = PretendVideo(
        player={"playabilityStatus": {"status": "ERROR", "reason": "Private video"}, "streamingData": {}}
    )
    internet.videos[undated] = PretendVideo(license=CC, player={"microformat": {}})
    wanted = filters(max_results=5, license="cc", uploaded_after=date(2020, 1, 1))
    found = reasons(search(connect(internet), "cirque", wanted, NOW))
    assert found[free] is None
    assert found[old] == "too old"
    assert found[undated] is None
    assert found[ids[3]] == "not Creative Commons: the site's standard licence"
    assert found[gone] == "gone"


def test_known_videos_are_not_asked_about_again(internet: PretendInternet, connect: Connect) -> None:
    internet.recordings = shared_data("innertube/search-cirque-du-soleil")
    ids = [hit.video.video_id for hit in search(connect(internet), "cirque", filters(max_results=3), NOW)]
    internet.seen.clear()
    search(
        connect(internet), "cirque", filters(max_results=3, license="cc"), NOW, judged={ids[0]: "too old", ids[1]: None}
    )
    assert internet.asked("/watch") == 1


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("/playlist", "https://www.youtube.com/playlist?list=PLpretendpretendpretendpretend1234"),
        ("/@pretend/videos", "https://www.youtube.com/@pretend/videos"),
        (
            "/channel/UCpretendpretendpretend12/videos",
            "https://www.youtube.com/channel/UCpretendpretendpretend12/videos",
        ),
    ],
)
def test_lists_go_through_the_filters(path: str, url: str, internet: PretendInternet, connect: Connect) -> None:
    internet.lists[path] = ["ccccccccccc", "ddddddddddd"]
    internet.videos["ddddddddddd"] = PretendVideo(duration=7200)
    found = reasons(list_url(connect(internet), url, filters(max_duration_s=600), NOW))
    assert found == {"ccccccccccc": None, "ddddddddddd": "too long"}


def test_a_single_video_was_meant_and_is_not_filtered(internet: PretendInternet, connect: Connect) -> None:
    internet.videos["ddddddddddd"] = PretendVideo(duration=7200)
    (hit,) = list_url(connect(internet), "https://youtu.be/ddddddddddd", filters(max_duration_s=600), NOW)
    assert (hit.reason, hit.video.duration_s) == (None, 7200)


@pytest.mark.parametrize(
    ("status", "why"), [("isLive", "live now"), ("isUpcoming", "not live yet"), ("isPostLiveDvr", "live stream still")]
)
def test_live_videos_are_left_out(status: str, why: str, internet: PretendInternet, connect: Connect) -> None:
    internet.recordings = shared_data("innertube/search-single-result")
    details = {"title": "x", "isLiveContent": True, "lengthSeconds": "60", status: True}
    (hit,) = search(connect(internet), "x", filters(), NOW)
    video_id = hit.video.video_id
    internet.videos[video_id] = PretendVideo(player={"videoDetails": {"videoId": video_id, **details}})
    (hit,) = search(connect(internet), "x", filters(uploaded_after=date(2001, 1, 1)), NOW)
    assert (hit.reason or "").startswith(why)


NO_BOTS = {
    "playabilityStatus": {"status": "LOGIN_REQUIRED", "reason": "Sign in to confirm you’re not a bot"},
    "streamingData": {},
}


def test_a_bot_check_while_asking_about_candidates_is_one(internet: PretendInternet, connect: Connect) -> None:
    internet.recordings = shared_data("innertube/search-cirque-du-soleil")
    internet.ordinary = PretendVideo(player=NO_BOTS)
    with pytest.raises(Waiting, match="not a bot"):
        search(connect(internet), "x", filters(max_results=5, license="cc"), NOW)


def test_what_was_judged_before_a_rest_is_handed_over(internet: PretendInternet, connect: Connect) -> None:
    internet.recordings = shared_data("innertube/search-cirque-du-soleil")
    ids = [hit.video.video_id for hit in search(connect(internet), "x", filters(max_results=5), NOW)]
    internet.videos[ids[3]] = PretendVideo(player=NO_BOTS)
    hits = listing.search(connect(internet), "x", filters(max_results=5, license="cc"), NOW)
    assert [next(hits).video.video_id for _ in range(3)] == ids[:3]
    with pytest.raises(Waiting):
        next(hits)


@pytest.mark.usefixtures("hasty")
def test_trouble_that_passes_rejects_no_candidate(internet: PretendInternet, connect: Connect) -> None:
    internet.recordings = shared_data("innertube/search-single-result")
    internet.broken_paths["/youtubei/v1/player"] = 503
    (hit,) = search(connect(internet), "x", filters(license="cc"), NOW)
    assert hit.reason is None


def test_lists_inside_lists_and_foreign_addresses_are_no_videos(internet: PretendInternet, connect: Connect) -> None:
    judge = listing._Judge(connect(internet), filters(), {})  # the entries that sites could give
    entries = {
        "a list, not a video": {
            "ie_key": "YoutubeTab",
            "id": "PL1",
            "url": "https://www.youtube.com/playlist?list=PL1",
        },
        "no address of the web": {"ie_key": "Generic", "id": "x", "url": "file:///etc/passwd"},
        None: {"ie_key": "Vimeo", "id": "1", "url": "https://vimeo.com/1"},
    }
    for reason, entry in entries.items():
        assert judge.judge(1, entry, listing._video(entry, NOW, fallback_url="")).reason == reason


def test_known_entries_of_lists_cost_no_request(internet: PretendInternet, connect: Connect) -> None:
    internet.lists["/@pretend/videos"] = ["ccccccccccc", "ddddddddddd"]
    url = "https://www.youtube.com/@pretend/videos"
    list_url(connect(internet), url, filters(license="cc"), NOW, ["ccccccccccc"])
    assert internet.asked("/watch") == 1


def test_shorts_can_be_left_out(internet: PretendInternet, connect: Connect) -> None:
    internet.recordings = shared_data("innertube/search-hash-shorts")
    hits = search(connect(internet), "x", filters(max_results=25, shorts=False), NOW)
    assert {hit.reason for hit in hits if "/shorts/" in hit.video.url} <= {"a Short"}


def test_a_search_that_youtube_refuses_waits(internet: PretendInternet, connect: Connect) -> None:
    internet.broken_paths["/youtubei/v1/search"] = 429
    with pytest.raises(Waiting):
        search(connect(internet), "x", filters(), NOW)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("path", "trouble"),
    [("404/a.mp4", Trouble.GONE), ("403/a.mp4", Trouble.TOKEN), ("503/a.mp4", Trouble.NETWORK)],
)
def test_failures_name_the_url(path: str, trouble: Trouble, server: LoopbackServer, connect: Connect) -> None:
    with pytest.raises(SourceFailed) as caught:
        list_url(connect(), f"{server.url}/{path}", filters(), NOW)
    assert caught.value.trouble is trouble
    assert path in caught.value.message


def test_a_page_without_video_is_said_to_be_one(server: LoopbackServer, connect: Connect) -> None:
    with pytest.raises(InvalidData, match="html/page"):
        list_url(connect(), f"{server.url}/html/page", filters(), NOW)


def test_a_direct_link_is_one_video(server: LoopbackServer, connect: Connect) -> None:
    (hit,) = list_url(connect(), f"{server.url}/ok/clip.mp4", filters(), NOW)
    assert (hit.video.video_id, hit.video.title) == ("generic-clip", "clip")
    assert hit.video.url == f"{server.url}/ok/clip.mp4"


def test_the_local_disk_is_no_site(connect: Connect) -> None:
    with pytest.raises(MinerError):
        list_url(connect(), "file:///etc/passwd", filters(), NOW)


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


ID = "dQw4w9WgXcQ"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"https://www.youtube.com/watch?v={ID}", ID),
        (f"https://m.youtube.com/watch?app=desktop&v={ID}&t=30s", ID),
        (f"https://youtu.be/{ID}?si=x", ID),
        (f"https://www.youtube.com/shorts/{ID}", ID),
        (f"https://www.youtube-nocookie.com/embed/{ID}", ID),
        (f"https://www.youtube.com/live/{ID}", ID),
        (f"https://www.youtube.com/watch?v={ID}&list=PL1", None),
        ("https://www.youtube.com/@pretend/videos", None),
        ("https://www.youtube.com/playlist?list=PL1", None),
        ("https://www.youtube.com/watch?v=short", None),
        (f"https://example.org/watch?v={ID}", None),
        (f"https://youtube.com.evil.org/watch?v={ID}", None),
        (f"ytsearch5:{ID}", None),
    ],
)
def test_addresses_that_name_a_video_by_themselves(url: str, expected: str | None) -> None:
    video = youtube_video(url, NOW)
    assert (video and video.video_id) == expected
    assert video is None or video.url == f"https://www.youtube.com/watch?v={ID}"


def test_ids_with_other_characters_stay_apart() -> None:
    first, second = video_id_of("generic", "a b"), video_id_of("generic", "a/b")
    assert first != second
    assert first.startswith("generic-a-b-")
    assert second.startswith("generic-a-b-")
