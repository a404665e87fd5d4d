"""The asset `frames`: the sampled pictures of each video and a table that says exactly which frames they are."""

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from miner_assets import column_schemas
from miner_assets.checks import check_specs
from miner_assets.execution import takes
from miner_assets.launchpad import launchpad_schema, with_overrides
from miner_assets.logic.sampling import choose_frames
from miner_assets.partitions import VIDEOS
from miner_assets.stage import run_stage
from miner_assets.stage_sheets import frames_sheet
from miner_assets.video_stage import Outcome, Task
from miner_assets.workspace import Workspace
from miner_resources.config_sections import ExtractionConfig
from miner_resources.errors import InvalidData, MinerError
from miner_resources.images import brightness, encode_image, limit_side, sharpness
from miner_resources.records import FRAMES_SCHEMA, Json, Stage, Video
from miner_resources.storage import ArtifactKeys, link, stable_hash
from miner_resources.tables import read_keys, read_table, write_table
from miner_resources.video_facts import read_facts
from miner_resources.video_index import PacketIndex, read_index
from miner_resources.video_reader import DecodedFrame, decode_frames

READER_VERSION = 1
"""Raise it when the same video and settings would give other pixels."""

Row = dict[str, Json]


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
        return ArtifactKeys(
            stable_hash("frame", READER_VERSION, facts.sha256, c.image_format, c.quality, c.max_side),
            stable_hash(c.strategy, c.interval, c.seconds, c.max_frames),
        )

    def artifact_keys(self, video: Video) -> ArtifactKeys | None:
        """Read from the frame table."""
        return read_keys(self.storage.frames_table(video.video_id))

    def work(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Extract the frames of all tasks; yields in the order in which they finish."""
        with ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="decode") as pool:
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
            index = read_index(source)
            c = self.config
            wanted = choose_frames(
                index, strategy=c.strategy, interval=c.interval, seconds=c.seconds, max_frames=c.max_frames
            )
            with self.storage.publish_folder(self.storage.raw_frames(task.video_id)) as folder:
                table = self._write_frames(task, source, index, wanted, folder)
                write_table(folder / "frames.parquet", table, task.keys)
                sheet = frames_sheet(self.storage, task.video_id, table, folder)
        except MinerError as error:
            return Outcome(task, error=error)
        size = sum((self.storage.root / path).stat().st_size for path in table["path"])
        lost = len(wanted) - len(table)
        return Outcome(
            task,
            {"rows": len(table), "kept": len(table), "rejected": lost, "undecodable": lost, "bytes": size},
            sample=sheet,
        )

    def _write_frames(
        self, task: Task, source: Path, index: PacketIndex, wanted: Sequence[int], folder: Path
    ) -> pl.DataFrame:
        old = self._reusable(task)
        rows: list[Row] = [self._keep(row, folder) for row in old if row["frame_index"] in set(wanted)]
        have = {int(str(row["frame_index"])) for row in rows}
        for frame in decode_frames(source, index, [target for target in wanted if target not in have]):
            if self._stop.is_set():
                raise InvalidData(f"{task.video_id}: extraction was stopped", remedy="run again to go on")
            rows.append(self._save(frame, index, task.video_id, folder))
            self.workspace.listener.frames_done(self.stage, 1)
        return pl.DataFrame(rows, schema=FRAMES_SCHEMA).sort("frame_index")

    def _reusable(self, task: Task) -> list[Row]:
        table = self.storage.frames_table(task.video_id)
        keys = None if self.force else read_keys(table)
        return read_table(table, FRAMES_SCHEMA).to_dicts() if keys and keys.compute == task.keys.compute else []

    def _keep(self, row: Row, folder: Path) -> Row:
        path = self.storage.root / str(row["path"])
        link(path, folder / path.name)
        return row

    def _save(self, frame: DecodedFrame, index: PacketIndex, video_id: str, folder: Path) -> Row:
        rgb = limit_side(frame.rgb, self.config.max_side) if self.config.max_side else frame.rgb
        name = f"frame_{frame.frame_index:06d}.{self.config.image_format}"
        (folder / name).write_bytes(encode_image(rgb, self.config.image_format, self.config.quality))
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
