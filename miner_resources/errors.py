"""Errors a user can cause or meet, each with its remedy and whether a retry can help.

Everything this project raises on purpose is a `MinerError`. The message says what is wrong with which file, key or
value; `remedy` says what to do next. Stages store both in the registry. To add one: subclass here, set `retryable`.
"""

from typing import ClassVar


class MinerError(Exception):
    """Base of all expected errors.

    Args:
        message: what is wrong, naming the file, key or value.
        remedy: what the user can do next, one sentence.
    """

    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} → {self.remedy}"


class NotConfigured(MinerError):
    """Something the chosen configuration needs is missing: weights, a package, a licence, a key."""


class NotFound(MinerError):
    """A file, video, model or URL that was named does not exist."""


class InvalidData(MinerError):
    """Data breaks its contract: wrong columns, wrong shapes, an unreadable artifact."""


class CorruptMedia(MinerError):
    """The bytes are no video that can be decoded: damaged, truncated, without pictures, or another kind of file."""


class Unavailable(MinerError):
    """The outside world did not answer; the same request may work later."""

    retryable = True


class RateLimited(Unavailable):
    """The outside world asked us to slow down."""

    def __init__(self, message: str, *, remedy: str, retry_after_s: float | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after_s = retry_after_s


class RegistryBusy(Unavailable):
    """Another process held the registry lock for too long."""


class ConfigError(MinerError):
    """One or more configuration values are wrong. `problems` holds one line for each, with its dotted key."""

    def __init__(self, problems: list[str]) -> None:
        listing = "\n".join(f"  - {problem}" for problem in problems)
        noun = "problem" if len(problems) == 1 else "problems"
        super().__init__(
            f"invalid configuration, {len(problems)} {noun}:\n{listing}",
            remedy="correct the keys above; `video-miner show-config FILE` prints every key with its value",
        )
        self.problems = problems

    def __str__(self) -> str:
        return self.message
