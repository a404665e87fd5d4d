"""What other thresholds would keep, from what is stored: the stages' own decisions, without a model."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from miner_assets.logic.boxes import confident
from miner_assets.logic.dedup import deduplicate
from miner_assets.logic.filtering import judge, thresholds_of
from miner_assets.logic.threshold_preview import StoredScores
from miner_resources.config import MinerConfig
from miner_resources.records import DETECTIONS_SCHEMA, Floats
from miner_resources.storage import Storage
from miner_resources.tables import read_table


@dataclass(frozen=True)
class Counted:
    """One threshold.

    Attributes:
        kept: frames that pass (filter), that repeat none of their video (dedup), or that have a box (detection).
        of: frames that were looked at.
        items: what is counted per class: frames of the filter, boxes of the detector.
        unseen: frames that would pass but were never embedded, so that later stages know nothing of them.
    """

    threshold: float
    kept: int
    of: int
    items: Mapping[str, int] = field(default_factory=dict[str, int])
    unseen: int = 0


def filter_grid(stored: StoredScores, storage: Storage, config: MinerConfig, grid: Iterable[float]) -> list[Counted]:
    """Frames that the filter would keep; a class with a threshold of its own keeps that."""
    embedded = pl.concat(
        [
            pl.DataFrame(schema={"video_id": pl.String, "frame_index": pl.Int64}),
            *(
                read_table(path).select("video_id", "frame_index")
                for video_id in stored.frames["video_id"].unique().sort()
                if (path := storage.embeddings_table(video_id)).exists()
            ),
        ]
    )
    marked = embedded.with_columns(known=pl.lit(value=True))
    known = stored.frames.join(marked, on=["video_id", "frame_index"], how="left", maintain_order="left")
    has_vector = known["known"].fill_null(value=False).to_numpy()
    rows: list[Counted] = []
    for threshold in grid:
        verdict = judge(stored.positive, stored.negative, thresholds_of(config.classes, threshold))
        best = np.bincount(verdict.best[verdict.kept], minlength=len(stored.classes))
        rows.append(
            Counted(
                threshold,
                int(verdict.kept.sum()),
                len(stored.frames),
                dict(zip(stored.classes, best.tolist(), strict=True)),
                int((verdict.kept & ~has_vector).sum()),
            )
        )
    return rows


def dedup_grid(storage: Storage, video_ids: Sequence[str], grid: Iterable[float]) -> list[Counted]:
    """Frames that would be unique within their videos, of those that pass the filter now."""
    vectors: list[Floats] = []
    for video_id in video_ids:
        path = storage.embeddings_table(video_id)
        if path.exists() and len(table := read_table(path).sort("frame_index")):
            vectors.append(np.ascontiguousarray(table["embedding"].to_numpy(), np.float32))
    total = sum(map(len, vectors))
    return [
        Counted(threshold, sum(int(deduplicate(rows, threshold).kept.sum()) for rows in vectors), total)
        for threshold in grid
    ]


def detection_grid(
    storage: Storage, video_ids: Sequence[str], config: MinerConfig, grid: Iterable[float]
) -> list[Counted]:
    """Boxes that would count, on frames that are unique within their videos now."""
    tables = [
        read_table(path, DETECTIONS_SCHEMA) for name in video_ids if (path := storage.detections_table(name)).exists()
    ]
    boxes = pl.concat(tables) if tables else DETECTIONS_SCHEMA.to_frame()
    looked = sum(
        int(read_table(path)["kept"].sum()) for name in video_ids if (path := storage.embeddings_table(name)).exists()
    )
    rows: list[Counted] = []
    for threshold in grid:
        sure = confident(boxes, threshold, config.detection.class_agnostic_nms)
        counts: dict[str, int] = dict(sure.group_by("category").len().iter_rows())
        frames = sure.select("video_id", "frame_index").n_unique()
        rows.append(Counted(threshold, frames, looked, {name: counts.get(name, 0) for name in config.classes}))
    return rows
