"""Decisions across videos: the definition, and repairs that equal a decision from nothing."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miner_assets.logic.dedup import plain_deduplicate
from miner_assets.logic.unique import Known, VideoFrames, decide_across, known_decisions, unique_table
from miner_resources.records import UNIQUE_FRAMES_SCHEMA
from miner_resources.similarity import canonical_similarity
from miner_resources.vector_index import ExactSearch


def halves(count, dimension, seed, noise=0.3, centres=4):
    """Vectors around few centres that are the same for every seed, so that videos repeat each other."""
    middle = np.random.default_rng(7).standard_normal((centres, dimension))
    random = np.random.default_rng(seed)
    vectors = middle[random.integers(0, centres, count)] + noise * random.standard_normal((count, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


class Project:
    """Videos as `unique_frames` sees them; rows lie in the order in which videos were stored, not in theirs."""

    def __init__(self, dimension):
        self.vectors = np.empty((0, dimension), np.float16)
        self.rows = {}
        self.order = []

    def store(self, video_id, place, vectors):
        self.rows[video_id] = (np.arange(len(vectors)) + len(self.vectors), str(len(self.vectors)))
        self.vectors = np.concatenate([self.vectors, vectors])
        if video_id not in self.order:
            self.order.insert(min(place, len(self.order)), video_id)

    def videos(self):
        return [
            VideoFrames(video_id, self.rows[video_id][1], np.arange(len(self.rows[video_id][0])) * 30)
            for video_id in self.order
        ]

    def places(self):
        return np.concatenate([self.rows[name][0] for name in self.order] or [np.empty(0, np.int64)])

    def decide(self, threshold, previous=None, block=5):
        """The table, and how many frames were searched for at first."""
        videos = self.videos()
        known = known_decisions(videos, *previous) if previous else Known.nothing(len(self.places()))
        search = ExactSearch(self.vectors, self.places())
        table = unique_table(videos, decide_across(search, search, threshold, known, block))
        return table, int(known.open.sum())

    def result(self, table):
        return [(video.video_id, video.version) for video in self.videos()], table


@st.composite
def histories(draw):
    """A threshold, and steps that add, change, move and remove videos."""
    dimension = draw(st.sampled_from([2, 3, 16]))
    noise = draw(st.sampled_from([0.0, 0.02, 0.3, 0.6]))
    steps = []
    for _ in range(draw(st.integers(1, 4))):
        changes = draw(
            st.lists(
                st.tuples(
                    st.sampled_from("abcdef"),
                    st.sampled_from(["store", "store", "store", "remove", "move"]),
                    st.integers(0, 5),
                    st.integers(0, 9),
                    st.integers(0, 50),
                ),
                min_size=1,
                max_size=4,
            )
        )
        steps.append(changes)
    vectors = halves(2, dimension, draw(st.integers(0, 9)), noise).astype(np.float32)
    on_a_pair = canonical_similarity(*vectors)
    threshold = draw(st.sampled_from([0.9, 0.9, 0.8, 0.97, on_a_pair, np.nextafter(on_a_pair, 2), -1.0, 1.5]))
    return dimension, noise, float(threshold), steps


def apply(project, changes, dimension, noise):
    for video_id, action, place, count, seed in changes:
        if action == "store":
            project.store(video_id, place, halves(count, dimension, seed, noise))
        elif video_id in project.order:
            project.order.remove(video_id)
            if action == "move":
                project.order.insert(place, video_id)


@settings(max_examples=400, deadline=None)
@given(histories(), st.sampled_from([1, 3, 8, 64]))
def test_a_repair_equals_a_decision_from_nothing(history, block):
    dimension, noise, threshold, steps = history
    project, previous = Project(dimension), None
    for changes in steps:
        apply(project, changes, dimension, noise)
        repaired, _ = project.decide(threshold, previous, block)
        anew, _ = project.decide(threshold, block=7)
        assert repaired.equals(anew)
        previous = project.result(repaired)
    definition = plain_deduplicate(project.vectors[project.places()].astype(np.float32), threshold)
    assert repaired["kept"].to_numpy().tolist() == definition.kept.tolist()
    names = repaired["frame_id"].to_list()
    assert repaired["duplicate_of"].to_list() == [names[i] if i >= 0 else None for i in definition.duplicate_of]
    np.testing.assert_array_equal(repaired["similarity"].fill_null(np.nan).to_numpy(), definition.similarity)


def grown(count=30, frames=8):
    project = Project(16)
    for number in range(count):
        project.store(f"v{number:02}", number, halves(frames, 16, number, noise=0.4))
    return project


def test_only_what_is_new_is_searched_for():
    project = grown()
    table, asked = project.decide(0.9)
    assert asked == 240
    project.store("new", 99, halves(8, 16, 99, noise=0.4))
    after, asked = project.decide(0.9, project_before := (project.result(table)[0][:-1], table))
    assert asked == 8
    assert after.head(240).equals(table), "what comes later changes nothing"
    assert project.decide(0.9, project.result(after))[1] == 0
    assert len(project_before[0]) == 30


def test_a_removed_video_reopens_only_what_it_kept():
    project = grown()
    before = project.result(project.decide(0.9)[0])
    gone = before[1].filter(pl.col("duplicate_of").str.starts_with("v03:") & (pl.col("video_id") != "v03"))
    project.order.remove("v03")
    after, asked = project.decide(0.9, before)
    assert asked == len(gone) > 0
    assert after.equals(project.decide(0.9)[0])


@pytest.mark.parametrize("place", [0, 3, 29])
def test_a_video_that_moves_keeps_no_decision(place):
    project = grown()
    before = project.result(project.decide(0.9)[0])
    project.order.remove("v03")
    project.order.insert(place, "v03")
    after, asked = project.decide(0.9, before)
    assert after.equals(project.decide(0.9)[0])
    assert asked < len(after) if place > 3 else True


def test_rows_say_what_each_frame_duplicates():
    videos = [VideoFrames("a", "1", np.array([0, 30])), VideoFrames("b", "2", np.array([0, 5]))]
    search = ExactSearch(np.array([[1, 0], [0, 1], [0, 1], [1, 0]], np.float16), np.arange(4))
    table = unique_table(videos, decide_across(search, search, 0.9, Known.nothing(4)))
    assert table.schema == UNIQUE_FRAMES_SCHEMA
    assert table.rows() == [
        ("a:0", "a", 0, True, None, None, 0),
        ("a:30", "a", 30, True, None, None, 1),
        ("b:0", "b", 0, False, "a:30", 1.0, 1),
        ("b:5", "b", 5, False, "a:0", 1.0, 0),
    ]


def test_groups_are_numbered_by_keeper_and_every_frame_has_one():
    table, _ = grown().decide(0.9)
    kept = table.filter("kept")
    assert kept["group_id"].to_list() == list(range(len(kept)))
    group_of = dict(zip(kept["frame_id"], kept["group_id"], strict=True))
    removed = table.filter(~pl.col("kept"))
    assert len(removed) > 0
    assert [group_of[keeper] for keeper in removed["duplicate_of"]] == removed["group_id"].to_list()


def test_no_frames_at_all():
    table, asked = Project(8).decide(0.9)
    assert (table.schema, len(table), asked) == (UNIQUE_FRAMES_SCHEMA, 0, 0)
    assert Project(8).decide(0.9, ([], table))[0].equals(table)
