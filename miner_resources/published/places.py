"""From a local path or a URL to the place that it means."""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import fsspec

from miner_resources.errors import NotConfigured, Unavailable, presentable
from miner_resources.locks import LockBusy, file_lock
from miner_resources.published.local import LocalPlace
from miner_resources.published.place import Place


def place_at(url: str) -> Place:
    """The folder at a local path or URL.

    Raises:
        NotConfigured: no filesystem for that URL is installed.
        Unavailable: it cannot be reached.
    """
    if "://" in url and not url.startswith(("file://", "local://")):
        return _remote_place(url)
    path = unquote(urlsplit(url).path) if "://" in url else url
    return LocalPlace(Path(path).expanduser().resolve())


@contextmanager
def open_place(url: str) -> Generator[Place]:
    """The folder at a local path or URL; a local one is ours alone.

    Raises:
        Unavailable: another process is publishing there. Also as `place_at`.
    """
    place = place_at(url)
    with ExitStack() as stack:
        if isinstance(place, LocalPlace):
            lock = place.target.with_name(f".{place.target.name}.lock")
            stack.enter_context(_alone(lock, place.shown))
            stack.callback(lock.unlink, missing_ok=True)
        yield place


@contextmanager
def _alone(lock: Path, shown: str) -> Generator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(file_lock(lock, timeout_s=0))
        except LockBusy:
            raise Unavailable(
                f"another process is writing {shown}", remedy="wait for it, or name another place"
            ) from None
        except OSError as error:
            raise Unavailable(f"{shown} cannot be written: {error.strerror}", remedy="name another place") from error
        yield


def shown_url(url: str) -> str:
    """A URL for messages: without user, password or query."""
    return presentable(url).partition("?")[0]


def _remote_place(url: str) -> Place:
    shown = shown_url(url)
    try:
        files, root = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise NotConfigured(
            f"{shown} needs a package: {error}", remedy="install it (s3: s3fs, gs: gcsfs, az: adlfs, sftp: paramiko)"
        ) from error
    except ValueError as error:
        raise NotConfigured(
            f"{shown}: {error}", remedy="give a local path or a URL such as s3://bucket/folder"
        ) from error
    except Exception as error:  # every filesystem has errors of its own
        raise Unavailable(f"{shown} cannot be reached: {error}", remedy="check the address and credentials") from error
    return Place(files, root, shown)
