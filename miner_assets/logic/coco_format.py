"""The shape of `annotations.json` and how it is written and read.

COCO that pycocotools loads, with `videos` and frame facts beyond it (CocoVID, FiftyOne and CVAT ignore what they do not
know). To add a field: here, in `coco.py` and, if it can be wrong, in `coco_checks.py`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NotRequired, TypedDict, cast

from miner_resources.errors import InvalidData

MAX_ID: Final = 2**53 - 1
"""The largest integer that JavaScript and float64, in which pycocotools keeps ids, hold exactly."""


class Info(TypedDict):
    """What the dataset is called."""

    description: str
    version: str


class License(TypedDict):
    """A licence as the sources name it."""

    id: int
    name: str
    url: str


class Category(TypedDict):
    """A class; ids count from 1 in the order of the configuration."""

    id: int
    name: str
    supercategory: str


class CocoVideo(TypedDict):
    """A source; `name` is the video_id of the rest of the project."""

    id: int
    name: str
    url: str
    title: str | None
    channel: str | None
    license: str | None
    trainable: str | None
    fps: float | None
    width: int
    height: int


class Image(TypedDict):
    """A picture; `frame_id` is its display index in the video, `license` the id in `licenses` if one is known."""

    id: int
    file_name: str
    width: int
    height: int
    license: NotRequired[int]
    video_id: int
    frame_id: int
    timestamp_s: float
    pts: int
    time_base: str
    source_url: str
    sha256: str
    split: str


class Annotation(TypedDict):
    """An object; `bbox` is x, y, w, h in pixels, inside the picture. `score` is None for detectors without scores."""

    id: int
    image_id: int
    video_id: int
    category_id: int
    bbox: list[float]
    area: float
    iscrowd: int
    segmentation: list[list[float]]
    score: float | None
    detector: str
    prompt: str


class Coco(TypedDict):
    """The whole file."""

    info: Info
    licenses: list[License]
    videos: list[CocoVideo]
    images: list[Image]
    annotations: list[Annotation]
    categories: list[Category]


def write_coco(path: Path, coco: Mapping[str, object]) -> None:
    """Write the file with sorted keys and one record a line: compact, streamed, and readable with grep and diff.

    Use it inside `Storage.publish_file`.
    """
    with path.open("w", encoding="ascii", newline="\n") as file:
        file.write("{")
        for number, (key, value) in enumerate(sorted(coco.items())):
            file.write((",\n" if number else "") + json.dumps(key) + ":")
            if isinstance(value, list) and value:
                for place, record in enumerate(value):
                    file.write(("[\n" if place == 0 else ",\n") + _compact(record))
                file.write("\n]")
            else:
                file.write(_compact(value))
        file.write("}\n")


def read_coco(path: Path) -> Coco:
    """Read a file that `write_coco` wrote; files from elsewhere belong through `check_coco` first.

    Raises:
        InvalidData: the file is missing or no JSON object.
    """
    try:
        coco = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InvalidData(f"cannot read {path}: {error}", remedy="run the dataset stage again") from error
    if not isinstance(coco, dict):
        raise InvalidData(f"{path} is not a COCO file", remedy="run the dataset stage again")
    return cast("Coco", coco)


def _compact(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
