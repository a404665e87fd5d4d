"""FiftyOne: its `COCODetectionDataset` layout, and `load_fiftyone.py`, which attaches what its importer leaves out.

The importer reads boxes, scores and attributes of boxes; fields of pictures (video, time, split) it does not know.

Reference: https://docs.voxel51.com/user_guide/import_datasets.html#cocodetectiondataset
"""

from collections.abc import Iterator
from pathlib import Path

from miner_assets.logic.exports import fiftyone_loader
from miner_assets.logic.exports.coco import coco_file
from miner_assets.logic.exports.options import ExportOptions
from miner_assets.logic.exports.pictures import picture
from miner_assets.logic.exports.snapshot import Snapshot
from miner_resources.published.publish import Entry


def fiftyone_entries(snapshot: Snapshot, _options: ExportOptions) -> Iterator[Entry]:
    """Files of the export."""
    yield coco_file("labels.json", snapshot, snapshot.coco)
    yield Entry.of_bytes("load_fiftyone.py", Path(fiftyone_loader.__file__).read_bytes())
    for image in snapshot.coco["images"]:
        yield picture(snapshot, image, "data")
