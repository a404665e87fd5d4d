"""Takedown: nothing is left of a video, wherever it is interrupted, and nobody else loses anything."""

import json
import shutil
import sqlite3
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import dagster as dg
import duckdb
import polars as pl
import pytest
from typer.testing import CliRunner

from miner_assets import dagster_history, takedown
from miner_assets.cli import app
from miner_assets.commands.dataset_versions import current_version
from miner_assets.dataset_versions import DatasetVersions
from miner_assets.instance import open_instance
from miner_assets.partitions import VIDEOS
from miner_assets.pipeline_run import PipelineRun
from miner_assets.result import build_result, write_result
from miner_assets.takedown import TakedownReport, remove_videos
from miner_assets.takedown_plan import unfinished
from miner_assets.takedown_rebuild import rebuild_dataset
from miner_assets.workspace import Workspace
from miner_resources.config import MinerConfig
from miner_resources.config_files import PROJECT_FILE, to_yaml
from miner_resources.errors import InvalidData, MinerError, NotFound, Unavailable
from miner_resources.records import Video
from miner_resources.storage import Storage
from tests.assets.pipelines import dagster_home, digests, run

Mined = tuple[MinerConfig, PipelineRun]
STEPS = [name for name in vars(takedown._Takedown) if not name.startswith("_") and name != "finish"]

USUALLY = ("redact_versions", "make_dataset_again")
"""Interrupted there in every run of the tests; at the other steps in runs that include the slow ones."""


@pytest.fixture
def project(mined: Mined, tmp_path: Path) -> Generator[Workspace]:
    """A copy of the mined project, with the files that `run-config` leaves beside it."""
    config, done = mined
    target = tmp_path / "output"
    shutil.copytree(config.output_dir, target)
    urls = [video.url for video in Workspace.open(config).catalog.videos()]
    config = config.model_copy(update={"output_dir": target, "urls": urls})
    (target / PROJECT_FILE).write_text(to_yaml(config))
    workspace = Workspace.open(config)
    result = build_result(workspace, done)
    result["errors"] = [{"video_id": video.video_id, "source": video.url} for video in workspace.catalog.videos()]
    write_result(workspace, result)
    with dagster_home(target):
        yield workspace


def keeper(workspace: Workspace) -> Video:
    """A video of which frames of others are repeats."""
    repeats = pl.read_parquet(workspace.storage.unique_table)["duplicate_of"].drop_nulls().str.split(":").list.first()
    (video,) = workspace.catalog.videos(ids=[repeats[0]])
    return video


