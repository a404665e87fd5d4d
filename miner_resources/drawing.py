"""What is drawn for people: contact sheets, their captions, and the font of all drawing."""

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from miner_resources.errors import InvalidData
from miner_resources.images import resized
from miner_resources.palette import OKABE_ITO, SHEET, Color
from miner_resources.records import Rgb

KEPT: Final = OKABE_ITO[1]
"""Sky blue; `DROPPED` is orange."""
DROPPED: Final = OKABE_ITO[0]

_CAPTION: Final[Color] = (225, 228, 234)
_BLACK: Final[Color] = (0, 0, 0)
_TALLEST_TILE: Final = 1.25


def contact_sheet(tiles: Sequence[tuple[Rgb, str, bool]], columns: int = 6, tile_width: int = 240) -> Rgb:
    """Lay pictures out in a grid, for a person to judge a stage at a glance.

    Args:
        tiles: (picture, caption, kept); kept ones get a blue border, dropped ones an orange one.
        columns: tiles in a row.
        tile_width: px; pictures are fitted to it, and to 1.25 times as much in height.

    Raises:
        InvalidData: there are no tiles.
    """
    if not tiles:
        raise InvalidData("a contact sheet needs at least one picture", remedy="skip the sheet for an empty stage")
    gap = max(6, tile_width // 24)
    rows = [_sheet_row(tiles[start : start + columns], tile_width, gap) for start in range(0, len(tiles), columns)]
    height = gap + sum(row.height + gap for row in rows)
    sheet = Image.new("RGB", (gap + min(columns, len(tiles)) * (tile_width + gap), height), SHEET)
    top = gap
    for row in rows:
        sheet.paste(row, (gap, top))
        top += row.height + gap
    return np.asarray(sheet)


def load_font(size: int) -> ImageFont.FreeTypeFont:
    """The font of all drawing, which Pillow brings along; `size` in px."""
    font = ImageFont.load_default(size=size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise InvalidData("Pillow was built without FreeType", remedy="install Pillow from its wheel")
    return font


def shorten(text: str, width: int, measure: Callable[[str], float]) -> str:
    """`text`, cut with an ellipsis where it is wider than `width`."""
    if measure(text) <= width:
        return text
    while text and measure(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"


def _fitted(rgb: Rgb, width: int, height: int) -> Image.Image:
    scale = min(width / rgb.shape[1], height / rgb.shape[0])
    new_height, new_width = (max(1, round(side * scale)) for side in rgb.shape[:2])
    return Image.fromarray(resized(rgb, new_width, new_height))


def _sheet_row(tiles: Sequence[tuple[Rgb, str, bool]], tile_width: int, gap: int) -> Image.Image:
    """One row of a contact sheet, as high as its tallest picture needs."""
    border = max(3, tile_width // 60)
    font = load_font(max(11, tile_width // 17))
    inner = tile_width - 2 * border
    tallest = max(rgb.shape[0] / rgb.shape[1] for rgb, _, _ in tiles)
    inner_height = max(1, round(inner * min(_TALLEST_TILE, tallest)))
    tile_height = inner_height + 2 * border
    width, height = len(tiles) * (tile_width + gap) - gap, tile_height + math.ceil(font.size * 1.7)
    row = Image.new("RGB", (width, height), SHEET)
    draw = ImageDraw.Draw(row)
    for left, (rgb, caption, kept) in zip(range(0, width, tile_width + gap), tiles, strict=True):
        draw.rectangle((left, 0, left + tile_width - 1, tile_height - 1), _BLACK, KEPT if kept else DROPPED, border)
        picture = _fitted(rgb, inner, inner_height)
        row.paste(picture, (left + (tile_width - picture.width) // 2, (tile_height - picture.height) // 2))
        text = shorten(caption, inner, font.getlength)
        draw.text((left + border, (tile_height + height) // 2), text, _CAPTION, font, anchor="lm")
    return row
