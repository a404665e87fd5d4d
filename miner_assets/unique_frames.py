"""The asset `unique_frames`: near-duplicates across all videos, decided in the order in which videos were added."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import dagster as dg
import numpy as np
import polars as pl

from miner_assets.launchpad import launchpad_schema, with_overrides
from miner_assets.logic.dedup import UniqueFrames, unique_across
from miner_assets.stored_vectors import MODEL, embedder_identity
from miner_assets.workspace import Workspace
from miner_resources.config_sections import DedupConfig
from miner_resources.records import FRAMES_SCHEMA, Json, Stage, Status, frame_id
from miner_resources.storage import ArtifactKeys, link, stable_hash
from miner_resources.tables import read_keys, read_metadata, read_table, write_table

INPUTS: Final = "video_miner.inputs"
"""Parquet metadata: JSON list of [video id, version of its embeddings], in canonical order."""


@dataclass(frozen=True)
class Input:
    """One video's embeddings."""

    video_id: str
    version: str


class DedupStep:
    """Compares every video's frames with those of the videos before it; only new videos cost anything."""

    def __init__(self, workspace: Workspace, config: DedupConfig) -> None:
        self.storage = workspace.storage
        self.catalog = workspace.catalog
        self.config = config
        self._identity = embedder_identity(workspace, config)
        self._inputs: list[Input] | None = None

    def inputs(self) -> list[Input]:
        """Videos with embeddings of the configured model, in the order they were added, then by id."""
        if self._inputs is None:
            self._inputs = []
            for video in self.catalog.videos():
                path = self.storage.embeddings_table(video.video_id)
                keys = read_keys(path) if video.status is not Status.SKIPPED else None
                if keys is not None and read_metadata(path).get(MODEL) == self._identity:
                    self._inputs.append(Input(video.video_id, keys.version))
        return self._inputs

    def keys(self) -> ArtifactKeys:
        """Compute: model and threshold. Decision: which embeddings."""
        pairs: Json = [[entry.video_id, entry.version] for entry in self.inputs()]
        return ArtifactKeys(stable_hash("unique", self._identity, self.config.across), stable_hash(pairs))

    def confirm(self) -> None:
        """Nothing to do: only the dataset marks videos."""

    def is_current(self) -> bool:
        """Whether the table and the folder of links are there and up to date."""
        present = self.storage.deduplicated_frames.is_dir()
        return present and not self.config.force and read_keys(self.storage.unique_table) == self.keys()

    def items(self) -> int:
        """Frames in the table."""
        path = self.storage.unique_table
        return pl.scan_parquet(path).select(pl.len()).collect().item() if path.exists() else 0

    def run(self) -> UniqueFrames:
        """Decide, then publish the links and, last, the table."""
        tables = [self._kept(entry.video_id) for entry in self.inputs()]
        ids = [frame_id(video_id, index) for table in tables for video_id, index in table.select(_NAME).iter_rows()]
        vectors = [table["embedding"].to_numpy() for table in tables if len(table)]
        matrix = np.concatenate(vectors) if vectors else np.zeros((0, 1), np.float32)
        result = unique_across(ids, matrix, self.config.across, self._previous())
        self._publish_links(result.table)
        pairs = [[entry.video_id, entry.version] for entry in self.inputs()]
        with self.storage.publish_file(self.storage.unique_table) as target:
            write_table(target, result.table, self.keys(), {INPUTS: json.dumps(pairs)})
        return result

    def _kept(self, video_id: str) -> pl.DataFrame:
        table = read_table(self.storage.embeddings_table(video_id))
        return table.filter("kept").select("video_id", "frame_index", "embedding").sort("frame_index")

    def _previous(self) -> pl.DataFrame | None:
        """The earlier decisions on the videos that the lists of inputs, then and now, begin with in common."""
        old = read_keys(self.storage.unique_table)
        if old is None or old.compute != self.keys().compute or self.config.force:
            return None
        before: list[list[str]] = json.loads(read_metadata(self.storage.unique_table).get(INPUTS, "[]"))
        same: list[str] = []
        for (video_id, version), now in zip(before, self.inputs(), strict=False):
            if (video_id, version) != (now.video_id, now.version):
                break
            same.append(video_id)
        return read_table(self.storage.unique_table).filter(pl.col("video_id").is_in(same))

    def _publish_links(self, table: pl.DataFrame) -> None:
        with self.storage.publish_folder(self.storage.deduplicated_frames) as folder:
            for (video_id,), rows in table.filter("kept").group_by("video_id", maintain_order=True):
                frames = read_table(self.storage.frames_table(str(video_id)), FRAMES_SCHEMA)
                for index, path in frames.join(rows, on="frame_index", how="semi").select(_PATH).iter_rows():
                    source = self.storage.root / path
                    link(source, folder / self.storage.deduplicated_name(str(video_id), index, source.suffix[1:]))


ADDS_UP: Final = "adds_up"
_NAME: Final = ["video_id", "frame_index"]
_PATH: Final = ["frame_index", "path"]


@dg.asset(
    deps=["embeddings"],
    group_name="curation",
    kinds={"numpy"},
    code_version="1",
    check_specs=[
        dg.AssetCheckSpec(
            ADDS_UP,
            asset="unique_frames",
            description="Unique frames and repeats are all frames, and repeats have one.",
        )
    ],
    config_schema=launchpad_schema(DedupConfig),
)
def unique_frames(
    context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]
) -> Iterator[dg.MaterializeResult[Any]]:
    """The frames that repeat no frame of any video before theirs, and for every other frame which one it repeats.

    Videos count in the order in which they were added, so a new video never changes what was decided before.
    """
    config = with_overrides(workspace.config.dedup, context.op_execution_context.op_config, "dedup")
    step = DedupStep(workspace, config)
    result = None if step.is_current() else step.run()
    table = result.table if result else read_table(workspace.storage.unique_table)
    kept = int(table["kept"].sum())
    yield dg.MaterializeResult(
        metadata={
            "rows": len(table),
            "kept": kept,
            "rejected": len(table) - kept,
            "computed": result.computed if result else 0,
            "videos": len(step.inputs()),
        },
        data_version=dg.DataVersion(step.keys().version),
        check_results=[_added_up(workspace, step, table)],
    )


def _added_up(workspace: Workspace, step: DedupStep, table: pl.DataFrame) -> dg.AssetCheckResult:
    ids = [entry.video_id for entry in step.inputs()]
    records = workspace.catalog.stage_records(stage=Stage.EMBED, ids=ids)
    counts = [record.metrics.get("kept") for record in records]
    # The registry may have been rebuilt from artifacts, without numbers.
    expected = sum(count for count in counts if isinstance(count, int)) if len(counts) == len(ids) else None
    known = all(isinstance(count, int) for count in counts)
    kept = table.filter("kept").select(pl.concat_str("video_id", pl.lit(":"), "frame_index")).to_series()
    orphans = len(table.filter(~pl.col("kept") & ~pl.col("duplicate_of").is_in(kept.to_list())))
    complete = not known or expected is None or expected == len(table)
    return dg.AssetCheckResult(
        check_name=ADDS_UP,
        passed=complete and not orphans,
        metadata={"frames": len(table), "repeats of no kept frame": orphans}
        | ({"frames unique in their videos": expected} if known and expected is not None else {}),
    )
