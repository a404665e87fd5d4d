"""Moondream's two clients, Photon on this machine and the web service, with the errors of this project.

Reference: the source of the package `moondream` 2.6.1. Its cloud client sends each request once and waits for ever; its
Photon client hands all requests to one engine, which puts them into batches by itself. Both may be used from threads.
"""

import http.client
import json
import random
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar
from urllib.error import HTTPError

from PIL import Image

from miner_resources.errors import InvalidData, MinerError, NotConfigured, Unavailable
from miner_resources.models.runtime import is_out_of_memory
from miner_resources.models.service_key import read_service_key
from miner_resources.records import Rgb

API_KEY: Final = "MOONDREAM_API_KEY"
KEYS_PAGE: Final = "https://moondream.ai/c/cloud/api-keys"
SETTINGS: Final = {"temperature": 0.0, "max_objects": 150}
"""Always the likeliest answer; Photon would stop after 50 objects."""

ATTEMPTS: Final = 8
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0
DEADLINE_S: Final = 120.0
_SAID_MAX: Final = 200
_REFUSED: Final = frozenset({401, 403})
_UNPAID: Final = 402
_LATER: Final = frozenset({408, 425, 429})

T = TypeVar("T")


class Client(Protocol):
    """What the adapter asks."""

    def encode(self, rgb: Rgb) -> Any:  # noqa: ANN401 (the package's own type)
        """A picture, ready to be asked about several times."""
        ...

    def detect(self, encoded: Any, phrase: str, stop: threading.Event) -> Any:  # noqa: ANN401
        """The package's answer for one phrase; `stop` ends the patience with a service that is busy.

        Raises:
            MinerError: there is no answer.
        """
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...


class Photon:
    """The engine on one device."""

    def __init__(self, client: Any, name: str, device: str) -> None:  # noqa: ANN401 (the package has no types for us)
        self._client = client
        self._name = name
        self._device = device

    def encode(self, rgb: Rgb) -> Any:  # noqa: ANN401
        """The same bytes for each phrase, by which Photon knows a picture that it has seen."""
        return _encoded(self._client, self._name, rgb)

    def detect(self, encoded: Any, phrase: str, stop: threading.Event) -> Any:  # noqa: ANN401, ARG002
        """See `Client`."""
        try:
            return _objects(self._client, self._name, encoded, phrase)
        except ValueError as error:
            raise InvalidData(
                f"{self._name} refuses {phrase!r}: {error}", remedy="give a text that names an object"
            ) from error
        except (RuntimeError, CancelledError) as error:
            if isinstance(error, RuntimeError) and is_out_of_memory(error):
                raise NotConfigured(
                    f"{self._name} ran out of memory on {self._device}",
                    remedy="set detection.batch_size to a smaller number, or end other programs on the device",
                ) from error
            raise Unavailable(
                f"{self._name} failed on {self._device}: {error}", remedy="run again; if it stays, choose another model"
            ) from error

    def close(self) -> None:
        """Stop the engine."""
        self._client.close()


@dataclass(frozen=True)
class _Trouble:
    """Why a request got no answer.

    Attributes:
        error: to raise if it was the last try.
        again: whether another try makes sense.
        pause_s: how long the service wants to be left alone.
    """

    error: MinerError
    again: bool
    pause_s: float | None = None


