import json
import os

import duckdb
import pytest

from miner_resources.catalog import Catalog
from miner_resources.events import publish
from miner_resources.records import VIDEO_STAGES, Stage, Status
from miner_resources.registry.records import SearchResult
from miner_resources.storage import Storage
from tests.registry_samples import EPOCH, a_failure, a_record, a_video, at, write_artifact, write_download


@pytest.fixture
def storage(tmp_path):
    return Storage(tmp_path / "output")


@pytest.fixture
def catalog(storage):
    return Catalog(storage)


def mined(storage, catalog):
    """Six videos: complete, half-way, failed, skipped, pending, removed."""
    names = ["complete", "half", "failed", "skipped", "pending", "removed"]
    catalog.add_videos(a_video(name, title=f"Title {name}", source_keyword="k", notes="n") for name in names)
    for minutes, stage in enumerate(VIDEO_STAGES, start=1):
        for name in ["complete", "half", "failed", "removed"]:
            record = a_record(
                name, stage, minutes=minutes, compute_key=f"c-{stage}", decision_key="d", metrics={"rows": minutes}
            )
            if name == "complete" or stage is Stage.DOWNLOAD:
                write_artifact(storage, record)
                publish(storage, record)
            elif name == "failed" and stage is Stage.EXTRACT:
                publish(storage, a_failure(name, stage, minutes))
    catalog.fold()
    catalog.mark_complete(["complete"])
    catalog.set_status(["skipped"], Status.SKIPPED)
    catalog.remove_videos(["removed"])
    catalog.add_keyword("k", max_results=3)
    result = SearchResult(keyword="k", video_id="half", rank=1, url="https://example.org/half", searched_at=EPOCH)
    catalog.add_search_results("k", [result])


def facts(catalog):
    videos = {video.video_id: video for video in catalog.videos()}
    return videos, catalog.stage_records(), set(catalog.removed_videos())


def destroy(storage, how):
    if how == "missing":
        storage.registry.unlink()
    elif how == "garbage":
        storage.registry.write_bytes(b"garbage" * 9000)
    elif how == "truncated":
        os.truncate(storage.registry, 20_000)


@pytest.mark.parametrize("how", ["intact", "missing", "garbage", "truncated"])
def test_everything_that_artifacts_and_events_know_comes_back(storage, catalog, how):
    mined(storage, catalog)
    before = facts(catalog)
    statuses = {name: video.status for name, video in before[0].items()}
    assert statuses == {
        "complete": Status.COMPLETE, "half": Status.DOWNLOADED, "failed": Status.FAILED,
        "skipped": Status.SKIPPED, "pending": Status.PENDING,
    }  # fmt: skip
    destroy(storage, how)
    report = catalog.rebuild()
    assert facts(catalog) == before
    assert (report.videos, report.stage_records, report.removed) == (5, 8, 1)
    assert report.salvaged == (how == "intact")


def test_an_intact_registry_gives_its_keywords_and_results(storage, catalog):
    mined(storage, catalog)
    before = catalog.keywords(), catalog.search_results()
    assert catalog.rebuild().keywords == 1
    assert (catalog.keywords(), catalog.search_results()) == before


def test_a_damaged_registry_is_kept_and_reported(storage, catalog):
    mined(storage, catalog)
    destroy(storage, "garbage")
    report = catalog.rebuild()
    assert any("keywords" in problem for problem in report.problems)
    assert storage.registry.with_name("registry.damaged.duckdb").read_bytes() == b"garbage" * 9000


def test_rebuilding_twice_gives_the_same(storage, catalog):
    mined(storage, catalog)
    first = catalog.rebuild(), facts(catalog)
    assert (catalog.rebuild(), facts(catalog)) == first


def test_a_registry_that_is_missing_is_made_from_the_artifacts_on_first_use(storage, catalog):
    mined(storage, catalog)
    before = facts(catalog)
    storage.registry.unlink()
    assert catalog.add_videos([a_video("removed"), a_video("half")]) == []
    assert facts(catalog) == before


