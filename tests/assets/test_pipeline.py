"""The whole graph: results, repeats, changed settings, and broken input."""

import json
import shutil
from contextlib import AbstractContextManager
from pathlib import Path

import dagster as dg
import duckdb
import polars as pl
import pytest
from av.container import InputContainer
from av.video.stream import VideoStream

from miner_assets.instance import open_instance
from miner_assets.logic.scenes import ShotRule, first_of_shots
from miner_assets.pipeline_run import PipelineRun
from miner_assets.takedown import remove_videos
from miner_assets.workspace import Workspace
from miner_resources import video_decoder, video_reader
from miner_resources.config import MinerConfig
from miner_resources.demo.scoring import score_output
from miner_resources.records import (
    DETECTIONS_SCHEMA,
    FRAMES_SCHEMA,
    SCORES_SCHEMA,
    UNIQUE_FRAMES_SCHEMA,
    VIDEO_STAGES,
    Stage,
    Status,
)
from miner_resources.storage import Storage
from miner_resources.tables import SCHEMA, read_keys
from miner_resources.video_index import read_index
from miner_resources.video_pass import PassingFrame, decode_every_frame
from tests.assets.pipelines import computed, dagster_home, demo_config, digests, failed_in, model_loads, run
from tests.shared_data import shared_data
from tests.video_factory import write_video

Mined = tuple[MinerConfig, PipelineRun]


@pytest.fixture
def copy(mined: Mined, tmp_path: Path) -> MinerConfig:
    """A copy of the mined project that may be changed."""
    config, _ = mined
    target = tmp_path / "output"
    shutil.copytree(config.output_dir, target)
    return config.model_copy(update={"output_dir": target})


def changed(config: MinerConfig, section: str, **values: object) -> MinerConfig:
    return config.model_copy(update={section: getattr(config, section).model_copy(update=values)})


def test_the_demo_world_is_mined_as_its_truth_says(mined: Mined, demo_videos: Path) -> None:
    config, done = mined
    assert done.ok
    scores = score_output(config.output_dir, demo_videos / "truth.json")
    assert scores.filter_precision >= 0.95
    assert scores.filter_recall >= 0.95
    assert scores.duplicate_shots > 0
    assert scores.duplicate_recall >= 0.95
    assert scores.distinct_kept >= 0.98
    assert scores.detection_map50 >= 0.80


def test_every_frame_is_accounted_for(mined: Mined) -> None:
    config, _ = mined
    storage = Storage(config.output_dir)
    for video in Workspace.open(config).catalog.videos():
        assert video.status is Status.COMPLETE
        frames = pl.read_parquet(storage.frames_table(video.video_id))
        scores = pl.read_parquet(storage.scores_table(video.video_id))
        embedded = pl.read_parquet(storage.embeddings_table(video.video_id))
        assert frames["frame_index"].to_list() == scores["frame_index"].to_list()
        assert scores.filter("kept")["frame_index"].to_list() == embedded["frame_index"].to_list()
        assert scores.filter(pl.col("kept") == pl.col("reason").is_not_null()).is_empty()
        removed = embedded.filter(~pl.col("kept"))
        assert set(removed["duplicate_of"]) <= set(embedded.filter("kept")["frame_index"])
        assert (removed["similarity"] >= config.dedup.threshold).all()


