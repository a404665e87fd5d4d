"""Questions that pages ask of the index: which frames meet a filter, which groups of near-duplicates there are."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Final, Literal, cast, get_args
from urllib.parse import urlencode

import numpy as np
import numpy.typing as npt
import polars as pl

from miner_assets.explore.index import ACROSS, IN_VIDEO, Fate, ProjectIndex
from miner_resources.errors import InvalidData

Rows = npt.NDArray[np.uint32]
Order = Literal["time", "score", "doubtful", "boxes"]
GroupOrder = Literal["largest", "doubtful", "time"]

CACHED_ANSWERS: Final = 64
_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "show": ("", "all", *(fate.value for fate in Fate)),
    "boxes": ("", "yes", "no"),
    "order": get_args(Order),
}


@dataclass(frozen=True)
class Filters:
    """What to show; empty texts and None stand for "any". The fields are the parameters of addresses.

    Attributes:
        show: a `Fate` or "all".
        reason: why a frame was rejected or is a repeat.
        cls: a class: the filter's best guess, or that of a sure box.
        min: lowest score of the filter, 0 to 1.
        max: highest score.
    """

    show: str = ""
    reason: str = ""
    cls: str = ""
    video: str = ""
    keyword: str = ""
    split: str = ""
    boxes: str = ""
    min: float | None = None
    max: float | None = None
    order: str = "time"

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> "Filters":
        """Read the parameters of an address; unknown ones are passed over.

        Raises:
            InvalidData: a value is none of those that are allowed.
        """
        values: dict[str, str | float | None] = {}
        for name in (field.name for field in fields(cls)):
            text = query.get(name, "").strip()
            if not text:
                continue
            if name in _CHOICES and text not in _CHOICES[name]:
                raise InvalidData(f"{name}={text[:40]!r}", remedy=f"choose one of {', '.join(_CHOICES[name])}")
            values[name] = _number(name, text) if name in ("min", "max") else text
        return cls(**values)  # pyright: ignore[reportArgumentType] (names and types are those of the fields)

    def query(self, **changes: object) -> str:
        """The parameters of an address with these filters and some `changes`, without what is usual."""
        values = {field.name: getattr(self, field.name) for field in fields(self)} | changes
        kept = {name: value for name, value in values.items() if value not in ("", None)}
        if kept.get("order") == "time":
            del kept["order"]
        return urlencode(kept)

    @property
    def is_narrow(self) -> bool:
        """Whether anything but what became of frames is asked for."""
        return self != Filters(show=self.show, order=self.order)


@dataclass(frozen=True)
class Group:
    """Near-duplicates: the frame that was kept, and its repeats by falling similarity."""

    root: int
    rows: list[int]


class Queries:
    """Answers about one index, remembered while it lasts. `version` differs between indexes of a project."""

    def __init__(self, index: ProjectIndex, version: int = 0) -> None:
        self.index = index
        self.version = version
        self.select = lru_cache(CACHED_ANSWERS)(self._select)
        self.groups = lru_cache(CACHED_ANSWERS)(self._groups)
        self.counts = lru_cache(CACHED_ANSWERS)(self._counts)

    def _select(self, filters: Filters) -> Rows:
        """Rows of the frames that meet the filters, in their order."""
        found = self._narrowed(filters)
        if filters.show in set(Fate):
            found = found.filter(pl.col("fate") == filters.show)
        return found["row"].to_numpy() if filters.order == "time" else _sorted(found, cast("Order", filters.order))

    def _counts(self, filters: Filters) -> dict[str, int]:
        """Fate → how many frames meet all other filters; "all" → their sum."""
        found = dict(self._narrowed(filters).group_by("fate").len().iter_rows())
        counted = {fate.value: int(found.get(fate.value, 0)) for fate in Fate}
        return {"all": sum(counted.values()), **counted}

    def _narrowed(self, filters: Filters) -> pl.DataFrame:
        """All but `show` and `order`."""
        tests: list[pl.Expr] = [
            pl.col(column) == value
            for column, value in (
                ("reason", filters.reason),
                ("video_id", filters.video),
                ("keyword", filters.keyword),
                ("split", filters.split),
            )
            if value
        ]
        if filters.cls:
            boxes = self.index.boxes.filter(pl.col("sure") & (pl.col("category") == filters.cls))["row"]
            tests.append((pl.col("best_class") == filters.cls) | pl.col("row").is_in(boxes.unique().implode()))
        if filters.min is not None:
            tests.append(pl.col("score") >= filters.min)
        if filters.max is not None:
            tests.append(pl.col("score") <= filters.max)
        if filters.boxes:
            tests.append(pl.col("boxes") > 0 if filters.boxes == "yes" else pl.col("boxes") == 0)
        return self.index.frames.filter(*tests) if tests else self.index.frames

    def _groups(self, order: GroupOrder, reason: str = "", video: str = "") -> list[Group]:
        """Groups of more than one frame.

        Args:
            order: most frames first, least similar repeat first, or as their first frames come.
            reason: only groups with a repeat inside its video (`IN_VIDEO`) or of another one (`ACROSS`).
            video: only groups with a frame of this video.
        """
        frames = self.index.frames.filter(pl.col("copies") > 1).sort("similarity", descending=True, nulls_last=False)
        wanted = [pl.lit(True)]
        if reason:
            wanted.append((pl.col("reason") == reason).any())
        if video:
            wanted.append((pl.col("video_id") == video).any())
        found = frames.group_by("root").agg(
            pl.col("row"), pl.len().alias("size"), pl.col("similarity").min(), pl.all_horizontal(wanted).alias("wanted")
        )
        keys = {"largest": ["size"], "doubtful": ["similarity"], "time": []}[order]
        descending = [key == "size" for key in keys] + [False]
        chosen = found.filter("wanted").sort(*keys, "root", descending=descending)
        return [Group(int(root), rows) for root, rows in chosen.select("root", "row").iter_rows()]

    def group(self, row: int) -> Group:
        """The near-duplicates of a frame, with itself; alone if it has none."""
        root = self.index.frames["root"][row]
        if root is None:
            return Group(row, [row])
        members = self.index.frames.filter(pl.col("root") == root)
        return Group(int(root), members.sort("similarity", descending=True, nulls_last=False)["row"].to_list())


def start_with(filters: Filters, counts: Mapping[str, int]) -> Filters:
    """What to show to somebody who did not say: unique frames if there are any."""
    if filters.show:
        return filters
    return replace(filters, show=Fate.UNIQUE.value if counts[Fate.UNIQUE.value] else "all")


def reasons(index: ProjectIndex) -> dict[str, int]:
    """Why frames are not unique → how many."""
    found = dict(index.frames.group_by("reason").len().drop_nulls().sort("len", descending=True).iter_rows())
    return {str(reason): int(count) for reason, count in found.items()}


def reason_text(reason: str) -> str:
    """A reason as people say it."""
    known = {
        IN_VIDEO: "repeat in its video",
        ACROSS: "repeat of another video",
        "below_threshold": "below the threshold",
        "negative_prompt": "closer to a negative prompt",
    }
    return known.get(reason, reason.replace("_", " "))


def _sorted(found: pl.DataFrame, order: Order) -> Rows:
    if order == "doubtful":
        # The least sure of what was kept, the nearly kept of what was not, the least similar of the repeats.
        doubt = (
            pl.when(pl.col("fate") == Fate.REPEAT.value)
            .then(pl.col("similarity"))
            .when(pl.col("fate") == Fate.REJECTED.value)
            .then(1 - pl.col("score"))
            .otherwise(pl.col("score"))
        )
        return found.sort(doubt, "row", nulls_last=True)["row"].to_numpy()
    column = "boxes" if order == "boxes" else "score"
    return found.sort(column, "row", descending=[True, False], nulls_last=True)["row"].to_numpy()


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:
        raise InvalidData(f"{name}={text[:40]!r}", remedy="give a score from 0 to 1")
    return value
