"""The rules of the line, with a made-up clock: rate, order and cool-downs hold whatever happens."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner_resources.pacing import FORGOTTEN_AFTER_S, MAX_COOL_DOWN_S, Pool, pool_of

SPACING = 10.0


@pytest.mark.parametrize(
    ("url", "pool"),
    [
        ("https://www.youtube.com/watch?v=x", "youtube"),
        ("https://youtu.be/x", "youtube"),
        ("https://music.youtube.com/watch?v=x", "youtube"),
        ("https://www.youtube-nocookie.com/embed/x", "youtube"),
        ("ytsearch20:red car", "youtube"),
        ("ytsearch:red car", "youtube"),
        ("ytsearchall:red car", "youtube"),
        ("ytuser:somebody", "youtube"),
        ("https://www.youtubekids.com/watch?v=x", "youtube"),
        ("https://notyoutube.com/x", "notyoutube.com"),
        ("https://youtube.com.evil.org/x", "youtube.com.evil.org"),
        ("http://127.0.0.1:8080/a.mp4", "127.0.0.1"),
        ("https://Vimeo.com/1", "vimeo.com"),
    ],
)
def test_a_request_burdens_one_site(url: str, pool: str) -> None:
    assert pool_of(url) == pool


# What may happen next: time passes, somebody asks, gives up, or the site wants a rest or is content.
Step = tuple[str, float]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.floats(0, 30)),
        st.tuples(st.just("ask"), st.integers(0, 5).map(float)),
        st.tuples(st.just("leave"), st.integers(0, 5).map(float)),
        st.tuples(st.just("cool"), st.floats(1, 100)),
        st.tuples(st.just("succeed"), st.just(0.0)),
    ),
    max_size=120,
)


class Site:
    """A pool under test, and all that it granted."""

    def __init__(self) -> None:
        self.pool, self.now = Pool(), 1000.0
        self.grants: list[tuple[float, str]] = []
        self.granted_in_the_cold = 0
        self.asked: dict[str, float] = {}
        self.turn: dict[float, int] = {}

    def name(self, who: float) -> str:
        """A new ticket for every turn of the same person."""
        return f"{who:g}/{self.turn.get(who, 0)}"

    def step(self, kind: str, value: float) -> None:
        if kind == "pass":
            self.now += value
        elif kind == "cool":
            self.pool = self.pool.cool("blocked", self.now, value)
        elif kind == "succeed":
            self.pool = self.pool.succeed(self.now)
        elif kind == "leave":
            self.pool = self.pool.leave(self.name(value))
            self.asked.pop(self.name(value), None)
        else:
            name = self.name(value)
            self.asked.setdefault(name, self.now)
            self.pool, answer = self.pool.ask(name, self.now, SPACING)
            if answer.granted:
                self.granted_in_the_cold += self.now < self.pool.cooling_until
                self.grants.append((self.now, name))
                self.turn[value] = self.turn.get(value, 0) + 1
                del self.asked[name]
            else:
                assert answer.wait_s > 0 or answer.ahead > 0


@given(STEPS)
def test_never_faster_than_the_rate_and_never_during_a_cool_down(steps: Sequence[Step]) -> None:
    site = Site()
    for kind, value in steps:
        site.step(kind, value)
    times = [time for time, _ in site.grants]
    # So that no window of n spacings, wherever it starts, holds more than n turns.
    assert all(later - earlier >= SPACING for earlier, later in itertools.pairwise(times))
    assert site.granted_in_the_cold == 0


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(0, 100))
def test_the_line_is_served_in_the_order_of_the_tickets(order: Sequence[int], rest: int) -> None:
    pool, now = Pool(), 1000.0
    line = [f"{number}" for number in dict.fromkeys(order)]
    pool, _ = pool.ask("first", now, SPACING)
    for name in line:
        pool, answer = pool.ask(name, now, SPACING)
        assert not answer.granted
    pool = pool.cool("blocked", now, rest) if rest else pool
    served: list[str] = []
    while len(served) < len(line):
        now += 1.0
        for name in sorted(set(line) - set(served), reverse=True):  # whoever happens to ask next
            pool, answer = pool.ask(name, now, SPACING)
            if answer.granted:
                served.append(name)
    assert served == line


def test_asking_at_the_time_it_was_told_is_enough() -> None:
    pool, now = Pool(), 0.0
    for name in ("a", "b", "c"):
        pool, answer = pool.ask(name, now, SPACING)
    waits = {}
    for name in ("b", "c"):
        pool, answer = pool.ask(name, now, SPACING)
        waits[name] = answer.wait_s
    assert waits == {"b": SPACING, "c": 2 * SPACING}
    pool, answer = pool.ask("b", SPACING, SPACING)
    assert answer.granted
    pool, answer = pool.ask("c", 2 * SPACING, SPACING)
    assert answer.granted


def test_a_killed_process_does_not_hold_the_line() -> None:
    pool, _ = Pool().ask("first", 0.0, SPACING)
    pool, _ = pool.ask("killed", 1.0, SPACING)
    pool, _ = pool.ask("alive", 2.0, SPACING)
    pool, answer = pool.ask("alive", 60.0, SPACING)
    assert not answer.granted
    pool, answer = pool.ask("alive", 1.0 + FORGOTTEN_AFTER_S + 0.1, SPACING)
    assert answer.granted


def test_cool_downs_double_until_a_request_succeeds() -> None:
    pool = Pool().cool("a", 0.0, 100)
    assert pool.cooling_until == 100
    assert pool.cool("late answer of an earlier request", 50.0, 100) == pool
    pool = pool.cool("b", 200.0, 100)
    assert pool.cooling_until == 400
    pool = pool.succeed(500.0).cool("c", 600.0, 100)
    assert pool.cooling_until == 700
    for _ in range(30):
        pool = pool.cool("again", pool.cooling_until + 1, 3600)
    assert pool.cool("d", 1e9, 3600).cooling_until == 1e9 + MAX_COOL_DOWN_S


def test_a_success_from_before_the_cool_down_does_not_end_it() -> None:
    pool = Pool().cool("a", 0.0, 100)
    assert pool.succeed(50.0) == pool


def test_a_clock_that_was_set_back_does_not_stop_the_line() -> None:
    pool, _ = Pool().ask("a", 1_000_000.0, SPACING)
    pool, _ = pool.ask("b", 100.0, SPACING)
    _, answer = pool.ask("b", 100.0 + SPACING, SPACING)
    assert answer.granted
