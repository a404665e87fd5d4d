"""A finished dataset as the exports see it: `annotations.json` and a folder of pictures, and nothing else.

It need not be the project's current dataset: any COCO file that keeps the contract will do. Fields that are not in the
contract travel along.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from miner_assets.logic.coco_checks import check_coco
from miner_assets.logic.coco_format import Annotation, Coco, CocoVideo, Image, read_coco
from miner_resources.errors import InvalidData

SPLIT_ORDER: Final = ("train", "val", "validation", "test")

_NOT_PASSED_ON: Final = frozenset({"id", "video_id", "frame_id", "license"})
"""Image fields that the records of samples name differently."""


@dataclass(frozen=True)
class Snapshot:
    """A dataset at one moment.

    Attributes:
        coco: the whole `annotations.json`.
        images: the folder that its `file_name`s are in.
        key: changes when anything in the dataset does.
    """

    coco: Coco
    images: Path
    key: str

    @cached_property
    def splits(self) -> list[str]:
        """Splits that have pictures: train, val, test, then others by name."""
        found = {image["split"] for image in self.coco["images"]}
        return [split for split in SPLIT_ORDER if split in found] + sorted(found - set(SPLIT_ORDER))

    @cached_property
    def classes(self) -> list[str]:
        """Class names in the order of their ids; a place in this list is the number in formats that count from 0."""
        return [category["name"] for category in self.categories]

    @cached_property
    def categories(self) -> list[Any]:
        """Categories by id."""
        return sorted(self.coco["categories"], key=lambda category: category["id"])

    @cached_property
    def class_numbers(self) -> dict[int, int]:
        """Category id → place in `classes`."""
        return {category["id"]: place for place, category in enumerate(self.categories)}

    @cached_property
    def videos(self) -> dict[int, CocoVideo]:
        """Videos by id."""
        return {video["id"]: video for video in self.coco["videos"]}

    @cached_property
    def boxes(self) -> dict[int, list[Annotation]]:
        """Image id → its annotations in the order of the file."""
        found: dict[int, list[Annotation]] = {image["id"]: [] for image in self.coco["images"]}
        for annotation in self.coco["annotations"]:
            found[annotation["image_id"]].append(annotation)
        return found

    def images_of(self, split: str) -> list[Image]:
        """Images of one split in the order of the file."""
        return [image for image in self.coco["images"] if image["split"] == split]

    def part(self, images: Sequence[Image]) -> Coco:
        """The COCO file over some of the images."""
        boxes = [box for image in images for box in self.boxes[image["id"]]]
        return {**self.coco, "images": list(images), "annotations": boxes}

    def sample(self, image: Image) -> dict[str, Any]:
        """One picture with everything that is known about it, as JSON: where it came from and what is on it."""
        video = self.videos[image["video_id"]]
        source = {"video_id": video["name"], "video_url": video["url"], "title": _text(video["title"])}
        rights = {"channel": _text(video["channel"]), "license": video["license"], "trainable": video["trainable"]}
        known = {name: value for name, value in image.items() if name not in _NOT_PASSED_ON}
        objects = [self._object(box) for box in self.boxes[image["id"]]]
        return {
            **known,
            "image_id": image["id"],
            "frame_index": image["frame_id"],
            **source,
            **rights,
            "objects": objects,
        }

    def _object(self, box: Annotation) -> dict[str, Any]:
        known: Mapping[str, Any] = {
            name: value
            for name, value in box.items()
            if name not in ("image_id", "video_id", "segmentation", "iscrowd")
        }
        return {**known, "category": self.classes[self.class_numbers[box["category_id"]]]}


def _text(text: str | None) -> str | None:
    """Titles may hold halves of characters, which no format but JSON can."""
    return None if text is None else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def read_snapshot(annotations: Path, images: Path) -> Snapshot:
    """Read a dataset that is finished.

    Raises:
        InvalidData: the file is missing or breaks the contract.
    """
    coco = read_coco(annotations)
    problems = check_coco(coco, limit=5)
    if problems:
        raise InvalidData(f"{annotations}: {'; '.join(problems)}", remedy="run the dataset stage again with --force")
    return Snapshot(coco, images, snapshot_key(annotations))


def snapshot_key(annotations: Path) -> str:
    """What `Snapshot.key` of that file is, without reading more of the dataset."""
    with annotations.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
