"""yt-dlp that asks before every request whether it may go there, redirects included.

yt-dlp follows redirects inside of its request handlers, so the question is put where each hop passes: the opener of
urllib and the session of requests. Handlers whose hops cannot be watched (curl_cffi, websockets) are left out.
`tests/web/test_addresses.py` proves it against real redirects: a new yt-dlp that works otherwise fails there.
"""

import functools
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from miner_resources.errors import MinerError, NotConfigured
from miner_resources.web.addresses import AddressRule

_WATCHED: Final = frozenset({"Urllib", "Requests"})

NATIVE: Final[Mapping[str, object]] = {"external_downloader": {"default": "native"}, "hls_prefer_native": True}
"""Programs that yt-dlp could start instead make requests of their own."""


def guarded_downloader(settings: Mapping[str, Any], url: str) -> Any:  # noqa: ANN401 (yt-dlp has no types)
    """A `YoutubeDL` that makes no request into a private network.

    Except to the host of `url` itself, and to services that its settings name, such as a PO token provider.
    """
    import yt_dlp  # takes a second to import

    arguments: Mapping[str, Mapping[str, Sequence[str]]] = settings.get("extractor_args") or {}
    services = [value for site in arguments.values() for values in site.values() for value in values]

    class Guarded(yt_dlp.YoutubeDL):
        def build_request_director(self, handlers: Any, preferences: Any = None) -> Any:  # noqa: ANN401
            watched = [handler for handler in handlers if handler.RH_KEY in _WATCHED]
            director: Any = super().build_request_director(watched, preferences)
            proxies: Any = self.proxies
            behind_proxy = any(proxies.get(scheme) for scheme in ("http", "https", "all"))
            check = _checker(AddressRule.of([url, *services], resolves=not behind_proxy))
            for handler in director.handlers.values():
                handler._create_instance = functools.partial(_watched, handler._create_instance, check)
            return director

    all_settings: Any = {**settings, **NATIVE}
    return Guarded(all_settings)


def _checker(rule: AddressRule) -> Callable[[str], None]:
    from yt_dlp.networking.exceptions import RequestError

    def check(url: str) -> None:
        try:
            rule.check(url)
        except MinerError as error:
            # Anything else makes yt-dlp try the next handler.
            raise RequestError(cause=error) from error

    return check


def _watched(make: Callable[..., Any], check: Callable[[str], None], *args: object, **kwargs: object) -> Any:  # noqa: ANN401
    """What `make` makes, which now asks `check` about each hop."""
    maker: Any = make(*args, **kwargs)
    name = "open" if isinstance(maker, urllib.request.OpenerDirector) else "get_adapter"
    hop = getattr(maker, name, None)
    if hop is None:
        raise NotConfigured("this yt-dlp sends requests in an unknown way", remedy="install the version of the project")

    def checked(target: Any, *more: object, **named: object) -> Any:  # noqa: ANN401
        check(getattr(target, "full_url", target))
        return hop(target, *more, **named)

    setattr(maker, name, checked)
    return maker
