"""Build `annotations.json`: the unique frames, their boxes, and where every picture came from, as COCO.

Ids are hashes of names, so adding videos changes none of the old ones, and nothing depends on the clock: the same input
gives the same bytes. The `dataset` stage checks the result with `coco_checks.py` and writes it with `coco_format.py`.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import polars as pl

from miner_assets.logic.coco_format import MAX_ID, Annotation, Coco, CocoVideo, Image
from miner_assets.logic.source_links import source_url
from miner_resources.errors import InvalidData
from miner_resources.records import Video, frame_id

DATASET_FRAMES_SCHEMA: Final = pl.Schema(
    {
        "video_id": pl.String,
        "frame_index": pl.Int64,
        "file_name": pl.String,
        "pts": pl.Int64,
        "time_base_num": pl.Int32,
        "time_base_den": pl.Int32,
        "timestamp_s": pl.Float64,
        "width": pl.Int32,
        "height": pl.Int32,
        "sha256": pl.String,
        "split": pl.String,
    }
)
"""Unique frames as `build_coco` takes them; `file_name` is that in `frames_deduplicated`."""


@dataclass(frozen=True)
class SourceVideo:
    """A video with the display size and frame rate of its file; `fps` is None where no constant rate is known."""

    video: Video
    width: int
    height: int
    fps: Fraction | None


def build_coco(
    videos: Sequence[SourceVideo],
    frames: pl.DataFrame,
    detections: pl.DataFrame,
    *,
    classes: Sequence[str],
    description: str = "Mined from video with Video Miner",
    version: str = "1.0",
) -> Coco:
    """Put the dataset together.

    Args:
        videos: the sources of all frames.
        frames: unique frames, `DATASET_FRAMES_SCHEMA`, in canonical order, in which the images are written.
        detections: `DETECTIONS_SCHEMA`, already above the threshold. Those on frames that are not in `frames` are left
            out. An annotation's id comes from its rank by score among its class in its frame, so a higher threshold
            changes no id of those that stay.
        classes: category ids are the places in this list, from 1: append new classes at its end.
        description: goes into `info`.
        version: goes into `info`.

    Raises:
        InvalidData: a frame without its video, a box of another class, or a box that is not inside its picture.
    """
    sources = {source.video.video_id: source for source in videos}
    missing = set(frames["video_id"]) - sources.keys()
    boxes = _boxes_on(frames, detections)
    unknown = set(boxes["category"]) - set(classes)
    if missing or unknown:
        raise InvalidData(
            f"frames of unknown videos {sorted(missing)[:5]}, boxes of unknown classes {sorted(unknown)[:5]}",
            remedy="run `video-miner registry rebuild`, then the detect and dataset stages again",
        )
    licenses = {source.video.license for source in videos} - {None, ""}
    names = [frame_id(*key) for key in frames.select("video_id", "frame_index").iter_rows()]
    license_ids = _stable_ids("license", sorted(str(name) for name in licenses))
    video_ids = _stable_ids("video", [source.video.video_id for source in videos])
    image_ids = _stable_ids("image", names)
    return {
        "info": {"description": description, "version": version},
        "licenses": [{"id": id_, "name": name, "url": ""} for name, id_ in license_ids.items()],
        "videos": [_video(source, video_ids) for source in videos],
        "images": [_image(row, sources, image_ids, video_ids, license_ids) for row in frames.iter_rows(named=True)],
        "annotations": _annotations(boxes, image_ids, video_ids, classes),
        "categories": [
            {"id": number, "name": name, "supercategory": "object"} for number, name in enumerate(classes, start=1)
        ],
    }


def _stable_ids(kind: str, names: Iterable[str]) -> dict[str, int]:
    """A positive 53-bit id for each name. Where two collide the later one is hashed again, so old ids stay.

    Raises:
        InvalidData: a name is there twice.
    """
    ids: dict[str, int] = {}
    used: set[int] = set()
    for name in names:
        if name in ids:
            raise InvalidData(f"{kind} {name} is there twice", remedy="run the dedup and dataset stages with --force")
        attempt = 0
        while (id_ := _hash_53(f"{kind}:{name}:{attempt}")) in used or id_ == 0:
            attempt += 1
        ids[name] = id_
        used.add(id_)
    return ids


def _hash_53(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) & MAX_ID


def _video(source: SourceVideo, video_ids: Mapping[str, int]) -> CocoVideo:
    video = source.video
    return {
        "id": video_ids[video.video_id],
        "name": video.video_id,
        "url": video.url,
        "title": video.title,
        "channel": video.channel,
        "license": video.license,
        "trainable": video.trainable,
        "fps": None if source.fps is None else round(float(source.fps), 6),
        "width": source.width,
        "height": source.height,
    }


def _image(
    row: Mapping[str, Any],
    sources: Mapping[str, SourceVideo],
    image_ids: Mapping[str, int],
    video_ids: Mapping[str, int],
    license_ids: Mapping[str, int],
) -> Image:
    video = sources[row["video_id"]].video
    image: Image = {
        "id": image_ids[frame_id(row["video_id"], row["frame_index"])],
        "file_name": row["file_name"],
        "width": row["width"],
        "height": row["height"],
        "video_id": video_ids[row["video_id"]],
        "frame_id": row["frame_index"],
        "timestamp_s": round(row["timestamp_s"], 6),
        "pts": row["pts"],
        "time_base": f"{row['time_base_num']}/{row['time_base_den']}",
        "source_url": source_url(video.url, row["timestamp_s"]),
        "sha256": row["sha256"],
        "split": row["split"],
    }
    if video.license:
        image["license"] = license_ids[video.license]
    return image


def _boxes_on(frames: pl.DataFrame, detections: pl.DataFrame) -> pl.DataFrame:
    """Boxes on these frames in the order of the frames, best first, with their rank among their class in the frame."""
    size = frames.select("video_id", "frame_index", "width", "height").with_row_index("place")
    order = ["place", "category", "score", "x", "y", "w", "h", "detector", "prompt"]
    descending = [column == "score" for column in order]
    boxes = detections.join(size, on=["video_id", "frame_index"], how="inner")
    boxes = boxes.sort(order, descending=descending, nulls_last=True)
    return boxes.with_columns(rank=pl.int_range(pl.len()).over("place", "category"))


def _annotations(
    boxes: pl.DataFrame, image_ids: Mapping[str, int], video_ids: Mapping[str, int], classes: Sequence[str]
) -> list[Annotation]:
    category_ids = {name: number for number, name in enumerate(classes, start=1)}
    keys = boxes.select("video_id", "frame_index", "category", "rank").iter_rows()
    ids = _stable_ids("annotation", (f"{video_id}:{index}:{rank}:{name}" for video_id, index, name, rank in keys))
    annotations: list[Annotation] = []
    for id_, row in zip(ids.values(), boxes.iter_rows(named=True), strict=True):
        bbox = _bbox(row)
        annotations.append(
            {
                "id": id_,
                "image_id": image_ids[frame_id(row["video_id"], row["frame_index"])],
                "video_id": video_ids[row["video_id"]],
                "category_id": category_ids[row["category"]],
                "bbox": bbox,
                "area": round(bbox[2] * bbox[3], 4),
                "iscrowd": 0,
                "segmentation": [],
                "score": None if row["score"] is None else round(row["score"], 5),
                "detector": row["detector"],
                "prompt": row["prompt"],
            }
        )
    return annotations


def _bbox(row: Mapping[str, Any]) -> list[float]:
    """COCO box in hundredths of a pixel, never outside the picture and never empty."""
    across = _span(row["x"], row["w"], row["width"])
    down = _span(row["y"], row["h"], row["height"])
    if across is None or down is None:
        box = [row[name] for name in ("x", "y", "w", "h")]
        raise InvalidData(
            f"box {box} is not inside frame {frame_id(row['video_id'], row['frame_index'])}",
            remedy="run the detect stage for that video with --force; if it stays, report the detector",
        )
    return [across[0], down[0], across[1], down[1]]


def _span(start: float, length: float, limit: int) -> tuple[float, float] | None:
    """Start and length in hundredths of an interval inside 0..limit, None if no part of it is.

    Start + length stays inside in floating point too: no sum of hundredths passes a limit up to 8192 (tried them all).
    """
    end = start + length
    if not (math.isfinite(end) and length > 0 and start < limit and end > 0):
        return None
    first = min(max(round(100 * start), 0), 100 * limit - 1)
    last = max(min(round(100 * end), 100 * limit), first + 1)
    return first / 100, (last - first) / 100
