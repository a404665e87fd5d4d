"""`pipeline_result.json`: what a run did, for scripts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import polars as pl

from miner_assets.pipeline_run import PipelineRun
from miner_assets.workspace import Workspace
from miner_resources.errors import MinerError
from miner_resources.records import VIDEO_STAGES, Json, Stage, StageRecord
from miner_resources.registry.ledger import SKIPPED


def build_result(workspace: Workspace, run: PipelineRun, demo: dict[str, Json] | None = None) -> dict[str, Json]:
    """The contents of `pipeline_result.json`; `demo` holds the scores of the demo, if this is one."""
    inputs_lost = len(run.registered.lost) + len(run.searches_failed)
    failed, left_out = len(run.failures) + inputs_lost, len(run.left_out)
    total = len(run.video_ids) + inputs_lost
    ended = {**run.failures, **run.left_out}
    urls = {video.video_id: video.url for video in workspace.catalog.videos(ids=list(ended))}
    skipped = [record for record in run.left_out.values() if record.status == SKIPPED]
    result: dict[str, Json] = {
        "version": version("video-miner"),
        "config_hash": workspace.config.config_hash,
        "started_at": run.started_at.isoformat(),
        "finished_at": (run.finished_at or datetime.now(UTC)).isoformat(),
        "videos": {"total": total, "succeeded": total - failed - left_out, "failed": failed, "skipped": left_out},
        "frames": frame_counts(workspace),
        "annotations": annotation_count(workspace),
        "stages": {
            stage.value: {**asdict(summary), "seconds": round(summary.seconds, 3)}
            for stage, summary in run.stages.items()
        },
        "errors": [*_input_errors(run), *(_video_error(record, urls) for record in run.failures.values())],
        "waiting": [*_searches(run.searches_waiting), *(_video_error(record, urls) for record in run.waiting)],
        "skipped": [_video_error(record, urls) for record in skipped],
        "left_out_by_filters": dict(run.registered.left_out),
    }
    return result | {"demo": demo} if demo is not None else result


def write_result(workspace: Workspace, result: dict[str, Json]) -> None:
    """Publish the result file."""
    with workspace.storage.publish_file(workspace.storage.result) as target:
        target.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def frame_counts(workspace: Workspace) -> dict[str, Json]:
    """Frames in the whole project: extracted, past the filter, unique in their video, unique across videos."""
    kept: dict[Stage, int] = dict.fromkeys(VIDEO_STAGES, 0)
    for record in workspace.catalog.stage_records():
        rows = record.metrics.get("kept")
        if record.stage in kept and isinstance(rows, int):
            kept[record.stage] += rows
    table = workspace.storage.unique_table
    unique = pl.scan_parquet(table).select(pl.col("kept").sum()).collect().item() if table.exists() else 0
    return {
        "extracted": kept[Stage.EXTRACT],
        "filtered": kept[Stage.FILTER],
        "unique_in_video": kept[Stage.EMBED],
        "unique": int(unique or 0),
    }


def annotation_count(workspace: Workspace) -> int:
    """Boxes in the dataset."""
    path = workspace.storage.annotations
    if not path.exists():
        return 0
    coco: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return len(coco["annotations"])


def _video_error(record: StageRecord, urls: Mapping[str, str]) -> dict[str, Json]:
    kind, _, message = (record.error or "").partition(": ")
    return {
        "video_id": record.video_id,
        "source": urls.get(record.video_id),
        "stage": record.stage.value,
        "error": kind,
        "message": message,
        "remedy": record.remedy,
    }


def _input_errors(run: PipelineRun) -> list[Json]:
    return _searches([*((entry.source, entry.error) for entry in run.registered.lost), *run.searches_failed])


def _searches(ended: Sequence[tuple[str, MinerError]]) -> list[Json]:
    return [
        {
            "video_id": None,
            "source": source,
            "stage": Stage.SEARCH.value,
            "error": error.kind,
            "message": error.message,
            "remedy": error.remedy,
        }
        for source, error in ended
    ]
