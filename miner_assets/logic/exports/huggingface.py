"""Hugging Face: Parquet shards with an `Image` column and `objects`, and a README that names the splits.

`datasets.load_dataset(FOLDER)` and a push of the folder to the hub work as they are: the schema's metadata say which
column is a picture and what the class numbers mean. Boxes are COCO's: x, y, width, height in pixels.

Reference: https://huggingface.co/docs/datasets/object_detection, https://huggingface.co/docs/hub/datasets-manual-configuration
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl
import yaml

from miner_assets.logic.coco_format import Image
from miner_assets.logic.exports.options import ExportOptions
from miner_assets.logic.exports.pictures import fingerprint, picture_bytes, shards
from miner_assets.logic.exports.snapshot import Snapshot
from miner_resources.published.publish import Entry

ROWS_PER_GROUP: Final = 100
"""As `datasets` writes pictures: viewers fetch one group to show a page."""

_SCALARS: Final[dict[str, tuple[pl.DataType, str]]] = {
    "image_id": (pl.Int64(), "int64"),
    "file_name": (pl.String(), "string"),
    "width": (pl.Int32(), "int32"),
    "height": (pl.Int32(), "int32"),
    "video_id": (pl.String(), "string"),
    "frame_index": (pl.Int64(), "int64"),
    "timestamp_s": (pl.Float64(), "float64"),
    "pts": (pl.Int64(), "int64"),
    "time_base": (pl.String(), "string"),
    "source_url": (pl.String(), "string"),
    "title": (pl.String(), "string"),
    "channel": (pl.String(), "string"),
    "license": (pl.String(), "string"),
    "trainable": (pl.String(), "string"),
    "sha256": (pl.String(), "string"),
}
"""Columns about the picture: dtype in Parquet and as `datasets` calls it."""

_OBJECT: Final[dict[str, tuple[pl.DataType, dict[str, Any]]]] = {
    "id": (pl.Int64(), {"dtype": "int64", "_type": "Value"}),
    "bbox": (
        pl.Array(pl.Float32(), 4),
        {"feature": {"dtype": "float32", "_type": "Value"}, "length": 4, "_type": "Sequence"},
    ),
    "area": (pl.Float32(), {"dtype": "float32", "_type": "Value"}),
    "category": (pl.Int64(), {"_type": "ClassLabel"}),
    "score": (pl.Float32(), {"dtype": "float32", "_type": "Value"}),
    "detector": (pl.String(), {"dtype": "string", "_type": "Value"}),
    "prompt": (pl.String(), {"dtype": "string", "_type": "Value"}),
}


def hf_entries(snapshot: Snapshot, options: ExportOptions) -> Iterator[Entry]:
    """Files of the export."""
    yield Entry.of_bytes("README.md", dataset_readme(snapshot, options.card))
    for split in snapshot.splits:
        groups = shards(snapshot, split, options.shard_bytes)
        for number, images in enumerate(groups):
            yield _shard(snapshot, f"data/{split_name(split)}-{number:05d}-of-{len(groups):05d}.parquet", images)


def split_name(split: str) -> str:
    """The name as `datasets` takes it: letters, digits, `_` and dots; `val` is called `validation` there."""
    return "validation" if split == "val" else "".join(char if char.isalnum() else "_" for char in split)


def dataset_readme(snapshot: Snapshot, card: str | None = None) -> bytes:
    """The README: front matter by which `datasets` and the hub find the splits, then the card."""
    splits = [split_name(split) for split in snapshot.splits]
    files = [{"split": split, "path": f"data/{split}-*.parquet"} for split in splits]
    front = {
        "configs": [{"config_name": "default", "data_files": files}],
        "task_categories": ["object-detection"],
        "tags": ["video-miner"],
    }
    return f"---\n{yaml.safe_dump(front, sort_keys=False)}---\n\n{card or _short_card(snapshot)}".encode()


def features(classes: Sequence[str]) -> dict[str, Any]:
    """What `datasets` reads from the schema's metadata; the spelling that versions 2 to 5 understand."""
    objects: dict[str, Any] = {
        name: {"feature": feature | ({"names": list(classes)} if name == "category" else {}), "_type": "Sequence"}
        for name, (_, feature) in _OBJECT.items()
    }
    scalars = {name: {"dtype": kind, "_type": "Value"} for name, (_, kind) in _SCALARS.items()}
    return {"image": {"_type": "Image"}, **scalars, "objects": objects}


def _shard(snapshot: Snapshot, path: str, images: Sequence[Image]) -> Entry:
    def write(target: Path) -> Iterator[int]:
        rows: list[dict[str, Any]] = []
        for image in images:
            rows.append(_row(snapshot, image))
            yield 1
        described = json.dumps({"info": {"features": features(snapshot.classes)}})
        pl.DataFrame(rows, schema=_SCHEMA).write_parquet(
            target,
            compression="snappy",
            statistics=False,  # the smallest and the largest picture of a group help nobody
            row_group_size=ROWS_PER_GROUP,
            metadata={"huggingface": described},
        )

    return Entry(path, write, fingerprint(snapshot, images, "hf", 1), items=len(images))


def _row(snapshot: Snapshot, image: Image) -> dict[str, Any]:
    sample = snapshot.sample(image)
    found = sample["objects"]
    objects = {name: [box[name] for box in found] for name in _OBJECT if name != "category"}
    objects["category"] = [snapshot.class_numbers[box["category_id"]] for box in found]
    content = {"bytes": picture_bytes(snapshot, image), "path": image["file_name"]}
    return {"image": content, **{name: sample[name] for name in _SCALARS}, "objects": objects}


def _short_card(snapshot: Snapshot) -> str:
    images = len(snapshot.coco["images"])
    lines = [
        f"# {snapshot.coco['info']['description']}",
        "",
        f"{images:,} pictures from {len(snapshot.videos):,} videos, {len(snapshot.coco['annotations']):,} boxes of the "
        f"classes {', '.join(snapshot.classes)}.",
        "Boxes were found by models, not by people; `bbox` is x, y, width, height in pixels. Every row names its",
        "video, its exact time, and the licence that the source states.",
    ]
    return "\n".join(lines) + "\n"


_SCHEMA: Final = pl.Schema(
    {
        "image": pl.Struct({"bytes": pl.Binary(), "path": pl.String()}),
        **{name: kind for name, (kind, _) in _SCALARS.items()},
        "objects": pl.Struct({name: pl.List(kind) for name, (kind, _) in _OBJECT.items()}),
    }
)
