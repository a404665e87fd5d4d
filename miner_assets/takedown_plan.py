"""What a takedown will do, found out before anything is touched.

`registry remove --dry-run` prints it, and a takedown that was interrupted reads it to go on.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from miner_assets.dataset_versions import DatasetVersions
from miner_assets.export_log import exported_elsewhere
from miner_assets.logic.coco_format import read_coco
from miner_assets.traces import Marks
from miner_resources.errors import InvalidData
from miner_resources.records import UNIQUE_FRAMES_SCHEMA, Stage, Video
from miner_resources.storage import Storage, stable_hash
from miner_resources.tables import read_table
from miner_resources.video_facts import read_facts


@dataclass(frozen=True, kw_only=True)
class Removal:
    """One takedown.

    Attributes:
        key: names it in the log.
        reason: as the user gave it.
        urls: addresses and paths of the videos, `titles` theirs: needed to find them in texts, deleted with the plan.
        artifacts: files and folders of the videos alone, relative to the output folder.
        bytes: their size.
        images: pictures of the current dataset that go, `annotations` the boxes on them.
        reconsidered: frames of other videos that had been dropped as repeats of theirs.
        versions: ids of the versions of the dataset that hold something of them.
        exports: folders and URLs outside of the project that one of those versions was exported to.
        rebuild: whether unique frames and dataset must be made again.
    """

    key: str
    removed_at: str
    reason: str | None
    video_ids: list[str]
    urls: list[str]
    titles: list[str]
    artifacts: list[str]
    bytes: int
    images: int
    annotations: int
    reconsidered: int
    versions: list[str] = field(default_factory=list[str])
    exports: list[str] = field(default_factory=list[str])
    rebuild: bool = False

    @property
    def marks(self) -> Marks:
        """How to find the videos in texts."""
        return Marks(tuple(self.video_ids), tuple(self.urls), tuple(self.titles))


def plan_removal(storage: Storage, videos: Sequence[Video], reason: str | None, now: datetime) -> Removal:
    """Look at everything that a takedown of these videos would delete or change; changes nothing."""
    ids = sorted(video.video_id for video in videos)
    facts = [known.video for video_id in ids if (known := read_facts(storage, video_id)) is not None]
    known = [*videos, *facts]
    artifacts = sorted({path for video_id in ids for path in artifacts_of(storage, video_id)})
    images, annotations = _in_dataset(storage, ids)
    repeats, involved = _in_unique(storage, ids)
    versions = [version.record for version in DatasetVersions(storage).holding(ids)]
    removed_at = now.isoformat(timespec="seconds")
    return Removal(
        key=stable_hash(removed_at, ids),
        removed_at=removed_at,
        reason=reason,
        video_ids=ids,
        urls=sorted({video.url for video in known}),
        titles=sorted({video.title for video in known if video.title}),
        artifacts=[storage.relative(path) for path in artifacts],
        bytes=sum(_size(path) for path in artifacts),
        images=images,
        annotations=annotations,
        reconsidered=repeats,
        versions=[version.version for version in versions],
        exports=exported_elsewhere(storage, {name for each in versions for name in (each.version, *each.replaces)}),
        rebuild=involved or images > 0,
    )


def artifacts_of(storage: Storage, video_id: str) -> Iterator[Path]:
    """Files and folders that are about this video alone and are there."""
    paths = [
        *(storage.root / "videos").glob(f"{video_id}.*"),
        storage.partial(video_id),
        storage.partial(video_id).with_name(f"{video_id}.lock"),
        storage.raw_frames(video_id),
        storage.filtered_frames(video_id),
        storage.embeddings_table(video_id),
        storage.detections_table(video_id),
        *(storage.contact_sheet(stage, video_id) for stage in Stage),
    ]
    yield from (path for path in paths if path.exists())


def save_plan(storage: Storage, removal: Removal) -> None:
    """Write down what is to be done, until it is."""
    with storage.publish_file(storage.pending_removals) as target:
        target.write_text(json.dumps(asdict(removal), indent=1) + "\n", encoding="utf-8")


def unfinished(storage: Storage) -> Removal | None:
    """The takedown that was interrupted, if there is one.

    Raises:
        InvalidData: its file cannot be read.
    """
    path = storage.pending_removals
    try:
        values: dict[str, Any] = json.loads(path.read_bytes())
        return Removal(**values)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise InvalidData(
            f"{path} cannot be read: {error}", remedy="delete it and run `video-miner registry remove` again"
        ) from error


def _in_dataset(storage: Storage, ids: Sequence[str]) -> tuple[int, int]:
    if not storage.annotations.exists():
        return 0, 0
    coco = read_coco(storage.annotations)
    gone = {video["id"] for video in coco["videos"] if video["name"] in ids}
    images = sum(1 for image in coco["images"] if image["video_id"] in gone)
    return images, sum(1 for box in coco["annotations"] if box["video_id"] in gone)


def _in_unique(storage: Storage, ids: Sequence[str]) -> tuple[int, bool]:
    """How many frames of other videos repeat theirs, and whether they have any."""
    if not storage.unique_table.exists():
        return 0, False
    table = read_table(storage.unique_table, UNIQUE_FRAMES_SCHEMA)
    own = pl.col("video_id").is_in(list(ids))
    keeper = pl.col("duplicate_of").str.split(":").list.first()
    return len(table.filter(~own & keeper.is_in(list(ids)))), not table.filter(own).is_empty()


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
