"""Hugging Face: Parquet shards with an `Image` column and `objects`, and a README that names the splits.

`datasets.load_dataset(FOLDER)` and a push of the folder to the hub work as they are: the schema's metadata say which
column is a picture and what the class numbers mean. Boxes are COCO's: x, y, width, height in pixels.

Reference: https://huggingface.co/docs/datasets/object_detection, https://huggingface.co/docs/hub/datasets-manual-configuration
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from miner_assets.logic.coco_format import Image
from miner_assets.logic.exports.options import ExportOptions
from miner_assets.logic.exports.pictures import chunks, fingerprint, picture_bytes, shards
from miner_assets.logic.exports.snapshot import Snapshot
from miner_resources.published.publish import Entry

ROWS_PER_GROUP: Final = 100
"""As `datasets` writes pictures: viewers fetch one group to show a page."""

_SCALARS: Final[dict[str, str]] = {
    "image_id": "int64",
    "file_name": "string",
    "width": "int32",
    "height": "int32",
    "video_id": "string",
    "frame_index": "int64",
    "timestamp_s": "float64",
    "pts": "int64",
    "time_base": "string",
    "source_url": "string",
    "title": "string",
    "channel": "string",
    "license": "string",
    "trainable": "string",
    "sha256": "string",
}
"""Columns about the picture, as Arrow and `datasets` call their types."""

_OBJECT: Final[dict[str, str]] = {
    "id": "int64",
    "bbox": "float32",
    "area": "float32",
    "category": "int64",
    "score": "float32",
    "detector": "string",
    "prompt": "string",
}
"""Columns about the objects of a picture: each a list; `bbox` is a list of four, `category` a class number."""


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
    one: dict[str, dict[str, Any]] = {name: {"dtype": kind, "_type": "Value"} for name, kind in _OBJECT.items()}
    one["bbox"] = {"feature": one["bbox"], "length": 4, "_type": "Sequence"}
    one["category"] = {"names": list(classes), "_type": "ClassLabel"}
    objects = {name: {"feature": feature, "_type": "Sequence"} for name, feature in one.items()}
    scalars = {name: {"dtype": kind, "_type": "Value"} for name, kind in _SCALARS.items()}
    return {"image": {"_type": "Image"}, **scalars, "objects": objects}


def _shard(snapshot: Snapshot, path: str, images: Sequence[Image]) -> Entry:
    def write(target: Path) -> Iterator[int]:
        schema = _schema(snapshot.classes)
        with pq.ParquetWriter(target, schema, compression="snappy", write_statistics=False) as writer:
            for some in chunks(images, ROWS_PER_GROUP):
                rows = [_row(snapshot, image) for image in some]
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                yield len(some)

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


def _schema(classes: Sequence[str]) -> Any:  # noqa: ANN401 (pyarrow has no types)
    kinds = {name: pa.type_for_alias(kind) for name, kind in _OBJECT.items()}
    kinds["bbox"] = pa.list_(kinds["bbox"], 4)
    fields = {
        "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
        **{name: pa.type_for_alias(kind) for name, kind in _SCALARS.items()},
        "objects": pa.struct({name: pa.list_(kind) for name, kind in kinds.items()}),
    }
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features(classes)}})})
