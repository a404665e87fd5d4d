"""The asset `unique_frames`: near-duplicates across all videos, decided in the order in which videos were added."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import dagster as dg
import numpy as np
import polars as pl

from miner_assets import column_schemas
from miner_assets.launchpad import launchpad_schema, with_overrides
from miner_assets.logic.unique import Known, VideoFrames, decide_across, known_decisions, unique_table
from miner_assets.metadata import explored
from miner_assets.stored_vectors import embedder_identity
from miner_assets.unique_inputs import Input, UniqueInputs
from miner_assets.unique_links import UniqueLinks
from miner_assets.unique_search import choose_search
from miner_assets.workspace import Workspace
from miner_resources.config_sections import DedupConfig
from miner_resources.locks import file_lock
from miner_resources.records import UNIQUE_FRAMES_SCHEMA, Json, Stage
from miner_resources.storage import ArtifactKeys, stable_hash
from miner_resources.tables import read_keys, read_metadata, read_table, write_table
from miner_resources.vector_store import StoredVideo

INPUTS: Final = "video_miner.inputs"
"""Parquet metadata: JSON list of [video id, digest of its vectors], in canonical order."""

VALUES: Final = "half precision"
"""What is compared (`vector_index.py`): part of the key, as it decides about the last digits of a similarity."""


@dataclass(frozen=True)
class UniqueFrames:
    """Decisions across videos (`UNIQUE_FRAMES_SCHEMA`) and how many frames were searched for.

    Attributes:
        search: which search found their repeats.
    """

    table: pl.DataFrame
    computed: int
    search: str


class DedupStep:
    """Compares every video's frames with those of the videos before it; only what changed costs anything."""

    def __init__(self, workspace: Workspace, config: DedupConfig) -> None:
        self.workspace = workspace
        self.storage = workspace.storage
        self.config = config
        self._identity = embedder_identity(workspace, config)
        self._links = UniqueLinks(workspace.storage)
        self._inputs: list[Input] | None = None

    def inputs(self) -> list[Input]:
        """Videos with embeddings of the configured model, in the order they were added, then by id."""
        if self._inputs is None:
            self._inputs = UniqueInputs(self.workspace, self._identity).scan()
        return self._inputs

    def keys(self) -> ArtifactKeys:
        """Compute: model, threshold and search. Decision: which embeddings."""
        pairs: Json = [[entry.video_id, entry.version] for entry in self.inputs()]
        compute = stable_hash("unique", VALUES, self._identity, self.config.across, self.config.index)
        return ArtifactKeys(compute, stable_hash(pairs))

    def confirm(self) -> None:
        """Nothing to do: only the dataset marks videos."""

    def is_current(self) -> bool:
        """Whether the table and the folder of links are there and up to date."""
        if self.config.force:
            return False
        keys = self.keys()
        return read_keys(self.storage.unique_table) == keys and self._links.show(keys.version)

    def items(self) -> int:
        """Frames in the table."""
        path = self.storage.unique_table
        return pl.scan_parquet(path).select(pl.len()).collect().item() if path.exists() else 0

    def run(self) -> UniqueFrames:
        """Decide, then publish the links and, last, the table."""
        self.storage.clean_temporary()
        with file_lock(self.storage.dedup_lock):
            inputs = UniqueInputs(self.workspace, self._identity)
            stored = inputs.load()
            # What was read counts, if a video changed since it was looked at.
            self._inputs = [Input(video.video_id, video.keys_version or "") for video in stored]
            videos = [VideoFrames(video.video_id, video.digest, video.frame_indexes) for video in stored]
            old = self._previous()
            known = self._known(videos, old)
            rows = np.concatenate([video.rows for video in stored]) if stored else np.empty(0, np.int64)
            with choose_search(self.workspace, self.config, inputs.store, rows, known) as chosen:
                decisions = decide_across(chosen.search, chosen.exact, self.config.across, chosen.known)
            table = unique_table(videos, decisions)
            self._publish(table, old, stored)
            return UniqueFrames(table, int(chosen.known.open.sum()), chosen.name)

    def _previous(self) -> pl.DataFrame | None:
        """The earlier table, if what it says may be used again."""
        old = read_keys(self.storage.unique_table)
        if old is None or old.compute != self.keys().compute or self.config.force:
            return None
        return read_table(self.storage.unique_table, UNIQUE_FRAMES_SCHEMA)

    def _known(self, videos: Sequence[VideoFrames], old: pl.DataFrame | None) -> Known:
        if old is None:
            return Known.nothing(sum(len(video.frame_indexes) for video in videos))
        return known_decisions(videos, self._digests(), old)

    def _digests(self) -> list[tuple[str, str]]:
        pairs = json.loads(read_metadata(self.storage.unique_table).get(INPUTS, "[]"))
        return [(video_id, digest) for video_id, digest, *_ in pairs]

    def _publish(self, table: pl.DataFrame, old: pl.DataFrame | None, stored: Sequence[StoredVideo]) -> None:
        keys, before = self.keys(), read_keys(self.storage.unique_table)
        if old is not None and before is not None and self._links.show(before.version):
            self._links.change(old.filter("kept"), table.filter("kept"), self._renewed(stored))
        else:
            self._links.replace(table.filter("kept"))
        pairs = [[video.video_id, video.digest, video.keys_version] for video in stored]
        with self.storage.publish_file(self.storage.unique_table) as target:
            write_table(target, table, keys, metadata={INPUTS: json.dumps(pairs)})
        self._links.confirm(keys.version)

    def _renewed(self, stored: Sequence[StoredVideo]) -> list[str]:
        """Videos whose embeddings have another version than in the table, so that their frames may be other files."""
        pairs = json.loads(read_metadata(self.storage.unique_table).get(INPUTS, "[]"))
        versions = {video_id: version for video_id, _, version in pairs}
        return [video.video_id for video in stored if versions.get(video.video_id) != video.keys_version]


ADDS_UP: Final = "adds_up"


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
    metadata=column_schemas.UNIQUE_FRAMES,
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
            "search": result.search if result else "none",
            "videos": len(step.inputs()),
            **explored("repeats"),
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
