"""What is different between two versions of a dataset, and why: pictures, boxes, splits, totals by class.

Why a picture is not there is what the stages decided about its frame then (`decisions`), together with the settings
that differ. `commands/dataset_versions.py` prints the result.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

import polars as pl

from miner_assets.logic.box_matching import Box, match_boxes
from miner_assets.logic.coco_format import Coco, Image
from miner_resources.records import Json

KEPT: Final = "kept"

_SAID: Final = {
    "repeats_in_video": "repeats {of} of its video",
    "repeats_other_video": "repeats {of}",
    "unlabelled": "no detector has looked at its video",
    "pending": "not compared with other videos yet",
    "negative_prompt": "looks more like a negative prompt",
    "below_threshold": "no class scores enough",
    KEPT: "its video was left out",
}
_DECIDES: Final = {
    "repeats_in_video": ("dedup.", "filter.", "classes", "extraction."),
    "repeats_other_video": ("dedup.", "filter.", "classes", "extraction."),
    "unlabelled": ("detection.",),
    "not_sampled": ("extraction.",),
    KEPT: ("rights", "dataset."),
}
_FILTER: Final = ("filter.", "classes")


@dataclass(frozen=True)
class Side:
    """One of the two versions.

    Attributes:
        decisions: `DECISIONS_SCHEMA`.
        config: the settings it was made with.
    """

    coco: Coco
    decisions: pl.DataFrame
    config: Mapping[str, Json]


@dataclass(frozen=True)
class FrameChange:
    """A picture that only one version has. `code` groups what has the same cause, `why` says it in words."""

    frame_id: str
    file_name: str
    split: str
    code: str
    why: str


@dataclass(frozen=True)
class BoxChange:
    """A box that only one version has, or that is another one now. `what` is added, removed or changed."""

    what: str
    file_name: str
    before: Box | None
    after: Box | None
    why: str


@dataclass(frozen=True)
class VersionDiff:
    """Everything that is different.

    Attributes:
        settings: dotted key → (before, after).
        moved: file name → (split before, split after).
        repainted: file names of pictures whose bytes differ.
        with_frames: boxes that came or went with their pictures: (added, removed).
        totals: class → (boxes before, boxes after).
        counts: what is counted → (before, after).
    """

    settings: dict[str, tuple[Json, Json]]
    added: list[FrameChange]
    removed: list[FrameChange]
    moved: dict[str, tuple[str, str]]
    repainted: list[str]
    boxes: list[BoxChange]
    with_frames: tuple[int, int]
    totals: dict[str, tuple[int, int]]
    counts: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])

    @property
    def is_empty(self) -> bool:
        """Whether both versions hold the same pictures, boxes and splits."""
        return not (self.added or self.removed or self.moved or self.repainted or self.boxes)


def diff_versions(before: Side, after: Side) -> VersionDiff:
    """Compare two versions; pictures are the same if they are the same frame of the same video."""
    old, new = _Indexed(before), _Indexed(after)
    settings = _settings(before.config, after.config)
    common = [name for name in old.images if name in new.images]
    pairs = [(name, old.images[name], new.images[name]) for name in common]
    gone = [name for name in old.images if name not in new.images]
    come = [name for name in new.images if name not in old.images]
    removed = list(_frame_changes(gone, old, new, settings, _why_gone))
    added = list(_frame_changes(come, new, old, settings, _why_come))
    moved = {
        one["file_name"]: (one["split"], other["split"]) for _, one, other in pairs if one["split"] != other["split"]
    }
    repainted = [other["file_name"] for _, one, other in pairs if one["sha256"] != other["sha256"]]
    changes = [change for name in common for change in _box_changes(old, new, name, _BoxRules(after, settings))]
    with_frames = (sum(len(new.boxes[name]) for name in come), sum(len(old.boxes[name]) for name in gone))
    classes = dict.fromkeys([*old.totals, *new.totals])
    totals = {name: (old.totals.get(name, 0), new.totals.get(name, 0)) for name in classes}
    counts = {
        "videos": (len(old.videos), len(new.videos)),
        "pictures": (len(old.images), len(new.images)),
        "boxes": (sum(old.totals.values()), sum(new.totals.values())),
    }
    return VersionDiff(settings, added, removed, moved, repainted, changes, with_frames, totals, counts)


class _Indexed:
    """A version by frame id."""

    def __init__(self, side: Side) -> None:
        names = {video["id"]: video["name"] for video in side.coco["videos"]}
        categories = {category["id"]: category["name"] for category in side.coco["categories"]}
        self.images: dict[str, Image] = {
            f"{names[image['video_id']]}:{image['frame_id']}": image for image in side.coco["images"]
        }
        by_id = {image["id"]: name for name, image in self.images.items()}
        self.videos = {name.rpartition(":")[0] for name in self.images}
        self.boxes: dict[str, list[Box]] = {name: [] for name in self.images}
        self.totals = dict.fromkeys(categories.values(), 0)
        for box in side.coco["annotations"]:
            name = categories[box["category_id"]]
            x, y, w, h = box["bbox"]
            self.boxes[by_id[box["image_id"]]].append(Box(name, (x, y, w, h), box["score"], box["detector"]))
            self.totals[name] += 1
        self._decisions = side.decisions
        self.known = set(side.decisions["video_id"].unique())

    def decisions(self, names: list[str]) -> dict[str, dict[str, Any]]:
        """What was decided about these frames."""
        wanted = pl.DataFrame({"name": names}, schema={"name": pl.String})
        name = pl.concat_str("video_id", pl.lit(":"), "frame_index").alias("name")
        rows = self._decisions.with_columns(name).join(wanted, on="name", how="semi")
        return {row["name"]: row for row in rows.iter_rows(named=True)}


Explain = Callable[["_Indexed", str, Mapping[str, Any] | None], tuple[str, str]]


def _frame_changes(
    names: list[str],
    holder: _Indexed,
    other: _Indexed,
    settings: Mapping[str, tuple[Json, Json]],
    explain: Explain,
) -> Iterator[FrameChange]:
    """Pictures that `holder` has, explained by what `other` decided."""
    decisions = other.decisions(names)
    for name in names:
        image = holder.images[name]
        code, why = explain(other, name, decisions.get(name))
        cause = _causes(settings, _DECIDES.get(code, () if code.endswith("video") else _FILTER))
        yield FrameChange(name, image["file_name"], image["split"], code, f"{why}{cause}")


def _why_gone(after: _Indexed, name: str, decision: Mapping[str, Any] | None) -> tuple[str, str]:
    if decision is not None:
        return _outcome(decision)
    if name.rpartition(":")[0] in after.known:
        return "not_sampled", "not sampled any more"
    return "no_video", "its video is not in the project any more"


def _why_come(before: _Indexed, name: str, decision: Mapping[str, Any] | None) -> tuple[str, str]:
    if decision is not None:
        code, why = _outcome(decision)
        return code, f"before: {why}"
    if name.rpartition(":")[0] in before.known:
        return "not_sampled", "was not sampled before"
    return "new_video", "its video is new"


def _outcome(decision: Mapping[str, Any]) -> tuple[str, str]:
    code = str(decision["outcome"])
    why = _SAID.get(code, code).format(of=decision["duplicate_of"] or "a frame of a video that was taken down")
    if decision["similarity"] is not None:
        return code, f"{why} (similarity {decision['similarity']:.3f})"
    if code not in _SAID or code in ("below_threshold", "negative_prompt"):
        return code, f"{why} ({decision['best_class']} {decision['score']:.3f})"
    return code, why


@dataclass(frozen=True)
class _BoxRules:
    """The settings that say why a box is there or not."""

    after: Side
    settings: Mapping[str, tuple[Json, Json]]

    def gone(self, box: Box) -> str:
        classes, threshold = self.after.config.get("classes"), self._threshold(1)
        if isinstance(classes, Mapping) and box.category not in classes:
            return f"the class {box.category} is not asked for any more"
        if threshold is not None and box.score is not None and box.score < threshold:
            return f"its score {box.score:.3f} is below detection.confidence_threshold {threshold:g}"
        return f"not found again{_causes(self.settings, ('detection.', 'classes'))}"

    def come(self, box: Box) -> str:
        threshold = self._threshold(0)
        if threshold is not None and box.score is not None and box.score < threshold:
            return f"its score {box.score:.3f} was below detection.confidence_threshold {threshold:g}"
        return f"was not found before{_causes(self.settings, ('detection.', 'classes'))}"

    def _threshold(self, side: int) -> float | None:
        pair = self.settings.get("detection.confidence_threshold")
        return float(value) if pair is not None and isinstance(value := pair[side], int | float) else None


def _box_changes(old: _Indexed, new: _Indexed, name: str, rules: _BoxRules) -> Iterator[BoxChange]:
    before, after = old.boxes[name], new.boxes[name]
    if before == after:
        return
    file_name = new.images[name]["file_name"]
    pairs = match_boxes(before, after)
    for i, j in pairs:
        if before[i] != after[j]:
            yield BoxChange("changed", file_name, before[i], after[j], _what_changed(before[i], after[j]))
    for i in sorted(set(range(len(before))) - {i for i, _ in pairs}):
        yield BoxChange("removed", file_name, before[i], None, rules.gone(before[i]))
    for j in sorted(set(range(len(after))) - {j for _, j in pairs}):
        yield BoxChange("added", file_name, None, after[j], rules.come(after[j]))


def _what_changed(before: Box, after: Box) -> str:
    names = ("category", "score", "xywh", "detector")
    words = {"category": "class", "xywh": "place"}
    return ", ".join(words.get(name, name) for name in names if getattr(before, name) != getattr(after, name))


def _causes(settings: Mapping[str, tuple[Json, Json]], prefixes: tuple[str, ...]) -> str:
    found = [f"{key} {one} → {other}" for key, (one, other) in settings.items() if key.startswith(prefixes)]
    shown = [text if len(text) <= 80 else f"{text[:77]}..." for text in found[:3]]
    return f"; {', '.join(shown)}" if prefixes and shown else ""


def _settings(before: Mapping[str, Json], after: Mapping[str, Json]) -> dict[str, tuple[Json, Json]]:
    one, other = dict(_flat(before)), dict(_flat(after))
    keys = sorted({*one, *other})
    return {key: (one.get(key), other.get(key)) for key in keys if one.get(key) != other.get(key)}


def _flat(values: Mapping[str, Json], prefix: str = "") -> Iterator[tuple[str, Json]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(cast("Mapping[str, Json]", value), f"{prefix}{key}.")
        elif key not in ("force", "batch_size"):
            yield f"{prefix}{key}", value
