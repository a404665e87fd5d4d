"""The checks of `video-miner doctor` about acquisition: yt-dlp and what it runs, the network, cookies and cool-downs.

To add one: a function that takes the configuration and yields findings, named in `WEB_CHECKS`, or in `_YT_DLP_CHECKS`
if it needs yt-dlp. Nothing here prints the words of a network error: they can quote the proxy's password.
"""

import importlib
import logging
import os
import re
import shlex
import shutil
import ssl
import stat
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import requires, version
from pathlib import Path
from typing import Any, Final

from miner_assets.commands.finding import Check, Finding
from miner_resources.catalog import Catalog
from miner_resources.config import MinerConfig
from miner_resources.errors import MinerError, NotConfigured
from miner_resources.queue_report import queue_report
from miner_resources.storage import Storage
from miner_resources.web.client import JS_RUNTIMES, read_cookies
from miner_resources.web.trouble import POLICIES, Trouble

OLD_YT_DLP_DAYS: Final = 90
PROBE: Final = "https://www.youtube.com/generate_204"
PROBE_TIMEOUT_S: Final = 10.0
PAGE_BYTES: Final = 65536
UPDATE: Final = "pip install -U 'yt-dlp[default,deno]'"

_DATE: Final = re.compile(r"(\d{4})\.(\d{1,2})\.(\d{1,2})(?!\d)")
_SOLVER_PIN: Final = re.compile(r"yt[-_.]dlp[-_.]ejs\s*==\s*([^\s;]+)\s*;.*\bdefault\b")
_TUNNEL: Final = re.compile(r"Tunnel connection failed: (\d{3})\b")
_MUTE: Final = logging.Logger("yt-dlp", logging.CRITICAL + 1)  # noqa: LOG001 (no handler shall ever hear it)


def _yt_dlp(config: MinerConfig) -> Iterator[Finding]:
    """Everything that needs yt-dlp; without it there is nothing to add to what the check of the packages says."""
    try:
        importlib.import_module("yt_dlp")
        version("yt-dlp")
    except ImportError:
        return
    for check in _YT_DLP_CHECKS:
        yield from check(config)


def _javascript(_: MinerConfig) -> Iterator[Finding]:
    """A runtime for the challenges in YouTube's player; yt-dlp itself looks for it and judges its version."""
    from yt_dlp.globals import supported_js_runtimes

    known: Mapping[str, Any] = {**supported_js_runtimes.value}
    kinds = [known[name] for name in JS_RUNTIMES if name in known]
    found = [(kind, info) for kind in kinds if (info := kind().info) is not None]
    good = next((info for _, info in found if info.supported), None)
    if good is not None:
        yield Finding("ok", f"JavaScript runtime {good.name} {good.version} at {shutil.which(good.path) or good.path}")
    elif found:
        old = ", ".join(f"{info.name} {info.version} (needs {_dotted(kind)})" for kind, info in found)
        yield Finding("warn", f"JavaScript runtime too old: {old}; YouTube gives few formats", UPDATE)
    else:
        yield Finding("warn", "no JavaScript runtime: YouTube gives few formats", UPDATE)


def _dotted(kind: Any) -> str:  # noqa: ANN401 (yt-dlp has no types)
    return ".".join(str(part) for part in kind.MIN_SUPPORTED_VERSION)


def _solver(_: MinerConfig) -> Iterator[Finding]:
    """The scripts that the runtime runs; yt-dlp refuses those of another version than its own."""
    from yt_dlp.dependencies import yt_dlp_ejs

    pins = [_SOLVER_PIN.match(line) for line in requires("yt-dlp") or ()]
    wanted = next((pin[1] for pin in pins if pin), None)
    if yt_dlp_ejs is None:
        yield Finding("warn", "yt-dlp-ejs is not installed: YouTube gives few formats", UPDATE)
    elif wanted not in (None, yt_dlp_ejs.version):
        yield Finding("warn", f"yt-dlp-ejs is {yt_dlp_ejs.version}, and yt-dlp wants {wanted}", UPDATE)
    else:
        yield Finding("ok", f"yt-dlp-ejs {yt_dlp_ejs.version}")


def _age(_: MinerConfig) -> Iterator[Finding]:
    """The version of yt-dlp begins with its date; nightly and development versions have more parts."""
    number = version("yt-dlp")
    age = _age_days(number)
    if age is None:
        yield Finding("warn", f"yt-dlp {number} has no date in its version: its age is not known", UPDATE)
    elif age > OLD_YT_DLP_DAYS:
        yield Finding("warn", f"yt-dlp {number} is {age} days old; sites change every few weeks", UPDATE)
    else:
        yield Finding("ok", f"yt-dlp {number} is {age} days old")


def _age_days(number: str) -> int | None:
    found = _DATE.match(number)
    try:
        date = datetime(*(int(part) for part in found.groups()), tzinfo=UTC) if found else None
    except ValueError:
        return None
    return None if date is None else max(0, (datetime.now(UTC) - date).days)


