import json
from dataclasses import replace
from datetime import UTC, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miner_resources.errors import InvalidData
from miner_resources.events import Decision, Removal, folded, has_pending, pending, publish, settle
from miner_resources.records import Stage, StageRecord, Status, Video
from miner_resources.registry.record_json import read_json, stage_record_from_json, to_json, video_from_json, write_json
from miner_resources.storage import Storage
from tests.registry_samples import a_record, a_video, at


@pytest.fixture
def storage(tmp_path):
    return Storage(tmp_path)


EVENTS = [
    a_video("a", title="Ünï", duration_s=1.5, source_size=2**40, status=Status.SKIPPED),
    a_record("a", Stage.EXTRACT, metrics={"rows": 3, "by": {"x": [1.5, None]}}, compute_key="k"),
    Decision(video_id="a", status=Status.COMPLETE, decided_at=at(3)),
    Removal(video_id="a", removed_at=at(4)),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_a_published_event_is_pending_until_it_is_settled(storage, event):
    publish(storage, event)
    (spooled,) = pending(storage)
    assert spooled.event == event
    settle(storage, [spooled])
    assert not has_pending(storage)
    assert [item.event for item in folded(storage)] == [event]


def test_events_are_pending_in_the_order_of_publishing(storage):
    for index in range(20):
        publish(storage, a_video(f"v{19 - index}"))
    assert [item.event.video_id for item in pending(storage)] == [f"v{19 - index}" for index in range(20)]


def test_the_latest_event_of_a_stage_wins_also_when_settled_late(storage):
    publish(storage, a_record("a", Stage.EXTRACT, "failed"))
    publish(storage, a_record("a", Stage.EXTRACT, "done", 2))
    older, newer = pending(storage)
    settle(storage, [newer])
    settle(storage, [older])
    assert [item.event.status for item in folded(storage)] == ["done"]
    assert not has_pending(storage)


def test_settling_twice_is_settling_once(storage):
    publish(storage, a_record("a", Stage.EXTRACT))
    publish(storage, a_video("a"))
    spooled = pending(storage)
    settle(storage, spooled)
    before = folded(storage)
    settle(storage, spooled)
    assert folded(storage) == before


def test_rows_of_one_video_are_merged_when_settled(storage):
    publish(storage, a_video("a", title="First", source_size=1, source_mtime_ns=1))
    settle(storage, pending(storage))
    publish(storage, a_video("a", title="Second", channel="C", source_size=2, source_mtime_ns=5))
    settle(storage, pending(storage))
    (kept,) = folded(storage)
    assert kept.event == a_video("a", title="First", channel="C", source_size=2, source_mtime_ns=5)


def test_a_removal_deletes_what_was_said_and_what_is_said_later(storage):
    for event in [a_video("a", title="secret"), a_record("a", Stage.EXTRACT), a_video("b")]:
        publish(storage, event)
    settle(storage, pending(storage))
    publish(storage, Removal(video_id="a", removed_at=at(1)))
    publish(storage, a_video("a", title="secret"))
    settle(storage, pending(storage))
    assert {type(item.event) for item in folded(storage) if item.event.video_id == "a"} == {Removal}
    assert not [path for path in storage.events.rglob("*.json") if "secret" in path.read_text(encoding="utf-8")]
    assert [item.event for item in folded(storage) if item.event.video_id == "b"] == [a_video("b")]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"kind": "video", "time_ns": 1, "content": {"video_id": "../x", "url": "u", "added_at": "2025-01-01"}}',
        b'{"kind": "video", "time_ns": 1, "content": {"video_id": "x"}}',
        b'{"kind": "from-the-future", "time_ns": 1, "content": {"video_id": "x"}}',
        b'{"kind": "extract", "content": {}}',
    ],
)
def test_what_cannot_be_understood_is_set_aside_and_blocks_nobody(storage, caplog, content):
    publish(storage, a_video("a"))
    bad = storage.events / "new" / "0.json"
    bad.write_bytes(content)
    assert [item.event.video_id for item in pending(storage)] == ["a"]
    assert "set aside" in caplog.text
    assert [path.read_bytes() for path in (storage.events / "unreadable").iterdir()] == [content]
    assert not bad.exists()


def test_an_event_must_have_a_safe_id_and_finite_metrics(storage):
    with pytest.raises(InvalidData, match="video id"):
        publish(storage, a_video("../../etc/passwd"))
    with pytest.raises(InvalidData, match="finite"):
        publish(storage, a_record("a", Stage.FILTER, metrics={"mean": float("nan")}))
    assert not has_pending(storage)


def test_half_characters_in_titles_do_not_stop_an_event(storage):
    publish(storage, a_video("a", title="half \ud83d end"))
    assert [item.event.title for item in pending(storage)] == ["half ? end"]


def test_nothing_but_whole_events_is_ever_in_the_spool(storage):
    publish(storage, a_video("a"))
    (path,) = (storage.events / "new").iterdir()
    assert json.loads(path.read_bytes())["content"]["url"] == "https://example.org/a"
    assert list((storage.root / ".tmp").iterdir()) == []


# Fixed offsets only: where clocks are set back, Python calls one moment in two zones unequal.
zones = st.sampled_from([UTC, timezone(timedelta(hours=-9, minutes=-30))])
times = st.datetimes(timezones=zones).filter(lambda time: 2 < time.year < 9998)
texts = st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
jsons = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text("aé'\""), st.lists, max_leaves=4
)


@settings(deadline=None)
@given(
    st.builds(
        Video,
        video_id=st.from_regex("[A-Za-z0-9_-]{1,20}", fullmatch=True),
        url=st.text("ab:/", min_size=1),
        added_at=times,
        title=texts,
        notes=texts,
        duration_s=st.none() | st.floats(0, 1e9),
        updated_at=st.none() | times,
        status=st.sampled_from(Status),
    )
)
def test_videos_survive_json(video):
    assert video_from_json(read_json(write_json(to_json(video)), where="x"), where="x") == video


@settings(deadline=None)
@given(
    st.builds(
        StageRecord,
        video_id=st.just("a"),
        stage=st.sampled_from(Stage),
        status=st.sampled_from(["done", "failed"]),
        started_at=times,
        finished_at=times,
        error=texts,
        retryable=st.booleans(),
        metrics=st.dictionaries(st.text("abc"), jsons),
    )
)
def test_stage_records_survive_json(record):
    assert stage_record_from_json(read_json(write_json(to_json(record)), where="x"), where="x") == record


def test_all_wrong_fields_of_an_object_are_named_at_once():
    source = to_json(replace(a_video("a"))) | {
        "url": None,
        "duration_s": "long",
        "status": "filed",
        "source_size": True,
    }
    with pytest.raises(InvalidData) as caught:
        video_from_json(source, where="file.json")
    for part in [
        "url is missing",
        "duration_s is 'long'",
        "status is 'filed', allowed is one of pending",
        "source_size",
    ]:
        assert part in str(caught.value)
