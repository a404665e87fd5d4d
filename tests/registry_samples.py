"""Records and artifacts that the registry tests share."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from miner_resources.records import Stage, StageRecord, Video, embeddings_schema
from miner_resources.registry.views import VIEWS
from miner_resources.storage import ArtifactKeys, Storage
from miner_resources.tables import write_table

EPOCH = datetime(2025, 1, 1, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return EPOCH + timedelta(minutes=minutes)


def a_video(video_id: str, **fields) -> Video:
    return Video(**{"video_id": video_id, "url": f"https://example.org/{video_id}", "added_at": EPOCH} | fields)


def a_record(video_id: str, stage: Stage, status: str = "done", minutes: float = 1.0, **fields) -> StageRecord:
    times = {"started_at": at(minutes - 0.5), "finished_at": at(minutes)}
    return StageRecord(**{"video_id": video_id, "stage": stage, "status": status} | times | fields)


def a_failure(video_id: str, stage: Stage, minutes: float = 1.0) -> StageRecord:
    return a_record(video_id, stage, "failed", minutes, error="no space", remedy="free some", retryable=True)


def keys_of(record: StageRecord) -> ArtifactKeys:
    return ArtifactKeys(record.compute_key or "", record.decision_key or "")


def table_of(storage: Storage, video_id: str, stage: Stage) -> tuple[Path, pl.DataFrame]:
    """Where a stage puts its table, and a table of one row."""
    path, view = {
        Stage.EXTRACT: (storage.frames_table(video_id), "frames"),
        Stage.FILTER: (storage.scores_table(video_id), "scores"),
        Stage.EMBED: (storage.embeddings_table(video_id), "embeddings"),
        Stage.DETECT: (storage.detections_table(video_id), "detections"),
        Stage.DEDUP: (storage.unique_table, "unique_frames"),
    }[stage]
    schema = embeddings_schema(2) if view == "embeddings" else VIEWS[view]
    row = dict.fromkeys(schema) | {"video_id": video_id, "frame_index": 30}
    if view == "embeddings":
        row["embedding"] = [0.6, 0.8]
    return path, pl.DataFrame([row], schema=schema)


def write_artifact(storage: Storage, record: StageRecord) -> Path:
    """What the stage of that record leaves on disk."""
    if record.stage is Stage.DOWNLOAD:
        return write_download(storage, record)
    path, table = table_of(storage, record.video_id, record.stage)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(path, table, keys_of(record), metrics=record.metrics)
    return path


def write_download(storage: Storage, record: StageRecord, **info) -> Path:
    path = storage.info(record.video_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    storage.new_video(record.video_id, "mp4").write_bytes(b"film")
    video = a_video(record.video_id)
    content = {
        "video_id": video.video_id,
        "url": video.url,
        "title": "From info",
        "added_at": video.added_at.isoformat(),
        "sha256": "00",
        "compute_key": record.compute_key,
        "decision_key": record.decision_key,
        "metrics": record.metrics,
        **info,
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
