"""All export formats by name.

To add one: a module with its entries, its name in `config_sections.ExportFormat`, a row here, and a section in
docs/export.md.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

from miner_assets.logic.exports.coco import coco_entries
from miner_assets.logic.exports.fiftyone_layout import fiftyone_entries
from miner_assets.logic.exports.huggingface import hf_entries
from miner_assets.logic.exports.labelstudio import labelstudio_entries
from miner_assets.logic.exports.manifest import manifest_entries
from miner_assets.logic.exports.options import ExportOptions
from miner_assets.logic.exports.snapshot import Snapshot
from miner_assets.logic.exports.webdataset import webdataset_entries
from miner_assets.logic.exports.yolo import yolo_entries
from miner_resources.errors import NotFound
from miner_resources.published.publish import Advance, Entry, Label, publish
from miner_resources.storage import stable_hash
from miner_resources.vocabulary import ExportFormat


@dataclass(frozen=True)
class Format:
    """A way to write a dataset.

    Attributes:
        entries: the files, from a dataset that has pictures.
        version: raise it when the same dataset would give other files.
    """

    entries: Callable[[Snapshot, ExportOptions], Iterator[Entry]]
    version: int = 1


FORMATS: Final[Mapping[ExportFormat, Format]] = {
    "coco": Format(coco_entries),
    "yolo": Format(yolo_entries),
    "webdataset": Format(webdataset_entries),
    "hf": Format(hf_entries),
    "labelstudio": Format(labelstudio_entries),
    "fiftyone": Format(fiftyone_entries),
    "manifest": Format(manifest_entries),
}


@dataclass(frozen=True)
class Exported:
    """What an export left at its place."""

    files: int
    size_bytes: int
    images: int
    annotations: int


def export_key(snapshot_key: str, name: ExportFormat, options: ExportOptions) -> str:
    """Changes when the files would."""
    return stable_hash(name, FORMATS[name].version, snapshot_key, options.as_json())


def export_label(snapshot: Snapshot, name: ExportFormat, options: ExportOptions) -> Label:
    """What the index of the export says."""
    counts = {"images": len(snapshot.coco["images"]), "annotations": len(snapshot.coco["annotations"])}
    key = export_key(snapshot.key, name, options)
    return Label(name, key, {**counts, "classes": snapshot.classes, "made_by": f"video-miner {version('video-miner')}"})


def export(snapshot: Snapshot, name: ExportFormat, url: str, options: ExportOptions, advance: Advance) -> Exported:
    """Write a dataset in one format to a local path or URL.

    Raises:
        NotFound: it has no pictures.
        MinerError: as `publishing.publish`.
    """
    images = len(snapshot.coco["images"])
    if not images:
        raise NotFound("the dataset has no pictures to export", remedy="lower thresholds or add videos, then run again")
    index = publish(url, FORMATS[name].entries(snapshot, options), export_label(snapshot, name, options), advance)
    size = sum(one.size for one in index.files)
    return Exported(len(index.files), size, images, len(snapshot.coco["annotations"]))
