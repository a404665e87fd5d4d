import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import duckdb
import polars as pl
import pytest

from miner_resources.catalog import Catalog
from miner_resources.errors import InvalidData, NotConfigured, RegistryBusy
from miner_resources.events import folded, has_pending, pending, publish
from miner_resources.records import Stage, StageRecord, Status, Video
from miner_resources.registry.records import Keyword, SearchResult, StageCounts
from miner_resources.registry.views import VIEWS
from miner_resources.storage import Storage
from tests.registry_samples import EPOCH, a_failure, a_record, a_video, at, table_of, write_artifact

PROCESSES = 8
WRITES = 25
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def storage(tmp_path):
    return Storage(tmp_path / "output")


@pytest.fixture
def catalog(storage):
    return Catalog(storage)


def plain(storage, query):
    """What any DuckDB user sees."""
    with duckdb.connect(storage.registry, read_only=True) as connection:
        return connection.execute(query).fetchall()


def a_result(keyword, video_id, rank=1):
    return SearchResult(
        keyword=keyword, video_id=video_id, rank=rank, url=f"https://example.org/{video_id}", searched_at=EPOCH
    )


def test_videos_come_back_as_they_were_added(storage, catalog):
    full = a_video(
        "full", title="Ünï\x00 'q' \"", channel="C", duration_s=1.25, license="cc", source_keyword="k", notes="n",
        updated_at=at(3), source_size=2**40, source_mtime_ns=1_763_000_000_123_456_789, status=Status.SKIPPED,
    )  # fmt: skip
    late = a_video("-late", added_at=at(1))
    assert catalog.add_videos([late, full]) == ["-late", "full"]
    assert catalog.videos() == [full, late]
    assert not has_pending(storage)


def test_videos_can_be_chosen(catalog):
    catalog.add_videos([a_video("a", source_keyword="x"), a_video("b", status=Status.SKIPPED), a_video("c")])

    def chosen(**how):
        return [video.video_id for video in catalog.videos(**how)]

    assert chosen(status=Status.PENDING) == ["a", "c"]
    assert chosen(keyword="x") == ["a"]
    assert chosen(ids=["c", "b", "none"]) == ["b", "c"]
    assert chosen(ids=[]) == []
    assert chosen(ids=["b", "c"], status=Status.SKIPPED) == ["b"]
    assert chosen(keyword="x' OR 1=1 --") == []


def test_a_known_video_is_not_added_again_but_completed(catalog):
    catalog.add_videos([a_video("a", title="Old")])
    assert catalog.add_videos([a_video("a", title="New", channel="C", added_at=at(9)), a_video("b"), a_video("b")]) == [
        "b"
    ]
    assert catalog.videos(ids=["a"]) == [a_video("a", title="Old", channel="C")]


def test_an_unsafe_id_adds_nothing_at_all(catalog):
    with pytest.raises(InvalidData, match="video id"):
        catalog.add_videos([a_video("a"), a_video("../b")])
    assert catalog.videos() == []


@pytest.mark.parametrize(("stage", "status"), [(Stage.DOWNLOAD, Status.DOWNLOADED), (Stage.EMBED, Status.DEDUPLICATED)])
def test_the_status_follows_what_stages_say(storage, catalog, stage, status):
    catalog.add_videos([a_video("a")])
    record = a_record("a", stage, metrics={"rows": 3, "by": [1.5, None]}, compute_key="c", decision_key="d")
    publish(storage, record)
    assert catalog.fold() == 1
    assert catalog.videos() == [a_video("a", status=status, updated_at=record.finished_at)]
    assert catalog.stage_records() == [record]
    assert catalog.stage_records(stage=stage, ids=["a"]) == [record]
    assert catalog.stage_records(ids=["b"]) == []


def test_the_first_fold_on_a_fresh_folder_counts_too(storage, catalog):
    publish(storage, a_video("a"))
    publish(storage, a_record("a", Stage.DEDUP))
    assert catalog.fold() == 2
    assert [video.video_id for video in catalog.videos()] == ["a"]


def test_a_failure_is_listed_until_the_stage_succeeds(storage, catalog):
    catalog.add_videos([a_video("a"), a_video("b")])
    failure = a_failure("a", Stage.EXTRACT)
    publish(storage, failure)
    catalog.fold()
    assert catalog.failures() == [failure]
    assert catalog.videos(ids=["a"])[0].status is Status.FAILED
    publish(storage, a_record("a", Stage.EXTRACT, minutes=2))
    catalog.fold()
    assert catalog.failures() == []
    assert catalog.videos(ids=["a"])[0].status is Status.EXTRACTED


