"""Boxes with their classes, drawn on a picture of any size so that they can be read on any background.

A line is as wide as the picture asks for and edged in black, so that it shows on its own colour too. Tags are placed in
turn where they cover no tag before them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from miner_resources.drawing import load_font, shorten
from miner_resources.palette import Color, class_colors, ink_on
from miner_resources.records import Rgb

_EDGE: Final[Color] = (0, 0, 0)
_Rectangle = tuple[int, int, int, int]


def draw_boxes(
    rgb: Rgb,
    xyxy: npt.NDArray[np.float32],
    labels: Sequence[str],
    scores: Sequence[float] | None = None,
    colors: Mapping[str, Color] | None = None,
    *,
    tagged: bool = True,
) -> Rgb:
    """Return a copy of a picture with labelled boxes on it.

    Args:
        rgb: the picture.
        xyxy: (N, 4) pixel coordinates x1 y1 x2 y2; what lies outside the picture is cut off.
        labels: one per box.
        scores: one per box, 0 to 1.
        colors: label → colour; None: those of `class_colors` for these labels.
        tagged: whether to write the labels.
    """
    image = Image.fromarray(rgb)
    pen = _Pen(ImageDraw.Draw(image), image.size)
    chosen = class_colors(sorted(set(labels))) if colors is None else colors
    limit = np.array([image.width, image.height] * 2)
    tags: list[tuple[_Rectangle, str, Color]] = []
    for number, (box, label) in enumerate(zip(xyxy, labels, strict=True)):
        left, top, right, bottom = (round(float(value)) for value in np.clip(box, 0, limit))
        if right <= left or bottom <= top:
            continue
        inside = (left, top, max(left, right - 1), max(top, bottom - 1))
        pen.outline(inside, chosen[label])
        tags.append((inside, label if scores is None else f"{label} {scores[number]:.2f}", chosen[label]))
    taken: list[_Rectangle] = []
    for inside, text, color in tags if tagged else ():  # after all lines, so that none goes through a text
        taken.append(pen.tag(inside, text, color, taken))
    return np.asarray(image)


@dataclass
class _Pen:
    """Draws on one picture, in sizes that suit it."""

    draw: ImageDraw.ImageDraw
    size: tuple[int, int]

    @property
    def thickness(self) -> int:
        return max(2, round(max(self.size) / 400))

    @property
    def font(self) -> ImageFont.FreeTypeFont:
        return load_font(max(11, round(max(self.size) / 60)))

    def outline(self, box: _Rectangle, color: Color) -> None:
        edge = max(1, self.thickness // 2)
        outer = (box[0] - edge, box[1] - edge, box[2] + edge, box[3] + edge)
        self.draw.rectangle(outer, outline=_EDGE, width=edge)
        self.draw.rectangle(box, outline=color, width=self.thickness)

    def tag(self, box: _Rectangle, text: str, color: Color, taken: Sequence[_Rectangle]) -> _Rectangle:
        """Write `text` on its colour at a corner of its box; returns where."""
        font = self.font
        pad = max(2, round(font.size / 5))
        text = shorten(text, self.size[0] - 2 * pad, font.getlength)
        width, height = math.ceil(font.getlength(text)) + 2 * pad, math.ceil(font.size * 1.2) + 2 * pad
        left, top = self._place(box, (width, height), taken)
        area = (left, top, left + width - 1, top + height - 1)
        self.draw.rectangle(area, fill=color)
        self.draw.text((left + pad, top + height / 2), text, ink_on(color), font, anchor="lm")
        return area

    def _place(self, box: _Rectangle, size: tuple[int, int], taken: Sequence[_Rectangle]) -> tuple[int, int]:
        """Above the box, else inside at its top, below it, or inside at its bottom: the first that is free."""
        (left, top, _, bottom), (width, height) = box, size
        left = max(0, min(left, self.size[0] - width))
        lowest = max(0, self.size[1] - height)
        tops = [top - height, top, bottom + 1, bottom - height + 1]
        inside = [place for place in tops if 0 <= place <= lowest] or [max(0, min(top, lowest))]
        free = [place for place in inside if not any(_overlap((left, place, *size), other) for other in taken)]
        return left, (free or inside)[0]


def _overlap(placed: _Rectangle, other: _Rectangle) -> bool:
    left, top, width, height = placed
    return left <= other[2] and other[0] < left + width and top <= other[3] and other[1] < top + height
