"""What goes wrong with web video, as a dozen classes, and what each of them means for the queue.

`failures.py` finds the class of what yt-dlp raised; the governor and the stage `download` act on it. To add a class: a
member, its policy, its pattern in `failures.py`, a row in `docs/acquire.md`, and a test with yt-dlp's own words.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from miner_resources.errors import MinerError

HOUR: Final = 3600.0


class Trouble(StrEnum):
    """The classes; values are the words that the registry and reports use."""

    BLOCKED = "blocked"
    RATE_LIMITED = "rate_limited"
    TOKEN = "token"
    GONE = "gone"
    GEO = "geo"
    AGE = "age"
    MEMBERS = "members"
    UPCOMING = "upcoming"
    NO_FORMAT = "no_format"
    DRM = "drm"
    SETUP = "setup"
    NETWORK = "network"


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What to do about a class of trouble.

    Attributes:
        remedy: what a person can do.
        everybody: it is about us, not about the video: everything from that site waits, and no video is to blame.
        attempts: how often one run asks at once, with a fresh extraction each time.
        wait_s: how long until a later run may ask again; None: never, it will not change.
        rounds: how many such later tries there are before the video counts as failed.
    """

    remedy: str
    everybody: bool = False
    attempts: int = 1
    wait_s: float | None = None
    rounds: int = 3


POLICIES: Final[Mapping[Trouble, Policy]] = {
    Trouble.BLOCKED: Policy(
        remedy="wait: the queue goes on by itself; lower pacing.youtube_per_hour, or mine from a home connection",
        everybody=True,
    ),
    Trouble.RATE_LIMITED: Policy(
        remedy="wait: the queue goes on by itself; lower pacing.youtube_per_hour if it happens again",
        everybody=True,
    ),
    Trouble.TOKEN: Policy(
        remedy="update yt-dlp (pip install -U 'yt-dlp[default,deno]'); if it stays, set up a PO token provider",
        attempts=2,
        wait_s=6 * HOUR,
    ),
    Trouble.GONE: Policy(remedy="nothing to do: the video is gone; `video-miner registry remove` forgets it"),
    Trouble.GEO: Policy(remedy="set download.proxy to one in a country where it is shown, or leave it out"),
    Trouble.AGE: Policy(remedy="set download.cookies_file to the cookies of an adult's account, or leave it out"),
    Trouble.MEMBERS: Policy(remedy="set download.cookies_file to the cookies of a member's account, or leave it out"),
    Trouble.UPCOMING: Policy(
        remedy="nothing to do: it is tried again when it is over and processed", wait_s=6 * HOUR, rounds=28
    ),
    Trouble.NO_FORMAT: Policy(
        remedy="update yt-dlp (pip install -U 'yt-dlp[default,deno]') and run `video-miner doctor`", wait_s=6 * HOUR
    ),
    Trouble.DRM: Policy(remedy="leave it out: protected video cannot be mined"),
    Trouble.SETUP: Policy(remedy="pip install -U 'yt-dlp[default,deno]', then `video-miner doctor`"),
    Trouble.NETWORK: Policy(
        remedy="check the network and download.proxy, then run again", attempts=3, wait_s=HOUR / 6, rounds=1000
    ),
}


class SourceFailed(MinerError):
    """A site, or the way to it, did not give us what was asked for.

    Args:
        trouble: the class.
        retry_after_s: how long the site asked us to wait.
    """

    def __init__(
        self, message: str, trouble: Trouble, *, remedy: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, remedy=remedy or POLICIES[trouble].remedy)
        self.trouble = trouble
        self.retry_after_s = retry_after_s
        self.retryable = self.policy.everybody or self.policy.wait_s is not None

    @property
    def policy(self) -> Policy:
        """What to do about it."""
        return POLICIES[self.trouble]

    @property
    def kind(self) -> str:
        """The class of trouble."""
        return self.trouble.value