def test_files_and_columns_are_those_of_the_contract(mined: Mined) -> None:
    config, _ = mined
    storage = Storage(config.output_dir)
    video_id = Workspace.open(config).catalog.videos()[0].video_id
    tables = {
        storage.frames_table(video_id): FRAMES_SCHEMA,
        storage.scores_table(video_id): SCORES_SCHEMA,
        storage.detections_table(video_id): DETECTIONS_SCHEMA,
        storage.unique_table: UNIQUE_FRAMES_SCHEMA,
    }
    for path, schema in tables.items():
        written = pl.read_parquet_schema(path)
        assert {name: written[name] for name in schema} == dict(schema)
        assert read_keys(path) is not None
    for row in pl.read_parquet(storage.frames_table(video_id)).iter_rows(named=True):
        assert row["path"] == f"frames_raw/{video_id}/frame_{row['frame_index']:06d}.jpg"
        assert (config.output_dir / row["path"]).is_file()
    kept = pl.read_parquet(storage.scores_table(video_id)).filter("kept")["frame_index"]
    links = sorted(path.name for path in storage.filtered_frames(video_id).glob("*.jpg"))
    assert links == [f"frame_{index:06d}.jpg" for index in kept]
    linked = storage.filtered_frames(video_id) / links[0]
    assert linked.samefile(storage.raw_frames(video_id) / links[0]), "a selection costs no disk"
    unique = pl.read_parquet(storage.unique_table).filter("kept")
    expected = {f"{v}__frame_{i:06d}.jpg" for v, i in unique.select("video_id", "frame_index").iter_rows()}
    assert {path.name for path in storage.deduplicated_frames.iterdir()} == expected
    assert storage.info(video_id).is_file()


def test_the_dataset_loads_in_pycocotools_and_boxes_lie_inside_their_images(
    mined: Mined, capsys: pytest.CaptureFixture[str]
) -> None:
    from pycocotools.coco import COCO

    config, _ = mined
    storage = Storage(config.output_dir)
    coco = COCO(str(storage.annotations))
    assert len(coco.imgs) == len(list(storage.deduplicated_frames.iterdir()))
    assert coco.anns
    for box in coco.anns.values():
        image = coco.imgs[box["image_id"]]
        x, y, w, h = box["bbox"]
        assert 0 <= x < x + w <= image["width"]
        assert 0 <= y < y + h <= image["height"]
        assert box["score"] >= config.detection.confidence_threshold
    splits = [json.loads(path.read_text()) for path in sorted(storage.dataset.glob("annotations_*.json"))]
    assert sum(len(split["images"]) for split in splits) == len(coco.imgs)
    drawn = {path.stem for path in storage.visualizations.iterdir()}
    assert drawn == {Path(coco.imgs[box["image_id"]]["file_name"]).stem for box in coco.anns.values()}


def test_the_dagster_instance_knows_every_partition(mined: Mined) -> None:
    config, done = mined
    with dagster_home(config.output_dir), open_instance(Storage(config.output_dir)) as instance:
        for asset in ("videos", "frames", "filtered_frames", "embeddings", "detections"):
            assert instance.get_materialized_partitions(dg.AssetKey(asset)) == set(done.video_ids), asset
        record = instance.get_latest_materialization_event(dg.AssetKey("filtered_frames"))
        assert record is not None
        assert record.asset_materialization is not None
        assert {"rows", "kept", "rejected", "per_class"} <= set(record.asset_materialization.metadata)
        assert instance.get_latest_materialization_event(dg.AssetKey("dataset")) is not None


def test_a_second_run_does_no_work(copy: MinerConfig) -> None:
    before = digests(copy.output_dir)
    done, loads = model_loads(copy)
    assert (computed(done), loads, done.did_work, done.ok) == ({}, 0, False, True)
    assert digests(copy.output_dir) == before


def test_a_new_filter_threshold_calls_no_filter_model(copy: MinerConfig) -> None:
    done, loads = model_loads(changed(copy, "filter", threshold=0.999))
    assert computed(done)["filter"] == 4
    assert "extract" not in computed(done)
    assert loads == 0, "fewer frames: every vector and box that is needed is there"


def test_a_new_dedup_threshold_calls_no_embedding_model(copy: MinerConfig) -> None:
    done, loads = model_loads(changed(copy, "dedup", threshold=0.999))
    assert computed(done)["embed"] == 4
    assert loads == 1, "only the detector, for frames that were duplicates before"


def test_a_new_confidence_threshold_only_writes_the_dataset(copy: MinerConfig) -> None:
    storage = Storage(copy.output_dir)
    before = json.loads(storage.annotations.read_text())["annotations"]
    done, loads = model_loads(changed(copy, "detection", confidence_threshold=0.6))
    after = json.loads(storage.annotations.read_text())["annotations"]
    assert (set(computed(done)), loads) == ({"dataset"}, 0)
    assert [box for box in before if box["score"] >= 0.6] == after


