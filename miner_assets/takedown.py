"""Takedown: a video and all that was made from it disappears, and it is never mined again."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from miner_assets.workspace import Workspace
from miner_resources.records import Stage


@dataclass(frozen=True)
class TakedownReport:
    """What was deleted.

    Attributes:
        images: pictures of the current dataset that came from the videos.
    """

    videos: int
    artifacts: int
    images: int


def remove_videos(workspace: Workspace, video_ids: Sequence[str]) -> TakedownReport:
    """Delete the videos' artifacts, their part of the dataset, and their registry rows; leave tombstones.

    The dataset files are deleted whole if a removed video is in them: the next run writes them again without it. The
    tombstones are written first, so that a kill in the middle cannot bring a video back.
    """
    storage = workspace.storage
    removed = workspace.catalog.remove_videos(video_ids)
    artifacts = images = 0
    for video_id in video_ids:
        paths = [
            *storage.root.glob(f"videos/{video_id}.*"),
            storage.partial(video_id),
            storage.raw_frames(video_id),
            storage.filtered_frames(video_id),
            storage.embeddings_table(video_id),
            storage.detections_table(video_id),
            *(storage.contact_sheet(stage, video_id) for stage in Stage),
        ]
        for path in (path for path in paths if path.exists()):
            storage.discard(path)
            artifacts += 1
    if storage.unique_table.exists():
        table = pl.read_parquet(storage.unique_table)
        images = len(table.filter(pl.col("kept") & pl.col("video_id").is_in(list(video_ids))))
        if table["video_id"].is_in(list(video_ids)).any():
            made = [storage.unique_table, storage.dedup_store, storage.deduplicated_frames, storage.annotations]
            for path in (path for path in [*made, storage.visualizations, storage.dataset] if path.exists()):
                storage.discard(path)
                artifacts += 1
    return TakedownReport(len(removed), artifacts, images)
