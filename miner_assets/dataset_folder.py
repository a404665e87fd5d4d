"""The folder `dataset/`: annotations by split, a sheet to look at, the card, and its twin for machines."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from miner_assets.dataset_exports import CARD
from miner_assets.logic.coco_format import Coco, write_coco
from miner_assets.logic.croissant import croissant
from miner_assets.logic.dataset_card import CardFacts, dataset_card
from miner_assets.previews import dataset_sheet
from miner_resources.storage import ArtifactKeys, Storage
from miner_resources.video_source import content_hash

RECORD: Final = "made_from.json"
"""Written last: the keys, the version, the split of each video and the counts."""

SHEET: Final = "contact_sheet.jpg"
CROISSANT: Final = "croissant.json"


@dataclass(frozen=True)
class DatasetReport:
    """What is in the dataset.

    Attributes:
        unlabelled: videos left out because no detector has looked at them.
        version: the id of what was written.
    """

    images: int
    annotations: int
    unlabelled: list[str] = field(default_factory=list[str])
    warnings: list[str] = field(default_factory=list[str])
    per_class: dict[str, int] = field(default_factory=dict[str, int])
    version: str = ""


class DatasetFolder:
    """Writes it, and reads what was written last.

    Args:
        storage: of the project.
        ratios: split → share, of the configuration.
    """

    def __init__(self, storage: Storage, ratios: Mapping[str, float]) -> None:
        self._storage = storage
        self._ratios = dict(ratios)

    def record(self) -> dict[str, Any]:
        """What was written last; empty if nothing was, or if the record is damaged."""
        try:
            return json.loads((self._storage.dataset / RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}

    def previous_splits(self) -> dict[str, str] | None:
        """Video → split as it was, if the same splits are wanted."""
        record = self.record()
        return record.get("splits") if record.get("ratios") == self._ratios else None

    def write(
        self, coco: Coco, facts: CardFacts, keys: ArtifactKeys, splits: Mapping[str, str], report: DatasetReport
    ) -> None:
        """Bring all of it up to date, the record last: while that is missing or older, the next run writes it again."""
        self._write_splits(coco)
        self._write_text(CARD, dataset_card(facts))
        place = self._storage.version(report.version).relative_to(self._storage.dataset).as_posix()
        described = croissant(facts, place, content_hash(self._storage.annotations))
        self._write_text(CROISSANT, json.dumps(described, indent=1, ensure_ascii=False) + "\n")
        record = {
            **asdict(report),
            "compute_key": keys.compute,
            "decision_key": keys.decision,
            "ratios": self._ratios,
            "splits": dict(splits),
        }
        self._write_text(RECORD, json.dumps(record, indent=1, sort_keys=True))

    def _write_splits(self, coco: Coco) -> None:
        wanted = {f"annotations_{split}.json": split for split in self._ratios}
        for name, split in wanted.items():
            images = [image for image in coco["images"] if image["split"] == split]
            inside = {image["id"] for image in images}
            boxes = [box for box in coco["annotations"] if box["image_id"] in inside]
            with self._storage.publish_file(self._storage.dataset / name) as target:
                write_coco(target, {**coco, "images": images, "annotations": boxes})
        sheet: Path = self._storage.dataset / SHEET
        for path in [*self._storage.dataset.glob("annotations_*.json"), sheet]:
            if path.name not in wanted:
                self._storage.discard(path)
        if coco["images"]:
            with self._storage.publish_file(sheet) as target:
                dataset_sheet(self._storage.deduplicated_frames, coco, target)

    def _write_text(self, name: str, text: str) -> None:
        with self._storage.publish_file(self._storage.dataset / name) as target:
            target.write_text(text, encoding="utf-8")
