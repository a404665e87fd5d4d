"""The asset `frames`: the sampled pictures of each video and a table that says exactly which frames they are."""

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
import polars as pl

from miner_assets import column_schemas
from miner_assets.checks import check_specs
from miner_assets.execution import takes
from miner_assets.launchpad import launchpad_schema, with_overrides
from miner_assets.logic.sampling import choose_frames, thin
from miner_assets.logic.scenes import ShotRule, first_of_shots
from miner_assets.partitions import VIDEOS
from miner_assets.stage import run_stage
from miner_assets.stage_sheets import frames_sheet
from miner_assets.video_stage import Outcome, Task
from miner_assets.workspace import Workspace
from miner_resources.config_sections import ExtractionConfig
from miner_resources.deadline import time_limit
from miner_resources.errors import InvalidData, MinerError
from miner_resources.images import brightness, encode_image, limit_side, sharpness
from miner_resources.records import FRAMES_SCHEMA, Json, Stage, Video
from miner_resources.storage import ArtifactKeys, link, stable_hash
from miner_resources.tables import read_keys, read_table, write_table
from miner_resources.video_facts import read_facts
from miner_resources.video_index import PacketIndex, read_index
from miner_resources.video_pass import PassingFrame, decode_every_frame
from miner_resources.video_reader import DecodedFrame, DecodeReport, decode_frames

READER_VERSION = 1
"""Raise it when the same video and settings would give other pixels."""

Row = dict[str, Json]
T = TypeVar("T")


