from random import Random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miner_assets.logic.splits import assign_splits, channel_edges, duplicate_edges
from miner_resources.errors import InvalidData
from miner_resources.records import UNIQUE_FRAMES_SCHEMA

RATIOS = {"train": 0.8, "val": 0.1, "test": 0.1}

video_ids = st.integers(0, 30).map(lambda number: f"v{number:02d}")
videos = st.dictionaries(video_ids, st.integers(0, 50), max_size=30)
edge_lists = st.lists(st.tuples(video_ids, video_ids), max_size=15)
ratio_maps = st.fixed_dictionaries(
    {"train": st.floats(0.1, 1), "val": st.floats(0, 1), "test": st.floats(0, 1)},
)


def equal_videos(count, frames=10):
    return {f"v{number:02d}": frames for number in range(count)}


def counts(splits):
    return {split: list(splits.split_of.values()).count(split) for split in RATIOS}


@pytest.mark.parametrize(
    ("videos", "edges", "expected"),
    [
        pytest.param(10, [], {"train": 8, "val": 1, "test": 1}, id="equal videos match the ratios"),
        pytest.param(100, [], {"train": 80, "val": 10, "test": 10}, id="more of them too"),
        pytest.param(3, [], {"train": 1, "val": 1, "test": 1}, id="just enough groups fill every split"),
        pytest.param(4, [], {"train": 2, "val": 1, "test": 1}, id="one to spare goes to train"),
        pytest.param(2, [], {"train": 1, "val": 1, "test": 0}, id="two groups"),
        pytest.param(1, [], {"train": 1, "val": 0, "test": 0}, id="one video"),
        pytest.param(0, [], {"train": 0, "val": 0, "test": 0}, id="none"),
        pytest.param(4, [("v00", "v01"), ("v01", "v02")], {"train": 3, "val": 1, "test": 0}, id="a chain is one group"),
        pytest.param(3, [("v00", "zz")], {"train": 1, "val": 1, "test": 1}, id="unknown videos link nothing"),
        pytest.param(3, [("v00", "v00")], {"train": 1, "val": 1, "test": 1}, id="a video linked to itself"),
    ],
)
def test_counts_per_split(videos, edges, expected):
    assert counts(assign_splits(equal_videos(videos), edges, RATIOS)) == expected


def test_largest_group_goes_to_the_split_furthest_below_its_share():
    splits = assign_splits({"big": 80, "small": 10, "other": 10, "tiny": 1}, [], RATIOS)
    assert splits.split_of["big"] == "train"
    assert splits.warnings == ()


def test_too_few_groups_are_reported():
    (warning,) = assign_splits(equal_videos(5), [(f"v{i:02d}", "v04") for i in range(4)], RATIOS).warnings
    assert "val, test" in warning
    assert "1 independent group of" in warning
    assert "2 independent groups" in assign_splits(equal_videos(2), [], RATIOS).warnings[0]


@pytest.mark.parametrize("ratios", [{}, {"train": 0.0}, {"train": 1.0, "val": -0.1}], ids=["none", "zero", "negative"])
def test_ratios_must_be_positive(ratios):
    with pytest.raises(InvalidData, match="ratios"):
        assign_splits(equal_videos(3), [], ratios)


def test_a_share_of_zero_switches_a_split_off():
    splits = assign_splits(equal_videos(30), [], {"train": 0.5, "val": 0.5, "test": 0})
    assert counts(splits) == {"train": 15, "val": 15, "test": 0}
    assert splits.warnings == ()


def test_ratios_are_relative():
    assert assign_splits(equal_videos(20), [], {"train": 8, "val": 1, "test": 1}) == assign_splits(
        equal_videos(20), [], RATIOS
    )


def test_joined_groups_go_to_train_and_are_reported():
    before = {"v00": "train", "v01": "test", "v02": "val", "v03": "train", "v04": "gone"}
    splits = assign_splits(equal_videos(6), [("v05", "v01"), ("v05", "v00")], RATIOS, previous=before)
    assert {splits.split_of[video] for video in ("v00", "v01", "v05")} == {"train"}
    assert splits.split_of["v02"] == "val"
    assert splits.split_of["v04"] == "test", "the only new group fills the split that became empty"
    assert splits.warnings == ("v01 moved from test to train: it shares footage with a video in train",)


def test_edges_come_from_duplicates_in_other_videos():
    rows = [
        ("a:0", "a", 0, True, None, None, 0),
        ("a:1", "a", 1, False, "a:0", 0.95, 0),
        ("b:0", "b", 0, False, "a:0", 0.95, 0),
        ("b:1", "b", 1, False, "a:0", 0.97, 0),
        ("-c:0", "-c", 0, False, "a:0", 0.91, 0),
    ]
    table = pl.DataFrame(rows, schema=UNIQUE_FRAMES_SCHEMA, orient="row")
    assert duplicate_edges(table) == [("-c", "a"), ("b", "a")]
    assert duplicate_edges(table.clear()) == []


@given(videos, edge_lists, ratio_maps)
def test_nothing_leaks_and_everything_is_assigned(videos, edges, ratios):
    splits = assign_splits(videos, edges, ratios)
    assert splits.split_of.keys() == videos.keys()
    assert all(ratios[split] > 0 for split in splits.split_of.values())
    for left, right in edges:
        if left in videos and right in videos:
            assert splits.split_of[left] == splits.split_of[right]
    wanted = {split for split, share in ratios.items() if share}
    assert bool(splits.warnings) == (set(splits.split_of.values()) != wanted)


