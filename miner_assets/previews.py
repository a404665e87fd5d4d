"""Pictures for people: the boxes of the dataset, drawn on its images."""

from pathlib import Path
from typing import Final

import numpy as np

from miner_assets.logic.coco_format import Annotation, Coco, Image
from miner_assets.logic.sampling import thin
from miner_resources.drawing import contact_sheet
from miner_resources.drawn_boxes import draw_boxes
from miner_resources.images import encode_image, read_image
from miner_resources.palette import class_colors
from miner_resources.records import Rgb

TILE_WIDTH: Final = 240
SHEET_TILES: Final = 48
SHEET_COLUMNS: Final = 8
VISUALIZATIONS: Final = 1000
"""Nobody looks at more, and each costs some 10 ms."""


def write_visualizations(images: Path, coco: Coco, folder: Path) -> None:
    """Draw the boxes on pictures that have some, at most `VISUALIZATIONS` of them, spread over the dataset."""
    boxes = _by_image(coco)
    chosen = thin([image for image in coco["images"] if image["id"] in boxes], VISUALIZATIONS)
    for image in chosen:
        name = f"{Path(image['file_name']).stem}.jpg"
        (folder / name).write_bytes(encode_image(_drawn(images, image, boxes, coco), "jpg", 90))


def dataset_sheet(images: Path, coco: Coco, target: Path) -> None:
    """One picture of the whole dataset: images spread over it, with their boxes and split."""
    boxes = _by_image(coco)
    tiles: list[tuple[Rgb, str, bool]] = [
        (_drawn(images, image, boxes, coco), f"{image['split']}  {image['timestamp_s']:.1f} s", True)
        for image in thin(coco["images"], SHEET_TILES)
    ]
    if tiles:
        target.write_bytes(encode_image(contact_sheet(tiles, SHEET_COLUMNS, TILE_WIDTH), "jpg", 88))


def _by_image(coco: Coco) -> dict[int, list[Annotation]]:
    boxes: dict[int, list[Annotation]] = {}
    for box in coco["annotations"]:
        boxes.setdefault(box["image_id"], []).append(box)
    return boxes


def _drawn(images: Path, image: Image, boxes: dict[int, list[Annotation]], coco: Coco) -> Rgb:
    rgb = read_image(images / image["file_name"])
    found = boxes.get(image["id"], [])
    if not found:
        return rgb
    names = {category["id"]: category["name"] for category in coco["categories"]}
    corners = np.array([[x, y, x + w, y + h] for x, y, w, h in (box["bbox"] for box in found)], np.float32)
    scores = [score for box in found if (score := box["score"]) is not None]
    shown = scores if len(scores) == len(found) else None
    return draw_boxes(rgb, corners, [names[box["category_id"]] for box in found], shown, class_colors(names.values()))