def test_a_status_can_be_set(storage, catalog):
    catalog.add_videos([a_video("a"), a_video("b")])
    catalog.set_status(["a", "nobody"], Status.EXTRACTING)
    catalog.mark_complete(["b"])
    assert [video.status for video in catalog.videos()] == [Status.EXTRACTING, Status.COMPLETE]
    catalog.set_status(["a"], Status.SKIPPED)
    catalog.set_status(["a"], Status.DOWNLOADING)
    publish(storage, a_record("a", Stage.DOWNLOAD))
    catalog.fold()
    assert [video.status for video in catalog.videos()] == [Status.DOWNLOADED, Status.COMPLETE]


def test_more_videos_than_one_lock_takes(catalog):
    videos = [a_video(f"v{index:04}") for index in range(1100)]
    assert len(catalog.add_videos(videos)) == 1100
    catalog.mark_complete(video.video_id for video in videos)
    assert catalog.statistics().by_status == {Status.COMPLETE: 1100}


def test_a_removed_video_leaves_a_tombstone_and_never_returns(storage, catalog):
    catalog.add_videos([a_video("a", title="secret"), a_video("b")])
    catalog.add_search_results("k", [a_result("k", "a"), a_result("k", "b", 2)])
    publish(storage, a_record("a", Stage.DOWNLOAD))
    catalog.fold()
    assert catalog.remove_videos(["a", "never-seen"]) == ["a"]
    publish(storage, a_record("a", Stage.EXTRACT))
    catalog.fold()
    catalog.add_search_results("k", [a_result("k", "a"), a_result("k", "b", 2)])
    assert catalog.add_videos([a_video("a"), a_video("never-seen")]) == []
    assert [video.video_id for video in catalog.videos()] == ["b"]
    assert catalog.stage_records() == []
    assert [result.video_id for result in catalog.search_results()] == ["b"]
    assert set(catalog.removed_videos()) == {"a", "never-seen"}
    assert catalog.remove_videos(["a"]) == []


def test_keywords_and_search_results(catalog):
    assert catalog.add_keyword("  red \t car ", max_results=5)
    assert not catalog.add_keyword("red car")
    (keyword,) = catalog.keywords()
    assert (keyword.keyword, keyword.max_results, keyword.last_searched_at) == ("red car", 5, None)
    catalog.add_keyword("red car", max_results=7)
    results = [a_result("red car", "b"), a_result("red car", "a", 2)]
    catalog.add_search_results(" red car", [*results, a_result("red  car", "b", 3)])
    assert catalog.search_results(keyword="red car") == results
    (keyword,) = catalog.keywords()
    assert keyword.max_results == 7
    assert keyword.last_searched_at is not None
    assert keyword.last_searched_at >= keyword.added_at
    assert catalog.remove_keyword("red  car")
    assert not catalog.remove_keyword("red car")
    assert catalog.keywords() == catalog.search_results() == []


def test_wrong_keywords_are_refused(catalog):
    with pytest.raises(InvalidData, match="blank"):
        catalog.add_keyword(" \n")
    with pytest.raises(InvalidData, match="max_results"):
        catalog.add_keyword("x", max_results=0)
    with pytest.raises(InvalidData, match="was given for"):
        catalog.add_search_results("x", [a_result("y", "a")])


def test_statistics(storage, catalog):
    catalog.add_keyword("unused")
    catalog.add_videos(
        [a_video("a", duration_s=1.5, source_keyword="x"), a_video("b", source_keyword="x"), a_video("c")]
    )
    for event in [a_record("a", Stage.DOWNLOAD), a_failure("b", Stage.DOWNLOAD)]:
        publish(storage, event)
    catalog.remove_videos(["c"])
    numbers = catalog.statistics()
    assert (numbers.videos, numbers.duration_s, numbers.removed) == (2, 1.5, 1)
    assert numbers.by_status == {Status.DOWNLOADED: 1, Status.FAILED: 1}
    assert numbers.by_stage == {Stage.DOWNLOAD: StageCounts(done=1, failed=1)}
    assert numbers.by_keyword == {"unused": 0, "x": 2}


@pytest.mark.parametrize(("table", "record"), [
    ("videos", Video), ("stages", StageRecord), ("keywords", Keyword), ("search_results", SearchResult),
])  # fmt: skip
def test_the_columns_are_the_fields_of_the_records(storage, catalog, table, record):
    catalog.keywords()
    columns = {row[0] for row in plain(storage, f"DESCRIBE {table}")}
    assert columns == {field.name for field in fields(record)}


