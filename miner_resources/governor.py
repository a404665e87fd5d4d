"""Who may ask a site for something now: pacing and cool-downs that all processes of a project share.

The line of each site lies in the registry (`pacing.py` has its rules). `turn` blocks until it is one's turn; what a
site answers is reported with `cool` and `succeed`. A cool-down is nobody's failure: those in the line wait for its end,
or raise `Waiting` when their patience is shorter.
"""

import random
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Protocol

from miner_resources.catalog import Catalog
from miner_resources.config_sections import PacingConfig
from miner_resources.errors import Waiting
from miner_resources.pacing import YOUTUBE, Answer, Pool
from miner_resources.queue_report import clock_time, describe, queued_by_pool
from miner_resources.web.trouble import SourceFailed, Trouble

LONGEST_SLEEP_S: Final = 60.0
"""Shorter than what makes a ticket forgotten."""

BLOCKED_FACTOR: Final = 4
"""A bot check needs a longer rest than a rate limit, which YouTube says lasts up to an hour."""

SMALL_SITE_COOL_DOWN_S: Final = 60.0
"""Rest after a 429 of an ordinary host that does not say how long."""


class Clock(Protocol):
    """The time, and a way to let it pass."""

    def now(self) -> float:
        """Seconds since 1970."""
        ...

    def sleep(self, seconds: float) -> None:
        """Come back after that long."""
        ...


class Stopped(Exception):
    """The run ends; whoever waits must not wait on."""


class SystemClock:
    """The clock of this machine.

    Args:
        stop: when it is set, sleepers wake with `Stopped`.
    """

    def __init__(self, stop: threading.Event | None = None) -> None:
        self._stop = stop or threading.Event()

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Come back after that long, or raise `Stopped`."""
        if self._stop.wait(seconds):
            raise Stopped


Notice = Callable[[str], None]
"""Hears why one waits, in words for people; an empty text when it goes on."""


def silent(_: str) -> None:
    """A notice that nobody hears."""


class Governor:
    """Gives out turns.

    Args:
        catalog: where the lines lie.
        config: rates and patience.
        clock: replaced in tests.
    """

    def __init__(self, catalog: Catalog, config: PacingConfig, clock: Clock | None = None) -> None:
        self._catalog = catalog
        self._config = config
        self._clock = clock or SystemClock()

    def turn(self, pool: str, notice: Notice = silent) -> None:
        """Come back when it is one's turn to ask the site `pool` for something.

        Raises:
            Waiting: the site is cooling down for longer than `pacing.patience`.
        """
        ticket = uuid.uuid4().hex
        started = self._clock.now()
        noticed = False
        try:
            while not (answer := self._ask(pool, ticket)).granted:
                state = self._catalog.pool(pool)
                now = self._clock.now()
                if now < state.cooling_until:
                    self._check_patience(pool, state, now - started)
                    notice(self._told(pool, state, now))
                    noticed = True
                # Ask a little late rather than too early: an early question costs a lock and waits again.
                self._clock.sleep(min(answer.wait_s + 0.005, LONGEST_SLEEP_S))
        except BaseException:
            self._catalog.change_pool(pool, lambda state: (state.leave(ticket), None))
            raise
        if noticed:
            notice("")

    def cool(self, pool: str, error: SourceFailed) -> None:
        """Note that the site wants a rest, after trouble that concerns everybody."""
        seconds = error.retry_after_s
        if seconds is None and pool == YOUTUBE:
            seconds = self._config.cool_down * (BLOCKED_FACTOR if error.trouble is Trouble.BLOCKED else 1)
        rest = max(1.0, seconds if seconds is not None else min(SMALL_SITE_COOL_DOWN_S, self._config.cool_down))
        now = self._clock.now()
        reason = f"{error.trouble.value}: {error.message}"
        self._catalog.change_pool(pool, lambda state: (state.cool(reason, now, rest), None))

    def succeed(self, pool: str) -> None:
        """Note that the site gave what was asked for."""
        now = self._clock.now()
        state = self._catalog.pool(pool)
        if state.succeed(now) != state:
            self._catalog.change_pool(pool, lambda state: (state.succeed(now), None))

    def waiting(self, pool: str) -> Waiting | None:
        """The reason why nobody is served at that site now, None if the line moves."""
        state, now = self._catalog.pool(pool), self._clock.now()
        return self._waiting(pool, state, now) if now < state.cooling_until else None

    def _ask(self, pool: str, ticket: str) -> Answer:
        per_hour = self._config.youtube_per_hour if pool == YOUTUBE else self._config.other_per_hour
        # Perfectly even requests look like what they are; never faster than the rate, up to half as slow again.
        spacing = 3600 / per_hour * random.uniform(1.0, 1.5)
        now = self._clock.now()
        return self._catalog.change_pool(pool, lambda state: state.ask(ticket, now, spacing))

    def _check_patience(self, pool: str, state: Pool, waited_s: float) -> None:
        patience, now = self._config.patience, self._clock.now()
        if patience is not None and waited_s + state.cooling_until - now > patience:
            raise self._waiting(pool, state, now)

    def _told(self, pool: str, state: Pool, now: float) -> str:
        return f"{describe(pool, state, now, queued_by_pool(self._catalog)[pool])} ({state.reason})"

    def _waiting(self, pool: str, state: Pool, now: float) -> Waiting:
        return Waiting(
            f"{pool} is cooling until {clock_time(state.cooling_until, now)}: {state.reason}",
            remedy="nothing to do: it goes on by itself, or with the next run",
            until=datetime.fromtimestamp(state.cooling_until, UTC),
        )
