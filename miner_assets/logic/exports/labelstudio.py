"""Label Studio: pre-annotations to be checked by people, and the labelling interface that they belong to.

Tasks are in `tasks/{split}-00000.json`, boxes are `predictions` with their scores (Label Studio's own converter from
COCO loses those), in percent of the picture. `labeling_config.xml` holds the classes; the names in both must match.

Reference: https://labelstud.io/guide/predictions
"""

from collections.abc import Iterator
from typing import Any, Final
from xml.sax.saxutils import quoteattr

from miner_assets.logic.coco_format import Annotation, Image
from miner_assets.logic.exports.lines import json_bytes
from miner_assets.logic.exports.options import ExportOptions
from miner_assets.logic.exports.pictures import chunks, picture
from miner_assets.logic.exports.snapshot import Snapshot
from miner_resources.published.publish import Entry

TASKS_PER_FILE: Final = 2000
"""An import of more takes Label Studio longer than its web server waits."""

CONTROL: Final = "label"
PICTURE: Final = "image"


def labelstudio_entries(snapshot: Snapshot, options: ExportOptions) -> Iterator[Entry]:
    """Files of the export."""
    yield Entry.of_bytes("labeling_config.xml", labeling_config(snapshot.classes))
    for split in snapshot.splits:
        for number, images in enumerate(chunks(snapshot.images_of(split), TASKS_PER_FILE)):
            tasks = [task(snapshot, image, options.image_url) for image in images]
            yield Entry.of_bytes(f"tasks/{split}-{number:05d}.json", json_bytes(tasks))
    for image in snapshot.coco["images"]:
        yield picture(snapshot, image, "images")


def labeling_config(classes: list[str]) -> bytes:
    """The labelling interface: rectangles of the classes on a picture, and the link to the video."""
    labels = "".join(f"    <Label value={quoteattr(name)}/>\n" for name in classes)
    return (
        f'<View>\n  <Image name="{PICTURE}" value="$image"/>\n'
        f'  <RectangleLabels name="{CONTROL}" toName="{PICTURE}">\n{labels}  </RectangleLabels>\n'
        '  <HyperText name="source" value="$source" inline="true"/>\n</View>\n'
    ).encode()


def task(snapshot: Snapshot, image: Image, image_url: str) -> dict[str, Any]:
    """One picture with what a model found on it."""
    sample = snapshot.sample(image)
    known = {name: value for name, value in sample.items() if name != "objects"}
    link = f"<a href={quoteattr(image['source_url'])} target='_blank'>open the video at this second</a>"
    boxes = snapshot.boxes[image["id"]]
    scores = [box["score"] for box in boxes if box["score"] is not None]
    prediction: dict[str, Any] = {
        "model_version": ", ".join(sorted({box["detector"] for box in boxes})) or "none",
        "result": [_region(snapshot, image, box) for box in boxes],
    }
    if scores:
        prediction["score"] = round(sum(scores) / len(scores), 5)
    data = {**known, "image": image_url + image["file_name"], "source": link}
    return {"data": data, "predictions": [prediction]}


def _region(snapshot: Snapshot, image: Image, box: Annotation) -> dict[str, Any]:
    x, y, width, height = box["bbox"]
    name = snapshot.classes[snapshot.class_numbers[box["category_id"]]]
    across, down = 100 / image["width"], 100 / image["height"]
    region: dict[str, Any] = {
        "id": str(box["id"]),
        "type": "rectanglelabels",
        "from_name": CONTROL,
        "to_name": PICTURE,
        "original_width": image["width"],
        "original_height": image["height"],
        "image_rotation": 0,
        "value": {
            "x": x * across,
            "y": y * down,
            "width": width * across,
            "height": height * down,
            "rotation": 0,
            "rectanglelabels": [name],
        },
    }
    return region if box["score"] is None else {**region, "score": box["score"]}
