"""YOLO as Ultralytics reads it: `data.yaml`, `images/{split}`, `labels/{split}` with one text file for each picture.

A picture without objects has an empty file: it is a background, not forgotten. What the labels cannot say (scores,
prompts, the video and its time) is in `attributes/{split}.jsonl`, objects in the order of the lines.

Reference: https://docs.ultralytics.com/datasets/detect/
"""

from collections.abc import Iterator

import yaml

from miner_assets.logic.coco_format import Annotation, Image
from miner_assets.logic.exports.lines import json_lines
from miner_assets.logic.exports.options import ExportOptions
from miner_assets.logic.exports.pictures import picture
from miner_assets.logic.exports.snapshot import Snapshot
from miner_resources.published.publish import Entry


def yolo_entries(snapshot: Snapshot, _options: ExportOptions) -> Iterator[Entry]:
    """Files of the export."""
    yield Entry.of_bytes("data.yaml", data_yaml(snapshot))
    for split in snapshot.splits:
        images = snapshot.images_of(split)
        samples = (snapshot.sample(image) for image in images)
        yield Entry.of_bytes(f"attributes/{split}.jsonl", json_lines(samples))
        for image in images:
            yield picture(snapshot, image, f"images/{split}")
            stem = image["file_name"].rpartition(".")[0]
            yield Entry.of_bytes(f"labels/{split}/{stem}.txt", _labels(snapshot, image))


def data_yaml(snapshot: Snapshot) -> bytes:
    """The file that training is pointed at.

    It has no `path`: without one Ultralytics takes the folder of the file, wherever that is moved to. `train` and `val`
    must be there, so an empty one is stood in for by the first split.
    """
    folders = {"val" if split == "validation" else split: f"images/{split}" for split in snapshot.splits}
    first = next(iter(folders.values()))
    missing = [role for role in ("train", "val") if role not in folders]
    notes = "".join(f"# no pictures are in '{role}': {first} stands in for it\n" for role in missing)
    roles = {"train": folders.get("train", first), "val": folders.get("val", first), **folders}
    facts = {**roles, "names": dict(enumerate(snapshot.classes))}
    return (notes + yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)).encode()


def _labels(snapshot: Snapshot, image: Image) -> bytes:
    boxes = snapshot.boxes[image["id"]]
    return "".join(_line(snapshot.class_numbers[box["category_id"]], box, image) for box in boxes).encode()


def _line(number: int, box: Annotation, image: Image) -> str:
    """Class, centre and size as shares of the picture; a millionth is a hundredth of a pixel at 8K."""
    x, y, width, height = box["bbox"]
    across, down = image["width"], image["height"]
    shares = ((x + width / 2) / across, (y + height / 2) / down, width / across, height / down)
    return f"{number} {' '.join(f'{share:.6f}' for share in shares)}\n"
