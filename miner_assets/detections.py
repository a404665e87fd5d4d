"""The asset `detections`: boxes on the frames that are unique within their video.

All boxes above a low floor are stored; the confidence threshold applies when the dataset is made.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import dagster as dg
import numpy as np
import polars as pl

from miner_assets.frame_stage import FrameStage, Plan
from miner_assets.launchpad import launchpad_schema, with_overrides
from miner_assets.partitions import VIDEOS
from miner_assets.stage import run_stage
from miner_assets.video_stage import Outcome, Task, input_keys
from miner_assets.workspace import Workspace
from miner_resources.config_sections import DetectionConfig
from miner_resources.gpu_models import ObjectDetectors
from miner_resources.models.adapter import Detections, ObjectDetector
from miner_resources.models.catalogue import resolve
from miner_resources.records import DETECTIONS_SCHEMA, FRAMES_SCHEMA, Json, Rgb, Stage, Video
from miner_resources.storage import ArtifactKeys, stable_hash
from miner_resources.tables import read_keys, read_metadata, read_table, write_table

FLOOR: Final = 0.05
"""Boxes below are not stored: at a tenth of usual thresholds they are noise, and there are hundreds per frame."""
FRAMES: Final = "video_miner.frames"
"""Parquet metadata: JSON list of the frames that were looked at, because a frame without boxes has no row."""


@dataclass(frozen=True)
class Loaded:
    """A frame at the model's input size, and the size it had."""

    image: Rgb
    size: tuple[int, int]


class DetectStage(FrameStage[Loaded, Detections]):
    """Looks for the classes with an open-set detector."""

    def __init__(self, workspace: Workspace, config: DetectionConfig, models: ObjectDetectors) -> None:
        super().__init__(workspace, Stage.DETECT, force=config.force)
        self.config = config
        self._models = models
        self._identity = stable_hash(resolve(config.detector, "detection").identity, workspace.config.precision)
        pairs = [(text, name) for name, texts in workspace.config.prompts.items() for text in texts]
        self._prompts = [text for text, _ in pairs]
        self._labels = [name for _, name in pairs]

    def keys(self, video: Video) -> ArtifactKeys:
        """Compute: model, texts and pictures. Decision: which frames are unique within the video."""
        frames = input_keys(self.storage.frames_table(video.video_id), video.video_id, Stage.EXTRACT)
        unique = input_keys(self.storage.embeddings_table(video.video_id), video.video_id, Stage.EMBED)
        asked: Json = [[*pair] for pair in zip(self._prompts, self._labels, strict=True)]
        return ArtifactKeys(
            stable_hash("detections", self._identity, asked, FLOOR, frames.compute), stable_hash(unique.version)
        )

    def artifact_keys(self, video: Video) -> ArtifactKeys | None:
        """Read from the detection table."""
        return read_keys(self.storage.detections_table(video.video_id))

    def plan(self, task: Task) -> Plan:
        """Frames unique within the video that were not looked at yet."""
        unique = read_table(self.storage.embeddings_table(task.video_id)).filter("kept")
        frames = read_table(self.storage.frames_table(task.video_id), FRAMES_SCHEMA).sort("frame_index")
        kept = frames.join(unique, on="frame_index", how="semi", maintain_order="left")
        path = self.storage.detections_table(task.video_id)
        old = self.reusable(path, task.keys)
        seen: set[int] = set() if old is None else set(json.loads(read_metadata(path).get(FRAMES, "[]")))
        missing = [row for row, index in enumerate(kept["frame_index"].to_list()) if index not in seen]
        return Plan(task, kept, old, missing)

    def batch_size(self) -> int:
        """As configured, or what suits model and device."""
        return self._model.batch_size

    def load(self, image: Rgb) -> Loaded:
        """Resize to the model's input."""
        return Loaded(self._model.preprocess.resize(image), (image.shape[0], image.shape[1]))

    def infer(self, batch: list[Loaded]) -> Sequence[Detections]:
        """Boxes above the floor."""
        images = np.stack([loaded.image for loaded in batch])
        sizes = [loaded.size for loaded in batch]
        return self._model.detect(images, sizes, prompts=self._prompts, labels=self._labels, floor=FLOOR)

    def publish(self, plan: Plan, rows: list[Detections]) -> Outcome:
        """Join old and new boxes in order of time and write the table."""
        video_id = plan.task.video_id
        new = [
            self._rows(video_id, index, found)
            for index, found in zip(plan.frames["frame_index"].gather(plan.missing).to_list(), rows, strict=True)
        ]
        table = pl.DataFrame([row for frame in new for row in frame], schema=DETECTIONS_SCHEMA)
        if plan.old is not None:
            table = pl.concat([plan.old.join(plan.frames, on="frame_index", how="semi"), table])
        table = table.sort("frame_index", maintain_order=True)
        indexes = plan.frames["frame_index"].to_list()
        with self.storage.publish_file(self.storage.detections_table(video_id)) as target:
            write_table(target, table, plan.task.keys, {FRAMES: json.dumps(indexes)})
        return Outcome(plan.task, self._metrics(len(indexes), table))

    @property
    def _model(self) -> ObjectDetector:
        return self._models.get(self.config.detector, self.config.batch_size)

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
                "detector": self.config.detector,
                "prompt": prompt,
            }
            for (x1, y1, x2, y2), label, score, prompt in zip(
                boxes.xyxy.tolist(), boxes.labels, scores, found.prompts, strict=True
            )
        ]

    def _metrics(self, frames: int, table: pl.DataFrame) -> dict[str, Json]:
        confident = table.filter(pl.col("score").is_null() | (pl.col("score") >= self.config.confidence_threshold))
        per_class: dict[str, Json] = {
            name: len(confident.filter(pl.col("category") == name)) for name in dict.fromkeys(self._labels)
        }
        with_boxes = confident["frame_index"].n_unique()
        return {
            "rows": frames,
            "kept": with_boxes,
            "rejected": frames - with_boxes,
            "boxes": len(confident),
            "boxes_stored": len(table),
            "per_class": per_class,
        }


@dg.asset(
    partitions_def=VIDEOS,
    deps=["embeddings"],
    group_name="labelling",
    kinds={"detector"},
    pool="gpu",
    code_version="1",
    output_required=False,
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=150),
    config_schema=launchpad_schema(DetectionConfig),
)
def detections(
    context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace], object_detector: ObjectDetectors
) -> Iterator[dg.MaterializeResult[Any]]:
    """Boxes of the classes on every frame that is unique within its video.

    Boxes far below the confidence threshold are stored too, so that a lower one costs no model.
    """
    config = with_overrides(workspace.config.detection, context.op_execution_context.op_config, "detection")
    yield from run_stage(context, workspace, DetectStage(workspace, config, object_detector))
