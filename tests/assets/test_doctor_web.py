"""`video-miner doctor` about acquisition: yt-dlp and what it runs, the network, cookies and cool-downs."""

import socket
import time
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import duckdb
import pytest
import trustme
import yaml
import yt_dlp.dependencies
from typer.testing import CliRunner

from miner_assets.cli import app
from miner_assets.commands import doctor_web
from miner_assets.commands.doctor_web import OLD_YT_DLP_DAYS, UPDATE
from miner_resources.catalog import Catalog
from miner_resources.pacing import YOUTUBE
from miner_resources.storage import Storage
from tests.internet import PretendInternet, PretendVideo
from tests.loopback import LoopbackServer, MediaHandler

PATH = "/generate_204"
DEMO = {"filter": {"model": "demo"}, "dedup": {"model": "demo"}, "detection": {"detector": "demo"}}
SECRET_PROXIES = [
    pytest.param("http://user:planted@127.0.0.1:9", "Connection refused", id="refused"),
    pytest.param("socks5://user:planted@127.0.0.1:9", "Connection refused", id="socks"),
    pytest.param("http://user:planted@no.such.host.invalid:80", "not known", id="no-such-host"),
    pytest.param("http://user:planted@127.0.0.1:999999", "proxy's URL", id="no-such-port"),
]