class ExtractStage:
    """Decodes the wanted frames of each video, several videos at a time with one decoding thread each."""

    stage = Stage.EXTRACT

    def __init__(self, workspace: Workspace, config: ExtractionConfig) -> None:
        self.workspace = workspace
        self.storage = workspace.storage
        self.config = config
        self.force = config.force
        self._stop = threading.Event()

    def keys(self, video: Video) -> ArtifactKeys:
        """Compute: the video's content and how a frame is written. Decision: which frames."""
        facts = read_facts(self.storage, video.video_id)
        if facts is None:
            raise InvalidData(
                f"video {video.video_id} is not downloaded", remedy="run the stage 'download' for it first"
            )
        c = self.config
        shots: list[Json] = [c.scene_threshold, c.scene_min_change, c.scene_min_seconds]
        return ArtifactKeys(
            stable_hash("frame", READER_VERSION, facts.sha256, c.image_format, c.quality, c.max_side),
            stable_hash(c.strategy, c.interval, c.seconds, c.max_frames, *(shots if c.strategy == "scene" else [])),
        )

    def artifact_keys(self, video: Video) -> ArtifactKeys | None:
        """Read from the frame table."""
        return read_keys(self.storage.frames_table(video.video_id))

    def work(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Extract the frames of all tasks; yields in the order in which they finish."""
        workers = _cores() if self.config.workers == "auto" else int(self.config.workers)
        with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
            futures = [pool.submit(self._extract, task) for task in tasks]
            try:
                for future in as_completed(futures):
                    yield future.result()
            finally:
                self._stop.set()
                pool.shutdown(cancel_futures=True)

    def _extract(self, task: Task) -> Outcome:
        try:
            source = self.storage.video(task.video_id)
            if source is None:
                raise InvalidData(
                    f"the video file of {task.video_id} is missing", remedy="run the stage 'download' first"
                )
            limit = time_limit(task.video_id, self.config.timeout_s, "extraction.timeout_s")
            with limit, self.storage.publish_folder(self.storage.raw_frames(task.video_id)) as folder:
                index, report = read_index(source), DecodeReport()
                sampled = _Sampled(task, source, index, report, folder)
                rows = self._shots(sampled) if self.config.strategy == "scene" else self._planned(sampled)
                table = pl.DataFrame(rows, schema=FRAMES_SCHEMA).sort("frame_index")
                lost = len(report.undecodable)
                counts: dict[str, Json] = {
                    "rows": len(table),
                    "kept": len(table),
                    "rejected": lost,
                    "undecodable": lost,
                }
                write_table(folder / "frames.parquet", table, task.keys, metrics=counts)
                sheet = frames_sheet(self.storage, task.video_id, table, folder)
        except MinerError as error:
            return Outcome(task, error=error)
        size = sum((self.storage.root / path).stat().st_size for path in table["path"])
        return Outcome(task, counts | {"bytes": size}, sample=sheet)

    def _planned(self, video: "_Sampled") -> list[Row]:
        """Frames that can be chosen before anything is decoded: only what they need is."""
        c = self.config
        wanted = choose_frames(
            video.index, strategy=c.strategy, interval=c.interval, seconds=c.seconds, max_frames=c.max_frames
        )
        old = self._reusable(video.task)
        rows = [_keep(old[index], self.storage.root, video.folder) for index in wanted if index in old]
        absent = [index for index in wanted if index not in old]
        decoded = decode_frames(video.source, video.index, absent, video.report)
        return rows + [self._save(frame, video) for frame in self._unless_stopped(decoded, video.task)]

    def _shots(self, video: "_Sampled") -> list[Row]:
        """The first frame of each shot: everything is decoded once, for the choice and the pictures alike."""
        c = self.config
        rule = ShotRule(c.scene_threshold, c.scene_min_change, Fraction(str(c.scene_min_seconds)))
        decoded = self._unless_stopped(decode_every_frame(video.source, video.index, video.report), video.task)
        old = self._reusable(video.task)
        rows: dict[int, Row] = {}
        for frame in first_of_shots(decoded, PassingFrame.small, lambda frame: frame.time, rule):
            known = old.get(frame.frame_index)
            row = _keep(known, self.storage.root, video.folder) if known else self._save(frame.decoded(), video)
            rows[frame.frame_index] = row
        kept = thin(list(rows), c.max_frames)
        for index in rows.keys() - set(kept):
            (video.folder / Path(str(rows[index]["path"])).name).unlink()
        return [rows[index] for index in kept]

    def _unless_stopped(self, frames: Iterator[T], task: Task) -> Iterator[T]:
        for frame in frames:
            if self._stop.is_set():
                raise InvalidData(f"{task.video_id}: extraction was stopped", remedy="run again to go on")
            yield frame

    def _reusable(self, task: Task) -> dict[int, Row]:
        """Rows of the earlier artifact by frame index, if its frames were written alike."""
        table = self.storage.frames_table(task.video_id)
        keys = None if self.force else read_keys(table)
        if keys is None or keys.compute != task.keys.compute:
            return {}
        return {row["frame_index"]: row for row in read_table(table, FRAMES_SCHEMA).to_dicts()}

    def _save(self, frame: DecodedFrame, video: "_Sampled") -> Row:
        index, video_id = video.index, video.task.video_id
        rgb = limit_side(frame.rgb, self.config.max_side) if self.config.max_side else frame.rgb
        name = f"frame_{frame.frame_index:06d}.{self.config.image_format}"
        (video.folder / name).write_bytes(encode_image(rgb, self.config.image_format, self.config.quality))
        self.workspace.listener.frames_done(self.stage, 1)
        return {
            "video_id": video_id,
            "frame_index": frame.frame_index,
            "pts": frame.pts,
            "time_base_num": index.time_base.numerator,
            "time_base_den": index.time_base.denominator,
            "timestamp_s": float(frame.pts * index.time_base),
            "is_keyframe": frame.is_keyframe,
            "width": rgb.shape[1],
            "height": rgb.shape[0],
            "path": self.storage.relative(self.storage.raw_frames(video_id) / name),
            "sharpness": sharpness(rgb),
            "brightness": brightness(rgb),
        }


@dataclass(frozen=True)
class _Sampled:
    """One video that is being sampled, and the folder that its frames go to."""

    task: Task
    source: Path
    index: PacketIndex
    report: DecodeReport
    folder: Path


def _keep(row: Row, root: Path, folder: Path) -> Row:
    path = root / str(row["path"])
    link(path, folder / path.name)
    return row


def _cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dg.asset(
    partitions_def=VIDEOS,
    deps=["videos"],
    group_name="acquisition",
    kinds={"ffmpeg"},
    pool="decode",
    op_tags=takes(cpus=2),
    code_version="1",
    output_required=False,
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=100),
    check_specs=check_specs(Stage.EXTRACT, "frames"),
    metadata=column_schemas.FRAMES,
    config_schema=launchpad_schema(ExtractionConfig),
)
def frames(
    context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    """Sampled frames as pictures, and a table with the exact time, size, sharpness and brightness of each.

    A frame is known by its pts; `frame_index` is its place in display order. A damaged video fails with its reason.
    """
    config = with_overrides(workspace.config.extraction, context.op_execution_context.op_config, "extraction")
    yield from run_stage(context, workspace, ExtractStage(workspace, config))
