"""The only place with partition definitions: one partition per video and one per keyword."""

from collections.abc import Iterable, Sequence
from typing import Final

import dagster as dg

VIDEOS = dg.DynamicPartitionsDefinition(name="videos")
KEYWORDS = dg.DynamicPartitionsDefinition(name="keywords")

ADD_CHUNK = 5_000
"""Keys added in one call: PostgreSQL refuses statements with more than 65,535 parameters."""

ONE: Final = "dagster/partition"
FIRST: Final = "dagster/asset_partition_range_start"
LAST: Final = "dagster/asset_partition_range_end"
"""Tags of Dagster by which a run is about one partition, or a range of them."""


def add_partitions(
    instance: dg.DagsterInstance, definition: dg.DynamicPartitionsDefinition, keys: Iterable[str]
) -> None:
    """Add the keys that are not there yet, in the order given. Keys keep that order for ever."""
    name = str(definition.name)
    known = set(instance.get_dynamic_partitions(name))
    new = [key for key in dict.fromkeys(keys) if key not in known]
    for start in range(0, len(new), ADD_CHUNK):
        instance.add_dynamic_partitions(name, new[start : start + ADD_CHUNK])


def drop_partitions(
    instance: dg.DagsterInstance, definition: dg.DynamicPartitionsDefinition, keys: Iterable[str]
) -> None:
    """Forget keys; their old runs and events stay in Dagster's history."""
    for key in keys:
        instance.delete_dynamic_partition(str(definition.name), key)


def contiguous_ranges(keys: Sequence[str], wanted: set[str], harmless: set[str], max_gap: int) -> list[tuple[str, str]]:
    """Cover `wanted` with as few ranges of `keys` as possible, one Dagster run each.

    Args:
        keys: all partition keys in their order.
        wanted: the keys to run.
        harmless: keys that may be inside a range, because running them again does no work.
        max_gap: the most harmless keys in a row to bridge; beyond, a run of its own is cheaper.

    Returns:
        (first, last) pairs in order; every wanted key is in exactly one, no key outside both sets is in any.
    """
    ranges: list[tuple[str, str]] = []
    gap = max_gap + 1
    for key in keys:
        if key in wanted:
            bridged = ranges and gap <= max_gap
            ranges = [*ranges[:-1], (ranges[-1][0], key)] if bridged else [*ranges, (key, key)]
            gap = 0
        else:
            gap = gap + 1 if key in harmless else max_gap + 1
    return ranges


def partitions_of(runs: Iterable[dg.DagsterRun], keys: Sequence[str]) -> list[str]:
    """The partitions that runs are about.

    Args:
        runs: of one partition or a range each; others are passed over.
        keys: all partition keys in their order.
    """
    places = {key: place for place, key in enumerate(keys)}
    found: list[str] = []
    for tags in (run.tags for run in runs):
        if ONE in tags:
            found.append(tags[ONE])
        elif tags.get(FIRST) in places and tags.get(LAST) in places:
            found += keys[places[tags[FIRST]] : places[tags[LAST]] + 1]
    return found
