"""The manifest: everything about a dataset but its pictures, so that others can make it again from the sources.

`manifest.parquet` has one row for each picture: the video's address, the exact time (`pts` in units of `time_base`),
the sha256 of the file, a thumbnail of 16 × 16 grey levels, the boxes and the split. Classes, licences, videos and how
pictures were encoded are JSON in the file's own metadata: this one file is all that `dataset rebuild` needs.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import polars as pl

from miner_assets.logic.coco_checks import check_coco
from miner_assets.logic.coco_format import Coco, Image
from miner_assets.logic.exports.options import Encoding, ExportOptions
from miner_assets.logic.exports.pictures import chunks, fingerprint, picture_bytes
from miner_assets.logic.exports.snapshot import Snapshot
from miner_resources.errors import InvalidData
from miner_resources.likeness import SIDE, thumbnail
from miner_resources.published.publish import Entry
from miner_resources.storage import check_video_id

FILE: Final = "manifest.parquet"
HEADER: Final = "video_miner.manifest"
VERSION: Final = 1

_BOX: Final = pl.Struct(
    {
        "id": pl.Int64(),
        "category": pl.String(),
        "bbox": pl.List(pl.Float64()),
        "area": pl.Float64(),
        "score": pl.Float64(),
        "detector": pl.String(),
        "prompt": pl.String(),
    }
)
MANIFEST_SCHEMA: Final = pl.Schema(
    {
        "image_id": pl.Int64,
        "file_name": pl.String,
        "split": pl.String,
        "video_id": pl.String,
        "video_url": pl.String,
        "source_url": pl.String,
        "frame_index": pl.Int64,
        "pts": pl.Int64,
        "time_base": pl.String,
        "timestamp_s": pl.Float64,
        "width": pl.Int32,
        "height": pl.Int32,
        "license": pl.String,
        "sha256": pl.String,
        "thumbnail": pl.Binary,
        "objects": pl.List(_BOX),
    }
)
"""Columns; `thumbnail` is that of `miner_resources.likeness`, `bbox` is x, y, width, height in pixels."""


@dataclass(frozen=True)
class Manifest:
    """A manifest that was read.

    Attributes:
        coco: the dataset it describes; its pictures are elsewhere.
        encoding: how the pictures were written.
        thumbnails: file name → what it looks like.
    """

    coco: Coco
    encoding: Encoding
    thumbnails: Mapping[str, bytes]


def manifest_entries(snapshot: Snapshot, options: ExportOptions) -> Iterator[Entry]:
    """Files of the export."""
    images = snapshot.coco["images"]
    header = {"version": VERSION, "encoding": asdict(options.encoding), "coco": snapshot.part([])}

    def write(target: Path) -> Iterator[int]:
        rows: list[dict[str, Any]] = []
        with ThreadPoolExecutor(thread_name_prefix="thumbnail") as pool:
            for some in chunks(images, 256):
                seen = list(pool.map(partial(_thumbnail, snapshot), some))
                rows += [_row(snapshot, image, small) for image, small in zip(some, seen, strict=True)]
                yield len(some)
        metadata = {HEADER: json.dumps(header, sort_keys=True)}
        pl.DataFrame(rows, schema=MANIFEST_SCHEMA).write_parquet(target, compression="zstd", metadata=metadata)

    made_of = fingerprint(snapshot, images, "manifest", VERSION, json.dumps(header, sort_keys=True))
    yield Entry(FILE, write, made_of, items=len(images))


def read_manifest(path: Path) -> Manifest:
    """Read a manifest, which may come from anybody.

    Args:
        path: `manifest.parquet`, or the folder that it is in.

    Raises:
        InvalidData: it is missing, no manifest, or breaks its contract.
    """
    file = path / FILE if path.is_dir() else path
    remedy = f"name the {FILE} of an export with --format manifest"
    try:
        header = json.loads(pl.read_parquet_metadata(file)[HEADER])
        table = pl.read_parquet(file).cast(MANIFEST_SCHEMA)
        encoding = Encoding(**header["encoding"])
        coco = _coco(header["coco"], table.to_dicts())
        thumbnails = dict(table.select("file_name", "thumbnail").iter_rows())
        _check_places(coco)
    except (OSError, pl.exceptions.PolarsError, ValueError, ArithmeticError, KeyError, TypeError) as error:
        raise InvalidData(f"{file} is no manifest: {error or type(error).__name__}", remedy=remedy) from error
    if not all(isinstance(small, bytes) and len(small) == SIDE * SIDE for small in thumbnails.values()):
        raise InvalidData(f"{file} has thumbnails of another size", remedy=remedy)
    problems = check_coco(cast("Mapping[str, object]", coco), limit=5)
    if problems or header.get("version") != VERSION:
        reason = "; ".join(problems) or f"version {header.get('version')} is not {VERSION}"
        raise InvalidData(f"{file} cannot be used: {reason}", remedy="export it again, or update Video Miner")
    return Manifest(coco, encoding, thumbnails)


def _check_places(coco: Coco) -> None:
    """What the check of COCO files does not look at, and a rebuild relies on; raises ValueError, ArithmeticError."""
    for video in coco["videos"]:
        check_video_id(video["name"])
    for image in coco["images"]:
        if Fraction(image["time_base"]) <= 0:
            raise ValueError(f"{image['file_name']} has the time base {image['time_base']}")


def _thumbnail(snapshot: Snapshot, image: Image) -> bytes:
    try:
        return thumbnail(picture_bytes(snapshot, image))
    except ValueError as error:
        raise InvalidData(
            f"{image['file_name']} is no picture: {error}", remedy="run the stages 'extract' to 'dataset' with --force"
        ) from error


def _row(snapshot: Snapshot, image: Image, small: bytes) -> dict[str, Any]:
    sample: dict[str, Any] = {**snapshot.sample(image), "thumbnail": small}
    objects = [{field.name: box[field.name] for field in _BOX.fields} for box in sample["objects"]]
    return {**{name: sample[name] for name in MANIFEST_SCHEMA}, "objects": objects}


def _coco(rest: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Coco:
    videos = {video["name"]: video["id"] for video in rest["videos"]}
    licenses = {license_["name"]: license_["id"] for license_ in rest["licenses"]}
    categories = {category["name"]: category["id"] for category in rest["categories"]}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for row in rows:
        names = ("file_name", "width", "height", "timestamp_s", "pts", "time_base", "source_url", "sha256", "split")
        image = {name: row[name] for name in names}
        image |= {"id": row["image_id"], "video_id": videos[row["video_id"]], "frame_id": row["frame_index"]}
        images.append(image | ({"license": licenses[row["license"]]} if row["license"] else {}))
        for box in row["objects"]:
            annotation = {name: value for name, value in box.items() if name != "category"}
            places = {"image_id": row["image_id"], "video_id": image["video_id"]}
            shape = {"category_id": categories[box["category"]], "iscrowd": 0, "segmentation": []}
            annotations.append({**annotation, **places, **shape})
    return cast("Coco", {**rest, "images": images, "annotations": annotations})
