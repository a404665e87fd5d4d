"""Nobody but the user sends us into private networks: not lists, pages, redirects, names or manifests."""

import socket
from collections.abc import Generator
from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from miner_resources.config_sections import SearchConfig
from miner_resources.errors import InvalidData, MinerError, NotWanted
from miner_resources.video_source import Lost, find_videos
from miner_resources.web.addresses import AddressRule, check_source, has_password, host_of, is_private_host
from miner_resources.web.fetch import fetch
from miner_resources.web.listing import list_url
from tests.internet import PretendInternet
from tests.loopback import LoopbackServer, MediaHandler
from tests.web.conftest import NOW, Connect, linked_video

PRIVATE = (
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0", "localhost", "LOCALHOST", "a.localhost",
    "printer.local", "router", "metadata.google.internal", "169.254.169.254", "10.1.2.3", "172.16.0.1", "192.168.1.1",
    "100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fd00::1",
    "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::127.0.0.1", "64:ff9b:1::7f00:1", "fec0::1",
    "web.default.svc", "%31%32%37.0.0.1", "①②⑦.0.0.1", "127。0。0。1", "ⓛocalhost", "localhost%2e",
    "::ffff:0:7f00:1", "LOCALHOST.",
)  # fmt: skip
PUBLIC = ("example.com", "8.8.8.8", "2606:4700::1111", "1.example.com", "::ffff:8.8.8.8", "abc.de", "face.com")


class RedirectingHandler(MediaHandler):
    """`/to/URL` redirects there; `/page/URL` is a page with a video there; `/feed/URL,URL` an RSS feed of links."""

    def media(self, path: str) -> None:
        kind, _, rest = path[1:].partition("/")
        target = unquote(rest)
        if kind == "to":
            self.answer(302, b"", "text/plain", {"Location": target})
        elif kind == "page":
            self.answer(200, f'<html><video src="{target}"></video></html>'.encode(), "text/html")
        elif kind == "feed":
            items = "".join(f"<item><title>x</title><link>{link}</link></item>" for link in target.split(","))
            body = f'<?xml version="1.0"?><rss version="2.0"><channel><title>t</title>{items}</channel></rss>'
            self.answer(200, body.encode(), "application/rss+xml")
        else:
            super().media(path)


@pytest.fixture
def hostile(served: Path) -> Generator[LoopbackServer]:
    """The server that the user names, as 127.0.0.1."""
    with LoopbackServer(served, RedirectingHandler).running() as running:
        yield running


@pytest.fixture
def neighbour(served: Path) -> Generator[LoopbackServer]:
    """Another service of this machine, which nobody but the hostile server names."""
    with LoopbackServer(served, MediaHandler).running() as running:
        yield running


def test_private_hosts_are_known_by_their_looks() -> None:
    assert [host for host in PRIVATE if not is_private_host(host_of(_url(host)))] == []
    assert [host for host in PUBLIC if is_private_host(host_of(_url(host)))] == []


def _url(host: str) -> str:
    return f"http://[{host}]/" if ":" in host else f"http://{host}/"


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.com/x", "gopher://x", "rtmp://e.com/x", "", "x:"])
def test_only_addresses_of_the_web_are_asked(url: str) -> None:
    with pytest.raises(NotWanted, match="refused"):
        AddressRule(resolves=False).check(url)


def test_a_name_that_leads_here_is_refused_even_if_the_user_typed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, *_: object, **__: object) -> list[object]:
        address = "10.0.0.7" if host == "inside.example.com" else "93.184.216.34"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    AddressRule.of(["https://outside.example.com/v.mp4"]).check("https://outside.example.com/v.mp4")
    with pytest.raises(NotWanted, match=r"inside\.example\.com"):
        AddressRule.of(["https://inside.example.com/v.mp4"]).check("https://inside.example.com/v.mp4")


def test_what_the_user_names_may_be_private(hostile: LoopbackServer, connect: Connect, tmp_path: Path) -> None:
    assert fetch(connect(), linked_video(f"{hostile.url}/ok/clip.mp4"), tmp_path / "part").path.exists()
    redirect = f"{hostile.url}/to/{hostile.url}/ok/clip.mp4"
    assert fetch(connect(), linked_video(redirect), tmp_path / "redirected").path.exists(), "the same host"


