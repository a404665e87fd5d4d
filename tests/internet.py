"""A pretend internet: a proxy that answers for YouTube and media hosts itself and refuses every other address.

Nothing of yt-dlp is patched: its real extractors talk HTTPS to `www.youtube.com` through `download.proxy`, and trust
this proxy's certificates because `SSL_CERT_FILE` names its authority. Searches are answered with recorded responses of
the shared test data; watch pages, player and trainability answers are made here, in the shape that yt-dlp's extractor
reads; media come from a folder, with the faults of `loopback.py`.
"""

import json
import ssl
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import trustme

from tests.loopback import LoopbackServer, MediaHandler

HOSTS = (
    "www.youtube.com",
    "youtube.com",
    "m.youtube.com",
    "youtube.googleapis.com",
    "*.googlevideo.com",
    "i.ytimg.com",
    "media.test",
    "*.media.test",
)
EMBEDDED = (
    b'<html><script>ytcfg.set({"INNERTUBE_CONTEXT": {"client": '
    b'{"clientName": "WEB_EMBEDDED_PLAYER", "clientVersion": "1.0"}}});</script></html>'
)
CC = "Creative Commons Attribution license (reuse allowed)"


@dataclass
class PretendVideo:
    """What the pretend YouTube says about a video; what is not set has an ordinary value.

    Attributes:
        file: media file in the server's folder.
        how: how the media host behaves (first part of the path, see `loopback.py`).
        heights: of its video-only formats in H.264, and in VP9.
        player: merged over the player response, to pretend any trouble.
        permitted: the trainability answer.
        storyboard: tile picture in the server's folder, with its columns, rows, and size of a tile.
    """

    file: str = "clip.mp4"
    how: str = "ok"
    heights: Sequence[int] = (360, 720, 1080)
    vp9: Sequence[int] = ()
    combined: bool = True
    upscaled: Sequence[int] = ()
    license: str | None = None
    title: str = "A pretend video"
    duration: int = 12
    upload_date: str = "2025-06-01"
    player: Mapping[str, Any] = field(default_factory=dict)
    permitted: Sequence[str] = ("none",)
    storyboard: tuple[str, int, int, int, int, int] | None = None


class PretendInternet(LoopbackServer):
    """The proxy.

    Attributes:
        videos: what is special about some ids; all others are ordinary.
        broken_paths: path → status that it is answered with.
        files: what videos that nobody set are given, in turn; empty: what is ordinary.
        lists: path of a playlist or channel tab → ids of its videos.
    """

    def __init__(self, folder: Path, certificates: Path, recordings: Path | None = None) -> None:
        super().__init__(folder, _Handler)
        self.videos: dict[str, PretendVideo] = {}
        self.ordinary = PretendVideo()
        self.recordings = recordings
        self.files: Sequence[str] = ()
        self.broken_paths: dict[str, int] = {}
        self.lists: dict[str, Sequence[str]] = {}
        authority = trustme.CA()
        self.authority = certificates / "authority.pem"
        authority.cert_pem.write_to_path(self.authority)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*HOSTS).configure_cert(self.tls)

    @contextmanager
    def running(self) -> Generator["PretendInternet"]:
        with super().running():
            yield self

    def video(self, video_id: str) -> PretendVideo:
        """What is pretended about a video; unknown ones get the files in turn."""
        if video_id not in self.videos and self.files:
            file = self.files[len(self.videos) % len(self.files)]
            self.videos[video_id] = replace(self.ordinary, file=file, title=f"Pretend video {len(self.videos)}")
        return self.videos.get(video_id, self.ordinary)

    def asked(self, path: str) -> int:
        """How many requests there were for a path."""
        return self.requests.count(path)


