"""A media server on the loopback interface that serves real files with range requests, and misbehaves on demand.

The first part of the path says how: `/ok/NAME` serves a file of the folder, `/404/…` answers 404 (any number), and

    /html/…       a page without a video
    /slow/…       a few bytes at a time, for ever below the speed of a modem
    /reset/…      the connection is reset in the middle, the first two times
    /short/…      the body ends before its Content-Length, the first two times
    /endless/…    a body without a length and without an end
    /busy/…       429 with Retry-After the first two times
    /norange/…    range requests are ignored
    /pause/…      half a second passes first
"""

import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlsplit

from tests.http_server import LocalServer


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    method: str
    host: str
    path: str
    range: str | None
    cookie: str | None = None


class LoopbackServer(LocalServer):
    """Remembers what it was asked."""

    def __init__(self, folder: Path, handler: type["MediaHandler"]) -> None:
        super().__init__(handler)
        self.folder = folder
        self.seen: list[Seen] = []
        self.bodies: Counter[str] = Counter()
        self.working = self.most_working = 0
        self._counting = threading.Lock()

    @property
    def requests(self) -> list[str]:
        """Paths of all requests."""
        return [seen.path for seen in self.seen]

    @contextmanager
    def at_work(self) -> Generator[None]:
        """Count how many files are sent at the same time."""
        with self._counting:
            self.working += 1
            self.most_working = max(self.most_working, self.working)
        try:
            yield
        finally:
            with self._counting:
                self.working -= 1


class MediaHandler(BaseHTTPRequestHandler):
    """Answers by the first part of the path."""

    protocol_version = "HTTP/1.1"
    server: LoopbackServer

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.remember("127.0.0.1", self.path)
        self.media(urlsplit(self.path).path)

    def remember(self, host: str, path: str) -> None:
        self.server.seen.append(Seen(self.command, host, urlsplit(path).path, *self._told()))

    def _told(self) -> tuple[str | None, str | None]:
        return self.headers.get("Range"), self.headers.get("Cookie")

    def media(self, path: str) -> None:
        """Answer a request for a media file."""
        kind, name = path.split("/")[1], path.rsplit("/", maxsplit=1)[-1]
        self.server.bodies[path] += self.command == "GET"
        turn = self.server.bodies[path]
        if kind.isdigit():
            self.answer(int(kind), b"no", "text/plain")
        elif kind == "html":
            self.answer(200, b"<html><body>no video here</body></html>", "text/html")
        elif kind == "busy" and turn <= 2:
            self.answer(429, b"", "text/plain", {"Retry-After": "1"})
        elif kind == "endless":
            self._endless()
        else:
            data = (self.server.folder / name).read_bytes()
            with self.server.at_work():
                if kind == "pause":
                    time.sleep(0.5)
                self._file(kind, data, turn)

    def answer(self, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        """A whole answer."""
        self._head(status, len(body), kind, headers or {})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: int, length: int | None, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _file(self, kind: str, data: bytes, turn: int) -> None:
        found = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if not found or kind == "norange":
            body, status, headers = data, 200, {} if kind == "norange" else {"Accept-Ranges": "bytes"}
        elif int(found[1]) >= len(data):
            self.answer(416, b"", "text/plain", {"Content-Range": f"bytes */{len(data)}"})
            return
        else:
            first, last = int(found[1]), min(int(found[2] or len(data) - 1), len(data) - 1)
            body, status = data[first : last + 1], 206
            headers = {"Accept-Ranges": "bytes", "Content-Range": f"bytes {first}-{last}/{len(data)}"}
        # yt-dlp looks at a direct link with a GET before it downloads: the first turn is that look.
        if kind in ("reset", "short") and turn in (2, 3) and self.command == "GET":
            self._break_off(kind, status, body, headers)
        elif kind == "slow" and turn >= 2 and self.command == "GET":
            self._drip(status, body, headers)
        else:
            self.answer(status, body, "video/mp4", headers)

    def _break_off(self, kind: str, status: int, body: bytes, headers: dict[str, str]) -> None:
        self._head(status, len(body), "video/mp4", headers)
        self.wfile.write(body[: len(body) // 2])
        self.wfile.flush()
        if kind == "reset":
            time.sleep(0.2)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def _drip(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self._head(status, len(body), "video/mp4", headers)
        for start in range(0, len(body), 32):
            self.wfile.write(body[start : start + 32])
            self.wfile.flush()
            time.sleep(0.05)

    def _endless(self) -> None:
        self.close_connection = True
        self._head(200, None, "video/mp4", {"Connection": "close"})
        block = next(self.server.folder.glob("*.mp4")).read_bytes()[:65536]
        while self.command == "GET":
            self.wfile.write(block)
            time.sleep(0.001)


class MediaServer(LoopbackServer):
    """The server on its own address."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, MediaHandler)