def test_folding_again_after_a_kill_changes_nothing(storage, catalog, tmp_path):
    for event in [a_video("a"), a_record("a", Stage.DOWNLOAD), a_failure("a", Stage.EXTRACT)]:
        publish(storage, event)
    unsettled = tmp_path / "copy"
    shutil.copytree(storage.events / "new", unsettled)
    catalog.fold()
    before = catalog.videos(), catalog.stage_records(), [item.event for item in folded(storage)]
    shutil.copytree(unsettled, storage.events / "new", dirs_exist_ok=True)
    assert catalog.fold() == 3
    assert (catalog.videos(), catalog.stage_records(), [item.event for item in folded(storage)]) == before
    assert catalog.fold() == 0


@pytest.mark.parametrize("step", ["save_ledger", "settle"])
def test_a_kill_before_or_after_the_commit_loses_nothing(storage, catalog, step):
    catalog.add_videos([a_video("a")])
    code = (
        "import os, sys; from pathlib import Path; from miner_resources.registry import session; "
        "from miner_resources.catalog import Catalog; from miner_resources.storage import Storage; "
        f"session.{step} = lambda *_, **__: os.kill(os.getpid(), 9); "
        "Catalog(Storage(Path(sys.argv[1]))).remove_videos(['a'])"
    )
    assert subprocess.run([sys.executable, "-c", code, str(storage.root)], check=False).returncode == -signal.SIGKILL
    assert len(pending(storage)) == 1
    assert catalog.fold() == 1
    assert catalog.videos() == []
    assert set(catalog.removed_videos()) == {"a"}


def test_views_are_empty_with_the_right_columns_until_there_are_files(storage, catalog):
    catalog.keywords()
    for view, schema in VIEWS.items():
        assert plain(storage, f"SELECT count(*) FROM {view}") == [(0,)]
        assert [row[0] for row in plain(storage, f"DESCRIBE {view}")] == list(schema)


def test_views_show_the_files_from_any_folder(storage, catalog, tmp_path, monkeypatch):
    catalog.keywords()
    for stage in (Stage.EXTRACT, Stage.FILTER, Stage.EMBED, Stage.DETECT, Stage.DEDUP):
        path, table = table_of(storage, "a", stage)
        path.parent.mkdir(parents=True, exist_ok=True)
        table.write_parquet(path)
    storage.annotations.write_text("{}", encoding="utf-8")
    storage.visualizations.mkdir()
    catalog.keywords()  # any use of the catalog brings the views up to date
    write_artifact(storage, a_record("b", Stage.DETECT))  # later files need nothing
    monkeypatch.chdir(tmp_path)
    for view in VIEWS:
        count = 2 if view == "detections" else 1
        assert plain(storage, f"SELECT count(*), min(frame_index) FROM {view}") == [(count, 30)]
    assert plain(storage, "SELECT embedding FROM embeddings")[0][0] == pytest.approx([0.6, 0.8])