def test_artifacts_alone_are_enough(storage, catalog):
    for stage in (Stage.DOWNLOAD, Stage.EXTRACT, Stage.FILTER):
        write_artifact(storage, a_record("a", stage, compute_key="c", decision_key="d", metrics={"rows": 2}))
    os.utime(storage.frames_table("a"), (at(7).timestamp(),) * 2)
    catalog.rebuild()
    (video,) = catalog.videos()
    assert (video.title, video.added_at, video.status) == ("From info", EPOCH, Status.FILTERED)
    extract = next(record for record in catalog.stage_records() if record.stage is Stage.EXTRACT)
    assert (extract.compute_key, extract.decision_key, extract.metrics) == ("c", "d", {"rows": 2})
    assert extract.started_at == extract.finished_at == at(7)


def test_an_info_file_may_lack_or_add_anything_but_the_url(storage, catalog):
    write_download(storage, a_record("a", Stage.DOWNLOAD), added_at=None, metrics=None, title=None, surprise=[1])
    write_download(storage, a_record("b", Stage.DOWNLOAD), url=None)
    write_download(storage, a_record("c", Stage.DOWNLOAD), duration_s="long")
    storage.info("d").write_text("{", encoding="utf-8")
    (storage.root / "videos" / "un safe.info.json").write_text("{}", encoding="utf-8")
    report = catalog.rebuild()
    assert [video.video_id for video in catalog.videos()] == ["a"]
    for part in ("b.info.json: url is missing", "c.info.json: duration_s", "d.info.json is no JSON", "'un safe'"):
        assert any(part in problem for problem in report.problems), part


def test_what_lost_its_artifact_is_not_done(storage, catalog):
    mined(storage, catalog)
    storage.detections_table("complete").unlink()
    (storage.root / "videos" / "half.mp4").unlink()
    catalog.rebuild()
    statuses = {video.video_id: video.status for video in catalog.videos(ids=["complete", "half"])}
    assert statuses == {"complete": Status.DEDUPLICATED, "half": Status.PENDING}


def test_an_artifact_with_other_keys_than_its_event_counts_as_it_is(storage, catalog):
    mined(storage, catalog)
    write_artifact(storage, a_record("complete", Stage.EXTRACT, compute_key="new", decision_key="d"))
    catalog.rebuild()
    extract = next(record for record in catalog.stage_records(ids=["complete"]) if record.stage is Stage.EXTRACT)
    assert extract.compute_key == "new"
    assert catalog.videos(ids=["complete"])[0].status is Status.EXTRACTED


def test_broken_and_ownerless_artifacts_are_reported(storage, catalog):
    write_artifact(storage, a_record("a", Stage.DOWNLOAD))
    write_artifact(storage, a_record("a", Stage.EMBED)).write_bytes(b"no parquet")
    write_artifact(storage, a_record("nobody", Stage.DETECT))
    report = catalog.rebuild()
    assert catalog.videos()[0].status is Status.DOWNLOADED
    assert any("embeddings/a.parquet" in problem for problem in report.problems)
    assert any("artifacts of nobody" in problem for problem in report.problems)


def test_pending_events_are_taken_over_by_a_rebuild(storage, catalog):
    publish(storage, a_video("a"))
    publish(storage, a_failure("a", Stage.DOWNLOAD))
    storage.registry.write_bytes(b"garbage")
    catalog.rebuild()
    assert [(video.video_id, video.status) for video in catalog.videos()] == [("a", Status.FAILED)]
    assert catalog.fold() == 0


def test_a_leftover_log_of_a_lost_registry_is_not_replayed(storage, catalog):
    catalog.add_videos([a_video("a")])
    storage.registry.unlink()
    storage.registry.with_name("registry.duckdb.wal").write_bytes(b"of another file")
    assert [video.video_id for video in catalog.videos()] == ["a"]


def test_a_row_that_somebody_broke_by_hand_can_be_rebuilt(storage, catalog):
    mined(storage, catalog)
    before = facts(catalog)
    with duckdb.connect(storage.registry) as connection:
        connection.execute("UPDATE videos SET status = 'nonsense'")
    report = catalog.rebuild()
    assert facts(catalog) == before
    assert not report.salvaged
    assert len(catalog.keywords()) == 1


def test_metrics_of_foreign_files_may_be_anything(storage, catalog):
    path = write_download(storage, a_record("a", Stage.DOWNLOAD))
    path.write_text(
        json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"metrics": {"mean": float("nan")}}), encoding="utf-8"
    )
    assert catalog.rebuild().problems == ()
    assert catalog.stage_records()[0].metrics == {"mean": None}