class Cloud:
    """The web service: several tries, each with a deadline. The key is in no message."""

    def __init__(self, client: Any, name: str, key: str) -> None:  # noqa: ANN401
        self._client = client
        self._name = name
        self._key = key

    def encode(self, rgb: Rgb) -> Any:  # noqa: ANN401
        """A JPEG file as text, as it is sent."""
        return _encoded(self._client, self._name, rgb)

    def detect(self, encoded: Any, phrase: str, stop: threading.Event) -> Any:  # noqa: ANN401
        """See `Client`."""
        for attempt in range(1, ATTEMPTS + 1):
            answer = self._try(encoded, phrase)
            if not isinstance(answer, _Trouble):
                return answer
            last = attempt == ATTEMPTS or not answer.again
            if last or stop.wait(_pause(attempt) if answer.pause_s is None else answer.pause_s):
                # Outside of any `except`: the original error may quote the key.
                raise answer.error
        return None

    def close(self) -> None:
        """It holds nothing."""

    def _try(self, encoded: Any, phrase: str) -> Any:  # noqa: ANN401
        """The answer, or a `_Trouble`."""
        try:
            return _within(DEADLINE_S, lambda: _objects(self._client, self._name, encoded, phrase))
        except HTTPError as error:
            return self._refusal(error)
        except TimeoutError:
            return _Trouble(self._unavailable(f"no answer within {DEADLINE_S:.0f} s"), again=True)
        except (OSError, http.client.HTTPException, json.JSONDecodeError, UnicodeDecodeError) as error:
            return _Trouble(self._unavailable(f"{type(error).__name__}: {error}"), again=True)

    def _refusal(self, error: HTTPError) -> _Trouble:
        said = self._said(error)
        if error.code in _REFUSED:
            remedy = f"set it to a key of {KEYS_PAGE}"
            return _Trouble(NotConfigured(f"Moondream's cloud does not accept {API_KEY}: {said}", remedy=remedy), False)
        if error.code == _UNPAID:
            remedy = "add credit to the account, or run on a GPU"
            return _Trouble(NotConfigured(f"Moondream's cloud wants to be paid: {said}", remedy=remedy), False)
        if error.code < 500 and error.code not in _LATER:
            remedy = "choose another model if the cloud does not offer this one, or run on a GPU"
            refused = InvalidData(f"Moondream's cloud refuses a request for {self._name}: {said}", remedy=remedy)
            return _Trouble(refused, again=False)
        pause = _seconds(error.headers.get("Retry-After"))
        return _Trouble(self._unavailable(said), again=pause is None or pause <= LONGEST_PAUSE_S, pause_s=pause)

    def _said(self, error: HTTPError) -> str:
        try:
            body = error.read(4096).decode(errors="replace")
        except (OSError, http.client.HTTPException):
            body = ""
        finally:
            error.close()
        said = self._without_key(" ".join((body or str(error.reason)).split()))
        return f"HTTP {error.code} {said[:_SAID_MAX]}"

    def _unavailable(self, what: str) -> Unavailable:
        return Unavailable(
            f"Moondream's cloud did not answer for {self._name}: {self._without_key(what)}",
            remedy="run again later; a smaller detection.batch_size asks less often",
        )

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "…")


def read_key(name: str) -> str:
    """The key for the web service.

    Raises:
        NotConfigured: there is none, or it cannot be one.
    """
    missing = NotConfigured(
        f"{name} finds no GPU that it may use, and no key for Moondream's cloud",
        remedy="run on a machine with an NVIDIA GPU (Ampere or newer) or Apple silicon and with device: auto, or "
        f"set {API_KEY} to a key of {KEYS_PAGE}; then frames are sent there",
    )
    return read_service_key(API_KEY, KEYS_PAGE, missing)


def _encoded(client: Any, name: str, rgb: Rgb) -> Any:  # noqa: ANN401
    try:
        return client.encode_image(Image.fromarray(rgb))
    except (ValueError, OSError) as error:
        raise InvalidData(
            f"a picture of {rgb.shape[1]} x {rgb.shape[0]} cannot be made a JPEG for {name}: {error}",
            remedy="JPEG takes up to 65500 pixels per side: choose another model for larger ones",
        ) from error


def _objects(client: Any, name: str, encoded: Any, phrase: str) -> Any:  # noqa: ANN401
    try:
        return client.detect(encoded, phrase, settings=dict(SETTINGS))["objects"]
    except (KeyError, TypeError, AttributeError) as error:
        raise malformed(name, f"{type(error).__name__} {error}") from error


def malformed(name: str, what: str) -> InvalidData:
    """The error for an answer that is not what the package promises."""
    return InvalidData(
        f"{name} gave an answer that cannot be read: {what}",
        remedy="install the version of moondream that pyproject.toml names, or report this",
    )


def _within(seconds: float, call: Callable[[], T]) -> T:
    """The result of `call`, or TimeoutError. A connection that died in silence would hold urllib for ever."""
    done: Future[T] = Future()

    def work() -> None:
        try:
            done.set_result(call())
        except Exception as error:  # noqa: BLE001 (raised in the caller's thread)
            done.set_exception(error)

    threading.Thread(target=work, name="moondream-request", daemon=True).start()
    return done.result(timeout=seconds)


def _pause(attempt: int) -> float:
    """Doubling, and different in each thread: those that were refused together should not come back together."""
    return min(FIRST_PAUSE_S * 2 ** (attempt - 1), LONGEST_PAUSE_S) * random.uniform(0.5, 1)


def _seconds(header: str | None) -> float | None:
    """`Retry-After` if it is a number; the other form, a date, is not worth trusting two clocks for."""
    return float(header) if header is not None and header.isdecimal() else None
