"""The chart of a threshold grid: what is left at each step, as one threshold varies."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from miner_assets.logic.threshold_grid import KEPT, KEYS, Counted
from miner_assets.score_chart import DIM, GRID, INK, font
from miner_resources.palette import OKABE_ITO, SHEET, Color
from miner_resources.records import Rgb

WIDTH: Final = 1100

_PANEL: Final = 270
_SIDE: Final = 64
_TOP: Final = 46
_FOOT: Final = 34
_COLORS: Final[tuple[Color, ...]] = (OKABE_ITO[1], OKABE_ITO[2], OKABE_ITO[0])


def threshold_chart(counted: Mapping[str, Sequence[Counted]]) -> Rgb:
    """Draw a panel for each threshold, with a dashed line where it is now.

    Args:
        counted: axis → its rows, ascending. Counts are on a log scale; a hollow mark is an estimate or a lower bound.
    """
    axes = {axis: rows for axis, rows in counted.items() if rows}
    image = Image.new("RGB", (WIDTH, _PANEL * len(axes)), SHEET)
    draw = ImageDraw.Draw(image)
    for place, (axis, rows) in enumerate(axes.items()):
        _Panel(draw, place * _PANEL, rows).draw(axis)
    return np.asarray(image)


class _Panel:
    def __init__(self, draw: ImageDraw.ImageDraw, top: int, rows: Sequence[Counted]) -> None:
        self._draw = draw
        self._rows = rows
        self._ceiling, self._floor = top + _TOP, top + _PANEL - _FOOT
        self._low, self._high = rows[0].threshold, rows[-1].threshold
        self._most = max([1, *(count for row in rows for count in (row.kept, row.images, row.boxes) if count)])
        self._taken: list[tuple[float, float, float, float]] = []

    def draw(self, axis: str) -> None:
        """Axes, the threshold as it is, then a line for each count."""
        self._legend(axis)
        for count in (10**power for power in range(len(str(self._most)))):
            level = self._y(count)
            self._draw.line((_SIDE, level, WIDTH - _SIDE, level), GRID)
            self._draw.text((_SIDE - 8, level), f"{count:,}", DIM, font(12), anchor="rm")
        self._draw.line((_SIDE, self._floor, WIDTH - _SIDE, self._floor), GRID)
        for row in sorted(self._rows, key=lambda row: not row.current):
            self._value(row)
        for row in self._rows:
            if row.current:
                for y in range(self._ceiling, self._floor, 8):
                    self._draw.line((self._x(row), y, self._x(row), y + 4), INK)
        series = (
            ([row.kept for row in self._rows], [True] * len(self._rows)),
            ([row.images for row in self._rows], [not row.unseen for row in self._rows]),
            ([row.boxes for row in self._rows], [not row.unseen and not row.undetected for row in self._rows]),
        )
        for (counts, sure), color in zip(series, _COLORS, strict=True):
            self._line(counts, sure, color)
        # After all lines, so that none goes through a number.
        for (counts, _), color in zip(series, _COLORS, strict=True):
            self._label(counts, color)

    def _legend(self, axis: str) -> None:
        middle = self._ceiling - 26
        self._draw.text((_SIDE, middle), KEYS[axis], INK, font(16), anchor="lm")
        left = _SIDE + round(font(16).getlength(KEYS[axis])) + 32
        for name, color in zip((KEPT[axis], "images of the dataset", "boxes of the dataset"), _COLORS, strict=True):
            self._draw.ellipse((left, middle - 5, left + 10, middle + 5), color)
            self._draw.text((left + 16, middle), name, INK, font(13), anchor="lm")
            left += 16 + round(font(13).getlength(name)) + 24

    def _value(self, row: Counted) -> None:
        """The threshold under its place, unless that is taken: that of the project comes first."""
        text = f"{row.threshold:g}"
        x, half = self._x(row), font(12).getlength(text) / 2 + 4
        if self._is_free((x - half, self._floor + 1, x + half, self._floor + 20)):
            self._draw.text((x, self._floor + 13), text, INK if row.current else DIM, font(12), anchor="mm")

    def _line(self, counts: Sequence[int | None], sure: Sequence[bool], color: Color) -> None:
        known = [
            (self._x(row), self._y(count), exact)
            for row, count, exact in zip(self._rows, counts, sure, strict=True)
            if count is not None
        ]
        self._draw.line([(x, y) for x, y, _ in known], color, 2)
        for x, y, exact in known:
            self._draw.ellipse((x - 4, y - 4, x + 4, y + 4), color if exact else SHEET, color, 2)
            self._taken.append((x - 4, y - 4, x + 4, y + 4))

    def _label(self, counts: Sequence[int | None], color: Color) -> None:
        """Write where a count changes, above its mark or below it, or nowhere."""
        before: int | None = None
        for row, count in zip(self._rows, counts, strict=True):
            if count is None or (count == before and not row.current):
                continue
            text, x, y = f"{count:,}", self._x(row), self._y(count)
            half = font(12).getlength(text) / 2 + 3
            for middle in (y - 14, y + 14):
                if self._is_free(box := (x - half, middle - 7, x + half, middle + 7)):
                    self._draw.rectangle(box, SHEET)
                    self._draw.text((x, middle), text, color, font(12), anchor="mm")
                    before = count
                    break

    def _is_free(self, box: tuple[float, float, float, float]) -> bool:
        left, top, right, bottom = box
        if any(left < other[2] and other[0] < right and top < other[3] and other[1] < bottom for other in self._taken):
            return False
        self._taken.append(box)
        return True

    def _x(self, row: Counted) -> int:
        span = self._high - self._low
        return round(_SIDE + 24 + (WIDTH - 2 * _SIDE - 48) * ((row.threshold - self._low) / span if span else 0.5))

    def _y(self, count: int) -> int:
        # Of 1 + count, so that nothing has a place, too.
        return round(self._floor - np.log1p(count) / np.log1p(self._most) * (self._floor - self._ceiling - 18))