def _network(config: MinerConfig) -> Iterator[Finding]:
    """One small request, as downloads make theirs. Local files need no network, so it never fails the doctor."""
    from yt_dlp.utils import YoutubeDLError

    # The time limit of a socket holds for each of a host's addresses in turn, and not for finding them.
    worker = ThreadPoolExecutor(max_workers=1)
    try:
        status, page = worker.submit(_ask, config.download.proxy).result(PROBE_TIMEOUT_S)
    except (YoutubeDLError, OSError, ValueError) as error:
        yield _unreachable(error)
        return
    finally:
        worker.shutdown(wait=False)
    if status == 429 or "unusual traffic" in page.lower():
        yield Finding("warn", f"YouTube limits this address (HTTP {status})", POLICIES[Trouble.BLOCKED].remedy)
    elif status >= 400:
        remedy = "a proxy or firewall may forbid it: check the network and download.proxy"
        yield Finding("warn", f"www.youtube.com is reachable, but answers HTTP {status}", remedy)
    else:
        yield Finding("ok", f"www.youtube.com is reachable (HTTP {status})")


def _ask(proxy: str | None) -> tuple[int, str]:
    """The status of the answer, and the beginning of its page."""
    import yt_dlp
    from yt_dlp.networking.exceptions import HTTPError

    settings: Any = {
        "quiet": True,
        "logger": _MUTE,
        "cachedir": False,
        "socket_timeout": PROBE_TIMEOUT_S,
        "proxy": proxy,
        # As in `WebClient`: yt-dlp reads the certificates of SSL_CERT_FILE only without certifi.
        "compat_opts": {"no-certifi"} if os.environ.get("SSL_CERT_FILE") else set(),
    }
    with yt_dlp.YoutubeDL(settings, auto_init=False) as downloader:
        try:
            response: Any = downloader.urlopen(PROBE)
        except HTTPError as error:
            response = error.response
        with response:
            return response.status, response.read(PAGE_BYTES).decode(errors="replace")


def _unreachable(error: Exception) -> Finding:
    chain = list(_chain(error))
    certificate = next((nested for nested in chain if isinstance(nested, ssl.SSLCertVerificationError)), None)
    if certificate is None:
        return Finding(
            "warn",
            f"www.youtube.com is not reachable: {_reason(error, chain)}",
            "check the network and download.proxy; local files need neither",
        )
    named = os.environ.get("SSL_CERT_FILE")
    missing = ", which is not there" if named and not Path(named).exists() else ""
    return Finding(
        "warn",
        f"the certificate shown for www.youtube.com is not trusted: {certificate.verify_message}",
        "set SSL_CERT_FILE to a file with the certificates of your company or of download.proxy"
        f" (now {named or 'not set'}{missing})",
    )


def _reason(error: Exception, chain: Sequence[BaseException]) -> str:
    """Why there was no answer, in words that cannot hold a secret."""
    from yt_dlp.networking.exceptions import TransportError

    refused = next((found for nested in chain if (found := _TUNNEL.search(str(nested)))), None)
    if refused:
        return f"the proxy answers HTTP {refused[1]}"
    if any(isinstance(nested, TimeoutError) for nested in chain):
        return f"no answer within {PROBE_TIMEOUT_S:g} s"
    if not isinstance(error, TransportError | OSError):
        return "yt-dlp cannot make the request, perhaps because of the proxy's URL"
    words = (nested.strerror for nested in chain if isinstance(nested, OSError) and nested.strerror)
    return next(words, type(error).__name__)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """`error` and what it came from, the outermost first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _cookies(config: MinerConfig) -> Iterator[Finding]:
    """The file is named, and never quoted."""
    if config.download.cookies_file is None:
        return
    path = Path(config.download.cookies_file).expanduser()
    try:
        read_cookies(str(path))
    except NotConfigured as error:
        yield Finding("fail", error.message, error.remedy)
        return
    if path.stat().st_mode & stat.S_IROTH:
        what = f"download.cookies_file {path} can be read by everybody on this machine"
        yield Finding("warn", what, f"chmod 600 {shlex.quote(str(path))}")
    else:
        yield Finding("ok", f"download.cookies_file {path}")


def _cool_downs(config: MinerConfig) -> Iterator[Finding]:
    """Sites that want a rest; what is wrong with a registry says the check of the registry."""
    storage = Storage(config.output_dir)
    if not storage.registry.exists():
        return
    try:
        lines = queue_report(Catalog(storage))
    except MinerError:
        return
    for line in lines:
        if " is cooling " in line:
            yield Finding("warn", line, "nothing to do: it goes on by itself, or with the next run")


_YT_DLP_CHECKS: Final[Sequence[Check]] = (_javascript, _solver, _age, _network)
WEB_CHECKS: Final[Sequence[Check]] = (_yt_dlp, _cookies, _cool_downs)