Doctor = Callable[..., str]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("VIDEO_MINER_CONFIG", "VIDEO_MINER_OUTPUT", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def internet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[PretendInternet]:
    with PretendInternet(tmp_path, tmp_path).running() as running:
        monkeypatch.setenv("SSL_CERT_FILE", str(running.authority))
        yield running


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "project"


@pytest.fixture
def doctor(internet: PretendInternet, output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """What the doctor prints about a project behind the pretend internet: `doctor(proxy=…, cookies_file=…)`."""

    def run(*, code: int = 0, **download: object) -> str:
        path = tmp_path / "config.yaml"
        values = {"output_dir": str(output), "download": {"proxy": internet.url, **download}, **DEMO}
        path.write_text(yaml.safe_dump(values))
        monkeypatch.setenv("VIDEO_MINER_CONFIG", str(path))
        result = CliRunner().invoke(app, ["doctor"])
        assert result.exit_code == code, result.output
        return result.output

    return run


@pytest.fixture
def runtimes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Machines with these programs and no others: `runtimes(deno="deno 1.0.0")` prints that as its version."""

    def install(**programs: str) -> Path:
        folder = tmp_path / "programs"
        folder.mkdir()
        for name, says in programs.items():
            program = folder / name
            program.write_text(f"#!/bin/sh\necho '{says}'\n")
            program.chmod(0o755)
        monkeypatch.setattr("yt_dlp.utils._jsruntime._find_exe", lambda name: str(folder / name))
        return folder

    return install


@pytest.fixture
def yt_dlp_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes yt-dlp's metadata say another version, and other requirements."""

    def install(number: str, *requirements: str) -> None:
        folder = tmp_path / "installed" / "yt_dlp-0.dist-info"
        folder.mkdir(parents=True)
        lines = ["Metadata-Version: 2.1", "Name: yt-dlp", f"Version: {number}"]
        lines += [f"Requires-Dist: {requirement}" for requirement in requirements]
        (folder / "METADATA").write_text("\n".join(lines) + "\n")
        monkeypatch.syspath_prepend(folder.parent)
        assert version("yt-dlp") == number

    return install


def line_with(words: str, text: str) -> str:
    """The only line with these words."""
    (found,) = [line for line in text.splitlines() if words in line]
    return found


def test_supported_runtime_is_named_with_version_and_path(doctor: Doctor, runtimes: Callable[..., Path]) -> None:
    folder = runtimes(deno="deno 1.0.0", node="v99.1.0")
    assert line_with("JavaScript", doctor()) == f"ok   JavaScript runtime node 99.1.0 at {folder}/node"


def test_old_runtimes_are_named_with_what_is_needed(doctor: Doctor, runtimes: Callable[..., Path]) -> None:
    runtimes(deno="deno 1.0.0", node="v18.0.0")
    line = line_with("JavaScript", doctor())
    assert line.startswith("warn JavaScript runtime too old: deno 1.0.0 (needs 2.")
    assert "node 18.0.0 (needs 2" in line
    assert line.endswith(f"→ {UPDATE}")


@pytest.mark.parametrize("programs", [{}, {"bun": "99.0.0"}, {"deno": "'; exit 1; '"}], ids=["none", "bun", "broken"])
def test_no_runtime(doctor: Doctor, runtimes: Callable[..., Path], programs: dict[str, str]) -> None:
    runtimes(**programs)
    line = line_with("JavaScript", doctor())
    assert line == f"warn no JavaScript runtime: YouTube gives few formats → {UPDATE}"


def test_solver_is_there_in_the_version_that_yt_dlp_pins(doctor: Doctor) -> None:
    assert line_with("yt-dlp-ejs", doctor()) == f"ok   yt-dlp-ejs {version('yt-dlp-ejs')}"


def test_solver_of_another_version(doctor: Doctor, yt_dlp_version: Callable[..., None]) -> None:
    yt_dlp_version(
        "2026.8.19", "yt-dlp-ejs==7.7.7 ; extra == 'pin'", "certifi", "yt-dlp-ejs==9.9.9 ; extra == 'default'"
    )
    line = line_with("yt-dlp-ejs", doctor())
    assert line == f"warn yt-dlp-ejs is {version('yt-dlp-ejs')}, and yt-dlp wants 9.9.9 → {UPDATE}"


def test_solver_is_missing(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yt_dlp.dependencies, "yt_dlp_ejs", None)
    assert line_with("yt-dlp-ejs", doctor()).startswith("warn yt-dlp-ejs is not installed")


@pytest.mark.parametrize(
    ("days", "form", "state"),
    [
        (OLD_YT_DLP_DAYS, "{0:%Y}.{0.month}.{0.day}", "ok"),
        (OLD_YT_DLP_DAYS + 1, "{0:%Y}.{0.month}.{0.day}", "warn"),
        (OLD_YT_DLP_DAYS + 1, "{0:%Y.%m.%d}.232323", "warn"),
        (3, "{0:%Y.%m.%d}.232323", "ok"),
        (3, "{0:%Y.%m.%d}.dev0", "ok"),
        (3, "{0:%Y.%m.%d}+local", "ok"),
    ],
)
def test_age(doctor: Doctor, yt_dlp_version: Callable[..., None], days: int, form: str, state: str) -> None:
    number = form.format(datetime.now(UTC) - timedelta(days=days))
    yt_dlp_version(number)
    line = line_with("days old", doctor())
    assert line.startswith(f"{state:<4} yt-dlp {number} is {days} days old")
    assert (UPDATE in line) == (state == "warn")


def test_clock_behind_the_release(doctor: Doctor, yt_dlp_version: Callable[..., None]) -> None:
    yt_dlp_version("2999.1.1")
    assert "is 0 days old" in doctor()


@pytest.mark.parametrize("number", ["2026.13.41", "0.1", "2026.8", "2026.8.191"])
def test_version_without_a_date(doctor: Doctor, yt_dlp_version: Callable[..., None], number: str) -> None:
    yt_dlp_version(number)
    assert line_with("has no date", doctor()).startswith(f"warn yt-dlp {number} has no date")


def test_reachable_through_the_proxy_with_its_certificates(doctor: Doctor, internet: PretendInternet) -> None:
    assert line_with("www.youtube.com", doctor()) == "ok   www.youtube.com is reachable (HTTP 200)"
    assert [(seen.host, seen.path) for seen in internet.seen] == [("www.youtube.com", PATH)], "one request is enough"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (204, "ok   www.youtube.com is reachable (HTTP 204)"),
        (304, "ok   www.youtube.com is reachable (HTTP 304)"),
        (429, "warn YouTube limits this address (HTTP 429) → wait"),
        (403, "warn www.youtube.com is reachable, but answers HTTP 403 → "),
        (503, "warn www.youtube.com is reachable, but answers HTTP 503 → "),
    ],
)
def test_what_youtube_answers(doctor: Doctor, internet: PretendInternet, status: int, expected: str) -> None:
    internet.broken_paths[PATH] = status
    assert line_with(f"HTTP {status}", doctor()).startswith(expected)


def test_page_about_unusual_traffic(doctor: Doctor, internet: PretendInternet) -> None:
    internet.lists[PATH] = ["aaaaaaaaaaa"]
    internet.videos["aaaaaaaaaaa"] = PretendVideo(title="We have detected Unusual Traffic from your network")
    assert line_with("HTTP 200", doctor()).startswith("warn YouTube limits this address")


