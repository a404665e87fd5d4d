"""Errors a user can cause or meet, each with its remedy and whether a retry can help.

Everything this project raises on purpose is a `MinerError`. The message says what is wrong with which file, key or
value, never a secret; `remedy` says what to do next. Stages store both in the registry. To add one: subclass here, set
`retryable`.
"""

import errno
import re
from datetime import datetime
from typing import Final

FULL_OR_LOCKED: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""What the system says of a disk that is full or may not be written to: no fault of any video."""

_USER_INFO: Final = re.compile(r"(?<=//)[^/\s?#@]*(:[^/\s?#]*)?@")
_SECRET: Final = re.compile(
    r"(?i)([?&;][\w.\[\]-]*(token|signature|secret|password|passwd|pwd|credential|sig|key|auth)[\w.\[\]-]*=)[^&;\s'\"<>]+"
)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def presentable(text: str) -> str:
    """A text for people and logs.

    Without the users and passwords of URLs, without signatures and keys in their queries, and without control
    characters, with which the words of strangers could steer a terminal.
    """
    return _CONTROL.sub("", _SECRET.sub(r"\1…", _USER_INFO.sub("", text)))


class MinerError(Exception):
    """Base of all expected errors.

    Args:
        message: what is wrong, naming the file, key or value.
        remedy: what the user can do next, one sentence.
    """

    retryable: bool = False

    def __init__(self, message: str, *, remedy: str) -> None:
        self.message = presentable(message)
        self.remedy = presentable(remedy)
        super().__init__(self.message)

    @property
    def kind(self) -> str:
        """One word for tables and the registry: the name of the class, unless a subclass knows better."""
        return type(self).__name__

    def __str__(self) -> str:
        return f"{self.message} → {self.remedy}"


class NotConfigured(MinerError):
    """Something the chosen configuration needs is missing: weights, a package, a licence, a key."""


class NotFound(MinerError):
    """A file, video, model or URL that was named does not exist."""


class InvalidData(MinerError):
    """Data breaks its contract: wrong columns, wrong shapes, an unreadable artifact."""


class DamagedPicture(InvalidData):
    """A picture that was whole once cannot be read. Its frames are marked as missing, so that another run mends it."""

    retryable = True


class CorruptMedia(MinerError):
    """The bytes are no video that can be decoded: damaged, truncated, without pictures, or another kind of file."""


class Unavailable(MinerError):
    """The outside world did not answer; the same request may work later."""

    retryable = True


class RegistryBusy(Unavailable):
    """Another process held the registry lock for too long."""


class TimedOut(MinerError):
    """A video takes longer than is allowed; with a higher limit, or on a less busy machine, it may come through."""

    retryable = True


class Waiting(MinerError):
    """Nothing is wrong with the video: it is not its turn yet. The stage leaves it pending.

    Args:
        until: when another try makes sense, UTC.
    """

    retryable = True

    def __init__(self, message: str, *, remedy: str, until: datetime) -> None:
        super().__init__(message, remedy=remedy)
        self.until = until


class NotWanted(MinerError):
    """The video is left out by a decision of the user: a rights policy, a limit, a pre-screen. It is skipped."""


class ConfigError(MinerError):
    """One or more configuration values are wrong. `problems` holds one line for each, with its dotted key."""

    def __init__(self, problems: list[str]) -> None:
        listing = "\n".join(f"  - {problem}" for problem in problems)
        noun = "problem" if len(problems) == 1 else "problems"
        super().__init__(
            f"invalid configuration, {len(problems)} {noun}:\n{listing}",
            remedy="correct the keys above; `video-miner show-config FILE` prints every key with its value",
        )
        self.problems = [presentable(problem) for problem in problems]

    def __str__(self) -> str:
        return self.message
