from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miner_resources.events import Decision, Removal
from miner_resources.records import VIDEO_STAGES, Stage, Status
from miner_resources.registry.ledger import Ledger, derive_status
from tests.registry_samples import a_failure, a_record, a_video, at

CASES = {
    "nothing": ([], Status.PENDING),
    "first stage": ([a_record("a", Stage.DOWNLOAD)], Status.DOWNLOADED),
    "last to end counts": ([a_record("a", Stage.FILTER, minutes=2), a_record("a", Stage.EXTRACT)], Status.FILTERED),
    "redone": ([a_record("a", Stage.FILTER, minutes=2), a_record("a", Stage.EXTRACT, minutes=3)], Status.EXTRACTED),
    "failed": ([a_record("a", Stage.DOWNLOAD), a_failure("a", Stage.EXTRACT, 2)], Status.FAILED),
    "an earlier stage clears": (
        [a_failure("a", Stage.EXTRACT, 2), a_record("a", Stage.DOWNLOAD, minutes=3)],
        Status.DOWNLOADED,
    ),
    "a later stage does not": (
        [a_failure("a", Stage.DOWNLOAD, 2), a_record("a", Stage.EXTRACT, minutes=3)],
        Status.FAILED,
    ),
    "at the same time": ([a_record("a", Stage.EMBED), a_record("a", Stage.DETECT)], Status.DETECTED),
    "dataset says nothing": ([a_record("a", Stage.DETECT), a_record("a", Stage.DATASET, minutes=9)], Status.DETECTED),
}


@pytest.mark.parametrize(("records", "status"), CASES.values(), ids=CASES.keys())
def test_status_follows_from_the_records_in_any_order(records, status):
    for order in permutations(records):
        assert derive_status(order) is status
        ledger = Ledger({"a": a_video("a")})
        for record in order:
            ledger.apply(record)
        assert ledger.videos["a"].status is status


def test_records_may_arrive_before_their_video():
    ledger = Ledger()
    ledger.apply(a_record("a", Stage.DOWNLOAD))
    ledger.apply(a_video("a"))
    assert ledger.videos["a"].status is Status.DOWNLOADED


def test_an_older_record_does_not_replace_a_newer_one():
    ledger = Ledger({"a": a_video("a")})
    ledger.apply(a_record("a", Stage.DOWNLOAD, minutes=5))
    ledger.apply(a_failure("a", Stage.DOWNLOAD, 4))
    assert ledger.videos["a"].status is Status.DOWNLOADED


def test_skipped_holds_until_the_status_is_set_again():
    ledger = Ledger({"a": a_video("a")})
    ledger.apply(Decision(video_id="a", status=Status.SKIPPED, decided_at=at(1)))
    ledger.apply(a_record("a", Stage.DOWNLOAD, minutes=2))
    assert ledger.videos["a"].status is Status.SKIPPED
    ledger.apply(Decision(video_id="a", status=Status.PENDING, decided_at=at(3)))
    ledger.apply(a_record("a", Stage.EXTRACT, minutes=4))
    assert ledger.videos["a"].status is Status.EXTRACTED


def test_a_record_of_a_skipped_video_counts_as_news_of_it():
    """Else a fold that is cut off and repeated would find another time of the last news."""
    ledger = Ledger({"a": a_video("a")})
    news = [
        Decision(video_id="a", status=Status.SKIPPED, decided_at=at(0)),
        a_record("a", Stage.DOWNLOAD, minutes=1),
        Decision(video_id="a", status=Status.PENDING, decided_at=at(0)),
    ]
    for event in news:
        ledger.apply(event)
    once = ledger.copy()
    for event in news[1:]:
        ledger.apply(event)
    assert ledger == once
    assert ledger.videos["a"].updated_at == at(1)


ids = st.sampled_from(["a", "b"])
minutes = st.integers(0, 9)
events = st.lists(
    st.builds(a_record, ids, st.sampled_from(list(VIDEO_STAGES)), st.sampled_from(["done", "failed"]), minutes)
    | st.builds(
        lambda name, status, time: Decision(video_id=name, status=status, decided_at=at(time)),
        ids,
        st.sampled_from(Status),
        minutes,
    )
    | st.builds(lambda name, title: a_video(name, title=title), ids, st.none() | st.just("T"))
    | st.builds(lambda name: Removal(video_id=name, removed_at=at(1)), ids)
)


@settings(deadline=None, max_examples=300)
@given(events)
def test_applying_everything_twice_is_applying_it_once(events):
    ledger = Ledger({"a": a_video("a"), "b": a_video("b")})
    for event in events:
        ledger.apply(event)
    once = ledger.copy()
    for event in events:
        ledger.apply(event)
    assert ledger == once


@settings(deadline=None, max_examples=300)
@given(events, st.data())
def test_a_fold_that_is_cut_off_and_repeated_changes_nothing(events, data):
    ledger = Ledger({"a": a_video("a"), "b": a_video("b")})
    for event in events:
        ledger.apply(event)
    once = ledger.copy()
    for event in events[data.draw(st.integers(0, len(events))) :]:
        ledger.apply(event)
    assert ledger == once