def test_views_bear_models_of_other_width_and_columns_of_other_versions(storage, catalog):
    for name, vector in (("a", [1.0]), ("b", [0.6, 0.8])):
        path = storage.embeddings_table(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        schema = {"video_id": pl.String, "embedding": pl.Array(pl.Float32, len(vector)), f"new_{name}": pl.Int64}
        pl.DataFrame([{"video_id": name, "embedding": vector, f"new_{name}": 1}], schema=schema).write_parquet(path)
    catalog.keywords()
    query = "SELECT video_id, len(embedding), kept, new_a, new_b FROM embeddings ORDER BY ALL"
    assert plain(storage, query) == [("a", 1, None, 1, None), ("b", 2, None, None, 1)]


@pytest.mark.parametrize("name", ["it's", "a[1]*b", "key=value", "späce d"])
def test_views_bear_odd_folders_and_follow_a_move(tmp_path, name):
    storage = Storage(tmp_path / "before")
    write_artifact(storage, a_record("a", Stage.DETECT))
    Catalog(storage).keywords()
    moved = Storage(tmp_path / name)
    storage.root.rename(moved.root)
    Catalog(moved).keywords()
    assert plain(moved, "SELECT count(*) FROM detections") == [(1,)]
    shutil.rmtree(moved.root / "detections")
    Catalog(moved).keywords()
    assert plain(moved, "SELECT count(*) FROM detections") == [(0,)]


def test_an_unreadable_file_empties_its_view_and_nothing_else(storage, catalog, caplog):
    write_artifact(storage, a_record("a", Stage.DETECT)).write_bytes(b"no parquet")
    assert catalog.add_videos([a_video("a")]) == ["a"]
    assert "the view detections stays empty" in caplog.text
    assert plain(storage, "SELECT count(*) FROM detections") == [(0,)]
    write_artifact(storage, a_record("a", Stage.DETECT))
    catalog.keywords()
    assert plain(storage, "SELECT count(*) FROM detections") == [(1,)]


def test_a_folder_that_duckdb_cannot_bear_is_refused(tmp_path):
    with pytest.raises(NotConfigured, match=r"has a '\?'"):
        Catalog(Storage(tmp_path / "what?")).keywords()
    assert list(tmp_path.iterdir()) == []


def test_a_newer_schema_is_left_alone(storage, catalog):
    catalog.add_videos([a_video("a")])
    with duckdb.connect(storage.registry) as connection:
        connection.execute("UPDATE meta SET schema_version = 99")
    for use in (catalog.videos, catalog.rebuild):
        with pytest.raises(InvalidData, match="schema 99") as caught:
            use()
        assert "update Video Miner" in caught.value.remedy
    assert plain(storage, "SELECT count(*) FROM videos") == [(1,)]


@pytest.mark.parametrize("content", [b"", b"x", b"garbage" * 5000])
def test_a_damaged_registry_is_set_aside_and_made_again(storage, catalog, content, caplog):
    catalog.add_videos([a_video("a")])
    storage.registry.write_bytes(content)
    assert [video.video_id for video in catalog.videos()] == ["a"]
    assert "cannot be used" in caplog.text
    assert storage.registry.with_name("registry.damaged.duckdb").read_bytes() == content


def test_a_registry_of_somebody_else_is_named_and_left_alone(storage, catalog):
    storage.root.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(storage.registry) as connection:
        connection.execute("CREATE TABLE theirs (x INTEGER)")
    with pytest.raises(InvalidData, match="cannot be used") as caught:
        catalog.videos()
    assert "registry rebuild" in caught.value.remedy
    assert plain(storage, "SELECT count(*) FROM theirs") == [(0,)]


def hold_connection(path, ready, done):
    with duckdb.connect(path):
        ready.set()
        done.wait(60)


def test_a_program_without_our_lock_makes_us_wait_and_then_say_so(storage, catalog):
    catalog.keywords()
    ready, done = SPAWN.Event(), SPAWN.Event()
    shell = SPAWN.Process(target=hold_connection, args=(storage.registry, ready, done))
    shell.start()
    try:
        assert ready.wait(60)
        impatient = Catalog(storage, timeout_s=0.1)
        for use in (impatient.keywords, impatient.rebuild):
            with pytest.raises(RegistryBusy, match="another program") as caught:
                use()
            assert "close it" in caught.value.remedy
    finally:
        done.set()
        shell.join()
    assert impatient.keywords() == []


def test_a_lock_that_is_held_for_too_long_is_an_error_that_a_retry_can_help(storage, catalog):
    with catalog._session.open(), pytest.raises(RegistryBusy, match="lock") as caught:
        Catalog(storage, timeout_s=0.1).keywords()
    assert caught.value.retryable
    assert catalog.keywords() == []


def test_a_deleted_lock_file_does_no_harm(storage, catalog):
    catalog.keywords()
    lock = storage.registry.with_name("registry.duckdb.lock")
    lock.unlink()
    assert catalog.add_keyword("x")
    assert lock.exists()


def write_much(root, worker, acknowledged):
    """Add videos one by one and let stages speak; note in a file what the registry has acknowledged."""
    storage = Storage(Path(root))
    catalog = Catalog(storage)
    with Path(acknowledged).open("a", encoding="utf-8") as log:
        for index in range(WRITES):
            video_id = f"w{worker}-{index}"
            if index % 5 == 4:
                publish(storage, a_record(f"w{worker}-{index - 1}", Stage.DOWNLOAD))
                catalog.fold()
            else:
                catalog.add_videos([a_video(video_id)])
                log.write(f"{video_id}\n")
                log.flush()


def start_writers(storage, tmp_path, workers):
    processes = []
    for worker in workers:
        arguments = (str(storage.root), worker, str(tmp_path / f"acknowledged-{worker}"))
        processes.append(SPAWN.Process(target=write_much, args=arguments))
        processes[-1].start()
    return processes


def acknowledged_ids(tmp_path):
    return {
        line for path in tmp_path.glob("acknowledged-*") for line in path.read_text(encoding="utf-8").split("\n")[:-1]
    }


@pytest.mark.slow
def test_eight_processes_lose_nothing(storage, catalog, tmp_path):
    processes = start_writers(storage, tmp_path, range(PROCESSES))
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    videos = {video.video_id: video.status for video in catalog.videos()}
    assert set(videos) == acknowledged_ids(tmp_path)
    assert len(videos) == PROCESSES * WRITES * 4 // 5
    assert list(videos.values()).count(Status.DOWNLOADED) == len(catalog.stage_records()) == PROCESSES * WRITES // 5
    assert not has_pending(storage)


@pytest.mark.slow
def test_killed_processes_lose_nothing_that_was_acknowledged(storage, catalog, tmp_path):
    rng = random.Random(7)
    processes = start_writers(storage, tmp_path, range(PROCESSES))
    victims = processes[: PROCESSES // 2]
    while not acknowledged_ids(tmp_path):
        time.sleep(0.05)
    for victim in victims:
        time.sleep(rng.uniform(0.05, 0.4))
        victim.kill()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes[PROCESSES // 2 :]] == [0] * (PROCESSES // 2)
    assert -signal.SIGKILL in [victim.exitcode for victim in victims]
    catalog.fold()
    before = catalog.videos()
    assert acknowledged_ids(tmp_path) <= {video.video_id for video in before}
    storage.registry.unlink()
    report = catalog.rebuild()
    assert report.videos == len(before)
    assert [video.video_id for video in catalog.videos()] == [video.video_id for video in before]
    assert not [entry for entry in (storage.root / ".tmp").iterdir() if f"-{os.getpid()}~" in entry.name]


def test_a_registry_of_version_1_is_brought_up_to_date(storage, catalog):
    catalog.add_videos([a_video("a", title="Old")])
    catalog.add_keyword("red car")
    with duckdb.connect(storage.registry) as connection:
        connection.execute("ALTER TABLE videos DROP COLUMN trainable")
        connection.execute("ALTER TABLE keywords DROP COLUMN last_settings")
        connection.execute("ALTER TABLE search_results DROP COLUMN reason")
        connection.execute("DROP TABLE pools")
        connection.execute("UPDATE meta SET schema_version = 1")
    assert [(video.title, video.trainable) for video in catalog.videos()] == [("Old", None)]
    assert catalog.pools() == {}
    assert catalog.change_pool("youtube", lambda pool: (pool.cool("x", 0.0, 60), "said")) == "said"
    assert catalog.pool("youtube").cooling_until == 60
    assert [row.keyword for row in catalog.keywords()] == ["red car"]


def test_a_rebuild_keeps_the_cool_downs(catalog):
    catalog.change_pool("youtube", lambda pool: (pool.cool("blocked", 0.0, 60), None))
    catalog.rebuild()
    assert catalog.pool("youtube").reason == "blocked"


def test_what_a_stage_left_out_is_skipped_until_it_succeeds(storage, catalog):
    catalog.add_videos([a_video("a")])
    ends = (("skipped", Status.SKIPPED), ("waiting", Status.PENDING), ("done", Status.DOWNLOADED))
    for minutes, (status, expected) in enumerate(ends, start=1):
        publish(storage, a_record("a", Stage.DOWNLOAD, status, minutes))
        catalog.fold()
        assert catalog.videos()[0].status is expected


def test_a_restored_video_may_come_back_also_after_a_rebuild(catalog):
    catalog.add_videos([a_video("a"), a_video("b")])
    catalog.remove_videos(["a", "b"])
    assert catalog.restore_videos(["a", "never-seen"]) == ["a"]
    catalog.rebuild()
    assert set(catalog.removed_videos()) == {"b"}
    assert catalog.add_videos([a_video("a"), a_video("b")]) == ["a"]


def test_a_rewritten_registry_has_the_same_rows_and_no_bytes_of_deleted_ones(storage, catalog):
    secret = "a title nobody should read"
    catalog.add_videos([replace(a_video("a"), title=secret), a_video("b")])
    catalog.add_keywords(["red car"], max_results=7)
    catalog.remove_videos(["a"])
    before = (catalog.videos(), catalog.keywords(), catalog.removed_videos())
    catalog.rewrite()
    assert (catalog.videos(), catalog.keywords(), catalog.removed_videos()) == before
    assert secret.encode() not in storage.registry.read_bytes()
