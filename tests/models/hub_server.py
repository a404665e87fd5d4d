"""A Hugging Face hub on the loopback interface: real requests of huggingface_hub, repositories from local folders."""

import hashlib
import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlsplit

import huggingface_hub.constants as hub_constants
from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

from tests.http_server import LocalServer

SHA = "0123456789abcdef0123456789abcdef01234567"


class HubServer(LocalServer):
    """Serves `repositories` (id → folder); ids in `refusals` get a status and the hub's error code instead."""

    def __init__(self, repositories: dict[str, Path]) -> None:
        super().__init__(_Handler)
        self.repositories = repositories
        self.refusals: dict[str, tuple[int, str]] = {}
        self.requests: list[str] = []
        self.sha = SHA

    @contextmanager
    def in_use(self, monkeypatch, cache: Path):
        """huggingface_hub talks to this server, with a cache of its own."""
        monkeypatch.setattr(hub_constants, "ENDPOINT", self.url)
        template = self.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(hub_constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(hub_constants, "HF_HUB_CACHE", str(cache))
        monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", False)
        disable_progress_bars()
        yield self
        enable_progress_bars()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HubServer

    def log_message(self, format, *args):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        parts = urlsplit(self.path).path.strip("/").split("/")
        self.server.requests.append("/".join(parts))
        if parts[:2] == ["api", "models"]:
            parts = parts[2:]
        name, action, rest = "/".join(parts[:2]), parts[2], "/".join(parts[4:])
        folder = self.server.repositories.get(name)
        commit = self.server.sha if parts[3:4] in ([], ["main"]) else parts[3]
        refusal = self.server.refusals.get(name) or (None if folder else (404, "RepoNotFound"))
        if refusal:
            self._answer(refusal[0], b"", {"X-Error-Code": refusal[1]})
        elif action == "revision":
            self._json({"id": name, "sha": commit, "siblings": []})
        elif action == "tree":
            self._json([_entry(path) for path in sorted(folder.iterdir())])
        elif (folder / rest).exists():
            data = (folder / rest).read_bytes()
            self._answer(200, data, {"ETag": f'"{_entry(folder / rest)["oid"]}"', "X-Repo-Commit": commit})
        else:
            self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})

    def _json(self, value):
        self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _answer(self, status, body, headers):
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _entry(path: Path):
    data = path.read_bytes()
    return {"type": "file", "path": path.name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