@pytest.mark.parametrize(("proxy", "reason"), SECRET_PROXIES)
def test_unreachable_without_saying_the_password(doctor: Doctor, proxy: str, reason: str) -> None:
    text = doctor(proxy=proxy)
    line = line_with("www.youtube.com", text)
    assert line.startswith("warn www.youtube.com is not reachable: ")
    assert reason in line
    assert "download.proxy" in line.split("→")[1]
    assert "planted" not in text


def test_password_of_a_proxy_in_the_environment(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://user:planted@127.0.0.1:9")
    text = doctor(proxy=None)
    assert "not reachable: Connection refused" in text
    assert "planted" not in text


def test_proxy_that_wants_another_password(doctor: Doctor, tmp_path: Path) -> None:
    class Refusing(MediaHandler):
        def do_CONNECT(self) -> None:
            self.answer(407, b"", "text/plain")

    with LoopbackServer(tmp_path, Refusing).running() as server:
        text = doctor(proxy=server.url.replace("//", "//user:planted@"))
    assert "not reachable: the proxy answers HTTP 407" in text
    assert "planted" not in text


def test_proxy_that_never_answers(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_web, "PROBE_TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        text = doctor(proxy=f"http://user:planted@127.0.0.1:{silent.getsockname()[1]}")
    assert "not reachable: no answer within 0.3 s" in text
    assert "planted" not in text


@pytest.mark.parametrize("named", ["unset", "other", "missing"])
def test_certificate_that_is_not_trusted(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    path = tmp_path / "other.pem"
    if named == "unset":
        monkeypatch.delenv("SSL_CERT_FILE")
    else:
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
    if named == "other":
        trustme.CA().cert_pem.write_to_path(path)
    line = line_with("www.youtube.com", doctor())
    assert line.startswith("warn the certificate shown for www.youtube.com is not trusted: ")
    now = {"unset": "(now not set)", "other": f"(now {path})", "missing": f"(now {path}, which is not there)"}[named]
    assert "set SSL_CERT_FILE" in line
    assert line.endswith(now)


@pytest.mark.parametrize(
    ("content", "mode", "expected"),
    [
        (b"# Netscape HTTP Cookie File\n.x\tTRUE\t/\tTRUE\t0\ta\tplanted\n", 0o600, "ok   {}"),
        (b"# HTTP Cookie File\n", 0o640, "ok   {}"),
        (b"# Netscape HTTP Cookie File\n", 0o644, "warn {} can be read by everybody on this machine → chmod 600 '"),
        (b'[{"name": "a", "value": "planted"}]', 0o600, "fail {} is not a Netscape cookie file → export"),
        (b"", 0o600, "fail {} is not a Netscape cookie file → export"),
        (b"\xff\xfeplanted", 0o600, "fail {} cannot be read: it is not text → export"),
        (None, 0, "fail {} cannot be read: No such file or directory → export"),
    ],
    ids=["good", "short-header", "public", "json", "empty", "binary", "missing"],
)
def test_cookies(doctor: Doctor, tmp_path: Path, content: bytes | None, mode: int, expected: str) -> None:
    path = tmp_path / "my cookies.txt"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    text = doctor(cookies_file=str(path), code=1 if expected.startswith("fail") else 0)
    line = line_with("download.cookies_file", text)
    assert line.startswith(expected.format(f"download.cookies_file {path}"))
    assert "planted" not in text


def test_cooling_sites(doctor: Doctor, output: Path) -> None:
    catalog = Catalog(Storage(output))
    now = time.time()
    catalog.change_pool(YOUTUBE, lambda pool: (pool.cool("rate_limited: [slow] down", now, 3600), None))
    catalog.change_pool("media.test", lambda pool: (pool.cool("blocked: no", now, 3600), None))
    catalog.change_pool("over.test", lambda pool: (pool.cool("blocked: no", now - 7200, 3600), None))
    lines = [line for line in doctor().splitlines() if " is cooling " in line]
    assert len(lines) == 2
    assert lines[0].startswith("warn media.test is cooling until ")
    assert lines[1].startswith("warn youtube is cooling until ")
    assert "(rate_limited: [slow] down) → nothing to do" in lines[1]


def test_no_project_is_made_by_asking(doctor: Doctor, output: Path) -> None:
    assert " is cooling " not in doctor()
    assert not output.exists()


def test_registry_that_cannot_be_read(doctor: Doctor, output: Path) -> None:
    storage = Storage(output)
    output.mkdir()
    with duckdb.connect(storage.registry) as connection:
        connection.execute("CREATE TABLE theirs (x INTEGER)")
    text = doctor(code=1)
    assert line_with("registry rebuild", text).startswith("fail ")