def invoke(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


def files_that_name(storage: Storage, *needles: str) -> set[str]:
    """Every file of the output folder whose name, bytes, columns or rows hold one of the needles."""
    found: set[str] = set()
    for path in (path for path in storage.root.rglob("*") if path.is_file()):
        texts = [storage.relative(path), path.read_bytes().decode("latin-1")]
        if path.suffix == ".parquet":
            texts.append(str(pl.read_parquet_metadata(path)))
            for series in pl.read_parquet(path).iter_columns():
                if series.dtype == pl.String:
                    texts += [str(value) for value in series.unique()]
        if path == storage.registry:
            with duckdb.connect(path, read_only=True) as connection:
                for (table,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
                    texts.append(f"{table}: {connection.execute(f'FROM {table}').fetchall()}")
        if any(needle in text for needle in needles for text in texts):
            found.add(storage.relative(path))
    return found


def test_only_tombstone_and_log_name_a_removed_video(project: Workspace) -> None:
    storage, gone = project.storage, keeper(project)
    assert gone.title is not None
    before = files_that_name(storage, gone.video_id)
    assert any(name.startswith(".dagster/history/runs/") for name in before)
    assert {"config.yaml", "pipeline_result.json"} <= files_that_name(storage, gone.url)
    for sheet in ("filter.jpg", "thresholds.html"):  # of `preview` and `thresholds`: pictures of many videos
        (storage.contact_sheets / sheet).write_bytes(b"pictures")
    text = invoke("registry", "remove", gone.video_id, "--yes", "--reason", "asked for", "-O", storage.root)
    assert "1 videos removed" in text
    assert not [path for path in storage.contact_sheets.iterdir() if path.is_file()]
    tombstone = f"events/folded/removed/{gone.video_id}.json"
    assert files_that_name(storage, gone.video_id) == {"registry.duckdb", "removals.jsonl", tombstone}
    assert files_that_name(storage, gone.url, gone.title) == set()
    with duckdb.connect(storage.registry, read_only=True) as connection:
        tables = [name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        rows = {name: str(connection.execute(f"FROM {name}").fetchall()) for name in tables}
    assert [name for name, text in rows.items() if gone.video_id in text] == ["removed_videos"]
    (line,) = storage.removals.read_text().splitlines()
    assert json.loads(line)["reason"] == "asked for"
    with open_instance(storage) as instance:
        others = {video.video_id for video in project.catalog.videos()}
        assert set(instance.get_dynamic_partitions(str(VIDEOS.name))) == others
        for asset in ("videos", "frames", "detections"):
            made = instance.get_materialized_partitions(dg.AssetKey(asset))
            assert made == others, "the others keep their history, and no more"
    done = run(project.config.model_copy(update={"urls": []}))
    assert done.ok
    assert not done.did_work, "the dataset was made again by the takedown"


def test_what_repeated_a_removed_video_gets_another_look(project: Workspace) -> None:
    storage, gone = project.storage, keeper(project)
    before = pl.read_parquet(storage.unique_table)
    theirs = before.filter(
        (pl.col("duplicate_of").str.split(":").list.first() == gone.video_id) & (pl.col("video_id") != gone.video_id)
    )
    assert len(theirs)
    report = remove_videos(project, [gone.video_id], rebuild=rebuild_dataset)
    assert report.removal.reconsidered == len(theirs)
    after = pl.read_parquet(storage.unique_table)
    back = after.join(theirs, on="frame_id", how="semi")
    assert len(back) == len(theirs)
    assert back["kept"].any(), "the first of them is unique now"
    storage.discard(storage.unique_table.parent)
    rebuild_dataset(project)
    assert pl.read_parquet(storage.unique_table).equals(after), "as if the video had never been there"
    kept = {
        f"{video}__frame_{index:06d}.jpg"
        for video, index in after.filter("kept").select("video_id", "frame_index").iter_rows()
    }
    assert {path.name for path in storage.deduplicated_frames.iterdir()} == kept
    coco = json.loads(storage.annotations.read_text())
    assert {image["file_name"] for image in coco["images"]} == kept


def test_other_videos_stay_in_their_splits(project: Workspace) -> None:
    gone = keeper(project)
    before = splits_of(project.storage)
    remove_videos(project, [gone.video_id], rebuild=rebuild_dataset)
    after = splits_of(project.storage)
    assert after == {name: split for name, split in before.items() if name in after}
    assert gone.video_id not in after


def splits_of(storage: Storage) -> dict[str, str]:
    return json.loads((storage.dataset / "made_from.json").read_text())["splits"]


def test_older_versions_lose_the_video_and_are_found_under_their_old_name(project: Workspace) -> None:
    storage, gone = project.storage, keeper(project)
    versions = DatasetVersions(storage)
    (old,) = versions.all()
    coco = old.coco
    numbers = {video["id"] for video in coco["videos"] if video["name"] == gone.video_id}
    report = remove_videos(project, [gone.video_id], rebuild=rebuild_dataset)
    new = versions.find(old.record.version)
    assert report.versions == {old.record.version: new.record.version}
    assert not old.folder.exists()
    left = [image for image in coco["images"] if image["video_id"] not in numbers]
    assert new.coco["images"] == left
    assert {path.name for path in (new.folder / "images").iterdir()} == {image["file_name"] for image in left}
    (redaction,) = new.record.redactions
    assert (redaction.videos, redaction.images) == (1, len(coco["images"]) - len(left))
    current = versions.find(current_version(storage))
    assert current.record.parent in (new.record.version, None)
    text = invoke("dataset", "diff", old.record.version, "-O", storage.root)
    assert "is not what it was: 1 videos" in text.replace("\n", " ")
    other = project.catalog.videos()[0].video_id
    remove_videos(project, [other], rebuild=rebuild_dataset)
    assert len(versions.find(old.record.version).record.redactions) == 2


def test_a_version_of_nothing_but_removed_videos_is_deleted(project: Workspace) -> None:
    everything = [video.video_id for video in project.catalog.videos()]
    (old,) = DatasetVersions(project.storage).all()
    report = remove_videos(project, everything, rebuild=rebuild_dataset)
    assert report.versions == {old.record.version: None}
    (empty,) = DatasetVersions(project.storage).all()
    assert empty.record.images == 0
    assert report.left == []


def without_dates(storage: Storage) -> dict[str, str]:
    found = digests(storage.root)
    return {name: digest for name, digest in found.items() if not name.endswith(("version.json", "removals.jsonl"))}


def interrupted(project: Workspace, monkeypatch: pytest.MonkeyPatch, step: str, *, after: bool, video_id: str) -> None:
    real = getattr(takedown._Takedown, step)

    def stopping(self: takedown._Takedown) -> None:
        if after:
            real(self)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(takedown._Takedown, step, stopping)
        with pytest.raises(KeyboardInterrupt):
            remove_videos(project, [video_id], rebuild=rebuild_dataset)


@pytest.fixture(scope="module")
def uninterrupted() -> dict[str, dict[str, str]]:
    """What an uninterrupted takedown leaves, filled by the first test that needs it."""
    return {}


@pytest.mark.parametrize(
    "step", [step if step in USUALLY else pytest.param(step, marks=pytest.mark.slow) for step in STEPS]
)
def test_a_takedown_that_was_interrupted_is_finished_by_the_next(
    project: Workspace, monkeypatch: pytest.MonkeyPatch, step: str, uninterrupted: dict[str, dict[str, str]]
) -> None:
    storage, gone = project.storage, keeper(project)
    if not uninterrupted:
        twin = project.config.model_copy(update={"output_dir": storage.root.with_name("twin")})
        shutil.copytree(storage.root, twin.output_dir)
        with dagster_home(twin.output_dir):
            remove_videos(Workspace.open(twin), [gone.video_id], rebuild=rebuild_dataset)
        uninterrupted["files"] = without_dates(Storage(twin.output_dir))
    interrupted(project, monkeypatch, step, after=False, video_id=gone.video_id)
    interrupted(project, monkeypatch, step, after=True, video_id=gone.video_id)
    assert unfinished(storage) is not None
    assert "unfinished" in invoke("registry", "remove", "--dry-run", "-O", storage.root)
    invoke("registry", "remove", "-O", storage.root)
    assert unfinished(storage) is None
    assert without_dates(storage) == uninterrupted["files"]
    assert gone.title is not None
    assert files_that_name(storage, gone.url, gone.title) == set()
    tombstone = f"events/folded/removed/{gone.video_id}.json"
    assert files_that_name(storage, gone.video_id) == {"registry.duckdb", "removals.jsonl", tombstone}
    assert len(storage.removals.read_text().splitlines()) == 1, "one line, however often it began"


def test_a_dry_run_says_what_would_go_and_changes_nothing(project: Workspace) -> None:
    storage, gone = project.storage, keeper(project)

    def everything() -> dict[str, bytes]:
        return {storage.relative(path): path.read_bytes() for path in storage.root.rglob("*") if path.is_file()}

    before = everything()
    text = invoke("registry", "remove", gone.video_id, "--dry-run", "-O", storage.root)
    assert everything() == before
    assert "Nothing was changed" in text
    promised = {line.split()[-1] for line in text.splitlines() if line.startswith("delete ")}
    assert f"frames_raw/{gone.video_id}" in promised
    assert f"videos/{gone.video_id}.mp4" in promised
    assert current_version(storage) in text
    remove_videos(project, [gone.video_id])
    assert not any((storage.root / path).exists() for path in promised)
    shared = ("dataset/", "dedup/", "detections/annotations", "detections/visual", "frames_dedup", ".", "events", "reg")
    lost = {name for name in before.keys() - everything().keys() if not name.startswith(shared)}
    assert all(any(name == path or name.startswith(f"{path}/") for path in promised) for name in lost)


def test_without_a_rebuild_the_next_run_makes_the_dataset(project: Workspace) -> None:
    gone = keeper(project)
    report = remove_videos(project, [gone.video_id])
    assert report.left == []
    assert not project.storage.annotations.exists()
    done = run(project.config)
    assert done.ok
    assert gone.video_id not in done.video_ids
    assert gone.video_id not in project.storage.annotations.read_text()
    (reason,) = done.registered.left_out
    assert "registry restore" in reason


def test_a_dataset_that_cannot_be_made_again_is_deleted(project: Workspace) -> None:
    def fails(_: Workspace) -> None:
        raise InvalidData("no", remedy="look")

    gone = keeper(project)
    report = remove_videos(project, [gone.video_id], rebuild=fails)
    assert isinstance(report.problem, MinerError)
    assert not project.storage.annotations.exists()
    assert report.left == []
    assert unfinished(project.storage) is None


def test_a_removed_video_can_be_restored(project: Workspace, tmp_path: Path) -> None:
    storage, gone = project.storage, keeper(project)
    remove_videos(project, [gone.video_id])
    urls = tmp_path / "urls.txt"
    urls.write_text(f"{gone.url}\n")
    refused = invoke("registry", "import", urls, "-O", storage.root)
    assert "0 videos added" in refused
    assert "registry restore" in refused
    assert gone.video_id in invoke("registry", "restore", gone.video_id, "-O", storage.root)
    assert "was not taken down" in invoke("registry", "restore", gone.video_id, "-O", storage.root, code=1)
    assert "1 videos added" in invoke("registry", "import", urls, "-O", storage.root)
    assert project.catalog.rebuild().removed == 0


def test_exports_elsewhere_are_named_and_those_in_the_project_are_made_again(
    project: Workspace, tmp_path: Path
) -> None:
    storage, gone = project.storage, keeper(project)
    config = project.config.model_copy(
        update={"dataset": project.config.dataset.model_copy(update={"formats": ["yolo"]})}
    )
    (storage.root / PROJECT_FILE).write_text(to_yaml(config))
    run(config.model_copy(update={"from_registry": "all"}))
    invoke("dataset", "export", "--format", "manifest", tmp_path / "elsewhere", "-O", storage.root)
    text = invoke("registry", "remove", gone.video_id, "--yes", "-O", storage.root)
    assert f"{tmp_path / 'elsewhere'}: export there again" in text
    assert gone.video_id not in "".join(path.name for path in storage.export("yolo").rglob("*"))
    assert list(storage.export("yolo").rglob("*.jpg"))
    other = next(video.video_id for video in project.catalog.videos())
    assert "cannot reach" in invoke("registry", "remove", other, "--dry-run", "-O", storage.root)
    invoke("dataset", "export", "--format", "manifest", tmp_path / "elsewhere", "-O", storage.root)
    assert storage.export_log.read_text().count("\n") == 1


def test_wrong_ids(project: Workspace) -> None:
    assert "no video is called nobody" in invoke("registry", "remove", "nobody", "-O", project.storage.root, code=1)
    assert "no takedown was interrupted" in invoke("registry", "remove", "-O", project.storage.root, code=1)
    with pytest.raises(NotFound):
        remove_videos(project, ["nobody"])
    project.storage.pending_removals.write_text("{")
    assert "cannot be read" in invoke("registry", "remove", "nobody", "-O", project.storage.root, code=1)


def test_a_history_that_is_in_use_stops_the_takedown_until_it_is_free(
    project: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dagster_history, "BUSY_S", 0.1)
    gone = keeper(project)
    held = project.storage.dagster_home / "history" / "runs.db"
    with closing(sqlite3.connect(held, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match=r"runs\.db"):
            remove_videos(project, [gone.video_id])
    report: TakedownReport = remove_videos(project, [])
    assert report.left == []


def test_a_strange_file_that_names_the_video_is_reported(project: Workspace) -> None:
    gone = keeper(project)
    (project.storage.root / "notes.txt").write_text(f"see {gone.video_id}!")
    text = invoke("registry", "remove", gone.video_id, "--yes", "-O", project.storage.root, code=1)
    assert "notes.txt" in text
