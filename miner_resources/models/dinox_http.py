"""What the DINO-X client needs to know and have before it asks: key, address, connections, and a place in the line."""

import http.client
import ipaddress
import os
import threading
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler

from miner_resources.errors import NotConfigured
from miner_resources.models.service_key import read_service_key

API_KEY: Final = "DDS_CLOUDAPI_TOKEN"
KEYS_PAGE: Final = "https://cloud.deepdataspace.com/dashboard/token-key"
URL: Final = "VIDEO_MINER_DINOX_URL"
DEFAULT_URL: Final = "https://api.deepdataspace.com"

ANSWER_MAX: Final = 8 * 2**20


class StoppedError(Exception):
    """Another picture met an error that ends the work on all of them."""


class Gate:
    """Lets requests of all threads start one after the other."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._next = 0.0
        self._lock = threading.Lock()

    def pass_through(self, stop: threading.Event) -> None:
        """Wait for the next turn, or raise StoppedError."""
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._interval
        rest(turn - now, stop)

    def close_for(self, seconds: float) -> None:
        """Nobody's turn comes before that time is over."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)


def read_key() -> str:
    """The key for the service.

    Raises:
        NotConfigured: there is none, or it cannot be one.
    """
    missing = NotConfigured(
        f"dino-x is a paid web service and {API_KEY} is not set",
        remedy=f"set {API_KEY} to a token of {KEYS_PAGE}; then frames are sent there; or choose another detector",
    )
    return read_service_key(API_KEY, KEYS_PAGE, missing)


def read_url() -> str:
    """The service's address, without a slash at its end.

    Raises:
        NotConfigured: it is none, or the key would travel in clear.
    """
    url = os.environ.get(URL, "").strip().rstrip("/") or DEFAULT_URL
    try:
        parts = urlsplit(url)
        plain = parts.hostname and parts.port != 0 and not (parts.query or parts.fragment or "@" in parts.netloc)
    except ValueError:
        plain, parts = False, urlsplit("")
    if not plain or not url.isascii() or not url.isprintable() or " " in url or parts.scheme not in {"http", "https"}:
        raise NotConfigured(f"{URL} is no address", remedy=f"unset it, or set it to one such as {DEFAULT_URL}")
    if parts.scheme == "http" and not _is_loopback(url):
        raise NotConfigured(f"{URL} would send {API_KEY} unencrypted", remedy="let it begin with https://")
    return url


def make_opener(url: str) -> OpenerDirector:
    """Without redirects, which would carry the key to another host, and without exceptions for HTTP statuses."""
    opener = OpenerDirector()
    for handler in (ProxyHandler({} if _is_loopback(url) else None), HTTPHandler(), HTTPSHandler()):
        opener.add_handler(handler)
    return opener


def read_body(response: http.client.HTTPResponse, deadline: float) -> bytes:
    """The body.

    Raises:
        TimeoutError: it is not complete by the deadline, which is a reading of the monotonic clock.
        HTTPException: it is larger than `ANSWER_MAX`.
    """
    content = bytearray()
    while block := response.read1(65536):
        content += block
        if time.monotonic() > deadline:
            raise TimeoutError
        if len(content) > ANSWER_MAX:
            raise http.client.HTTPException(f"an answer of more than {ANSWER_MAX} bytes")
    return bytes(content)


def rest(seconds: float, stop: threading.Event) -> None:
    """Wait.

    Raises:
        StoppedError: `stop` was set by then.
    """
    if stop.wait(max(0.0, seconds)):
        raise StoppedError


def seconds_to_wait(header: str | None) -> float | None:
    """`Retry-After`: seconds or a date; None if it is neither."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        when = parsedate_to_datetime(header)
        # A date that ends in -0000 is UTC too, but comes without a zone.
        return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
