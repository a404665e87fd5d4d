"""The histogram in a threshold preview: bars of frames by logit, on log scales, cut at the threshold.

Colours are of the palette by Okabe and Ito, which colour-blind people can tell apart: https://jfly.uni-koeln.de/color/.
"""

import math
from functools import cache
from typing import Any, Final

from PIL import ImageDraw, ImageFont

from miner_assets.logic.threshold_preview import (
    ABOVE,
    BELOW,
    BIN_WIDTH,
    HIGHEST,
    LOWEST,
    VETOED,
    ClassPreview,
    logit,
)
from miner_resources.drawing import DROPPED, KEPT
from miner_resources.palette import Color

SIDES: Final[dict[str, Color]] = {ABOVE: KEPT, VETOED: (204, 121, 167), BELOW: DROPPED}
"""Colour of each side of the threshold, in histograms and around tiles."""
GRID: Final[Color] = (58, 62, 71)
INK: Final[Color] = (236, 238, 242)
DIM: Final[Color] = (160, 166, 177)

_LINE: Final[Color] = (255, 255, 255)
_PLOT: Final[Color] = (37, 40, 47)
_COUNTS: Final = 36
"""Room for the numbers left of a histogram, px."""
_AXIS: Final = 18
"""Room for the scores under it, and for that of the threshold over it."""
_TICKS: Final = (0.00001, 0.0001, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)


def draw_chart(draw: ImageDraw.ImageDraw, counted: ClassPreview, box: tuple[int, int, int, int]) -> None:
    """Draw the histogram of a class.

    Args:
        draw: what to draw on.
        counted: the class.
        box: left, top, width and height, px.
    """
    edge, top, whole, height = box
    left, right = edge + _COUNTS, edge + whole
    width, ceiling, floor = right - left, top + _AXIS, top + height - _AXIS
    draw.rectangle((left, ceiling, right, floor), _PLOT)
    reaching = counted.histogram[ABOVE] + counted.histogram[VETOED]
    tallest = max(1, int((reaching + counted.histogram[BELOW]).max()))

    def level(count: int) -> int:
        # Of 1 + count, so that no frame is no bar and one frame is a bar that can be seen beside a million.
        return round(floor - math.log1p(count) / math.log1p(tallest) * (floor - ceiling - 4))

    for count in (10**power for power in range(len(str(tallest)))):
        draw.line((left, level(count), right, level(count)), GRID)
        draw.text((left - 5, level(count)), _short_number(count), DIM, font(11), anchor="rm")
    line = _place_of(logit(counted.threshold), left, width)
    for number in range(len(reaching)):
        start = _place_of(LOWEST + number * BIN_WIDTH, left, width)
        end = _place_of(LOWEST + (number + 1) * BIN_WIDTH, left, width) - 1
        # The bin of the threshold is cut there: what is below stays left of the line, what reaches it right of it.
        spans = {BELOW: (start, min(end, line - 1)), VETOED: (max(start, line), end), ABOVE: (max(start, line), end)}
        heights = {BELOW: counted.histogram[BELOW], VETOED: reaching, ABOVE: counted.histogram[ABOVE]}
        for side, (first, last) in spans.items():
            count = int(heights[side][number])
            if count:
                first = min(first, last - 1) if side == BELOW else first
                draw.rectangle((first, level(count), max(last, first + 1), floor), SIDES[side])
    for score in _TICKS:
        place = _place_of(logit(score), left, width)
        draw.line((place, floor, place, floor + 3), DIM)
        draw.text((place, floor + 11), f"{score:g}", DIM, font(11), anchor="mm")
    draw.line((line, ceiling, line, floor), _LINE, 2)
    text = f"{counted.threshold:g}"
    half = font(12).getlength(text) / 2
    draw.text((min(max(line, left + half), right - half), top + 8), text, _LINE, font(12), anchor="mm")


@cache
def font(size: int) -> Any:  # noqa: ANN401 (Pillow's two font classes share no base)
    """Pillow's own typeface at a size in px."""
    return ImageFont.load_default(size)


def _place_of(logit_value: float, left: float, width: float) -> int:
    """Pixel column of a logit in a histogram whose plot begins at `left`."""
    share = (min(max(logit_value, LOWEST), HIGHEST) - LOWEST) / (HIGHEST - LOWEST)
    return round(left + share * width)


def _short_number(count: int) -> str:
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if count >= size:
            return f"{count // size}{unit}"
    return str(count)
