"""Which videos there are: searches, playlists, channels and single addresses, after the search filters.

Lists are read flat: one request for many videos. Only filters that a flat list cannot answer (date, licence) cost one
request more for each video that passed the others. A field that a site does not tell never rejects a video.
"""

import hashlib
import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, cast
from urllib.parse import parse_qs, urlsplit

from miner_resources.config_sections import SearchConfig
from miner_resources.pacing import YOUTUBE, pool_of
from miner_resources.records import Video
from miner_resources.web.addresses import has_password, private_origin
from miner_resources.web.client import FORMAT, Info, WebClient
from miner_resources.web.trouble import SourceFailed, Trouble

FLAT: Final[Mapping[str, object]] = {"extract_flat": "in_playlist", "ignore_no_formats_error": True}
DETAILS: Final[Mapping[str, object]] = {"noplaylist": True, "format": FORMAT}
"""Errors are wanted here: what is said instead of formats may be a bot check."""

CREATIVE_COMMONS: Final = re.compile("creative commons", re.IGNORECASE)

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_LARGEST: Final = 1e9
_YOUTUBE_ID: Final = r"[A-Za-z0-9_-]{11}"
_LIVE: Final = {"is_live": "live now", "is_upcoming": "not live yet", "post_live": "live stream still processed"}
_CLOSED: Final = frozenset({"private", "premium_only", "subscriber_only", "needs_auth"})


@dataclass(frozen=True)
class Hit:
    """One entry of a list.

    Attributes:
        rank: its place in the list, from 1, before the filters.
        reason: why the filters left it out, None if it is taken.
    """

    rank: int
    video: Video
    reason: str | None = None


def list_url(
    client: WebClient, url: str, filters: SearchConfig, now: datetime, known: Collection[str] = ()
) -> Iterator[Hit]:
    """The videos behind an address: one, or all entries of a playlist, channel or search.

    The filters hold for the entries of lists. A single video was meant by whoever gave its address.

    Args:
        client: the web.
        url: the address.
        filters: what to take of a list.
        now: `added_at` of the videos.
        known: ids of videos that are registered or were removed: they cost no further request.

    Raises:
        MinerError: yt-dlp cannot list it.
    """
    info = client.extract(url, FLAT)
    if info.get("_type") not in ("playlist", "multi_video"):
        single = _video(info, now, fallback_url=url)
        yield Hit(1, single, _no_address(client, single.url, private_origin(url)))
        return
    entries = _flatten(info)
    if not entries:
        raise SourceFailed(
            f"{url} lists no videos", Trouble.GONE, remedy="open it in a browser and check that it shows videos"
        )
    judge = _Judge(client, filters, dict.fromkeys(known), private_origin(url))
    for rank, entry in enumerate(entries, start=1):
        yield judge.judge(rank, entry, _video(entry, _place(now, rank), fallback_url=url))


def search(
    client: WebClient,
    keyword: str,
    filters: SearchConfig,
    now: datetime,
    *,
    judged: Mapping[str, str | None] | None = None,
) -> Iterator[Hit]:
    """Search YouTube for `filters.max_results` videos by relevance.

    Args:
        client: the web.
        keyword: what to search for.
        filters: what to take.
        now: `added_at` of the videos.
        judged: ids of videos that need no further request → why they were left out, None if they were taken.

    Yields:
        what was found, as soon as it is judged.

    Raises:
        MinerError: the search failed as a whole, or the site wants a rest; what was yielded before is sound.
    """
    query = f"ytsearch{filters.max_results}:{keyword}"
    # A result can be a channel, which has its own extractor and no duration.
    found = [entry for entry in _flatten(client.extract(query, FLAT)) if entry.get("ie_key", "Youtube") == "Youtube"]
    judge = _Judge(client, filters, judged or {})
    for rank, entry in enumerate(found, start=1):
        yield judge.judge(rank, entry, _video(entry, _place(now, rank), fallback_url=query, keyword=keyword))


def _place(now: datetime, rank: int) -> datetime:
    """When an entry counts as added: a millisecond after the one before it, so that the best are mined first."""
    return now + timedelta(milliseconds=rank)


@dataclass(frozen=True)
class _Judge:
    """Decides which entries of a list are taken."""

    client: WebClient
    filters: SearchConfig
    judged: Mapping[str, str | None]
    own: str = ""

    def judge(self, rank: int, entry: Info, video: Video) -> Hit:
        """Judge by what the list says, and ask about the video where the filters need more."""
        wrong = _no_address(self.client, video.url, self.own) or _no_video(entry, video)
        reason = wrong or _unfit(entry, self.filters)
        if reason is not None or not self.filters.needs_details:
            return Hit(rank, video, reason)
        if video.video_id in self.judged:
            return Hit(rank, video, self.judged[video.video_id])
        try:
            details = self.client.extract(video.url, DETAILS)
        except SourceFailed as error:
            # Trouble that passes says nothing about the video, so it is taken; the download will see.
            return Hit(rank, video, None if error.retryable else error.kind)
        full = _video({**entry, **details}, video.added_at, fallback_url=video.url, keyword=video.source_keyword)
        return Hit(rank, full, _unfit(details, self.filters) or _unlicensed(details, self.filters))


