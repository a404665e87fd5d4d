"""The picture of a threshold preview: for each class a histogram of its scores and the frames around its threshold."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from PIL import Image, ImageDraw

from miner_assets.logic.threshold_preview import ABOVE, BELOW, VETOED, ClassPreview, ShownFrame, ThresholdPreview
from miner_assets.score_chart import DIM, GRID, INK, SIDES, draw_chart, font
from miner_resources.images import encode_image
from miner_resources.palette import SHEET, Color
from miner_resources.records import Rgb, Stage
from miner_resources.storage import Storage
from miner_resources.thumbnails import read_thumbnail

WIDTH: Final = 1200
COLUMNS: Final = 4

_MARGIN: Final = 16
_GAP: Final = 8
_CHART: Final = 372
_TILE: Final = (WIDTH - 3 * _MARGIN - _CHART - (COLUMNS - 1) * _GAP) // COLUMNS
_TALLEST: Final = 142
"""Pictures are fitted into tiles of four to three; wider ones make their row lower."""
_BORDER: Final = 3
_CAPTION: Final = 34
_TITLE: Final = 30
_CHART_HEIGHTS: Final = (120, 230)


@dataclass(frozen=True)
class _Tile:
    """A shown frame with its pixels and its time."""

    frame: ShownFrame
    picture: Image.Image
    timestamp_s: float


def threshold_sheet(title: str, preview: ThresholdPreview, frames: pl.DataFrame, root: Path) -> tuple[Rgb, int]:
    """Draw the classes of `preview.pictured`, one under the other.

    Args:
        title: the first line.
        preview: what to draw.
        frames: of the shown frames `video_id`, `frame_index`, `timestamp_s` and `path`; it may hold more.
        root: folder that the paths are relative to.

    Returns:
        the picture, `WIDTH` px wide, and how many frames are left out because their picture cannot be read.
    """
    classes = [counted for counted in preview.classes if counted.name in preview.pictured]
    wanted = list(dict.fromkeys((shown.video_id, shown.frame_index) for counted in classes for shown in counted.shown))
    pictures = _read(wanted, frames, root)
    blocks = [_header(title, preview)]
    for counted in classes:
        found = [(shown, pictures.get((shown.video_id, shown.frame_index))) for shown in counted.shown]
        blocks.append(_block(counted, [_Tile(shown, *picture) for shown, picture in found if picture]))
    sheet = Image.new("RGB", (WIDTH, sum(block.height + _MARGIN for block in blocks)), SHEET)
    top = _MARGIN // 2
    for block in blocks:
        sheet.paste(block, (0, top))
        top += block.height + _MARGIN
    return np.asarray(sheet), len(wanted) - len(pictures)


def video_sheet(storage: Storage, video_id: str, preview: ThresholdPreview, frames: pl.DataFrame) -> Path | None:
    """Write the contact sheet of the filter for one video.

    Args:
        storage: where to.
        video_id: the video.
        preview: of its frames.
        frames: as in `threshold_sheet`.

    Returns:
        the picture's path, None for a video without frames.
    """
    if not preview.frames:
        return None
    rgb, _ = threshold_sheet(f"{video_id}: {preview.frames:,} frames", preview, frames, storage.root)
    target = storage.contact_sheet(Stage.FILTER, video_id)
    with storage.publish_file(target) as temporary:
        temporary.write_bytes(encode_image(rgb, "jpg", 85))
    return target


def score_text(score: float) -> str:
    """A score with two digits where they tell something, more near 0 and 1."""
    if 0.01 <= score < 0.995:
        return f"{score:.2f}"
    if score >= 0.99995:
        return ">0.9999"
    return f"{score:.4f}" if score >= 0.0001 else f"{score:.0e}"


def _read(
    wanted: Sequence[tuple[str, int]], frames: pl.DataFrame, root: Path
) -> dict[tuple[str, int], tuple[Image.Image, float]]:
    """Small pictures and times of frames; those that cannot be read are absent."""
    keys = pl.DataFrame(wanted, {"video_id": pl.String, "frame_index": pl.Int64}, orient="row")
    rows = frames.join(keys, on=["video_id", "frame_index"], how="semi")
    pictures: dict[tuple[str, int], tuple[Image.Image, float]] = {}
    for row in rows.iter_rows(named=True):
        small = read_thumbnail(root / row["path"], _TILE - 2 * _BORDER, _TALLEST)
        if small is not None:
            pictures[row["video_id"], row["frame_index"]] = Image.fromarray(small), row["timestamp_s"]
    return pictures


def _header(title: str, preview: ThresholdPreview) -> Image.Image:
    block = Image.new("RGB", (WIDTH, 50), SHEET)
    draw = ImageDraw.Draw(block)
    title = _shortened(title, WIDTH // 2 - _MARGIN, 20)
    draw.text((_MARGIN, 12), title, INK, font(20), anchor="lm")
    left_out = len(preview.classes) - len(preview.pictured)
    if left_out:
        text = (
            f"{len(preview.pictured)} of {len(preview.classes)} classes: those with most frames near or above "
            "their threshold"
        )
        draw.text((WIDTH - _MARGIN, 12), text, DIM, font(13), anchor="rm")
    left = _MARGIN
    legend = {
        ABOVE: "reaches the threshold: kept",
        VETOED: "reaches it, but a negative prompt fits better: dropped",
        BELOW: "below: dropped, unless kept as another class",
    }
    for side, text in legend.items():
        left = _swatch(draw, left, 38, SIDES[side], text, 13) + 22
    draw.text((WIDTH - _MARGIN, 38), "bars: frames by score, both on log scales", DIM, font(13), anchor="rm")
    return block


def _block(counted: ClassPreview, tiles: Sequence[_Tile]) -> Image.Image:
    """One class: title, histogram, tiles."""
    inner = max((tile.picture.height for tile in tiles), default=_TALLEST)
    step = inner + 2 * _BORDER + _CAPTION + _GAP
    rows = math.ceil(len(tiles) / COLUMNS)
    least, most = _CHART_HEIGHTS
    chart = min(max(rows * step - _GAP, least), most)
    block = Image.new("RGB", (WIDTH, _TITLE + max(rows * step - _GAP, chart)), SHEET)
    draw = ImageDraw.Draw(block)
    draw.line((_MARGIN, 0, WIDTH - _MARGIN, 0), GRID)
    _draw_title(draw, counted)
    draw_chart(draw, counted, (_MARGIN, _TITLE, _CHART, chart))
    for number, tile in enumerate(tiles):
        row, column = divmod(number, COLUMNS)
        corner = (2 * _MARGIN + _CHART + column * (_TILE + _GAP), _TITLE + row * step)
        _draw_tile(block, draw, tile, corner, inner + 2 * _BORDER)
    if not tiles:
        text = "no frame to show"
        draw.text((2 * _MARGIN + _CHART, _TITLE + chart // 2), text, DIM, font(13), anchor="lm")
    return block


def _draw_title(draw: ImageDraw.ImageDraw, counted: ClassPreview) -> None:
    middle = _TITLE // 2 + 1
    name = _shortened(counted.name, _CHART, 17)
    draw.text((_MARGIN, middle), name, INK, font(17), anchor="lm")
    left = max(2 * _MARGIN + _CHART, _MARGIN + math.ceil(font(17).getlength(name)) + 24)
    threshold = f"threshold {counted.threshold:g}"
    draw.text((left, middle), threshold, INK, font(14), anchor="lm")
    left += math.ceil(font(14).getlength(threshold)) + 26
    for side, count in ((ABOVE, counted.above), (VETOED, counted.vetoed), (BELOW, counted.below)):
        left = _swatch(draw, left, middle, SIDES[side], f"{count:,} {side}", 14) + 20
    if counted.median is not None:
        draw.text((left + 6, middle), f"median score {score_text(counted.median)}", DIM, font(14), anchor="lm")


def _draw_tile(
    block: Image.Image, draw: ImageDraw.ImageDraw, tile: _Tile, corner: tuple[int, int], height: int
) -> None:
    left, top = corner
    frame, picture = tile.frame, tile.picture
    draw.rectangle((left, top, left + _TILE - 1, top + height - 1), (0, 0, 0), SIDES[frame.side], _BORDER)
    block.paste(picture, (left + (_TILE - picture.width) // 2, top + (height - picture.height) // 2))
    note = f"as {frame.kept_as}" if frame.kept_as and frame.side != ABOVE else ""
    middle = top + height + 10
    score, time = score_text(frame.score), f"{tile.timestamp_s:.1f} s"
    draw.text((left + 2, middle), score, INK, font(14), anchor="lm")
    room = _TILE - 4 - font(14).getlength(score) - 8 - font(12).getlength(time) - 8
    text = _shortened(note, math.floor(room), 12)
    draw.text((left + 2 + font(14).getlength(score) + 8, middle), text, SIDES[ABOVE], font(12), anchor="lm")
    draw.text((left + _TILE - 2, middle), time, DIM, font(12), anchor="rm")
    text = _shortened(frame.video_id, _TILE - 4, 11)
    draw.text((left + 2, middle + 15), text, DIM, font(11), anchor="lm")


def _swatch(draw: ImageDraw.ImageDraw, left: int, middle: int, color: Color, text: str, size: int) -> int:
    """A coloured square and what it means; returns where it ends."""
    half = size // 2 - 1
    draw.rectangle((left, middle - half, left + 2 * half, middle + half), color)
    start = left + 2 * half + 7
    draw.text((start, middle), text, INK, font(size), anchor="lm")
    return start + math.ceil(font(size).getlength(text))


def _shortened(text: str, width: int, size: int) -> str:
    measure = font(size).getlength
    if measure(text) <= width:
        return text
    while text and measure(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"
