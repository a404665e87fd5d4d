"""What every answer is wrapped in: headers that forbid scripts and frames of others, and a token for other machines."""

import hmac
from typing import Final
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS: Final = {
    # No inline scripts or styles, so that a title which smuggles in a tag cannot run anything.
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'self'; "
    "script-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
"""As they are written in addresses."""
TOKEN: Final = "token"
COOKIE_DAYS: Final = 7


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    return host in (*LOOPBACK, "::1")


class Guard:
    """Adds `HEADERS`, and lets nobody in without the token if there is one.

    The token comes once in the address, from which it is taken at once, and then in a cookie.
    """

    def __init__(self, app: ASGIApp, token: str | None = None) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "private, no-cache")
            await send(message)

        refused = self._refuse(Request(scope)) if self._token else None
        await (refused or self._app)(scope, receive, send_guarded)

    def _refuse(self, request: Request) -> Response | None:
        """What somebody gets who has not shown the token yet, None for the others."""
        port = request.url.port or 80
        cookie = f"video_miner_{port}"  # cookies are shared by all ports of a host
        if self._is_token(request.cookies.get(cookie, "")):
            return None
        if not self._is_token(request.query_params.get(TOKEN, "")):
            text = "This project is not public. Open the address that `video-miner explore` printed, with its token.\n"
            return PlainTextResponse(text, 401)
        rest = urlencode([pair for pair in parse_qsl(request.url.query) if pair[0] != TOKEN])
        here = "/" + request.url.path.lstrip("/")  # two slashes would lead to another host
        answer = RedirectResponse(f"{here}{'?' if rest else ''}{rest}", 303)
        answer.set_cookie(
            cookie, self._token or "", max_age=COOKIE_DAYS * 86400, httponly=True, samesite="strict", path="/"
        )
        return answer

    def _is_token(self, text: str) -> bool:
        return self._token is not None and hmac.compare_digest(text.encode(), self._token.encode())