class _Handler(MediaHandler):
    server: PretendInternet
    host = ""

    def do_CONNECT(self) -> None:
        self.host = self.path.split(":")[0]
        if not any(self.host == name or (name[0] == "*" and self.host.endswith(name[1:])) for name in HOSTS):
            self.answer(502, b"", "text/plain")
            return
        self.send_response(200)
        self.end_headers()
        self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", buffering=0)
        self.close_connection = False

    def finish(self) -> None:
        super().finish()
        self.connection.close()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.do_GET(json.loads(body) if body else {})

    def do_GET(self, body: Mapping[str, Any] | None = None) -> None:
        parts = urlsplit(self.path)
        host = self.host or parts.hostname or ""
        self.remember(host, parts.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path in self.server.broken_paths:
            self.answer(self.server.broken_paths[parts.path], b"no", "text/plain")
        elif host.endswith("youtube.com"):
            self._youtube(parts.path, query, body or {})
        elif host == "youtube.googleapis.com":
            permitted = list(self.server.video(query["id"]).permitted)
            self._json({"videoId": query["id"], "kind": "youtube#videoTrainability", "permitted": permitted})
        elif host == "i.ytimg.com":
            picture = self.server.folder / parts.path.rsplit("/", maxsplit=1)[-1]
            self.answer(200, picture.read_bytes(), "image/jpeg")
        elif host.endswith(("googlevideo.com", "media.test")):
            self.media(parts.path)
        else:
            self.answer(502, b"", "text/plain")

    def _youtube(self, path: str, query: Mapping[str, str], body: Mapping[str, Any]) -> None:
        if path == "/youtubei/v1/search":
            self._search(bool(body.get("continuation")))
        elif path == "/youtubei/v1/player":
            self._json(player_response(body["videoId"], self.server.video(body["videoId"]), self.server.folder))
        elif path == "/youtubei/v1/next":
            self._json(next_response(self.server.video(body["videoId"])))
        elif path in self.server.lists:
            page = list_page(path, {name: self.server.video(name) for name in self.server.lists[path]})
            self.answer(200, page, "text/html")
        else:
            self.answer(200, EMBEDDED if path.startswith("/embed/") else b"<html><body></body></html>", "text/html")

    def _search(self, continued: bool) -> None:
        folder, page = self.server.recordings, 2 if continued else 1
        recorded = None if folder is None else folder / f"page{page}.response.json"
        if recorded is None or not recorded.exists():
            self._json({"onResponseReceivedCommands": [{"appendContinuationItemsAction": {"continuationItems": []}}]})
        else:
            self.answer(200, recorded.read_bytes(), "application/json")

    def _json(self, value: Mapping[str, Any]) -> None:
        self.answer(200, json.dumps(value).encode(), "application/json")


def player_response(video_id: str, video: PretendVideo, folder: Path) -> dict[str, Any]:
    """What the InnerTube player says, as far as yt-dlp reads it."""
    path = folder / video.file
    size = path.stat().st_size if path.exists() else 1
    common = {
        "contentLength": str(size),
        "approxDurationMs": str(video.duration * 1000),
        "bitrate": 1_000_000,
        "fps": 30,
    }

    def adaptive(height: int, itag: int, extra: str = "") -> dict[str, Any]:
        url = f"https://r1.googlevideo.com/{video.how}/{itag}/{video.file}?expire=1&signature=secret{extra}"
        kind = 'video/mp4; codecs="avc1.4d401f"'
        size = {"height": height, "width": height * 16 // 9, "quality": "medium", "qualityLabel": f"{height}p"}
        return {"itag": itag, "url": url, "mimeType": kind, **size, **common}

    itags = {144: 160, 240: 133, 360: 134, 480: 135, 720: 136, 1080: 137}
    formats = [adaptive(height, itags[height]) for height in video.heights]
    formats += [adaptive(height, itags[height], "&xtags=sr%3D1") for height in video.upscaled]
    vp9 = {"mimeType": 'video/webm; codecs="vp9"'}
    formats += [adaptive(height, {360: 243, 720: 247, 1080: 248}[height]) | vp9 for height in video.vp9]
    both = adaptive(360, 18) | {"mimeType": 'video/mp4; codecs="avc1.42001E, mp4a.40.2"', "audioQuality": "low"}
    response: dict[str, Any] = {
        "playabilityStatus": {"status": "OK"},
        "videoDetails": {
            "videoId": video_id,
            "title": video.title,
            "lengthSeconds": str(video.duration),
            "channelId": "UCpretendpretendpretend12",
            "author": "Pretend channel",
            "isLiveContent": False,
            "shortDescription": "",
        },
        "streamingData": {"adaptiveFormats": formats, "formats": [both] if video.combined else []},
        "microformat": {"playerMicroformatRenderer": {"uploadDate": f"{video.upload_date}T08:00:00-07:00"}},
    }
    if video.storyboard:
        name, columns, rows, width, height, count = video.storyboard
        spec = f"https://i.ytimg.com/sb/{video_id}/$L/{name}?n=$N|{width}#{height}#{count}#{columns}#{rows}#0#M$M#rs"
        response["storyboards"] = {"playerStoryboardSpecRenderer": {"spec": spec}}
    return {**response, **video.player}


def next_response(video: PretendVideo) -> dict[str, Any]:
    """What the page below the player says: channel and licence."""
    row = {"metadataRowRenderer": {"title": {"simpleText": "License"}, "contents": [{"simpleText": video.license}]}}
    secondary = {
        "owner": {"videoOwnerRenderer": {"title": {"runs": [{"text": "Pretend channel"}]}}},
        "metadataRowContainer": {"metadataRowContainerRenderer": {"rows": [row] if video.license else []}},
    }
    primary = {"title": {"runs": [{"text": video.title}]}}
    contents = [{"videoPrimaryInfoRenderer": primary}, {"videoSecondaryInfoRenderer": secondary}]
    results = {"results": {"results": {"contents": contents}}}
    return {"contents": {"twoColumnWatchNextResults": results}}


def list_page(path: str, videos: Mapping[str, PretendVideo]) -> bytes:
    """The page of a playlist or of a channel's tab, as far as yt-dlp reads it."""
    entries = [
        {
            "playlistVideoRenderer": {
                "videoId": video_id,
                "title": {"runs": [{"text": video.title}]},
                "lengthSeconds": str(video.duration),
                "isPlayable": True,
            }
        }
        for video_id, video in videos.items()
    ]
    content: Any = [{"itemSectionRenderer": {"contents": [{"playlistVideoListRenderer": {"contents": entries}}]}}]
    url = {"commandMetadata": {"webCommandMetadata": {"url": path}}}
    tab = {
        "title": "Videos",
        "selected": True,
        "endpoint": url,
        "content": {"sectionListRenderer": {"contents": content}},
    }
    data = {
        "contents": {"twoColumnBrowseResultsRenderer": {"tabs": [{"tabRenderer": tab}]}},
        "metadata": {"channelMetadataRenderer": {"title": "Pretend", "externalId": "UCpretendpretendpretend12"}},
    }
    return f"<html><script>var ytInitialData = {json.dumps(data)};</script></html>".encode()
