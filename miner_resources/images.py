"""Pictures: read, write, measure, and lay out for people to look at.

All pictures are uint8 RGB arrays (H, W, 3). JPEG goes through libjpeg-turbo directly, which saves the copies that
Pillow makes; other formats and all drawing use Pillow. To support another file format: add it to `encode_image` and
to the config's `image_format`.
"""

import io
import math
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import simplejpeg
from PIL import Image, ImageDraw, ImageFont

from miner_resources.errors import InvalidData
from miner_resources.palette import SHEET, Color
from miner_resources.records import Rgb
from miner_resources.vocabulary import ImageFormat

MAX_PIXELS: Final = 8192 * 8192
"""Larger pictures are refused: 200 MB of pixels, and only decompression bombs are as large as that."""

SHARPNESS_SIDE: Final = 512
"""Sharpness is measured at this size, so that frames of small and large videos compare."""

KEPT: Final[Color] = (86, 180, 233)
"""Sky blue and, below, orange of the palette by Okabe and Ito, which colour-blind people can tell apart:
https://jfly.uni-koeln.de/color/."""
DROPPED: Final[Color] = (230, 159, 0)

MAX_FILE_BYTES: Final = 256_000_000

MAX_SCANS: Final = 200
"""Progressive JPEGs have about ten scans. Each costs a walk over the whole picture, and a few bytes of file."""

