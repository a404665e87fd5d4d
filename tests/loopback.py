"""A media server on the loopback interface that serves real files with range requests, and misbehaves on demand."""

import re
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


class MediaServer(ThreadingHTTPServer):
    """`/ok/NAME` serves files of a folder; `/404/…`, `/429/…` and so on answer that; `/html/…` is a page."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.requests: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up early are not worth a traceback."""

    @contextmanager
    def running(self) -> Generator["MediaServer"]:
        thread = threading.Thread(target=self.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            self.server_close()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: MediaServer

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        self.server.requests.append(path)
        kind = path.split("/")[1]
        if kind.isdigit():
            self._answer(int(kind), b"no", "text/plain")
        elif kind == "html":
            self._answer(200, b"<html><body>no video here</body></html>", "text/html")
        else:
            self._file(self.server.folder / path.rsplit("/", maxsplit=1)[-1])

    def _file(self, path: Path) -> None:
        data = path.read_bytes()
        found = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if not found:
            self._answer(200, data, "video/mp4")
            return
        first, last = int(found[1]), int(found[2] or len(data) - 1)
        self._answer(206, data[first : last + 1], "video/mp4", f"bytes {first}-{last}/{len(data)}")

    def _answer(self, status: int, body: bytes, kind: str, content_range: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Accept-Ranges", "bytes")
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