@pytest.mark.parametrize("how", ["to", "page"])
def test_a_server_cannot_lead_to_a_neighbour(
    how: str, hostile: LoopbackServer, neighbour: LoopbackServer, connect: Connect, tmp_path: Path
) -> None:
    url = f"{hostile.url}/{how}/{neighbour.url}/ok/clip.mp4"
    with pytest.raises(NotWanted, match=r"127\.0\.0\.1 was refused") as caught:
        fetch(connect(), linked_video(url), tmp_path / "part")
    assert "download.allow_private" in caught.value.remedy
    assert neighbour.requests == []
    assert fetch(connect(allow_private=True), linked_video(url), tmp_path / "allowed").path.exists()
    assert neighbour.requests


SPELLINGS = ("localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "%31%32%37.0.0.1", "①②⑦.0.0.1", "127。0。0。1")


@pytest.mark.parametrize("host", SPELLINGS)
def test_no_spelling_of_this_machine_gets_through(
    host: str, hostile: LoopbackServer, neighbour: LoopbackServer, connect: Connect, tmp_path: Path
) -> None:
    url = f"{hostile.url}/to/{quote(neighbour.url.replace('127.0.0.1', host))}/ok/clip.mp4"
    with pytest.raises(MinerError):
        fetch(connect(), linked_video(url), tmp_path / "part")
    assert hostile.requests
    assert neighbour.requests == []


def test_services_that_the_settings_name_may_be_asked(
    hostile: LoopbackServer, neighbour: LoopbackServer, connect: Connect, tmp_path: Path
) -> None:
    client = connect(extractor_args={"youtubepot-bgutilhttp": {"base_url": [neighbour.url]}})
    url = f"{hostile.url}/to/{neighbour.url}/ok/clip.mp4"
    assert fetch(client, linked_video(url), tmp_path / "part").path.exists()


def test_a_site_behind_a_proxy_cannot_lead_to_this_machine(
    internet: PretendInternet,
    neighbour: LoopbackServer,
    connect: Connect,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def media(handler: MediaHandler, path: str) -> None:
        handler.answer(302, b"", "text/plain", {"Location": f"{neighbour.url}/ok/clip.mp4"})

    monkeypatch.setattr(MediaHandler, "media", media)
    with pytest.raises(NotWanted, match=r"127\.0\.0\.1 was refused"):
        fetch(connect(internet), linked_video("https://media.test/ok/clip.mp4"), tmp_path / "part")
    assert neighbour.requests == []
    assert {seen.host for seen in internet.seen} == {"media.test"}


def test_a_list_cannot_register_private_addresses_or_files(
    hostile: LoopbackServer, neighbour: LoopbackServer, connect: Connect
) -> None:
    links = ",".join(
        [
            f"{hostile.url}/ok/clip.mp4",
            f"{neighbour.url}/ok/clip.mp4",
            "http://169.254.169.254/latest/meta-data",
            "https://user:word@media.test/clip.mp4",
            "file:///etc/passwd",
            "https://media.test/clip.mp4",
        ]
    )
    hits = list(list_url(connect(), f"{hostile.url}/feed/{links}", SearchConfig(), NOW))
    reasons = [hit.reason for hit in hits]
    private = "an address in a private network"
    assert reasons == [None, private, private, "an address with a password", "no address of the web", None]
    allowed = list(list_url(connect(allow_private=True), f"{hostile.url}/feed/{links}", SearchConfig(), NOW))
    assert [hit.reason for hit in allowed].count(private) == 0
    assert neighbour.requests == []


def test_addresses_with_passwords_are_refused_without_repeating_them() -> None:
    for url in ("https://user:planted@example.com/v.mp4", "https://planted@example.com/", "ftp://a:planted@b.com/x"):
        assert has_password(url)
        with pytest.raises(InvalidData) as caught:
            check_source(url)
        assert "planted" not in str(caught.value)
    assert not any(map(has_password, ("https://example.com/@someone", "/home/a@b/v.mp4", "ytsearch:a@b", "@channel")))


@pytest.mark.parametrize("source", ["http://[::1", "https://[x]/y", "http://a\u2100b.com", "http://[", "//["])
def test_malformed_addresses_are_lost_with_a_reason(source: str) -> None:
    found = list(find_videos([source], registered=[], list_url=lambda _: [], now=NOW))
    assert all(isinstance(lost, Lost) for lost in found)
    assert found
