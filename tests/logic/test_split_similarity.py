from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miner_assets.logic import split_similarity
from miner_assets.logic.split_similarity import FrameVectors, compare_across, separate, similarity_histogram
from miner_assets.logic.splits import assign_splits
from miner_resources.errors import InvalidData

RATIOS = {"train": 0.6, "val": 0.2, "test": 0.2}


def unit(rows):
    rows = np.asarray(rows, np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@st.composite
def scenes(draw):
    """Frames of up to 8 videos in a plane, so that many are alike."""
    count = draw(st.integers(1, 20))
    angles = draw(st.lists(st.floats(0, 3), min_size=count, max_size=count))
    names = draw(st.lists(st.sampled_from("abcdefgh"), min_size=count, max_size=count))
    return FrameVectors(sorted(names), unit([[np.cos(angle), np.sin(angle)] for angle in angles]))


@given(scenes(), st.floats(0.5, 0.999), st.integers(1, 5), st.data())
def test_it_finds_what_comparing_every_pair_finds(frames, threshold, block, data):
    splits = data.draw(
        st.lists(st.sampled_from(list(RATIOS)), min_size=len(frames.videos), max_size=len(frames.videos))
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(split_similarity, "BLOCK", block)
        crossing = compare_across(frames, splits, threshold)
    cosines = frames.vectors @ frames.vectors.T
    apart = np.array([[one != other for other in splits] for one in splits])
    best = np.where(apart, cosines, -np.inf).max(axis=1)
    np.testing.assert_allclose(crossing.similarity, np.where(np.isneginf(best), np.nan, best), atol=1e-6)
    sure = {
        tuple(sorted((frames.videos[i], frames.videos[j])))
        for i, j in np.argwhere(apart & (cosines > threshold + 1e-5))
    }
    possible = {
        tuple(sorted((frames.videos[i], frames.videos[j])))
        for i, j in np.argwhere(apart & (cosines > threshold - 1e-5))
    }
    assert sure <= set(crossing.leaks) <= possible


@settings(deadline=None)
@given(scenes(), st.floats(0.5, 0.999))
def test_separated_splits_have_no_near_duplicates_across_them(frames, threshold):
    counts = {name: frames.videos.count(name) for name in frames.videos}
    splits, crossing = separate(partial(assign_splits, counts, ratios=RATIOS), frames, threshold)
    assert crossing.leaks == ()
    written = [splits.split_of[name] for name in frames.videos]
    assert compare_across(frames, written, threshold).leaks == ()


def test_videos_are_joined_through_others():
    """a looks like b and b like c, but a not like c: all three stay together."""
    frames = FrameVectors(list("abcdef"), unit([[1, 0, 0], [1, 0.4, 0], [1, 1, 0], [0, 0, 1], [0, -1, 0], [-1, 0, 0]]))
    splits, _ = separate(partial(assign_splits, dict.fromkeys("abcdef", 1), ratios=RATIOS), frames, 0.9)
    assert splits.split_of["a"] == splits.split_of["b"] == splits.split_of["c"]
    assert set(splits.split_of.values()) == set(RATIOS)


def test_the_histogram_counts_every_frame_that_has_a_neighbour_in_another_split():
    frames = FrameVectors(list("abc"), unit([[1, 0], [0.8, 0.6], [-1, 0.001]]))
    splits = ["train", "train", "test"]
    crossing = compare_across(frames, splits, 0.9)
    histogram = similarity_histogram(splits, crossing.similarity)
    assert {name: sum(counts) for name, counts in histogram.items()} == {"train": 2, "test": 1}
    assert histogram["test"][0] == 1, "below 0 counts as 0"
    assert len(histogram["train"]) == len(split_similarity.EDGES) - 1
    alone = compare_across(frames, ["train"] * 3, 0.9)
    assert similarity_histogram(["train"] * 3, alone.similarity) == {"train": [0] * 20}
    assert alone.highest is None
    assert similarity_histogram(["a", "b"], np.array([1.0000001, 1], np.float32)) == {
        "a": [0] * 19 + [1],
        "b": [0] * 19 + [1],
    }


def test_no_frames():
    frames = FrameVectors([], np.zeros((0, 4), np.float32))
    assert compare_across(frames, [], 0.5).leaks == ()


def test_vectors_must_be_of_unit_length_and_one_for_each_frame():
    with pytest.raises(InvalidData, match="unit length"):
        FrameVectors(["a"], np.array([[1, 1]], np.float32))
    with pytest.raises(InvalidData, match="2 frames have 1"):
        FrameVectors(["a", "b"], np.array([[1, 0]], np.float32))
