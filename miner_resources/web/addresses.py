"""Where requests may go: strangers must not send us into private networks, or make us read files of this machine.

Playlists, pages, redirects and manifests name addresses. One that is in a private network (loopback, link-local such
as the metadata services of clouds, a home or company network) is refused, unless the user named that host and port.
`guard.py` asks here before every request of yt-dlp, redirects included; `download.allow_private` switches it off.
"""

import ipaddress
import re
import socket
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from miner_resources.errors import InvalidData, NotWanted

_PRIVATE_NAMES: Final = re.compile(
    r"[^.]*|.*\.(localhost|local|localdomain|internal|intranet|lan|home|corp|svc|home\.arpa)"
)
"""Names without a dot, and endings that no public registry hands out."""

_DOTS: Final = str.maketrans("\u3002\uff0e\uff61", "...")  # as IDNA reads them
_NO_HOST: Final = re.compile(r"[\x00-\x20\x7f\xad#/<>?@\\^|]")

_INSIDE: Final = tuple(map(ipaddress.IPv6Network, ("::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "fec0::/10")))
"""Not global either: IPv4 in other forms, translators of one's own network, and what came before `fd00::`."""

_SCHEMES: Final = frozenset({"http", "https", "data"})
_NUMBERS_AND_DOTS: Final = re.compile(r"(0x)?[0-9a-f]+(\.(0x)?[0-9a-f]+){0,3}")
_REMEDY: Final = "if you trust where it comes from, set download.allow_private: true, or name its address in `urls`"


def host_of(url: str) -> str:
    """The host of an address in small letters, without a port; empty if it has none, or is none.

    As those understand it who connect: urllib undoes `%31`, and IDNA makes digits of `①` and dots of `。`.
    """
    try:
        written = unquote(urlsplit(url).hostname or "")
    except ValueError:
        return ""
    host = unicodedata.normalize("NFKC", written).translate(_DOTS).lower().rstrip(".")
    return "" if _NO_HOST.search(host) else host


def private_origin(url: str) -> str:
    """Host and port of an address in a private network, empty for all others."""
    host = host_of(url)
    try:
        parts = urlsplit(url)
        return f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}" if is_private_host(host) else ""
    except ValueError:
        return ""


def is_private_host(host: str) -> bool:
    """Whether a host is in a private network by its looks; names that look public are not resolved."""
    if not host:
        return False
    address = _address(host)
    return _is_private(address) if address else bool(_PRIVATE_NAMES.fullmatch(host))


def has_password(url: str) -> bool:
    """Whether an address carries a user or password, which would travel with every record of the video."""
    try:
        return "://" in url and "@" in urlsplit(url).netloc
    except ValueError:
        return False


def check_source(url: str) -> None:
    """Refuse an address that no record may keep.

    Raises:
        InvalidData: it is malformed, or carries a password.
    """
    try:
        urlsplit(url)
    except ValueError as error:
        raise InvalidData(f"{url} is no address: {error}", remedy="correct it") from None
    if has_password(url):
        raise InvalidData(
            f"the address of {host_of(url)} holds a user or password, and addresses become part of the dataset",
            remedy="leave it out of the address, and give the site's cookies with download.cookies_file",
        )


@dataclass(frozen=True)
class AddressRule:
    """Which requests are allowed.

    Attributes:
        own: private hosts with ports that may be asked, because the user named them.
        resolves: whether to look up names; behind a proxy they are the proxy's business.
    """

    own: frozenset[str] = frozenset()
    resolves: bool = True

    @classmethod
    def of(cls, urls: Iterable[str], *, resolves: bool = True) -> "AddressRule":
        """The rule for everything that is asked on the way to addresses which the user has named.

        A name that looks public does not become trusted by that: it may lead here without the user's knowledge.
        """
        return cls(frozenset(filter(None, map(private_origin, urls))), resolves)

    def check(self, url: str) -> None:
        """Refuse an address.

        Raises:
            NotWanted: it is in a private network, or no address of the web.
        """
        scheme, host = url.partition(":")[0].lower(), host_of(url)
        if scheme not in _SCHEMES:
            raise NotWanted(f"a request for {scheme}: was refused: it is no address of the web", remedy=_REMEDY)
        if scheme == "data" or private_origin(url) in self.own:
            return
        if not host or is_private_host(host) or (self.resolves and any(map(_is_private, _resolved(host)))):
            raise NotWanted(
                f"a request to {host or 'nowhere'} was refused: it is in a private network, which no page or list may "
                "name",
                remedy=_REMEDY,
            )


NOBODY: Final = AddressRule(resolves=False)
"""The rule for an address that a stranger named, before any request."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _address(host: str) -> Address | None:
    """The address that a host spells out, in all ways that the system's resolver takes (`127.1`, `0x7f000001`)."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host)) if _NUMBERS_AND_DOTS.fullmatch(host) else None
    except OSError:
        return None


def _resolved(host: str) -> list[Address]:
    """What a name stands for now; nothing if nobody knows, then the request fails by itself."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [address for *_, where in found if (address := _address(str(where[0])))]


def _is_private(address: Address) -> bool:
    inside = address
    if isinstance(address, ipaddress.IPv6Address):
        inside = address.ipv4_mapped or address.sixtofour or _nat64(address) or address
    return not inside.is_global or inside.is_multicast or any(inside in network for network in _INSIDE)


def _nat64(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address behind a translator (RFC 6052)."""
    known = address in ipaddress.IPv6Network("64:ff9b::/96")
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if known else None