def test_a_new_class_scores_texts_against_stored_features(copy: MinerConfig) -> None:
    storage = Storage(copy.output_dir)
    features = storage.filtered_frames(Workspace.open(copy).catalog.videos()[0].video_id) / "features.parquet"
    before = features.read_bytes()
    classes = {**copy.classes, "grey cross": next(iter(copy.classes.values())).model_copy()}
    run(copy.model_copy(update={"classes": classes, "stages": [Stage.FILTER]}))
    assert features.read_bytes() == before
    scores = pl.read_parquet(features.with_name("scores.parquet"))
    assert scores["classes"][0].to_list() == list(classes)


def test_more_frames_decode_and_embed_only_the_new_ones(copy: MinerConfig) -> None:
    storage = Storage(copy.output_dir)
    video_id = Workspace.open(copy).catalog.videos()[0].video_id
    old = {path.name: path.stat().st_ino for path in storage.raw_frames(video_id).glob("*.jpg")}
    done = run(changed(copy, "extraction", seconds=0.25))
    assert done.ok
    new = {path.name: path.stat().st_ino for path in storage.raw_frames(video_id).glob("*.jpg")}
    assert len(new) > len(old)
    assert {name: new[name] for name in old} == old, "frames that were there are the same files"


def test_a_new_video_changes_no_earlier_decision(copy: MinerConfig, tmp_path: Path) -> None:
    before = pl.read_parquet(Storage(copy.output_dir).unique_table)
    extra = write_video(tmp_path / "extra.mp4", frames=20)
    done = run(copy.model_copy(update={"urls": [*copy.urls, str(extra)]}))
    after = pl.read_parquet(Storage(copy.output_dir).unique_table)
    assert computed(done)["download"] == 1
    assert after.head(len(before)).equals(before)


def test_force_computes_again_and_gives_the_same_bytes(copy: MinerConfig) -> None:
    before = digests(copy.output_dir)
    forced = changed(changed(changed(copy, "filter", force=True), "dedup", force=True), "detection", force=True)
    done, loads = model_loads(forced)
    assert loads == 3
    assert computed(done)["filter"] == computed(done)["embed"] == computed(done)["detect"] == 4
    assert digests(copy.output_dir) == before