@given(videos, edge_lists, st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(videos, edges, random):
    shuffled = list(videos.items())
    random.shuffle(shuffled)
    mirrored = [(right, left) for left, right in reversed(edges)]
    assert assign_splits(dict(shuffled), mirrored, RATIOS) == assign_splits(videos, edges, RATIOS)


@given(videos, edge_lists, videos)
def test_old_videos_stay_when_videos_are_added(old, edges, new):
    old_edges = [(left, right) for left, right in edges if left in old and right in old]
    before = assign_splits(old, old_edges, RATIOS).split_of
    after = assign_splits({**new, **old}, old_edges, RATIOS, previous=before).split_of
    assert {video: after[video] for video in old} == before
    assert assign_splits(old, old_edges, RATIOS, previous=before).split_of == before


@settings(max_examples=50)
@given(st.lists(st.integers(1, 20), min_size=40, max_size=60))
def test_shares_are_close_to_the_ratios(sizes):
    frames = {f"v{number}": size for number, size in enumerate(sizes)}
    split_of = assign_splits(frames, [], RATIOS).split_of
    for split, share in RATIOS.items():
        filled = sum(size for video, size in frames.items() if split_of[video] == split)
        assert abs(filled - share * sum(sizes)) <= max(sizes)


def test_one_hundred_thousand_videos_take_seconds():
    frames = {f"v{number}": number % 97 for number in range(100_000)}
    edges = [(f"v{number}", f"v{number + 1}") for number in range(0, 90_000, 3)]
    assert len(assign_splits(frames, edges, RATIOS).split_of) == 100_000


def test_videos_of_a_channel_are_linked_and_unknown_channels_link_nothing():
    channels = {"a": "one", "b": None, "c": "two", "d": "one", "e": "", "f": "one"}
    assert channel_edges(channels) == [("a", "d"), ("a", "f")]


classes_of_videos = st.dictionaries(
    video_ids, st.dictionaries(st.sampled_from(["car", "bus", "tram"]), st.integers(1, 9)), max_size=30
)


@given(videos, edge_lists, classes_of_videos, st.dictionaries(video_ids, st.sampled_from(["train", "val", "test"])))
def test_classes_change_neither_what_stays_together_nor_what_stays(videos, edges, classes, before):
    splits = assign_splits(videos, edges, RATIOS, classes=classes, previous=before)
    assert splits.split_of.keys() == videos.keys()
    for left, right in edges:
        if left in videos and right in videos:
            assert splits.split_of[left] == splits.split_of[right]
    again = assign_splits(videos, edges, RATIOS, classes=classes, previous=splits.split_of)
    assert again.split_of == splits.split_of
    linked = {video for edge in edges for video in edge}
    assert all(splits.split_of[video] == before[video] for video in before if video in videos and video not in linked)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_classes_are_balanced_and_frames_stay_close_to_the_ratios(seed):
    random = Random(seed)
    frames = {f"v{number:02d}": random.randint(1, 20) for number in range(60)}
    classes = {
        name: {c: random.randint(1, count) for c in "abc" if random.random() < 0.4} for name, count in frames.items()
    }
    split_of = assign_splits(frames, [], RATIOS, classes=classes).split_of
    for split, share in RATIOS.items():
        filled = sum(size for video, size in frames.items() if split_of[video] == split)
        assert abs(filled - share * sum(frames.values())) <= 2 * max(frames.values())
    assert imbalance(classes, split_of) <= 0.3


def test_stratification_balances_classes_better_than_frames_alone():
    better, by_frames, by_class = 0, 0.0, 0.0
    for seed in range(40):
        random = Random(seed)
        frames = {f"v{number:02d}": random.randint(1, 30) for number in range(40)}
        classes = {
            name: {c: random.randint(1, count) for c in random.sample("abcdefgh", random.randint(0, 4))}
            for name, count in frames.items()
        }
        plain = imbalance(classes, assign_splits(frames, [], RATIOS).split_of)
        stratified = imbalance(classes, assign_splits(frames, [], RATIOS, classes=classes).split_of)
        better, by_frames, by_class = better + (stratified < plain), by_frames + plain, by_class + stratified
    assert better >= 30
    assert by_class < 0.8 * by_frames


def test_a_class_of_ten_videos_is_divided_by_the_ratios_although_they_come_first():
    frames = equal_videos(30)
    classes = {f"v{number:02d}": {"rare": 5} for number in range(10)}
    split_of = assign_splits(frames, [], RATIOS, classes=classes).split_of
    rare = [split_of[name] for name in classes]
    assert {split: rare.count(split) for split in RATIOS} == {"train": 8, "val": 1, "test": 1}


def imbalance(classes, split_of):
    """Mean over the classes of how far their shares are from the ratios, added over the splits."""
    totals = {name: sum(found.get(name, 0) for found in classes.values()) for name in "abcdefgh"}
    present = [name for name, total in totals.items() if total]
    off = 0.0
    for name in present:
        for split, share in RATIOS.items():
            got = sum(found.get(name, 0) for video, found in classes.items() if split_of[video] == split)
            off += abs(got / totals[name] - share)
    return off / len(present)
