"""A small project written by hand, in which every fate a frame can have occurs."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
from PIL import Image

from miner_assets.explore.index import build_index
from miner_assets.explore.queries import Queries
from miner_resources.catalog import Catalog
from miner_resources.config import MinerConfig
from miner_resources.records import DETECTIONS_SCHEMA, FRAMES_SCHEMA, SCORES_SCHEMA, UNIQUE_FRAMES_SCHEMA, Video
from miner_resources.registry.records import SearchResult
from miner_resources.storage import ArtifactKeys, Storage
from miner_resources.tables import write_table

KEYS = ArtifactKeys("compute", "decision")
CLASSES = ["car", "dog"]
START = datetime(2026, 1, 1, tzinfo=UTC)

FIRST, SECOND, FAILED = "first", "second", "-broken"
"""Videos: `first` has frames 0 to 5, `second` 0 and 10, the last was never downloaded."""


def config_of(root: Path) -> MinerConfig:
    """Classes, and boxes from 0.5 on."""
    return MinerConfig.model_validate(
        {"output_dir": root, "classes": CLASSES, "detection": {"confidence_threshold": 0.5}}
    )


def queries_of(root: Path) -> Queries:
    """What pages ask."""
    return Queries(build_index(Storage(root), config_of(root)))


def write_project(root: Path, *, title: str = "A ride", path: str | None = None) -> Storage:
    """Write it.

    Args:
        root: the output folder.
        title: of the first video.
        path: of the picture of its frame 0, instead of its own.
    """
    storage = Storage(root)
    frames = {FIRST: [0, 1, 2, 3, 4, 5], SECOND: [0, 10]}
    for video, indexes in frames.items():
        _write_frames(storage, video, indexes, path if video == FIRST else None)
    _write_scores(storage, FIRST, ["car", "car", "dog", "dog", "dog", None], [0.9, 0.8, 0.7, 0.2, 0.6, None])
    _write_scores(storage, SECOND, ["car", "dog"], [0.85, 0.95])
    _write_embeddings(storage, FIRST, [(0, True, None, None), (1, False, 0, 0.97), (2, True, None, None)])
    _write_embeddings(storage, SECOND, [(0, True, None, None), (10, False, 0, 0.91)])
    boxes = [(FIRST, 0, "car", 0.9), (FIRST, 0, "dog", 0.6), (FIRST, 0, "car", 0.1), (SECOND, 0, "car", 0.8)]
    for video in frames:
        rows = [
            {"video_id": name, "frame_index": index, "category": category, "score": score, "x": 16.0, "y": 9.0,
             "w": 32.0, "h": 18.0, "detector": "d", "prompt": category}
            for name, index, category, score in boxes if name == video
        ]  # fmt: skip
        _write(storage.detections_table(video), pl.DataFrame(rows, schema=DETECTIONS_SCHEMA))
    unique = [(FIRST, 0, True, None, None), (FIRST, 2, True, None, None), (SECOND, 0, False, f"{FIRST}:0", 0.93)]
    rows = [
        {"frame_id": f"{video}:{index}", "video_id": video, "frame_index": index, "kept": kept, "duplicate_of": other,
         "similarity": similarity, "group_id": 0}
        for video, index, kept, other, similarity in unique
    ]  # fmt: skip
    _write(storage.unique_table, pl.DataFrame(rows, schema=UNIQUE_FRAMES_SCHEMA))
    storage.dataset.mkdir()
    (storage.dataset / "made_from.json").write_text(json.dumps({"splits": {FIRST: "train"}}))
    _register(storage, title)
    return storage


def _register(storage: Storage, title: str) -> None:
    catalog = Catalog(storage)
    about = [(FIRST, title, "cars"), (SECOND, "Dogs & cats", "cars"), (FAILED, "Gone", None)]
    catalog.add_videos(
        Video(
            video_id=video,
            url=f"https://www.youtube.com/watch?v={video:_<11}",
            added_at=START + timedelta(seconds=place),
            title=name,
            source_keyword=keyword,
            duration_s=60.0,
        )
        for place, (video, name, keyword) in enumerate(about)
    )
    found = [(FIRST, 1, None), (SECOND, 2, None), ("too-long", 3, "too long")]
    results = [
        SearchResult(keyword="cars", video_id=video, rank=rank, url="https://e.example", searched_at=START, reason=why)
        for video, rank, why in found
    ]
    catalog.add_keywords(["cars"])
    catalog.add_search_results("cars", results)


def _write(path: Path, table: pl.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(path, table, KEYS)


def _write_frames(storage: Storage, video: str, indexes: list[int], path: str | None) -> None:
    folder = storage.raw_frames(video)
    folder.mkdir(parents=True)
    names = [f"frames_raw/{video}/frame_{index:06d}.jpg" for index in indexes]
    for number, name in enumerate(names):
        Image.new("RGB", (640, 360), (40 * number, 90, 160)).save(storage.root / name)
    rows = [
        {"video_id": video, "frame_index": index, "pts": index * 512, "time_base_num": 1, "time_base_den": 12800,
         "timestamp_s": index / 25, "is_keyframe": True, "width": 640, "height": 360,
         "path": path if path is not None and index == 0 else name, "sharpness": 1.0, "brightness": 0.5}
        for index, name in zip(indexes, names, strict=True)
    ]  # fmt: skip
    _write(storage.frames_table(video), pl.DataFrame(rows, schema=FRAMES_SCHEMA))


def _write_scores(storage: Storage, video: str, classes: list[str | None], scores: list[float | None]) -> None:
    """Frames without a class were not scored yet; 0.5 is the threshold."""
    indexes = pl.read_parquet(storage.frames_table(video))["frame_index"].to_list()
    rows = [
        {"video_id": video, "frame_index": index, "best_class": name, "score": score, "kept": score >= 0.5,
         "reason": None if score >= 0.5 else "below_threshold", "classes": CLASSES,
         "scores": [score if each == name else 0.01 for each in CLASSES], "logits": [0.0, 0.0]}
        for index, name, score in zip(indexes, classes, scores, strict=True) if name is not None and score is not None
    ]  # fmt: skip
    _write(storage.scores_table(video), pl.DataFrame(rows, schema=SCORES_SCHEMA))


def _write_embeddings(storage: Storage, video: str, rows: list[tuple[int, bool, int | None, float | None]]) -> None:
    table = pl.DataFrame(
        {
            "video_id": [video] * len(rows),
            "frame_index": [row[0] for row in rows],
            "embedding": [[1.0, 0.0]] * len(rows),
            "kept": [row[1] for row in rows],
            "duplicate_of": [row[2] for row in rows],
            "similarity": [row[3] for row in rows],
        },
        schema_overrides={
            "embedding": pl.Array(pl.Float32, 2), "duplicate_of": pl.Int64, "similarity": pl.Float32
        },
    )  # fmt: skip
    _write(storage.embeddings_table(video), table)
