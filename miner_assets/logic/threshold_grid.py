"""What is counted for each threshold of a grid, and how that is told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

FILTER: Final = "filter"
DEDUP: Final = "dedup"
DETECTION: Final = "detection"
AXES: Final = (FILTER, DEDUP, DETECTION)
KEYS: Final = {FILTER: "filter.threshold", DEDUP: "dedup.threshold", DETECTION: "detection.confidence_threshold"}
KEPT: Final = {
    FILTER: "frames that show a class",
    DEDUP: "frames unique in their video",
    DETECTION: "frames with boxes",
}


@dataclass(frozen=True)
class Setting:
    """One combination of `filter.threshold`, `dedup.threshold` and `detection.confidence_threshold`."""

    filter: float
    dedup: float
    detection: float


@dataclass(frozen=True)
class Counted:
    """What a run with one threshold changed would give, as far as it follows from what is stored.

    Attributes:
        kept: frames that pass (filter), that repeat none of their video (dedup), or that have a box (detection).
        of: frames that were looked at.
        items: what is counted per class: frames of the filter, boxes of the detector.
        images: frames of the dataset, which repeat none of any video; None if there are too many to compare.
        boxes: boxes of the dataset, None likewise.
        unseen: frames that pass the filter and have no vector yet. They may be unique, and may take the place of
            others, so that what follows the filter is an estimate while there are some.
        undetected: images that the detector has not looked at: `boxes` is a lower bound while there are some.
        current: whether this is the configured threshold.
    """

    threshold: float
    kept: int
    of: int
    items: Mapping[str, int] = field(default_factory=dict[str, int])
    images: int | None = None
    boxes: int | None = None
    unseen: int = 0
    undetected: int = 0
    current: bool = False

    def dataset_cells(self) -> tuple[str, str]:
        """Images and boxes as a person reads them: `≈` an estimate, `≥` a lower bound."""
        if self.images is None or self.boxes is None:
            return "", ""
        unsure = "≈ " if self.unseen else ""
        at_least = unsure or ("≥ " if self.undetected else "")
        return f"{unsure}{self.images:,}", f"{at_least}{self.boxes:,}"


def table_head(axis: str, rows: Sequence[Counted]) -> list[str]:
    """Titles of the columns of `table_rows`."""
    head = ["threshold", KEPT[axis], "share", "images of the dataset", "boxes of the dataset", *_classes(rows)]
    return [*head, *(title for title, _ in _missing(rows))]


def table_rows(rows: Sequence[Counted]) -> list[list[str]]:
    """Cells as a person reads them, a row for each threshold."""
    table: list[list[str]] = []
    for place, row in enumerate(rows):
        share = f"{row.kept / row.of:.0%} of {row.of:,}" if row.of else ""
        items = [f"{row.items.get(name, 0):,}" for name in _classes(rows)]
        missing = [f"{counts[place]:,}" for _, counts in _missing(rows)]
        table.append([f"{row.threshold:g}", f"{row.kept:,}", share, *row.dataset_cells(), *items, *missing])
    return table


def _classes(rows: Sequence[Counted]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row.items)) if any(row.items for row in rows) else []


def _missing(rows: Sequence[Counted]) -> list[tuple[str, list[int]]]:
    columns = [
        ("not embedded yet", [row.unseen for row in rows]),
        ("not looked at by the detector", [row.undetected for row in rows]),
    ]
    return [(title, counts) for title, counts in columns if any(counts)]
