"""COCO: `annotations.json` with everything, `annotations/instances_{split}.json`, and `images/`.

Read it with pycocotools; the video fields are beyond COCO and ignored by those who do not know them.
"""

from collections.abc import Iterator
from pathlib import Path

from miner_assets.logic.coco_format import Coco, write_coco
from miner_assets.logic.exports.options import ExportOptions
from miner_assets.logic.exports.pictures import picture
from miner_assets.logic.exports.snapshot import Snapshot
from miner_resources.published.publish import Entry


def coco_entries(snapshot: Snapshot, _options: ExportOptions) -> Iterator[Entry]:
    """Files of the export."""
    yield coco_file("annotations.json", snapshot, snapshot.coco)
    for split in snapshot.splits:
        yield coco_file(f"annotations/instances_{split}.json", snapshot, snapshot.part(snapshot.images_of(split)))
    for image in snapshot.coco["images"]:
        yield picture(snapshot, image, "images")


def coco_file(path: str, snapshot: Snapshot, coco: Coco) -> Entry:
    """An annotation file."""

    def write(target: Path) -> Iterator[int]:
        write_coco(target, coco)
        yield 0

    return Entry(path, write, f"{snapshot.key}:{path}")
