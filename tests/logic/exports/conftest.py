"""A small dataset with what makes exports go wrong: odd names, no boxes, no scores, a split with one picture."""

import hashlib
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import polars as pl
import pytest

from miner_assets.logic.coco import DATASET_FRAMES_SCHEMA, SourceVideo, build_coco
from miner_assets.logic.coco_format import write_coco
from miner_assets.logic.exports.snapshot import Snapshot, read_snapshot
from miner_resources.images import encode_image
from miner_resources.records import DETECTIONS_SCHEMA, Video
from tests.shared_data import picture

CLASSES = ["person", 'a "toy" & <car>', "Straße"]
FRAMES = [("-dash_id", 0, "train"), ("-dash_id", 30, "train"), ("-dash_id", 60, "train"), ("file-0123", 5, "val")]
BOXES = [
    ("-dash_id", 0, "person", 0.75, 10, 20, 30, 40, "demo", "a person"),
    ("-dash_id", 0, CLASSES[1], 0.5, 0, 0, 96, 64, "demo", "a car"),
    ("-dash_id", 60, "Straße", None, 1.5, 2.5, 3.25, 4.75, "other", "Straße"),
    ("file-0123", 5, "person", 0.25, 95.5, 63.5, 0.5, 0.5, "demo", "a person"),
]


def write_dataset(folder: Path, splits: dict[str, str] | None = None) -> Path:
    """A dataset of four pictures: `annotations.json` and `images/`; the second picture has no boxes."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for number, (video_id, index, split) in enumerate(FRAMES):
        name = f"{video_id}__frame_{index:06d}.jpg"
        data = encode_image(picture(number), "jpg", 95)
        (folder / "images" / name).write_bytes(data)
        where = (splits or {}).get(split, split)
        digest = hashlib.sha256(data).hexdigest()
        rows.append((video_id, index, name, 512 * index, 1, 15360, index / 30, 96, 64, digest, where))
    frames = pl.DataFrame(rows, schema=DATASET_FRAMES_SCHEMA, orient="row")
    boxes = pl.DataFrame(BOXES, schema=DETECTIONS_SCHEMA, orient="row")
    at = datetime(2026, 1, 1, tzinfo=UTC)
    url = "https://www.youtube.com/watch?v=dQw4w9WgXcQ"
    videos = [
        Video(video_id="-dash_id", url=url, added_at=at, title="half \ud83d smile", channel="c", license="CC BY"),
        Video(video_id="file-0123", url="/clips/a b.mp4", added_at=at),
    ]
    sources = [SourceVideo(video, 96, 64, Fraction(30)) for video in videos]
    write_coco(folder / "annotations.json", build_coco(sources, frames, boxes, classes=CLASSES))
    return folder


def snapshot_of(folder: Path) -> Snapshot:
    return read_snapshot(folder / "annotations.json", folder / "images")


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset; not to be changed."""
    return write_dataset(tmp_path_factory.mktemp("dataset") / "dataset")


@pytest.fixture(scope="session")
def snapshot(dataset: Path) -> Snapshot:
    """The dataset as exports see it."""
    return snapshot_of(dataset)
