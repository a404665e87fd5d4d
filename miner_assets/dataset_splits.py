"""The splits of the dataset from its artifacts: which videos stay together, and how alike the splits are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl

from miner_assets.logic.coco_format import Coco
from miner_assets.logic.split_similarity import (
    EDGES,
    Crossing,
    FrameVectors,
    compare_across,
    separate,
    similarity_histogram,
)
from miner_assets.logic.splits import Splits, assign_splits, channel_edges, duplicate_edges
from miner_assets.workspace import Workspace
from miner_resources.config_sections import DatasetConfig
from miner_resources.errors import InvalidData
from miner_resources.records import Floats, Json
from miner_resources.storage import Storage
from miner_resources.tables import read_table
from miner_resources.video_facts import read_facts


@dataclass(frozen=True)
class Separated:
    """Splits, and how alike they are.

    Attributes:
        frame_splits: N, the split of each frame of the dataset.
        threshold: cosine from which two frames are near-duplicates.
    """

    splits: Splits
    crossing: Crossing
    frame_splits: Sequence[str]
    threshold: float

    def facts(self, config: DatasetConfig) -> dict[str, Json]:
        """How the splits were made, for the record of a version."""
        return {
            "method": "connected groups of videos, placed greedily, balanced by frames and classes",
            "group_by": config.group_by,
            "ratios": config.splits,
            "warnings": list(self.splits.warnings),
        }

    def similarity(self) -> dict[str, Json]:
        """How near each frame is to the nearest one of another split, counted, for the record of a version."""
        counts: dict[str, Json] = {**similarity_histogram(self.frame_splits, self.crossing.similarity)}
        return {
            "threshold": self.threshold,
            "edges": list(EDGES),
            "counts": counts,
            "highest": self.crossing.highest,
        }


class SplitMaker:
    """Makes the splits of one dataset."""

    def __init__(self, workspace: Workspace, config: DatasetConfig) -> None:
        self._workspace = workspace
        self._config = config

    def make(
        self, unique: pl.DataFrame, kept: pl.DataFrame, boxes: pl.DataFrame, previous: Mapping[str, str] | None
    ) -> Separated:
        """Assign every video of `kept`.

        Args:
            unique: `UNIQUE_FRAMES_SCHEMA`, all decisions.
            kept: those of the frames that go into the dataset.
            boxes: `DETECTIONS_SCHEMA`, what was found on them (and maybe on other frames).
            previous: the splits of an earlier dataset, which stay.
        """
        counts: dict[str, int] = dict(kept.group_by("video_id", maintain_order=True).len().iter_rows())
        assign = partial(self._assign, counts, duplicate_edges(unique), _classes(kept, boxes), previous)
        frames = dataset_vectors(self._workspace.storage, kept)
        threshold = near_duplicate_threshold(self._workspace)
        splits, crossing = separate(assign, frames, threshold)
        return Separated(splits, crossing, [splits.split_of[name] for name in frames.videos], threshold)

    def _assign(
        self,
        counts: Mapping[str, int],
        recorded: Sequence[tuple[str, str]],
        classes: Mapping[str, Mapping[str, int]],
        previous: Mapping[str, str] | None,
        found: Sequence[tuple[str, str]],
    ) -> Splits:
        edges = [*recorded, *found, *self._same_channel(list(counts))]
        return assign_splits(counts, edges, self._config.splits, classes=classes, previous=previous)

    def _same_channel(self, video_ids: Sequence[str]) -> list[tuple[str, str]]:
        if self._config.group_by != "channel":
            return []
        known = {video_id: read_facts(self._workspace.storage, video_id) for video_id in video_ids}
        return channel_edges({name: facts.video.channel for name, facts in known.items() if facts is not None})


def near_duplicate_threshold(workspace: Workspace) -> float:
    """Cosine from which two frames may not lie in two splits: the stricter of those within and across videos."""
    dedup = workspace.config.dedup
    return min(dedup.threshold, dedup.across)


def dataset_crossing(workspace: Workspace, coco: Coco) -> Crossing:
    """How alike the splits of a written dataset are."""
    names = {video["id"]: video["name"] for video in coco["videos"]}
    rows = [(names[image["video_id"]], image["frame_id"], image["split"]) for image in coco["images"]]
    order = sorted(rows)
    kept = pl.DataFrame(
        [(name, index) for name, index, _ in order],
        schema={"video_id": pl.String, "frame_index": pl.Int64},
        orient="row",
    )
    frames = dataset_vectors(workspace.storage, kept)
    return compare_across(frames, [split for _, _, split in order], near_duplicate_threshold(workspace))


def dataset_vectors(storage: Storage, kept: pl.DataFrame) -> FrameVectors:
    """The stored embeddings of frames (video_id, frame_index), video by video in their order, frames by index.

    Raises:
        InvalidData: a frame has none, or another model made those of some videos.
    """
    names: list[str] = []
    parts: list[Floats] = []
    for (video_id,), rows in kept.group_by("video_id", maintain_order=True):
        name = str(video_id)
        table = read_table(storage.embeddings_table(name)).join(rows, on="frame_index", how="semi")
        if len(table) != len(rows):
            raise InvalidData(
                f"{len(rows) - len(table)} unique frames of {name} have no embedding",
                remedy="run the stage 'dedup' again",
            )
        parts.append(np.ascontiguousarray(table.sort("frame_index")["embedding"].to_numpy(), np.float32))
        names += [name] * len(table)
    if len({part.shape[1] for part in parts}) > 1:
        raise InvalidData(
            "the embeddings of some videos are by another model", remedy="run the stages 'embed' and 'dedup' again"
        )
    return FrameVectors(names, np.concatenate(parts) if parts else np.zeros((0, 1), np.float32))


def _classes(kept: pl.DataFrame, boxes: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Video → class → number of its frames that show it."""
    shown = boxes.join(kept, on=["video_id", "frame_index"], how="semi").unique(["video_id", "frame_index", "category"])
    counts: dict[str, dict[str, int]] = {}
    for video_id, category, count in (
        shown.group_by("video_id", "category").len().sort("video_id", "category").iter_rows()
    ):
        counts.setdefault(video_id, {})[category] = count
    return counts