def test_broken_files_fail_alone_and_are_not_tried_again(demo_videos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    shutil.copy(demo_videos / "demo_00.mp4", folder)
    whole = (demo_videos / "demo_01.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("this is no video\n" * 100)
    config = demo_config(tmp_path / "output", [folder])
    done = run(config)
    assert len(done.failures) == 3
    reasons = " ".join(str(record.error) for record in done.failures.values())
    assert "empty.mp4 is empty" in reasons
    assert "text.mp4 is not a video" in reasons
    assert all(record.remedy for record in done.failures.values())
    statuses = [video.status for video in Workspace.open(config).catalog.videos()]
    assert sorted(statuses) == sorted([Status.COMPLETE, Status.FAILED, Status.FAILED, Status.FAILED])
    again, loads = model_loads(config)
    assert (again.did_work, loads, failed_in(again)) == (False, 0, failed_in(done))


@pytest.mark.parametrize(
    ("key", "stage"),
    [
        ("download", Stage.DOWNLOAD),
        ("extraction", Stage.EXTRACT),
        ("filter", Stage.FILTER),
        ("detection", Stage.DETECT),
    ],
)
def test_a_video_that_takes_too_long_fails_alone_and_is_tried_again(
    key: str, stage: Stage, demo_videos: Path, tmp_path: Path
) -> None:
    sources = [demo_videos / "demo_00.mp4"]
    small = () if key in ("download", "extraction") else (f"{key}.batch_size=1",)
    hasty = run(demo_config(tmp_path / "output", sources, f"{key}.timeout_s=0.000001", *small))
    assert list(failed_in(hasty).values()) == [stage]
    (record,) = hasty.failures.values()
    assert f"the 1e-06 s that {key}.timeout_s allows" in str(record.error)
    assert f"raise {key}.timeout_s" in str(record.remedy)
    assert run(demo_config(tmp_path / "output", sources, f"{key}.timeout_s=3600")).ok


def test_an_input_that_leads_nowhere_does_not_stop_the_others(demo_videos: Path, tmp_path: Path) -> None:
    config = demo_config(
        tmp_path / "output", [tmp_path / "nothing.mp4", demo_videos / "demo_00.mp4"], "stages=[search,download]"
    )
    done = run(config)
    assert [lost.error.message for lost in done.registered.lost] == [f"{tmp_path / 'nothing.mp4'} does not exist"]
    assert len(done.video_ids) == 1
    assert not done.ok


def test_a_dataset_without_any_frame_is_written_all_the_same(copy: MinerConfig) -> None:
    done = run(changed(copy, "filter", threshold=1.0))
    assert done.ok
    coco = json.loads(Storage(copy.output_dir).annotations.read_text())
    assert (coco["images"], coco["annotations"]) == ([], [])
    assert len(coco["categories"]) == 4
    assert not run(changed(copy, "filter", threshold=1.0)).did_work


def test_a_removed_video_leaves_every_artifact_and_stays_away(copy: MinerConfig) -> None:
    workspace = Workspace.open(copy)
    gone = workspace.catalog.videos()[0].video_id
    remove_videos(workspace, [gone])
    left = [path for path in copy.output_dir.rglob("*") if gone in path.name and ".dagster" not in path.parts]
    assert [path.parent.name for path in left] == ["removed"], "only the tombstone is left"
    done = run(copy)
    assert done.ok
    assert gone not in done.video_ids
    assert gone not in Storage(copy.output_dir).annotations.read_text()


@pytest.mark.parametrize(
    ("strategy", "image_format"), [("interval", "png"), ("keyframe", "webp")], ids=["interval-png", "keyframe-webp"]
)
def test_other_strategies_and_formats(copy: MinerConfig, strategy: str, image_format: str) -> None:
    settings = changed(copy, "extraction", strategy=strategy, image_format=image_format, max_side=160, interval=20)
    done = run(settings)
    assert done.ok
    storage = Storage(copy.output_dir)
    for video_id in done.video_ids:
        frames = pl.read_parquet(storage.frames_table(video_id))
        assert frames["width"].to_list() == [160] * len(frames)
        assert frames["path"].str.ends_with(f".{image_format}").all()
        if strategy == "interval":
            assert (frames["frame_index"] % 20 == 0).all()
        else:
            assert frames["is_keyframe"].all()
    assert all(path.suffix == f".{image_format}" for path in storage.deduplicated_frames.iterdir())


def test_scenes_are_decoded_once_and_thinned(copy: MinerConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []
    open_video = video_decoder.open_video

    def spy(path: Path) -> AbstractContextManager[tuple[InputContainer, VideoStream]]:
        opened.append(path)
        return open_video(path)

    monkeypatch.setattr(video_decoder, "open_video", spy)
    monkeypatch.setattr(video_reader, "open_video", spy)
    shots = changed(copy.model_copy(update={"stages": [Stage.EXTRACT]}), "extraction", strategy="scene")
    done = run(shots)
    assert done.ok
    assert sorted(path.stem for path in opened) == sorted(done.video_ids), "one decode for choice and pictures"
    storage = Storage(copy.output_dir)
    for video_id in done.video_ids:
        source = storage.video(video_id)
        assert source is not None
        frames = decode_every_frame(source, read_index(source))
        starts = [
            frame.frame_index
            for frame in first_of_shots(frames, PassingFrame.small, lambda frame: frame.time, ShotRule())
        ]
        assert pl.read_parquet(storage.frames_table(video_id))["frame_index"].to_list() == starts
    assert run(changed(shots, "extraction", workers=1)).did_work is False, "workers change no result"
    done = run(changed(shots, "extraction", max_frames=1))
    assert done.ok
    for video_id in done.video_ids:
        frames = pl.read_parquet(storage.frames_table(video_id))
        files = {path.name for path in storage.raw_frames(video_id).glob("*.jpg")}
        assert {Path(path).name for path in frames["path"]} == files
        assert len(files) == 1


REAL = (
    "bottle-detection.mp4",
    "moviepy_no_duration.webm",
    "decord_video_90.mov",
    "torchcodec_av1_video.mkv",
    "androidx_sample_h264_iframes_only.ts",
    "eat.mkv",
)
BROKEN = (
    "made_truncated_40pct_faststart.mp4",
    "made_audio_only.mp4",
    "made_jpeg_renamed.mp4",
    "made_bitflips_400_in_mdat.mp4",
    "made_zero_bytes.mp4",
)


def test_real_videos_are_mined_and_broken_ones_named(tmp_path: Path) -> None:
    sources = [shared_data("videos") / name for name in REAL] + [shared_data("broken") / name for name in BROKEN]
    config = demo_config(tmp_path / "output", sources, "extraction.max_frames=6", "filter.threshold=0.0")
    done = run(config)
    workspace = Workspace.open(config)
    titles = {video.video_id: video.title for video in workspace.catalog.videos()}
    assert {titles[video_id] for video_id in done.failures} == {Path(name).stem for name in BROKEN}
    assert all(record.error and record.remedy for record in done.failures.values())
    for video in workspace.catalog.videos(status=Status.COMPLETE):
        frames = pl.read_parquet(workspace.storage.frames_table(video.video_id))
        assert 1 <= len(frames) <= 6
        assert frames["timestamp_s"].is_sorted()
    again = run(config)
    assert not again.did_work


def test_videos_that_went_through_a_stage_again_are_complete_again(demo_videos: Path, tmp_path: Path) -> None:
    video = sorted(demo_videos.glob("*.mp4"))[0]
    config = demo_config(tmp_path / "output", [video])
    run(config)
    again = run(demo_config(tmp_path / "output", [video], "detection.force=true"))
    assert again.stages[Stage.DATASET].computed == 0
    assert {row.status for row in Workspace.open(config).catalog.videos()} == {Status.COMPLETE}


def test_an_artifact_that_nobody_reported_is_taken_over_with_its_numbers(copy: MinerConfig) -> None:
    """As a run leaves it that was killed after the artifact was in place."""
    video_id = Workspace.open(copy).catalog.videos()[0].video_id
    before = {record.stage: record for record in Workspace.open(copy).catalog.stage_records(ids=[video_id])}
    with duckdb.connect(str(copy.output_dir / "registry.duckdb")) as registry:
        (told,) = registry.execute("SELECT count(*) FROM stages WHERE video_id = ?", [video_id]).fetchone() or (0,)
        assert told == len(VIDEO_STAGES)
        registry.execute("DELETE FROM stages WHERE video_id = ?", [video_id])
    shutil.rmtree(copy.output_dir / "events")
    again = run(copy)
    assert not any(again.stages[stage].computed for stage in VIDEO_STAGES)
    records = {record.stage: record for record in Workspace.open(copy).catalog.stage_records(ids=[video_id])}
    for stage in VIDEO_STAGES:
        assert records[stage].metrics["rows"] == before[stage].metrics["rows"]
        assert records[stage].metrics["kept"] == before[stage].metrics["kept"]


def test_tables_of_another_version_are_made_anew_or_left_alone(copy: MinerConfig) -> None:
    storage, expected = Storage(copy.output_dir), digests(copy.output_dir)
    older, newer, *_ = sorted(video.video_id for video in Workspace.open(copy).catalog.videos())
    for video_id, version in ((older, "0"), (newer, "2")):
        path = storage.scores_table(video_id)
        pl.read_parquet(path).write_parquet(path, metadata=pl.read_parquet_metadata(path) | {SCHEMA: version})
    written = storage.scores_table(newer).read_bytes()
    done = run(copy)
    assert failed_in(done) == {newer: Stage.FILTER}
    assert "knows up to 1" in str(done.failures[newer].error)
    assert storage.scores_table(newer).read_bytes() == written
    made = storage.scores_table(older).relative_to(storage.root).as_posix()
    assert digests(copy.output_dir)[made] == expected[made]