_FORMATS: Final = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""What Pillow may read: others start programs (EPS) or are rarely tried."""

_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as in JPEG
_UNREADABLE: Final = (OSError, SyntaxError, EOFError, Image.DecompressionBombError, Image.DecompressionBombWarning)
_CAPTION: Final[Color] = (225, 228, 234)
_BLACK: Final[Color] = (0, 0, 0)
_TALLEST_TILE: Final = 1.25


def encode_image(rgb: Rgb, image_format: ImageFormat = "jpg", quality: int = 95) -> bytes:
    """Encode a picture as a file.

    Args:
        rgb: the picture.
        image_format: JPEG is written with 4:2:0 chroma; PNG is lossless.
        quality: 1 to 100; no meaning for PNG.
    """
    if image_format == "jpg":
        return simplejpeg.encode_jpeg(np.ascontiguousarray(rgb), quality, colorspace="RGB", colorsubsampling="420")
    buffer = io.BytesIO()
    if image_format == "png":
        Image.fromarray(rgb).save(buffer, "PNG", compress_level=3)  # level 6 is 3 times slower for 5 % of the size
    else:
        Image.fromarray(rgb).save(buffer, "WEBP", quality=quality, method=2)
    return buffer.getvalue()


def write_picture(path: Path, rgb: Rgb) -> None:
    """Write a picture where a person wants it, in the format that its name ends with.

    Raises:
        InvalidData: the name ends otherwise, or the file cannot be written.
    """
    formats: dict[str, ImageFormat] = {".jpg": "jpg", ".jpeg": "jpg", ".png": "png", ".webp": "webp"}
    if path.suffix.lower() not in formats:
        raise InvalidData(f"{path} is no picture", remedy=f"let the name end in one of {', '.join(formats)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_image(rgb, formats[path.suffix.lower()], 88))
    except OSError as error:
        raise InvalidData(f"{path} cannot be written: {error.strerror}", remedy="name another place") from error


def read_image(path: Path) -> Rgb:
    """Read a picture file as RGB: grey becomes three equal channels, transparency is shown on black.

    Raises:
        InvalidData: the file is missing, damaged, no picture, or larger than `MAX_PIXELS`.
    """
    try:
        return decode_image(_bytes_of(path))
    except (OSError, ValueError) as error:
        raise InvalidData(
            f"{path} cannot be read as a picture: {error}", remedy="delete it and run the stage that made it again"
        ) from error


def decode_image(data: bytes) -> Rgb:
    """Decode the bytes of a picture file, as `read_image` does.

    Raises:
        ValueError: they are damaged, no picture, or one larger than `MAX_PIXELS`.
    """
    try:
        return _decode_jpeg(data) if data.startswith(b"\xff\xd8\xff") else _decode_with_pillow(data)
    except _UNREADABLE as error:
        raise ValueError(str(error) or type(error).__name__) from error


@contextmanager
def open_picture(source: Path | bytes) -> Generator[Image.Image]:
    """A picture file of which only the header has been read, one that is not too large.

    Raises:
        ValueError: it is no picture of a known format, or one larger than `MAX_PIXELS`; also while it is decoded.
    """
    try:
        data = _bytes_of(source) if isinstance(source, Path) else source
        if data.count(b"\xff\xda") > MAX_SCANS and data.startswith(b"\xff\xd8\xff"):
            raise ValueError(f"a JPEG of more than {MAX_SCANS} scans")
        if data[:4] == b"RIFF" and data[12:16] == b"VP8X":  # Pillow makes room for the whole canvas when it opens it
            _check_size(*(int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27)))
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            _check_size(*image.size)
            yield image
    except _UNREADABLE as error:
        raise ValueError(str(error) or type(error).__name__) from error


def limit_side(rgb: Rgb, max_side: int | None) -> Rgb:
    """Shrink a picture, antialiased and in proportion, until no side is longer than `max_side`; None: unchanged."""
    height, width = rgb.shape[:2]
    if max_side is None or max(height, width) <= max_side:
        return rgb
    scale = max_side / max(height, width)
    return _resized(rgb, max(1, round(width * scale)), max(1, round(height * scale)))


def sharpness(rgb: Rgb) -> float:
    """How much fine detail a picture has: the variance of the Laplacian of its luma, at `SHARPNESS_SIDE`.

    0 for a plain surface, below about 50 for a blurred picture, hundreds and more for a crisp one (luma 0 to 255).

    Reference: Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000.
    """
    picture = Image.fromarray(rgb).convert("L")
    picture.thumbnail((SHARPNESS_SIDE, SHARPNESS_SIDE), Image.Resampling.BOX, reducing_gap=None)
    luma = np.asarray(picture, np.float32)  # (H, W)
    if min(luma.shape) < 3:
        return 0.0
    around = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
    return float(np.var(around - 4 * luma[1:-1, 1:-1]))


def brightness(rgb: Rgb) -> float:
    """Mean luma, 0 (black) to 1 (white)."""
    height, width, _ = rgb.shape
    # Sums over whole columns first: 20 times faster than over pixels, whose 3 channels are too short a row.
    columns = rgb.reshape(height, width * 3).sum(axis=0, dtype=np.uint64)
    mean = columns.reshape(width, 3).sum(axis=0) / (height * width)
    return float(mean @ _LUMA) / 255


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


def _decode_jpeg(data: bytes) -> Rgb:
    height, width, space, _ = simplejpeg.decode_jpeg_header(data)
    _check_size(int(width), int(height))
    if data.count(b"\xff\xda") > MAX_SCANS:
        raise ValueError(f"a JPEG of more than {MAX_SCANS} scans")
    if space in ("CMYK", "YCCK"):
        return _decode_with_pillow(data)
    return simplejpeg.decode_jpeg(data, colorspace="RGB")


def _decode_with_pillow(data: bytes) -> Rgb:
    with open_picture(data) as image:
        if image.has_transparency_data:
            opaque = Image.new("RGBA", image.size, (*_BLACK, 255))
            return np.asarray(Image.alpha_composite(opaque, image.convert("RGBA")).convert("RGB"))
        return np.asarray(image.convert("RGB"))


def _bytes_of(path: Path) -> bytes:
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(f"more than {MAX_FILE_BYTES} bytes")
    return path.read_bytes()


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width}x{height} px are more than the limit of {MAX_PIXELS} pixels")


def _resized(rgb: Rgb, width: int, height: int) -> Rgb:
    # reducing_gap first shrinks by a whole factor, which saves half the time where much is shrunk.
    image = Image.fromarray(rgb).resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return np.asarray(image)


def _fitted(rgb: Rgb, width: int, height: int) -> Image.Image:
    scale = min(width / rgb.shape[1], height / rgb.shape[0])
    new_height, new_width = (max(1, round(side * scale)) for side in rgb.shape[:2])
    return Image.fromarray(_resized(rgb, new_width, new_height))


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
