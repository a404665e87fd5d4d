"""Assign videos to train, val and test so that nothing leaks: no video and no near-duplicate pair crosses a split.

Videos that share footage (and, if wanted, a channel) form a group, and a group is never divided. The `dataset` stage
takes the links from `unique_frames.parquet` with `duplicate_edges` and from `split_similarity.py`.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import polars as pl

from miner_resources.errors import InvalidData
from miner_resources.storage import stable_hash

Group = tuple[str, ...]
Amounts = Mapping[str, float]
"""Frames, and images per class, as shares of the whole dataset."""

_FRAMES = ""
"""The key of the frames among the classes, whose names are never empty."""


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


def channel_edges(channels: Mapping[str, str | None]) -> list[tuple[str, str]]:
    """Pairs that link all videos of a channel; a video whose channel is unknown is linked to none.

    Args:
        channels: video id → channel.
    """
    first: dict[str, str] = {}
    named = {video_id: channel for video_id, channel in sorted(channels.items()) if channel}
    pairs = [(first.setdefault(channel, video_id), video_id) for video_id, channel in named.items()]
    return [pair for pair in pairs if pair[0] != pair[1]]


def assign_splits(
    frames_per_video: Mapping[str, int],
    edges: Iterable[tuple[str, str]],
    ratios: Mapping[str, float],
    *,
    classes: Mapping[str, Mapping[str, int]] | None = None,
    previous: Mapping[str, str] | None = None,
) -> Splits:
    """Give each video a split, close to the ratios by number of frames and by number of frames of each class.

    Groups are placed one by one, those first that hold the largest share of the frames or of a class. Each goes to the
    split that lacks most of what it holds: what is missing of the frames and of each class, weighted by the square of
    the group's share of them, so that the class a group matters most for decides. Without classes that is the split
    furthest below its share of frames. Every split gets at least one group when there are enough of them, else the
    first splits of `ratios` go first. No randomness: ties are broken by a hash of the group's smallest video id, then
    by the order of `ratios`.

    Reference: the greedy order is that of iterative stratification (Sechidis et al., ECML PKDD 2011), for groups.

    Without `previous`, another video may move others, because it changes the shares. With it, videos stay where they
    were and only new ones are placed, so a model trained yesterday can be tested on today's test set. The exception: a
    new video may join groups that lie in different splits. They then go to the first of those in the order of `ratios`,
    so with train first an evaluation set may lose a video but never gains one that was trained on.

    Args:
        frames_per_video: video id → number of kept frames.
        edges: pairs of videos that share footage; pairs with videos that have no frames here are ignored.
        ratios: split → share, in order of importance. Shares are taken relative to their sum; 0 switches a split off.
        classes: video id → class → number of its frames that show it; None balances frames only.
        previous: video id → split of an earlier dataset; splits that `ratios` does not have are ignored.

    Raises:
        InvalidData: no share is positive, or one is negative.
    """
    shares = {split: share for split, share in ratios.items() if share != 0}
    if not shares or min(shares.values()) < 0:
        raise InvalidData(f"split ratios {dict(ratios)} must be positive", remedy="set dataset.splits to e.g. train: 1")
    groups = _connected(frames_per_video, edges)
    amounts = _amounts(groups, frames_per_video, classes or {})
    split_of_group = {group: split for group in groups if (split := _pinned(group, previous or {}, list(shares)))}
    waiting = [group for group in groups if group not in split_of_group]
    order = {group: (-max(amounts[group].values(), default=0.0), stable_hash(group[0])) for group in waiting}
    _fill(split_of_group, sorted(waiting, key=order.__getitem__), amounts, shares)
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


def _amounts(
    groups: Iterable[Group], frames: Mapping[str, int], classes: Mapping[str, Mapping[str, int]]
) -> dict[Group, Amounts]:
    """Which share of all frames, and of the frames of each class, every group holds; what it lacks is left out."""
    counts: dict[Group, Counter[str]] = {}
    total: Counter[str] = Counter()
    for group in groups:
        counts[group] = Counter({_FRAMES: sum(frames[video_id] for video_id in group)})
        for video_id in group:
            counts[group].update(classes.get(video_id, {}))
        total.update(counts[group])
    return {
        group: {name: number / total[name] for name, number in sorted(found.items()) if number}
        for group, found in counts.items()
    }


@dataclass
class _Need:
    """How far one split is below its share, of the frames and of each class."""

    share: float
    got: dict[str, float] = field(default_factory=dict[str, float])

    def take(self, amounts: Amounts) -> None:
        for name, amount in amounts.items():
            self.got[name] = self.got.get(name, 0.0) + amount

    def missing(self, name: str) -> float:
        return self.share - self.got.get(name, 0.0)

    def gain(self, amounts: Amounts) -> tuple[float, float]:
        """How much of what a group holds is missing here; then how many frames, for groups that hold nothing.

        `fsum` rounds once, so that ties are the same on every machine and in every version of Python.
        """
        return math.fsum(self.missing(name) * amount**2 for name, amount in amounts.items()), self.missing(_FRAMES)


def _fill(
    split_of_group: dict[Group, str],
    waiting: list[Group],
    amounts: Mapping[Group, Amounts],
    shares: Mapping[str, float],
) -> None:
    """Place the waiting groups, in their order."""
    whole = sum(shares.values())
    needs = {split: _Need(share / whole) for split, share in shares.items()}
    for group, split in split_of_group.items():
        needs[split].take(amounts[group])
    taken = set(split_of_group.values())
    empty = [split for split in shares if split not in taken]
    for number, group in enumerate(waiting):
        scarce = len(waiting) - number <= len(empty)
        gains = {split: need.gain(amounts[group]) for split, need in needs.items()}
        split = empty[0] if scarce else max(gains, key=gains.__getitem__)
        if split in empty:
            empty.remove(split)
        split_of_group[group] = split
        needs[split].take(amounts[group])


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
