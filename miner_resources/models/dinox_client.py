"""DINO-X's web service: a picture and some texts go in as a task, its result is asked for until it is there.

Reference: the source of dds-cloudapi-sdk 0.5.3 (paths, headers and forms of version 2 of the service). The package
itself is not used: it reports each call, with the key, to its maker's error tracker, and brings OpenCV along.

Each request has several tries and a deadline. A task costs money, so a try to submit that may have got through is
repeated under the same `Idempotency-Key`.
"""

import base64
import http.client
import json
import random
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.request import Request

from miner_resources.errors import InvalidData, MinerError, NotConfigured, Unavailable
from miner_resources.models.dinox_http import (
    API_KEY,
    KEYS_PAGE,
    URL,
    Gate,
    make_opener,
    read_body,
    rest,
    seconds_to_wait,
)

MODEL: Final = "DINO-X-1.0"
IOU: Final = 0.8
"""The service drops boxes that overlap by more than that; its documented usual value."""

_SAID_MAX: Final = 200
_REFUSED: Final = frozenset({401, 403})
_UNPAID: Final = 402
_TOO_MANY: Final = 429
_LATER: Final = frozenset({408, 425})
_BUSY: Final = 202001
"""The service's own code for "try again"."""
_SUCCESS: Final = "success"
_FAILED: Final = "failed"
_STATES: Final = frozenset({"triggering", "waiting", "running", _SUCCESS, _FAILED})


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How patient and how polite the client is; all but `attempts` in seconds.

    Attributes:
        attempts: tries of one request.
        first_pause: before the second try; doubles from try to try.
        longest_pause: between two tries, also if the service asks for more.
        request: how long one request may take.
        task: how long the service may work on a picture.
        first_look: between handing in a picture and asking for its result; grows from one look to the next.
        longest_look: how far it grows.
        interval: between the starts of two requests, all threads together. The service does not publish its limit.
    """

    attempts: int = 7
    first_pause: float = 1.0
    longest_pause: float = 60.0
    request: float = 60.0
    task: float = 300.0
    first_look: float = 0.5
    longest_look: float = 3.0
    interval: float = 0.2


@dataclass(frozen=True)
class _Trouble:
    """Why a request got no answer.

    Attributes:
        error: to raise if it was the last try.
        again: whether another try makes sense.
        pause: how long the service wants to be left alone.
        for_all: whether that goes for all threads.
    """

    error: MinerError
    again: bool = False
    pause: float | None = None
    for_all: bool = False


class Client:
    """The service as this account sees it; may be used from several threads. The key is in no message.

    Connections are closed after each request: tasks take seconds, and nothing is left to close later.
    """

    def __init__(self, key: str, url: str, pace: Pace) -> None:
        self._key = key
        self._url = url
        self._pace = pace
        self._gate = Gate(pace.interval)
        self._opener = make_opener(url)

    def detect(self, jpeg: bytes, text: str, floor: float, stop: threading.Event) -> Any:  # noqa: ANN401 (JSON)
        """The result for one picture, as the service gives it.

        Args:
            jpeg: the picture as a file.
            text: what to look for, separated by points.
            floor: lowest score to report, 0..1.
            stop: ends the patience with a service that is busy.

        Raises:
            NotConfigured: the key is not accepted or the account is empty.
            Unavailable: there is no answer after several tries.
            InvalidData: the service refuses this picture or fails at it.
            StoppedError: `stop` was set.
        """
        body = {
            "model": MODEL,
            "image": "data:image/jpeg;base64," + base64.b64encode(jpeg).decode(),
            "prompt": {"type": "text", "text": text},
            "targets": ["bbox"],
            "bbox_threshold": min(max(floor, 0.0), 1.0),
            "iou_threshold": IOU,
        }
        content = {"Content-Type": "application/json", "Idempotency-Key": uuid.uuid4().hex}
        submit = self._request("/v2/task/dinox/detection", json.dumps(body).encode(), content)
        task = self._ask(submit, _has_task, stop)["task_uuid"]
        look = self._request(f"/v2/task_status/{task}")
        patience, pause = time.monotonic() + self._pace.task, self._pace.first_look
        while time.monotonic() < patience:
            rest(pause, stop)
            data = self._ask(look, _has_status, stop)
            if data["status"] == _SUCCESS:
                return data.get("result")
            if data["status"] == _FAILED:
                raise self._refused(f"its work on a picture failed: {self._shown(data.get('error'))}")
            pause = min(pause * 1.5, self._pace.longest_look)
        raise self._unavailable(f"a picture was not ready after {self._pace.task:g} s")

    def _request(self, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Request:
        always = {"Token": self._key, "User-Agent": "video-miner", "Accept": "application/json"}
        return Request(self._url + path, data=body, headers={**always, **(headers or {})})

    def _ask(self, request: Request, expected: Callable[[Any], bool], stop: threading.Event) -> Any:  # noqa: ANN401
        """The `data` of the answer, which is as expected."""
        attempt = 1
        while True:
            self._gate.pass_through(stop)
            answer = self._try(request, expected)
            if not isinstance(answer, _Trouble):
                return answer
            if attempt == self._pace.attempts or not answer.again:
                # Outside of any `except`: the original error may quote the key.
                raise answer.error
            pause = self._pause(attempt) if answer.pause is None else min(answer.pause, self._pace.longest_pause)
            if answer.for_all:
                self._gate.close_for(pause)
            else:
                rest(pause, stop)
            attempt += 1

    def _try(self, request: Request, expected: Callable[[Any], bool]) -> Any:  # noqa: ANN401
        """The `data` of the answer, or a `_Trouble`."""
        limit = self._pace.request
        deadline = time.monotonic() + limit
        try:
            with self._opener.open(request, timeout=limit) as response:
                # Whatever the service quotes, nothing downstream can show the key.
                answer = read_body(response, deadline).replace(self._key.encode(), b"...")
                return self._data(response.status, response.headers.get("Retry-After"), answer, expected)
        except TimeoutError:
            return _Trouble(self._unavailable(f"no answer within {limit:g} s"), again=True)
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            return _Trouble(self._unavailable(self._shown(f"{type(error).__name__}: {error}")), again=True)

    def _data(self, status: int, header: str | None, content: bytes, expected: Callable[[Any], bool]) -> Any:  # noqa: ANN401
        answer = _parsed(content)
        if status >= 300 or answer.get("code") == _BUSY:
            said = answer.get("msg") or content.decode(errors="replace")
            return self._trouble(status, answer.get("code"), header, f"HTTP {status} {self._shown(said)}")
        if answer.get("code", 0) != 0:
            return _Trouble(self._refused(f"{self._shown(answer.get('msg'))} (code {self._shown(answer['code'])})"))
        data = answer.get("data")
        if not expected(data):
            said = self._shown(content.decode(errors="replace"))
            return _Trouble(self._unavailable(f"its answer cannot be read: {said}"), again=True)
        return data

    def _trouble(self, status: int, code: object, header: str | None, said: str) -> _Trouble:
        if status in _REFUSED:
            remedy = f"set it to a token of {KEYS_PAGE}"
            return _Trouble(NotConfigured(f"DINO-X does not accept {API_KEY}: {said}", remedy=remedy))
        if status == _UNPAID:
            return _Trouble(NotConfigured(f"DINO-X wants to be paid: {said}", remedy="add credit to the account"))
        if status == _TOO_MANY or code == _BUSY:
            return _Trouble(self._unavailable(said), again=True, pause=seconds_to_wait(header), for_all=True)
        if status >= 500 or status in _LATER:
            return _Trouble(self._unavailable(said), again=True, pause=seconds_to_wait(header))
        return _Trouble(self._refused(said))

    def _refused(self, what: str) -> InvalidData:
        remedy = f"change what it complains about, check {URL} if you set it, or choose another detection.detector"
        return InvalidData(f"DINO-X refuses a picture: {what}", remedy=remedy)

    def _unavailable(self, what: str) -> Unavailable:
        remedy = "run again later; a smaller detection.batch_size asks less often"
        return Unavailable(f"DINO-X did not answer: {what}", remedy=remedy)

    def _shown(self, said: object) -> str:
        """What the service said, short, on one line, and without the key."""
        return " ".join(str(said).replace(self._key, "…").split())[:_SAID_MAX]

    def _pause(self, attempt: int) -> float:
        """Different in each thread: those that were refused together should not come back together."""
        return min(self._pace.first_pause * 2 ** (attempt - 1), self._pace.longest_pause) * random.uniform(0.5, 1)


def _parsed(content: bytes) -> dict[str, Any]:
    """The JSON object, empty if it is none."""
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _has_task(data: Any) -> bool:  # noqa: ANN401
    # It becomes part of an address.
    task = data.get("task_uuid") if isinstance(data, dict) else None
    return isinstance(task, str) and re.fullmatch(r"[\w-]{1,100}", task, re.ASCII) is not None


def _has_status(data: Any) -> bool:  # noqa: ANN401
    return isinstance(data, dict) and isinstance(data.get("status"), str) and data["status"] in _STATES
