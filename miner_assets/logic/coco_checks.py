"""Does a COCO file keep our contract? pycocotools loads files with any of these faults without a word.

`check_coco` is run on every dataset before it is published and can be run on files from elsewhere: it takes nothing for
granted about them. `dataset_summary` counts what is in one.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeGuard, cast

from miner_assets.logic.coco_format import MAX_ID, Coco
from miner_resources.vocabulary import SPLIT_NAME

Record = Mapping[str, object]

_SECTIONS: Final = ("licenses", "videos", "images", "annotations", "categories")
_REFERENCES: Final = (
    ("images", "video_id", "videos"),
    ("annotations", "image_id", "images"),
    ("annotations", "category_id", "categories"),
)
_UNIQUE: Final = (("videos", "name"), ("images", "file_name"), ("categories", "name"))


@dataclass(frozen=True)
class Count:
    """Images with at least one object of a class and the objects, in one split; `category` None is all images."""

    split: str
    category: str | None
    images: int
    annotations: int


def check_coco(coco: Record, *, files: Collection[str] | None = None, limit: int = 100) -> list[str]:
    """What is wrong with a COCO file, a sentence each; empty if nothing is.

    Args:
        coco: the parsed JSON.
        files: names of the pictures that exist; None does not look.
        limit: stop after so many problems.
    """
    return list(islice(_problems(coco, files), limit))


def dataset_summary(coco: Coco) -> list[Count]:
    """Images and annotations per split and class: splits by name, in each the total first, then classes in order."""
    splits = {image["id"]: image["split"] for image in coco["images"]}
    total = Counter(splits.values())
    objects = Counter((splits[box["image_id"]], box["category_id"]) for box in coco["annotations"])
    pictures = Counter(
        (splits[image_id], category)
        for image_id, category in {(box["image_id"], box["category_id"]) for box in coco["annotations"]}
    )
    counts: list[Count] = []
    for split in sorted(total):
        all_objects = sum(count for (where, _), count in objects.items() if where == split)
        counts.append(Count(split, None, total[split], all_objects))
        for category in coco["categories"]:
            key = (split, category["id"])
            counts.append(Count(split, category["name"], pictures[key], objects[key]))
    return counts


def _problems(coco: Record, files: Collection[str] | None) -> Iterator[str]:
    malformed = [name for name in _SECTIONS if not _is_table(coco.get(name))]
    if malformed:
        yield f"{', '.join(malformed)}: missing or not a list of objects"
        return
    tables = {name: cast("list[Record]", coco[name]) for name in _SECTIONS}
    for name, records in tables.items():
        yield from _id_problems(name, records)
    for name, key in _UNIQUE:
        yield from _repeated(f"{name}.{key}", [record.get(key) for record in tables[name]])
    for name, key, target in _REFERENCES:
        present = {record.get("id") for record in tables[target] if _is_id(record.get("id"))}
        for record in tables[name]:
            if not _is_id(record.get(key)) or record[key] not in present:
                yield f"{name} {record.get('id')}: {key} {record.get(key)!r} is not in {target}"
    yield from _image_problems(tables["images"], files)
    yield from _annotation_problems(tables["annotations"], tables["images"])


def _id_problems(name: str, records: list[Record]) -> Iterator[str]:
    for record in records:
        if not _is_id(record.get("id")):
            yield f"{name}: id {record.get('id')!r} is not an integer from 1 to {MAX_ID}"
    yield from _repeated(f"{name}.id", [record.get("id") for record in records])


def _repeated(what: str, values: list[object]) -> Iterator[str]:
    for value, count in Counter(repr(value) for value in values).items():
        if count > 1:
            yield f"{what} {value} is there {count} times"


def _image_problems(images: list[Record], files: Collection[str] | None) -> Iterator[str]:
    splits: dict[str, set[str]] = {}
    for image in images:
        where = f"images {image.get('id')}"
        name, split = image.get("file_name"), image.get("split")
        if not isinstance(name, str) or not _is_relative(name):
            yield f"{where}: file_name {name!r} is not a plain relative name"
        elif files is not None and name not in files:
            yield f"{where}: there is no file {name}"
        if not (_is_id(image.get("width")) and _is_id(image.get("height"))):
            yield f"{where}: width {image.get('width')!r} and height {image.get('height')!r} must be positive integers"
        if not isinstance(split, str) or not SPLIT_NAME.fullmatch(split):
            yield f"{where}: split {split!r} is not a name of letters, digits, '_' and '-'"
        splits.setdefault(repr(image.get("video_id")), set()).add(str(split))
    for video, found in splits.items():
        if len(found) > 1:
            yield f"video {video} is in more than one split: {', '.join(sorted(found))}"
    yield from _repeated(
        "frame (video_id, frame_id)", [(image.get("video_id"), image.get("frame_id")) for image in images]
    )


def _annotation_problems(annotations: list[Record], images: list[Record]) -> Iterator[str]:
    sizes = {repr(image.get("id")): (image.get("width"), image.get("height")) for image in images}
    for box in annotations:
        where = f"annotations {box.get('id')}"
        size = sizes.get(repr(box.get("image_id")))
        problem = _bbox_problem(box.get("bbox"), box.get("area"), size)
        if problem:
            yield f"{where}: {problem}"
        if box.get("iscrowd") not in (0, 1) or not isinstance(box.get("segmentation"), list):
            yield f"{where}: iscrowd must be 0 or 1 and segmentation a list"
        score = box.get("score")
        if score is not None and not (_is_number(score) and 0 <= score <= 1):
            yield f"{where}: score {score!r} is not in 0..1"


def _bbox_problem(bbox: object, area: object, size: tuple[object, object] | None) -> str | None:
    numbers = [value for value in cast("list[object]", bbox) if _is_number(value)] if isinstance(bbox, list) else []
    if len(numbers) != 4 or numbers != bbox:
        return f"bbox {bbox!r} is not four finite numbers"
    x, y, width, height = numbers
    if width <= 0 or height <= 0:
        return f"bbox {bbox} has no area"
    if not _is_number(area) or abs(area - width * height) > 0.01 + 0.001 * width * height:
        return f"area {area!r} is not that of bbox {bbox}"
    if size is None or not (_is_number(size[0]) and _is_number(size[1])):
        return None
    if x < 0 or y < 0 or x + width > size[0] or y + height > size[1]:
        return f"bbox {bbox} is not inside its image of {size[0]}x{size[1]}"
    return None


def _is_relative(name: str) -> bool:
    """Whether a file name stays below the folder of the pictures, on every system."""
    folders = name.split("/")
    return "\\" not in name and "\0" not in name and not {"", ".", ".."} & set(folders)


def _is_table(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(record, dict) for record in cast("list[object]", value))


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_ID


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
