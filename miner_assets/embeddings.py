"""The asset `embeddings`: one vector per frame that passed the filter, and which are near-duplicates in their video."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import dagster as dg
import numpy as np
import polars as pl

from miner_assets import column_schemas
from miner_assets.checks import check_specs
from miner_assets.execution import takes
from miner_assets.frame_stage import FrameStage, Plan, rows_absent
from miner_assets.launchpad import launchpad_schema, with_overrides
from miner_assets.logic.dedup import deduplicate
from miner_assets.model_choice import chosen_model, model_identity
from miner_assets.partitions import VIDEOS
from miner_assets.stage import run_stage
from miner_assets.stage_sheets import repeats_sheet
from miner_assets.stored_vectors import MODEL, filter_identity, read_features
from miner_assets.video_stage import Outcome, Task, input_keys
from miner_assets.workspace import Workspace
from miner_resources.config_sections import DedupConfig
from miner_resources.gpu_models import ImageEmbedders
from miner_resources.models.adapter import ImageEmbedder
from miner_resources.models.catalogue import EMBEDDING, TEXT_IMAGE
from miner_resources.models.sources import resolve
from miner_resources.records import FRAMES_SCHEMA, SCORES_SCHEMA, Floats, Json, Rgb, Stage, Video, embeddings_schema
from miner_resources.storage import ArtifactKeys, stable_hash
from miner_resources.tables import read_keys, read_table, write_table


class EmbedStage(FrameStage[Rgb, Floats]):
    """Embeds kept frames and removes near-duplicates within each video."""

    def __init__(self, workspace: Workspace, config: DedupConfig, models: ImageEmbedders) -> None:
        super().__init__(workspace, Stage.EMBED, force=config.force, timeout_s=config.timeout_s)
        self.config = config
        self._models = models
        # Once: while this runs, another process may fetch a model that is preferred to it.
        self._name = chosen_model(workspace.config, self.stage, config.model)
        self._identity = model_identity(workspace.config, self.stage, self._name, config.resize)

    def keys(self, video: Video) -> ArtifactKeys:
        """Compute: model and pictures. Decision: threshold and which frames passed the filter."""
        frames = input_keys(self.storage.frames_table(video.video_id), video.video_id, Stage.EXTRACT)
        scores = input_keys(self.storage.scores_table(video.video_id), video.video_id, Stage.FILTER)
        return ArtifactKeys(
            stable_hash("embeddings", self._identity, frames.compute),
            stable_hash(self.config.threshold, scores.version),
        )

    def artifact_keys(self, video: Video) -> ArtifactKeys | None:
        """Read from the embedding table."""
        return read_keys(self.storage.embeddings_table(video.video_id))

    def plan(self, task: Task) -> Plan:
        """Frames that passed the filter and have no vector yet."""
        scores = read_table(self.storage.scores_table(task.video_id), SCORES_SCHEMA).filter("kept")
        frames = read_table(self.storage.frames_table(task.video_id), FRAMES_SCHEMA).sort("frame_index")
        kept = frames.join(scores, on="frame_index", how="semi", maintain_order="left")
        old = self._known_vectors(task)
        return Plan(task, kept, old, rows_absent(kept, old))

    def batch_size(self) -> int:
        """As configured, or what suits model and device."""
        return self._model.batch_size

    def load(self, image: Rgb, frame: Mapping[str, Any]) -> Rgb:  # noqa: ARG002 (pixels are all it needs)
        """Resize to the model's input."""
        return self._model.prepare(image)

    def infer(self, batch: list[Rgb]) -> Sequence[Floats]:
        """Unit vectors."""
        return list(self._model.embed(batch))

    def publish(self, plan: Plan, rows: list[Floats]) -> Outcome:
        """Put the vectors in order of time, decide what is a duplicate, and write the table."""
        vectors = self._vectors(plan, rows)
        indexes = plan.frames["frame_index"].to_numpy()
        decided = deduplicate(vectors, self.config.threshold)
        repeats = [None if index < 0 else int(indexes[index]) for index in decided.duplicate_of.tolist()]
        table = pl.DataFrame(
            {
                "video_id": plan.frames["video_id"],
                "frame_index": indexes,
                "embedding": pl.Series(vectors, dtype=pl.Array(pl.Float32, vectors.shape[1])),
                "kept": decided.kept,
                "duplicate_of": repeats,
                "similarity": pl.Series(decided.similarity).fill_nan(None),
            },
            schema=embeddings_schema(vectors.shape[1]),
        )
        sheet = repeats_sheet(self.storage, plan.task.video_id, plan.frames, table)
        path = self.storage.embeddings_table(plan.task.video_id)
        kept = int(decided.kept.sum())
        counts: dict[str, Json] = {"rows": len(table), "kept": kept, "rejected": len(table) - kept}
        counts["dimension"] = vectors.shape[1]
        with self.storage.publish_file(path) as target:
            write_table(target, table, plan.task.keys, metadata={MODEL: self._identity}, metrics=counts)
        return Outcome(plan.task, counts | {"bytes": path.stat().st_size}, sheet)

    def _known_vectors(self, task: Task) -> pl.DataFrame | None:
        """(frame_index, embedding) computed before, by this stage or, with the same model, by the filter."""
        parts: list[pl.DataFrame] = []
        if (old := self.reusable(self.storage.embeddings_table(task.video_id), task.keys)) is not None:
            parts.append(old.select("frame_index", "embedding"))
        if not self.force and self._is_filter_model:
            features = read_features(self.storage, filter_identity(self.workspace), task.video_id)
            if features is not None:
                parts.append(features.select("frame_index", embedding="feature"))
        # Tables without rows do not know how long the vectors are.
        parts = [part for part in parts if len(part)]
        return pl.concat(parts).unique("frame_index", keep="first") if parts else None

    @cached_property
    def _is_filter_model(self) -> bool:
        whole = self.workspace.config
        ours = resolve(self._name, EMBEDDING)
        filters = resolve(chosen_model(whole, Stage.FILTER, whole.filter.model), TEXT_IMAGE)
        return self.config.resize == "squash" and ours.identity == filters.identity

    @property
    def _model(self) -> ImageEmbedder:
        return self._models.get(self._name, self.config.batch_size, self.config.resize)

    def _vectors(self, plan: Plan, rows: list[Floats]) -> Floats:
        """(N, D) in the order of `plan.frames`; D is 1 for a video without frames."""
        found: dict[int, Floats] = {}
        if plan.old is not None:
            found.update(zip(plan.old["frame_index"].to_list(), plan.old["embedding"].to_numpy(), strict=True))
        found.update(zip(plan.frames["frame_index"].gather(plan.missing).to_list(), rows, strict=True))
        wanted = plan.frames["frame_index"].to_list()
        return np.stack([found[index] for index in wanted]) if wanted else np.zeros((0, 1), np.float32)


@dg.asset(
    partitions_def=VIDEOS,
    deps=["filtered_frames"],
    group_name="curation",
    kinds={"dinov2"},
    pool="gpu",
    op_tags=takes(cpus=2, gpus=1),
    code_version="1",
    output_required=False,
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=250),
    check_specs=check_specs(Stage.EMBED, "embeddings"),
    metadata=column_schemas.EMBEDDINGS,
    config_schema=launchpad_schema(DedupConfig),
)
def embeddings(
    context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace], image_embedder: ImageEmbedders
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    """One unit vector for each frame that passed the filter, and which frames repeat an earlier one of their video.

    A frame is kept if its cosine similarity to every kept frame before it is below the threshold.
    """
    config = with_overrides(workspace.config.dedup, context.op_execution_context.op_config, "dedup")
    chosen_model(workspace.config, Stage.EMBED, config.model, fetch=True)
    yield from run_stage(context, workspace, EmbedStage(workspace, config, image_embedder))
