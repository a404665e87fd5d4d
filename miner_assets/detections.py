"""The asset `detections`: boxes on the frames that are unique within their video.

All boxes above a low floor are stored; the confidence threshold applies when the dataset is made.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import dagster as dg
import numpy as np
import polars as pl

from miner_assets import column_schemas
from miner_assets.checks import check_specs
from miner_assets.execution import takes
from miner_assets.frame_stage import FrameStage, Plan
from miner_assets.launchpad import launchpad_schema, with_overrides
from miner_assets.logic.boxes import confident
from miner_assets.logic.moments import best_moments, score_histogram
from miner_assets.model_choice import chosen_model, model_identity
from miner_assets.partitions import VIDEOS
from miner_assets.stage import run_stage
from miner_assets.stage_sheets import boxes_sheet
from miner_assets.video_stage import Outcome, Task, input_keys
from miner_assets.workspace import Workspace
from miner_resources.config_sections import DetectionConfig
from miner_resources.gpu_models import ObjectDetectors
from miner_resources.models.adapter import Detections, ObjectDetector, Query
from miner_resources.records import DETECTIONS_SCHEMA, FRAMES_SCHEMA, Json, Rgb, Stage, Video
from miner_resources.storage import ArtifactKeys, stable_hash
from miner_resources.tables import read_keys, read_metadata, read_table, write_table

FLOOR: Final = 0.05
"""Boxes below are not stored: at a tenth of usual thresholds they are noise, and there are hundreds per frame."""
FRAMES: Final = "video_miner.frames"
"""Parquet metadata: JSON object of each frame that was looked at and the numbers of the classes it was asked for,
because a frame without boxes has no row."""


@dataclass(frozen=True)
class Loaded:
    """A frame as the model takes it, the size it had, and the numbers of the classes to look for."""

    image: Rgb
    size: tuple[int, int]
    asked: list[int]


class DetectStage(FrameStage[Loaded, Detections]):
    """Looks for the classes with an open-set detector."""

    def __init__(self, workspace: Workspace, config: DetectionConfig, models: ObjectDetectors) -> None:
        super().__init__(workspace, Stage.DETECT, force=config.force, timeout_s=config.timeout_s)
        self.config = config
        self._models = models
        # Once: while this runs, another process may fetch a model that is preferred to it.
        self._name = chosen_model(workspace.config, Stage.DETECT, config.detector)
        self._identity = model_identity(workspace.config, Stage.DETECT, self._name)
        self._classes = list(workspace.config.classes)
        pairs = [(text, name) for name, texts in workspace.config.prompts.items() for text in texts]
        self._query = Query(tuple(text for text, _ in pairs), tuple(name for _, name in pairs), FLOOR)
        self._owners = np.array([self._classes.index(name) for name in self._query.labels], np.int64)

    def keys(self, video: Video) -> ArtifactKeys:
        """Compute: model, texts and pictures. Decision: which frames are unique within the video, and the gate."""
        frames = input_keys(self.storage.frames_table(video.video_id), video.video_id, Stage.EXTRACT)
        unique = input_keys(self.storage.embeddings_table(video.video_id), video.video_id, Stage.EMBED)
        asked: Json = [[*pair] for pair in zip(self._query.prompts, self._query.labels, strict=True)]
        return ArtifactKeys(
            stable_hash("detections", self._identity, asked, FLOOR, frames.compute),
            stable_hash(unique.version, self.config.presence_gate),
        )

    def artifact_keys(self, video: Video) -> ArtifactKeys | None:
        """Read from the detection table."""
        return read_keys(self.storage.detections_table(video.video_id))

    def plan(self, task: Task) -> Plan:
        """Frames unique within the video that were not looked at yet, or not for the same classes."""
        unique = read_table(self.storage.embeddings_table(task.video_id)).filter("kept")
        frames = read_table(self.storage.frames_table(task.video_id), FRAMES_SCHEMA).sort("frame_index")
        kept = frames.join(unique, on="frame_index", how="semi", maintain_order="left")
        kept = kept.with_columns(asked=self.asked(task.video_id, kept))
        path = self.storage.detections_table(task.video_id)
        old = self.reusable(path, task.keys)
        seen: dict[str, list[int]] = {} if old is None else json.loads(read_metadata(path).get(FRAMES, "{}"))
        wanted = list(kept.select("frame_index", "asked").iter_rows())
        missing = [row for row, (index, asked) in enumerate(wanted) if seen.get(str(index)) != asked]
        return Plan(task, kept, old, missing)

    def batch_size(self) -> int:
        """As configured, or what suits model and device."""
        return self._model.batch_size

    def load(self, image: Rgb, frame: Mapping[str, Any]) -> Loaded:
        """Resize to the model's input."""
        return Loaded(self._model.prepare(image), (image.shape[0], image.shape[1]), frame["asked"])

    def infer(self, batch: list[Loaded]) -> Sequence[Detections]:
        """Boxes above the floor."""
        return self._model.detect(
            [loaded.image for loaded in batch],
            [loaded.size for loaded in batch],
            self._query,
            np.stack([np.isin(self._owners, loaded.asked) for loaded in batch]),
        )

    def publish(self, plan: Plan, rows: list[Detections]) -> Outcome:
        """Join old and new boxes in order of time and write the table."""
        video_id = plan.task.video_id
        new = [
            self._rows(video_id, index, found)
            for index, found in zip(plan.frames["frame_index"].gather(plan.missing).to_list(), rows, strict=True)
        ]
        table = pl.DataFrame([row for frame in new for row in frame], schema=DETECTIONS_SCHEMA)
        if plan.old is not None:
            done = plan.frames.with_row_index("row").filter(~pl.col("row").is_in(plan.missing))
            table = pl.concat([plan.old.join(done, on="frame_index", how="semi"), table])
        table = table.sort("frame_index", maintain_order=True)
        looked = {str(index): asked for index, asked in plan.frames.select("frame_index", "asked").iter_rows()}
        sure = confident(table, self.config.confidence_threshold, self.config.class_agnostic_nms)
        sheet = boxes_sheet(self.storage, video_id, plan.frames, sure, self.workspace.config.classes)
        metrics = self._metrics(len(looked), sure) | {"boxes_stored": len(table)}
        metrics["score_histogram"] = score_histogram(table, self._classes)
        path = self.storage.detections_table(video_id)
        with self.storage.publish_file(path) as target:
            write_table(target, table, plan.task.keys, metadata={FRAMES: json.dumps(looked)}, metrics=metrics)
        metrics["bytes"] = path.stat().st_size
        metrics["best"] = best_moments(plan.task.video.url, sure, plan.frames, self._classes)
        return Outcome(plan.task, metrics, sheet)

    @property
    def _model(self) -> ObjectDetector:
        return self._models.get(self._name, self.config.batch_size)

    def asked(self, video_id: str, frames: pl.DataFrame) -> pl.Series:
        """For each frame the numbers of the classes to look for: by the filter's scores, its best class always."""
        everything = list(range(len(self._classes)))
        gate = self.config.presence_gate
        if gate is None:
            return pl.Series([everything] * len(frames), dtype=pl.List(pl.Int64))
        columns = ("frame_index", "best_class", "classes", "scores")
        rows = read_table(self.storage.scores_table(video_id)).select(columns).iter_rows()
        scored = {index: (best, dict(zip(names, scores, strict=True))) for index, best, names, scores in rows}
        asked: list[list[int]] = []
        for index in frames["frame_index"]:
            best, scores = scored[index]
            # A class that the filter does not know yet is asked for.
            asked.append([n for n in everything if self._classes[n] == best or scores.get(self._classes[n], 1) >= gate])
        return pl.Series(asked, dtype=pl.List(pl.Int64))

    def _rows(self, video_id: str, frame_index: int, found: Detections) -> list[dict[str, Json]]:
        boxes = found.boxes
        scores: list[float | None] = [None] * len(boxes) if boxes.scores is None else boxes.scores.tolist()
        return [
            {
                "video_id": video_id,
                "frame_index": frame_index,
                "category": label,
                "score": score,
                "x": x1,
                "y": y1,
                "w": x2 - x1,
                "h": y2 - y1,
                "detector": self._name,
                "prompt": prompt,
            }
            for (x1, y1, x2, y2), label, score, prompt in zip(
                boxes.xyxy.tolist(), boxes.labels, scores, found.prompts, strict=True
            )
        ]

    def _metrics(self, frames: int, sure: pl.DataFrame) -> dict[str, Json]:
        per_class: dict[str, Json] = {name: len(sure.filter(pl.col("category") == name)) for name in self._classes}
        with_boxes = sure["frame_index"].n_unique()
        return {
            "rows": frames,
            "kept": with_boxes,
            "rejected": frames - with_boxes,
            "boxes": len(sure),
            "per_class": per_class,
        }


@dg.asset(
    partitions_def=VIDEOS,
    deps=["embeddings"],
    group_name="labelling",
    kinds={"detector"},
    pool="gpu",
    op_tags=takes(cpus=2, gpus=1),
    code_version="1",
    output_required=False,
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=150),
    check_specs=check_specs(Stage.DETECT, "detections"),
    metadata=column_schemas.DETECTIONS,
    config_schema=launchpad_schema(DetectionConfig),
)
def detections(
    context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace], object_detector: ObjectDetectors
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    """Boxes of the classes on every frame that is unique within its video.

    Boxes far below the confidence threshold are stored too, so that a lower one costs no model.
    """
    config = with_overrides(workspace.config.detection, context.op_execution_context.op_config, "detection")
    chosen_model(workspace.config, Stage.DETECT, config.detector, fetch=True)
    yield from run_stage(context, workspace, DetectStage(workspace, config, object_detector))
