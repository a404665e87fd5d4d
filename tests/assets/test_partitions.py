"""Covering partitions with few runs."""

import dagster as dg
from hypothesis import given
from hypothesis import strategies as st

from miner_assets.partitions import VIDEOS, add_partitions, contiguous_ranges

KEYS = [chr(code) for code in range(ord("a"), ord("p"))]


def test_keys_keep_the_order_in_which_they_were_added() -> None:
    with dg.instance_for_test() as instance:
        add_partitions(instance, VIDEOS, ["b", "-a"])
        add_partitions(instance, VIDEOS, ["a", "b", "c"])
        assert list(instance.get_dynamic_partitions("videos")) == ["b", "-a", "a", "c"]


def test_harmless_keys_are_bridged_up_to_the_gap() -> None:
    wanted = {"a", "b", "d", "h"}
    harmless = set(KEYS) - wanted - {"f"}
    assert contiguous_ranges(KEYS, wanted, harmless, 1) == [("a", "d"), ("h", "h")]
    assert contiguous_ranges(KEYS, wanted, set(KEYS), 3) == [("a", "h")]
    assert contiguous_ranges(KEYS, wanted, harmless, 9) == [("a", "d"), ("h", "h")], "f must not run"
    assert contiguous_ranges(KEYS, set(), harmless, 9) == []


@given(st.sets(st.sampled_from(KEYS)), st.sets(st.sampled_from(KEYS)), st.integers(0, 5))
def test_every_wanted_key_is_covered_once_and_no_forbidden_key(wanted: set[str], harmless: set[str], gap: int) -> None:
    covered: list[str] = []
    for first, last in contiguous_ranges(KEYS, wanted, harmless, gap):
        covered += KEYS[KEYS.index(first) : KEYS.index(last) + 1]
    assert wanted <= set(covered) <= wanted | harmless
    assert len(covered) == len(set(covered))
