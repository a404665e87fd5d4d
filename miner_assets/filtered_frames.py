"""The asset `filtered_frames`: which sampled frames show one of the classes.

Image features are stored beside the scores, so that a new class costs one text and no image, and a new threshold
nothing at all.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
import numpy as np
import polars as pl

from miner_assets import column_schemas
from miner_assets.checks import check_specs
from miner_assets.execution import takes
from miner_assets.frame_stage import FrameStage, Plan, rows_absent
from miner_assets.launchpad import launchpad_schema, with_overrides
from miner_assets.logic import filtering
from miner_assets.logic.moments import best_moments
from miner_assets.logic.threshold_preview import StoredScores, ThresholdPreview, preview_thresholds
from miner_assets.model_choice import chosen_model, model_identity
from miner_assets.partitions import VIDEOS
from miner_assets.stage import run_stage
from miner_assets.stored_scores import scores_key
from miner_assets.stored_vectors import features_key
from miner_assets.threshold_sheet import video_sheet
from miner_assets.video_stage import Outcome, Task, input_keys
from miner_assets.workspace import Workspace
from miner_resources.config_sections import FilterConfig
from miner_resources.gpu_models import TextImageModels
from miner_resources.models.adapter import TextImageModel
from miner_resources.records import FRAMES_SCHEMA, Floats, Json, Rgb, Stage, Video
from miner_resources.storage import ArtifactKeys, link, stable_hash
from miner_resources.tables import read_keys, read_table, write_table

SHEET_CLASSES = 8
"""Nobody looks at more for one video, and each tile costs some milliseconds."""
SHEET_TILES = 16


class FilterStage(FrameStage[Rgb, Floats]):
    """Scores frames against the classes with a text-image model."""

    def __init__(self, workspace: Workspace, config: FilterConfig, models: TextImageModels) -> None:
        super().__init__(workspace, Stage.FILTER, force=config.force, timeout_s=config.timeout_s)
        self.config = config
        self.classes = workspace.config.classes
        self.question = filtering.question(self.classes, config.templates)
        self.thresholds = filtering.thresholds_of(self.classes, config.threshold)
        self._models = models
        # Once: while this runs, another process may fetch a model that is preferred to it.
        self._name = chosen_model(workspace.config, Stage.FILTER, config.model)
        self._identity = model_identity(workspace.config, Stage.FILTER, self._name)

    def keys(self, video: Video) -> ArtifactKeys:
        """Compute: model, texts and pictures. Decision: thresholds and which frames."""
        frames = input_keys(self.storage.frames_table(video.video_id), video.video_id, Stage.EXTRACT)
        return ArtifactKeys(
            scores_key(self._identity, self.question, frames), stable_hash(self.thresholds, frames.version)
        )

    def artifact_keys(self, video: Video) -> ArtifactKeys | None:
        """Read from the score table."""
        return read_keys(self.storage.scores_table(video.video_id))

    def plan(self, task: Task) -> Plan:
        """Frames that have neither logits for these texts nor features."""
        frames = read_table(self.storage.frames_table(task.video_id), FRAMES_SCHEMA).sort("frame_index")
        old = self.reusable(self.storage.scores_table(task.video_id), task.keys)
        unscored = set(rows_absent(frames, old))
        featureless = rows_absent(frames, self._old_features(task.video_id))
        return Plan(task, frames, old, [row for row in featureless if row in unscored])

    def batch_size(self) -> int:
        """As configured, or what suits model and device."""
        return self._model.batch_size

    def load(self, image: Rgb, frame: Mapping[str, Any]) -> Rgb:  # noqa: ARG002 (pixels are all it needs)
        """Resize to the model's input."""
        return self._model.prepare(image)

    def infer(self, batch: list[Rgb]) -> Sequence[Floats]:
        """Image features."""
        return list(self._model.image_features(batch))

    def publish(self, plan: Plan, rows: list[Floats]) -> Outcome:
        """Join old and new, judge, and write scores, features and links to the kept frames."""
        video_id = plan.task.video_id
        features = self._features(plan, rows)
        positive, negative = self._logits(plan, features)
        verdict = filtering.judge(positive, negative, self.thresholds)
        table = self._table(plan.frames, positive, negative, verdict)
        # First, because a run that is killed after the folder is there will not come back to it.
        preview = self._preview(plan.frames, positive, negative)
        sheet = video_sheet(self.storage, video_id, preview, plan.frames)
        metrics = self._metrics(table, preview)
        target = self.storage.filtered_frames(video_id)
        with self.storage.publish_folder(target) as folder:
            for path in plan.frames.filter(pl.Series(verdict.kept))["path"]:
                source = self.storage.root / path
                link(source, folder / source.name)
            write_table(folder / self.storage.features_table(video_id).name, features, self._features_keys(video_id))
            write_table(folder / "scores.parquet", table, plan.task.keys, metrics=metrics)
        tables = (self.storage.features_table(video_id), self.storage.scores_table(video_id))
        size = sum(path.stat().st_size for path in tables)
        found = table.filter("kept").select("frame_index", "score", category="best_class")
        best = best_moments(plan.task.video.url, found, plan.frames, self.question.classes)
        return Outcome(plan.task, metrics | {"bytes": size, "best": best}, sheet)

    @property
    def _model(self) -> TextImageModel:
        return self._models.get(self._name, self.config.batch_size)

    def _features_keys(self, video_id: str) -> ArtifactKeys:
        frames = input_keys(self.storage.frames_table(video_id), video_id, Stage.EXTRACT)
        return ArtifactKeys(features_key(self._identity, frames), "")

    def _old_features(self, video_id: str) -> pl.DataFrame | None:
        return self.reusable(self.storage.features_table(video_id), self._features_keys(video_id))

    def _features(self, plan: Plan, rows: list[Floats]) -> pl.DataFrame:
        """(video_id, frame_index, feature) of the frames that have one, by frame index."""
        wanted = plan.frames.select("video_id", "frame_index")
        parts: list[pl.DataFrame] = []
        new = wanted.select(pl.all().gather(plan.missing))
        if (old := self._old_features(plan.task.video_id)) is not None:
            # Not those that were just computed: another run may have put them there meanwhile.
            parts.append(old.join(wanted, on="frame_index", how="semi").join(new, on="frame_index", how="anti"))
        if rows:
            vectors = np.stack(rows)
            parts.append(new.with_columns(feature=pl.Series(vectors, dtype=pl.Array(pl.Float32, vectors.shape[1]))))
        if not parts:
            return wanted.clear().with_columns(feature=pl.Series([], dtype=pl.Array(pl.Float32, 1)))
        return pl.concat(parts).sort("frame_index")

    def _logits(self, plan: Plan, features: pl.DataFrame) -> tuple[Floats, Floats]:
        """(N, C) logits of classes and of their negatives, old ones where there are."""
        shape = (len(plan.frames), len(self.question.classes))
        positive, negative = np.full(shape, -np.inf, np.float32), np.full(shape, -np.inf, np.float32)
        position = {index: row for row, index in enumerate(plan.frames["frame_index"])}
        absent = rows_absent(plan.frames, plan.old)
        if plan.old is not None:
            old = plan.old.join(plan.frames, on="frame_index", how="semi")
            rows = [position[index] for index in old["frame_index"]]
            positive[rows] = np.array(old["logits"].to_list(), np.float32).reshape(-1, shape[1])
            negative[rows] = np.array(old["negative_logits"].to_list(), np.float32).reshape(-1, shape[1])
        if absent:
            indexes = plan.frames.select(pl.col("frame_index").gather(absent))
            vectors = indexes.join(features, on="frame_index", how="left", maintain_order="left")["feature"].to_numpy()
            texts = self._model.text_features(self.question.texts)
            logits = self._model.logits(np.ascontiguousarray(vectors, np.float32), texts)
            positive[absent], negative[absent] = filtering.class_logits(logits, self.question)
        return positive, negative

    def _table(
        self, frames: pl.DataFrame, positive: Floats, negative: Floats, verdict: filtering.Verdict
    ) -> pl.DataFrame:
        classes = list(self.question.classes)
        best = verdict.best.tolist()
        return frames.select("video_id", "frame_index").with_columns(
            best_class=pl.Series([classes[index] for index in best], dtype=pl.String),
            score=pl.Series(verdict.scores[np.arange(len(best)), best], dtype=pl.Float32),
            kept=pl.Series(verdict.kept, dtype=pl.Boolean),
            reason=pl.Series(verdict.reasons, dtype=pl.String),
            classes=pl.Series([classes] * len(best), dtype=pl.List(pl.String)),
            scores=pl.Series(verdict.scores.tolist(), dtype=pl.List(pl.Float32)),
            logits=pl.Series(positive.tolist(), dtype=pl.List(pl.Float32)),
            negative_logits=pl.Series(negative.tolist(), dtype=pl.List(pl.Float32)),
        )

    def _preview(self, frames: pl.DataFrame, positive: Floats, negative: Floats) -> ThresholdPreview:
        stored = StoredScores(self.question.classes, frames.select("video_id", "frame_index"), positive, negative)
        pictured = min(SHEET_CLASSES, len(self.question.classes))
        tiles = max(2, min(8, SHEET_TILES // pictured))
        return preview_thresholds(stored, self.thresholds, pictured=pictured, tiles=tiles)

    def _metrics(self, table: pl.DataFrame, preview: ThresholdPreview) -> dict[str, Json]:
        kept = table.filter("kept")
        counts: dict[str, Any] = dict(kept.group_by("best_class", maintain_order=True).len().iter_rows())
        return {
            "rows": len(table),
            "kept": len(kept),
            "rejected": len(table) - len(kept),
            "per_class": {name: counts.get(name, 0) for name in self.question.classes},
            "thresholds": {counted.name: counted.numbers() for counted in preview.classes},
        }


@dg.asset(
    partitions_def=VIDEOS,
    deps=["frames"],
    group_name="curation",
    kinds={"siglip"},
    pool="gpu",
    op_tags=takes(cpus=2, gpus=1),
    code_version="1",
    output_required=False,
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=200),
    check_specs=check_specs(Stage.FILTER, "filtered_frames"),
    metadata=column_schemas.SCORES,
    config_schema=launchpad_schema(FilterConfig),
)
def filtered_frames(
    context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace], text_image_model: TextImageModels
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    """The frames that show one of the classes, with every frame's score for every class.

    Dropped frames keep their scores and the reason: `below_threshold` or `negative_prompt`.
    """
    config = with_overrides(workspace.config.filter, context.op_execution_context.op_config, "filter")
    chosen_model(workspace.config, Stage.FILTER, config.model, fetch=True)
    yield from run_stage(context, workspace, FilterStage(workspace, config, text_image_model))
