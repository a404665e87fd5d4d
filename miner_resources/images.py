"""Pictures: read, write, resize and measure.

All pictures are uint8 RGB arrays (H, W, 3). JPEG goes through libjpeg-turbo directly, which saves the copies that
Pillow makes; other formats use Pillow. To support another file format: add it to `encode_image` and
to the config's `image_format`.
"""

import io
import itertools
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import simplejpeg
from PIL import Image

from miner_resources.errors import InvalidData
from miner_resources.records import Rgb
from miner_resources.vocabulary import ImageFormat

MAX_PIXELS: Final = 8192 * 8192
"""Larger pictures are refused: 200 MB of pixels, and only decompression bombs are as large as that."""

SHARPNESS_SIDE: Final = 512
"""Sharpness is measured at this size, so that frames of small and large videos compare."""

MAX_FILE_BYTES: Final = 256_000_000

MAX_SCANS: Final = 200
"""Progressive JPEGs have about ten scans. Each costs a walk over the whole picture, and a few bytes of file."""

_FORMATS: Final = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""What Pillow may read: others start programs (EPS) or are rarely tried."""

_SCAN: Final = re.compile(b"\xff\xda")
_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as in JPEG
_UNREADABLE: Final = (OSError, SyntaxError, EOFError, Image.DecompressionBombError, Image.DecompressionBombWarning)


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
        if data.startswith(b"\xff\xd8\xff"):
            _check_scans(data)
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
    return resized(rgb, max(1, round(width * scale)), max(1, round(height * scale)))


def resized(rgb: Rgb, width: int, height: int) -> Rgb:
    """The picture at another size, antialiased."""
    # reducing_gap first shrinks by a whole factor, which saves half the time where much is shrunk.
    image = Image.fromarray(rgb).resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return np.asarray(image)


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


def _decode_jpeg(data: bytes) -> Rgb:
    height, width, space, _ = simplejpeg.decode_jpeg_header(data)
    _check_size(int(width), int(height))
    _check_scans(data)
    if space in ("CMYK", "YCCK"):
        return _decode_with_pillow(data)
    return simplejpeg.decode_jpeg(data, colorspace="RGB")


def _decode_with_pillow(data: bytes) -> Rgb:
    with open_picture(data) as image:
        if image.has_transparency_data:
            opaque = Image.new("RGBA", image.size, (0, 0, 0, 255))
            return np.asarray(Image.alpha_composite(opaque, image.convert("RGBA")).convert("RGB"))
        return np.asarray(image.convert("RGB"))


def _bytes_of(path: Path) -> bytes:
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(f"more than {MAX_FILE_BYTES} bytes")
    return path.read_bytes()


def _check_scans(data: bytes) -> None:
    # A regular expression finds them in a third of the time of `bytes.count`, and need not go on to the end.
    if next(itertools.islice(_SCAN.finditer(data), MAX_SCANS, None), None):
        raise ValueError(f"a JPEG of more than {MAX_SCANS} scans")


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width}x{height} px are more than the limit of {MAX_PIXELS} pixels")