def _no_address(client: WebClient, url: str, own: str) -> str | None:
    """A foreign list could name files of this machine or its neighbours, or carry somebody's password."""
    if not url.startswith(("http://", "https://")):
        return "no address of the web"
    if private_origin(url) not in ("", own) and not client.download.allow_private:
        return "an address in a private network"
    return "an address with a password" if has_password(url) else None


def _no_video(entry: Info, video: Video) -> str | None:
    """A channel lists playlists too."""
    is_list = pool_of(video.url) == YOUTUBE and entry.get("ie_key", "Youtube") != "Youtube"
    return "a list, not a video" if is_list else None


def _unfit(entry: Mapping[str, Any], filters: SearchConfig) -> str | None:
    """Why the filters leave an entry out; what it does not say speaks for it."""
    duration, uploaded = site_number(entry.get("duration")), site_text(entry.get("upload_date"))
    earliest = "" if filters.uploaded_after is None else f"{filters.uploaded_after:%Y%m%d}"
    checks = {
        "too short": duration is not None and duration < (filters.min_duration_s or 0),
        "too long": duration is not None and duration > (filters.max_duration_s or math.inf),
        "too old": uploaded is not None and uploaded < earliest,
        "a Short": not filters.shorts and "/shorts/" in str(entry.get("url") or entry.get("webpage_url") or ""),
        "not public": str(entry.get("availability")) in _CLOSED,
        **{why: entry.get("live_status") == status for status, why in _LIVE.items()},
    }
    return next((reason for reason, applies in checks.items() if applies), None)


def _unlicensed(details: Mapping[str, Any], filters: SearchConfig) -> str | None:
    """YouTube names a licence only if it is another than its own standard one."""
    licence = details.get("license") or "the site's standard licence"
    free = filters.license == "any" or CREATIVE_COMMONS.search(str(licence))
    return None if free else f"not Creative Commons: {licence}"


def _flatten(info: Mapping[str, Any]) -> list[Info]:
    """All video entries of a result, playlists in playlists included (a channel has one per tab)."""
    if info.get("_type") not in ("playlist", "multi_video"):
        return [dict(info)] if info else []
    entries = [entry for entry in info.get("entries") or [] if isinstance(entry, dict)]
    return [found for entry in entries for found in _flatten(cast("Info", entry))]


def _video(entry: Mapping[str, Any], now: datetime, *, fallback_url: str, keyword: str | None = None) -> Video:
    extractor = str(entry.get("ie_key") or entry.get("extractor_key") or "generic")
    url = entry.get("webpage_url") or entry.get("url") or fallback_url
    return Video(
        video_id=video_id_of(extractor, str(entry.get("id") or "")),
        url=str(url),
        title=site_text(entry.get("title")),
        channel=site_text(entry.get("channel")) or site_text(entry.get("uploader")),
        duration_s=site_number(entry.get("duration")),
        license=site_text(entry.get("license")),
        source_keyword=keyword,
        added_at=now,
    )


def site_text(value: object) -> str | None:
    """What a site calls something, in one line without control characters; None if it is no text or number.

    Titles come with no-break spaces, which nobody finds again.
    """
    text = str(value) if isinstance(value, str | int | float) else ""
    return " ".join(_CONTROL.sub(" ", text).split()) or None


def site_number(value: object) -> float | None:
    """A number that a site tells; None if it is none that is finite and not negative."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= _LARGEST:
        return None
    return value


def youtube_video(url: str, now: datetime) -> Video | None:
    """The video that an address of YouTube names by itself, without a request; None for lists and other sites.

    Its title and the like follow with the download. A video inside a playlist (`&list=`) stands for the playlist.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or pool_of(url) != YOUTUBE:
        return None
    query = parse_qs(parts.query)
    path = [part for part in parts.path.split("/") if part]
    short = (parts.hostname or "").lower() == "youtu.be" and len(path) == 1
    named = len(path) == 2 and path[0] in ("shorts", "embed", "live", "v")
    native = path[-1] if short or named else query.get("v", [""])[0] if path == ["watch"] else ""
    if not re.fullmatch(_YOUTUBE_ID, native) or "list" in query:
        return None
    return Video(video_id=native, url=f"https://www.youtube.com/watch?v={native}", added_at=now)


def video_id_of(extractor: str, native_id: str) -> str:
    """The id of a video: YouTube's own, else `{extractor}-{id}`, only `[A-Za-z0-9_-]`.

    Where characters must be replaced, a piece of the original's hash keeps different videos apart.
    """
    if extractor.lower() == "youtube" and re.fullmatch(_YOUTUBE_ID, native_id):
        return native_id
    exact = f"{extractor.lower()}-{native_id}"
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", exact)[:80]
    return plain if plain == exact else with_suffix(plain, exact)


def with_suffix(video_id: str, original: str) -> str:
    """`video_id` made unlike that of another video: the first 8 hex digits of sha256 of `original` are added."""
    return f"{video_id}-{hashlib.sha256(original.encode(errors='surrogatepass')).hexdigest()[:8]}"
