"""Turns and cool-downs as processes see them: through one registry, with real and made-up clocks."""

import itertools
import multiprocessing
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from miner_resources.catalog import Catalog
from miner_resources.config_sections import PacingConfig
from miner_resources.errors import Waiting
from miner_resources.governor import Governor, Stopped, SystemClock
from miner_resources.queue_report import clock_time
from miner_resources.storage import Storage
from miner_resources.web.trouble import SourceFailed, Trouble


class FakeClock:
    """Sleeping takes no time; a program of events happens on the way."""

    def __init__(self) -> None:
        self.time = 1_700_000_000.0
        self.slept = 0.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        self.slept += seconds


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(Storage(tmp_path))


def blocked(retry_after_s: float | None = None) -> SourceFailed:
    return SourceFailed("Sign in to confirm you’re not a bot", Trouble.BLOCKED, retry_after_s=retry_after_s)


def limited(retry_after_s: float | None = None) -> SourceFailed:
    return SourceFailed("HTTP Error 429", Trouble.RATE_LIMITED, retry_after_s=retry_after_s)


def test_turns_keep_the_distance_that_the_rate_asks_for(catalog: Catalog) -> None:
    clock = FakeClock()
    governor = Governor(catalog, PacingConfig(youtube_per_hour=360), clock)
    times = []
    for _ in range(4):
        governor.turn("youtube")
        times.append(clock.time)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(10 <= gap <= 15.1 for gap in gaps)


def test_sites_do_not_wait_for_each_other(catalog: Catalog) -> None:
    clock = FakeClock()
    governor = Governor(catalog, PacingConfig(youtube_per_hour=1, other_per_hour=1), clock)
    for pool in ("youtube", "a.org", "b.org"):
        governor.turn(pool)
    assert clock.slept == 0


@pytest.mark.parametrize(
    ("pool", "error", "seconds"),
    [
        ("youtube", limited(), 300),
        ("youtube", blocked(), 4 * 300),
        ("youtube", limited(retry_after_s=120), 120),
        ("a.org", limited(), 60),
        ("a.org", limited(retry_after_s=600), 600),
    ],
)
def test_a_cool_down_is_waited_out_and_told(pool: str, error: SourceFailed, seconds: float, catalog: Catalog) -> None:
    clock, told = FakeClock(), []
    governor = Governor(catalog, PacingConfig(cool_down=300), clock)
    governor.cool(pool, error)
    governor.turn(pool, told.append)
    assert seconds <= clock.slept <= seconds + 30
    assert told[0].startswith(f"{pool} is cooling until ")
    assert error.message in told[0]
    assert told[-1] == ""


def test_short_patience_gives_up_at_once_and_says_until_when(catalog: Catalog) -> None:
    clock = FakeClock()
    Governor(catalog, PacingConfig(), clock).cool("youtube", limited())
    with pytest.raises(Waiting) as caught:
        Governor(catalog, PacingConfig(patience=60), clock).turn("youtube")
    assert clock.slept == 0
    assert caught.value.until == datetime.fromtimestamp(clock.time + 3600, UTC)
    assert catalog.pool("youtube").line == ()


def test_a_success_makes_the_next_cool_down_short_again(catalog: Catalog) -> None:
    clock = FakeClock()
    governor = Governor(catalog, PacingConfig(), clock)
    for expected in (3600, 7200):
        governor.cool("youtube", limited())
        assert catalog.pool("youtube").cooling_until - clock.time == pytest.approx(expected)
        clock.time += expected
    governor.succeed("youtube")
    governor.cool("youtube", limited())
    assert catalog.pool("youtube").cooling_until - clock.time == pytest.approx(3600)


def test_the_end_of_a_run_wakes_who_waits(catalog: Catalog) -> None:
    stop = threading.Event()
    governor = Governor(catalog, PacingConfig(), SystemClock(stop))
    governor.cool("youtube", limited())
    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    with pytest.raises(Stopped):
        governor.turn("youtube")
    assert time.monotonic() - began < 10
    assert catalog.pool("youtube").line == ()


def test_times_are_those_of_this_machine() -> None:
    now = time.time()
    assert clock_time(now + 60, now) == f"{datetime.fromtimestamp(now + 60).astimezone():%H:%M}"
    assert clock_time(now + 200_000, now) == f"{datetime.fromtimestamp(now + 200_000).astimezone():%Y-%m-%d %H:%M}"


PER_HOUR = 3600 * 5
TURNS = 4


def _take_turns(folder: str, times: "multiprocessing.Queue[float]") -> None:
    governor = Governor(Catalog(Storage(Path(folder))), PacingConfig(other_per_hour=PER_HOUR))
    for _ in range(TURNS):
        governor.turn("a.org")
        times.put(time.time())


@pytest.mark.slow
def test_processes_share_one_rate(tmp_path: Path) -> None:
    """The registry says when a turn was given; a process may be slow to notice, never early."""
    Catalog(Storage(tmp_path)).pools()
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [context.Process(target=_take_turns, args=(str(tmp_path), queue)) for _ in range(3)]
    for worker in workers:
        worker.start()
    times = sorted(queue.get(timeout=60) for _ in range(3 * TURNS))
    for worker in workers:
        worker.join()
    # 12 turns need 11 gaps of at least 0.2 s, whoever takes them; noticing may shift the first by a little.
    assert times[-1] - times[0] >= 11 * 0.2 - 0.1
