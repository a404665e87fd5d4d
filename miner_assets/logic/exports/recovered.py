"""The dataset that a rebuild ends with: the pictures that came back, in the size in which they did."""

from collections.abc import Mapping

from miner_assets.logic.coco_format import Annotation, Coco, Image

Found = tuple[int, int, str]
"""Width, height and sha256 of a picture."""


def recovered_coco(coco: Coco, found: Mapping[str, Found]) -> Coco:
    """The part of a dataset whose pictures are there.

    Args:
        coco: the dataset as its manifest describes it.
        found: by file name. Boxes on a picture of another size are scaled with it.
    """
    kept = {image["id"]: image for image in coco["images"] if image["file_name"] in found}
    images: list[Image] = []
    for image in kept.values():
        width, height, sha256 = found[image["file_name"]]
        images.append({**image, "width": width, "height": height, "sha256": sha256})
    sizes = {image["id"]: (image["width"], image["height"]) for image in images}
    boxes = [
        _scaled(box, kept[box["image_id"]], *sizes[box["image_id"]])
        for box in coco["annotations"]
        if box["image_id"] in kept
    ]
    used = {image["video_id"] for image in images}
    videos = [video for video in coco["videos"] if video["id"] in used]
    return {**coco, "videos": videos, "images": images, "annotations": boxes}


def _scaled(box: Annotation, image: Image, width: int, height: int) -> Annotation:
    if (width, height) == (image["width"], image["height"]):
        return box
    x, across = _span(box["bbox"][0], box["bbox"][2], width / image["width"], width)
    y, down = _span(box["bbox"][1], box["bbox"][3], height / image["height"], height)
    return {**box, "bbox": [x, y, across, down], "area": round(across * down, 4)}


def _span(start: float, length: float, scale: float, limit: int) -> tuple[float, float]:
    """A scaled interval in hundredths of a pixel, inside the picture and never empty."""
    first = min(round(100 * start * scale), 100 * limit - 1)
    last = max(min(round(100 * (start + length) * scale), 100 * limit), first + 1)
    return first / 100, (last - first) / 100
