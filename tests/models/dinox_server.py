"""DINO-X's web service on the loopback interface: it looks at the pixels it is sent, and misbehaves on demand."""

import base64
import json
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

import numpy as np

from miner_resources.images import decode_image
from tests.http_server import LocalServer

KEY = "dds-secret-0123456789abcdef"
SUBMIT, LOOK = "submit", "look"


@dataclass(frozen=True)
class Fault:
    """What a request meets instead of its answer.

    Attributes:
        body: bytes, or what becomes JSON.
        works: whether the request does its work all the same.
        delay_s: before the answer.
        drip_s: after each byte of the body.
        hangs_up: whether the connection ends without an answer.
    """

    status: int = 200
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)
    works: bool = False
    delay_s: float = 0.0
    drip_s: float = 0.0
    hangs_up: bool = False


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    kind: str
    headers: dict[str, str]
    body: dict[str, Any]
    picture: np.ndarray | None = None


def bright(picture: np.ndarray, phrase: str) -> list[dict[str, Any]]:
    """The rectangle of bright pixels, or all if there are none, with a score that follows text and picture."""
    rows, columns = np.nonzero(picture.mean(axis=2) > 128)
    if not len(rows):
        rows, columns = np.array([0, picture.shape[0] - 1]), np.array([0, picture.shape[1] - 1])
    box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    score = 0.3 + 0.5 * (zlib.crc32(phrase.encode()) % 100) / 100 + 0.1 * float(picture.mean()) / 255
    return [{"category": phrase, "score": score, "bbox": [float(side) for side in box]}]


class DinoxServer(LocalServer):
    """Its `answer` gives the result's objects for a picture and one text; `faults` come first, one per request.

    Attributes:
        looks: how often a task is "waiting" or "running" before it is done.
        result: if set, makes the whole data of a finished task from the picture.
        paid: pictures that were worked on: submissions under one Idempotency-Key count once.
        most_working: tasks that were under way at the same time, at most.
    """

    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.answer: Callable[[np.ndarray, str], list[Any]] = bright
        self.result: Callable[[np.ndarray], dict[str, Any]] | None = None
        self.looks = 2
        self.faults: dict[str, deque[Fault]] = {SUBMIT: deque(), LOOK: deque()}
        self.seen: list[Seen] = []
        self.paid = 0
        self.working = self.most_working = 0
        self._tasks: dict[str, tuple[int, np.ndarray, str]] = {}
        self._lock = threading.Lock()

    def asked(self, kind: str = SUBMIT) -> list[Seen]:
        """Requests of one kind."""
        return [seen for seen in self.seen if seen.kind == kind]

    def texts(self) -> list[str]:
        """The text of each picture that was handed in."""
        return [seen.body["prompt"]["text"] for seen in self.asked()]

    def fault(self, kind: str) -> Fault | None:
        """The next one."""
        with self._lock:
            return self.faults[kind].popleft() if self.faults[kind] else None

    def begin(self, key: str, picture: np.ndarray, text: str) -> str:
        """The task for a submission; the same one for the same key."""
        task = f"task-{key}"
        with self._lock:
            if task not in self._tasks:
                self._tasks[task] = (self.looks, picture, text)
                self.paid += 1
                self.working += 1
                self.most_working = max(self.most_working, self.working)
        return task

    def state(self, task: str) -> dict[str, Any]:
        """What the service says about a task."""
        with self._lock:
            looks, picture, text = self._tasks[task]
            self._tasks[task] = (looks - 1, picture, text)
            if looks > 0:
                return {"status": "waiting" if looks > 1 else "running"}
            self.working -= 1
        if self.result is not None:
            return self.result(picture)
        objects = [each for phrase in text.split(".") for each in self.answer(picture, phrase)]
        return {"status": "success", "session_id": "s", "result": {"objects": objects}, "error": None}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: DinoxServer

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        scheme, _, image = body["image"].partition(",")
        assert scheme == "data:image/jpeg;base64"
        picture = decode_image(base64.b64decode(image, validate=True))
        self._keep(SUBMIT, body, picture)
        known = self.path == "/v2/task/dinox/detection"
        self._reply(
            SUBMIT,
            known,
            lambda: {"task_uuid": self.server.begin(self.headers["Idempotency-Key"], picture, body["prompt"]["text"])},
        )

    def do_GET(self) -> None:
        self._keep(LOOK, {}, None)
        folder, _, task = self.path.rpartition("/")
        self._reply(LOOK, folder == "/v2/task_status", lambda: self.server.state(task))

    def _keep(self, kind: str, body: dict[str, Any], picture: np.ndarray | None) -> None:
        self.server.seen.append(
            Seen(kind, {name.lower(): value for name, value in self.headers.items()}, body, picture)
        )

    def _reply(self, kind: str, known: bool, work: Callable[[], dict[str, Any]]) -> None:
        fault = self.server.fault(kind)
        if fault is not None:
            if fault.works:
                work()
            time.sleep(fault.delay_s)
            if fault.hangs_up:
                self.close_connection = True
            else:
                self._send(fault.status, fault.body, fault.headers, fault.drip_s)
        elif self.headers["Token"] != KEY:
            self._send(401, {"code": 10005, "msg": f"token {self.headers['Token']} is invalid"})
        elif not known:
            self._send(404, {"code": 404, "msg": "no such path"})
        else:
            self._send(200, {"code": 0, "msg": "ok", "data": work()})

    def _send(self, status: int, body: Any, headers: dict[str, str] | None = None, drip_s: float = 0.0) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        for start in range(len(content)) if drip_s else (0,):
            self.wfile.write(content[start : start + 1] if drip_s else content)
            self.wfile.flush()
            time.sleep(drip_s)
