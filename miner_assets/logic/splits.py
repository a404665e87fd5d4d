"""Assign videos to train, val and test so that nothing leaks: no video and no near-duplicate pair crosses a split.

Videos that share footage form a group, and a group is never divided. The `dataset` stage takes the links from
`unique_frames.parquet` with `duplicate_edges`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from miner_resources.errors import InvalidData
from miner_resources.storage import stable_hash

Group = tuple[str, ...]


@dataclass(frozen=True)
class Splits:
    """The split of each video, and what the user should know about the result."""

    split_of: dict[str, str]
    warnings: tuple[str, ...]


def duplicate_edges(unique_frames: pl.DataFrame) -> list[tuple[str, str]]:
    """Pairs of different videos of which one has a duplicate of the other's frame, sorted, each once."""
    keeper = pl.col("duplicate_of").str.split(":").list.first()
    pairs = unique_frames.select("video_id", keeper=keeper).filter(pl.col("keeper") != pl.col("video_id"))
    return sorted(pairs.unique().iter_rows())


def assign_splits(
    frames_per_video: Mapping[str, int],
    edges: Iterable[tuple[str, str]],
    ratios: Mapping[str, float],
    *,
    previous: Mapping[str, str] | None = None,
) -> Splits:
    """Give each video a split, close to the ratios by number of frames.

    Groups are placed largest first, each into the split that is furthest below its share; every split gets at least one
    group when there are enough of them, else the first splits of `ratios` go first. No randomness: ties are broken by a
    hash of the group's smallest video id, then by the order of `ratios`.

    Without `previous`, another video may move others, because it changes the shares. With it, videos stay where they
    were and only new ones are placed, so a model trained yesterday can be tested on today's test set. The exception: a
    new video may join groups that lie in different splits. They then go to the first of those in the order of `ratios`,
    so with train first an evaluation set may lose a video but never gains one that was trained on.

    Args:
        frames_per_video: video id → number of kept frames.
        edges: pairs of videos that share footage; pairs with videos that have no frames here are ignored.
        ratios: split → share, in order of importance. Shares are taken relative to their sum; 0 switches a split off.
        previous: video id → split of an earlier dataset; splits that `ratios` does not have are ignored.

    Raises:
        InvalidData: no share is positive, or one is negative.
    """
    shares = {split: share for split, share in ratios.items() if share != 0}
    if not shares or min(shares.values()) < 0:
        raise InvalidData(f"split ratios {dict(ratios)} must be positive", remedy="set dataset.splits to e.g. train: 1")
    groups = _connected(frames_per_video, edges)
    sizes = {group: sum(frames_per_video[video_id] for video_id in group) for group in groups}
    split_of_group = {group: split for group in groups if (split := _pinned(group, previous or {}, list(shares)))}
    waiting = [group for group in groups if group not in split_of_group]
    _fill(split_of_group, sorted(waiting, key=lambda group: (-sizes[group], stable_hash(group[0]))), sizes, shares)
    split_of = {video_id: split for group, split in split_of_group.items() for video_id in group}
    return Splits(dict(sorted(split_of.items())), _warnings(split_of_group, shares, previous or {}))


def _connected(frames_per_video: Mapping[str, int], edges: Iterable[tuple[str, str]]) -> list[Group]:
    """Groups of linked videos, each sorted, in order of their smallest id."""
    parent = {video_id: video_id for video_id in frames_per_video}

    def root(video_id: str) -> str:
        while parent[video_id] != video_id:
            parent[video_id] = parent[parent[video_id]]
            video_id = parent[video_id]
        return video_id

    for left, right in edges:
        if left in parent and right in parent:
            first, second = sorted((root(left), root(right)))
            parent[second] = first
    members: dict[str, list[str]] = {}
    for video_id in sorted(frames_per_video):
        members.setdefault(root(video_id), []).append(video_id)
    return [tuple(group) for group in members.values()]


def _pinned(group: Group, previous: Mapping[str, str], order: list[str]) -> str | None:
    """The first split, in that order, that a video of the group already has."""
    present = {previous[video_id] for video_id in group if video_id in previous}
    return next((split for split in order if split in present), None)


def _fill(
    split_of_group: dict[Group, str], waiting: list[Group], sizes: Mapping[Group, int], shares: Mapping[str, float]
) -> None:
    """Place the waiting groups, in their order."""
    total, whole = sum(sizes.values()), sum(shares.values())
    missing = {split: total * share / whole for split, share in shares.items()}
    for group, split in split_of_group.items():
        missing[split] -= sizes[group]
    taken = set(split_of_group.values())
    empty = [split for split in shares if split not in taken]
    for number, group in enumerate(waiting):
        scarce = len(waiting) - number <= len(empty)
        split = empty[0] if scarce else max(missing, key=missing.__getitem__)
        if split in empty:
            empty.remove(split)
        split_of_group[group] = split
        missing[split] -= sizes[group]


def _warnings(
    split_of_group: Mapping[Group, str], shares: Mapping[str, float], previous: Mapping[str, str]
) -> tuple[str, ...]:
    moved = sorted(
        f"{video_id} moved from {previous[video_id]} to {split}: it shares footage with a video in {split}"
        for group, split in split_of_group.items()
        for video_id in group
        if previous.get(video_id, split) != split and previous[video_id] in shares
    )
    taken = set(split_of_group.values())
    empty = [split for split in shares if split not in taken]
    if not empty:
        return tuple(moved)
    count = len(split_of_group)
    noun = "group" if count == 1 else "groups"
    return (
        f"no videos for {', '.join(empty)}: {count} independent {noun} of videos cannot fill {len(shares)} splits; "
        "add videos that share no footage",
        *moved,
    )
