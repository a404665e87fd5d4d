"""Reading, writing, resizing and measuring pictures."""

import io
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from miner_resources import images
from miner_resources.errors import InvalidData
from miner_resources.images import brightness, encode_image, limit_side, read_image, sharpness
from miner_resources.records import Rgb
from tests.shared_data import picture, shared_data

GREY = np.full((60, 80, 3), 128, np.uint8)


def smooth(height: int, width: int) -> Rgb:
    y, x = np.mgrid[:height, :width]
    return np.stack([255 * x / width, 255 * y / height, 255 - 255 * x / width], axis=-1).astype(np.uint8)


def stripes(width: int, height: int, period: int) -> Rgb:
    row = (np.arange(width) // period % 2 * 200).astype(np.uint8)
    return np.repeat(np.broadcast_to(row, (height, width))[..., None], 3, axis=2)


@pytest.mark.parametrize(
    ("image_format", "pillow_name", "tolerance"), [("jpg", "JPEG", 3.0), ("png", "PNG", 0.0), ("webp", "WEBP", 4.0)]
)
def test_a_written_picture_can_be_read_again(
    image_format: images.ImageFormat, pillow_name: str, tolerance: float, tmp_path: Path
) -> None:
    rgb = smooth(60, 90)
    path = tmp_path / f"picture.{image_format}"
    path.write_bytes(encode_image(rgb, image_format, quality=95))
    with Image.open(path) as image:
        assert image.format == pillow_name
    read = read_image(path)
    assert (read.dtype, read.shape) == (np.uint8, rgb.shape)
    assert np.abs(read.astype(int) - rgb).mean() <= tolerance


def test_jpeg_has_half_the_chroma_and_obeys_quality() -> None:
    good, poor = encode_image(picture(1), "jpg", 95), encode_image(picture(1), "jpg", 30)
    assert len(poor) < len(good) / 2
    start_of_frame = good.index(b"\xff\xc0")
    assert good[start_of_frame + 11] == 0x22  # luma sampled 2x2 per chroma sample


def test_jpeg_takes_pictures_that_are_not_contiguous() -> None:
    assert encode_image(picture(1)[:, ::-1], "jpg") == encode_image(np.ascontiguousarray(picture(1)[:, ::-1]), "jpg")


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "I;16", "1", "CMYK"])
def test_every_kind_of_picture_becomes_rgb(mode: str, tmp_path: Path) -> None:
    path = tmp_path / ("picture.jpg" if mode == "CMYK" else "picture.png")
    image = (
        Image.new("I;16", (20, 10), 255)
        if mode == "I;16"
        else Image.new("RGB", (20, 10), (255, 255, 255)).convert(mode)
    )
    image.save(path)
    rgb = read_image(path)
    assert (rgb.dtype, rgb.shape) == (np.uint8, (10, 20, 3))
    assert rgb.min() > 250


def test_grey_jpeg_becomes_rgb(tmp_path: Path) -> None:
    Image.new("L", (20, 10), 77).save(tmp_path / "grey.jpg")
    assert np.abs(read_image(tmp_path / "grey.jpg").astype(int) - 77).max() <= 1


def test_transparency_is_black(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (255, 255, 255, 0)).save(tmp_path / "clear.png")
    assert read_image(tmp_path / "clear.png").max() == 0


def broken_files() -> dict[str, bytes]:
    jpeg, png = encode_image(picture(3), "jpg"), encode_image(picture(3), "png")
    return {
        "empty": b"",
        "text": b"not a picture",
        "JPEG header": jpeg[:20],
        "JPEG cut in the middle": jpeg[: len(jpeg) // 2],
        "PNG cut in the middle": png[: len(png) // 2],
        "PNG with a broken chunk": png[:40] + bytes(30) + png[70:],
    }


@pytest.mark.parametrize("content", broken_files().values(), ids=broken_files())
def test_broken_pictures_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(content)
    with pytest.raises(InvalidData, match=r"broken\.jpg cannot be read as a picture"):
        read_image(tmp_path / "broken.jpg")


def test_a_missing_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="cannot be read as a picture"):
        read_image(tmp_path / "absent.jpg")


@pytest.mark.parametrize("image_format", ["jpg", "png"])
def test_too_large_pictures_are_refused_before_they_are_decoded(
    image_format: images.ImageFormat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large"
    path.write_bytes(encode_image(GREY, image_format))
    monkeypatch.setattr(images, "MAX_PIXELS", 60 * 80 - 1)
    with pytest.raises(InvalidData, match="80x60 px are more than the limit"):
        read_image(path)


@pytest.mark.parametrize("side", [9000, 12_000, 20_000])
def test_decompression_bombs_are_refused_quickly(side: int, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("1", (side, side)).save(buffer, "PNG")
    (tmp_path / "bomb.png").write_bytes(buffer.getvalue())
    started = time.process_time()
    with pytest.raises(InvalidData):
        read_image(tmp_path / "bomb.png")
    assert time.process_time() - started < 0.5


def test_shared_broken_pictures() -> None:
    with pytest.raises(InvalidData):
        read_image(shared_data("broken/made_png_bomb_20000x20000.png"))
    with pytest.raises(InvalidData):
        read_image(shared_data("neardup-images/imagededup/ukbench09268_corrupt.jpg"))
    assert read_image(shared_data("neardup-images/imagededup/ukbench00120_gray.jpg")).shape[2] == 3


@pytest.mark.parametrize(
    ("size", "max_side", "expected"),
    [
        ((60, 80), 40, (30, 40)),
        ((80, 60), 40, (40, 30)),
        ((60, 80), 80, (60, 80)),
        ((60, 80), 200, (60, 80)),
        ((60, 80), None, (60, 80)),
        ((2, 400), 40, (1, 40)),
    ],
)
def test_limit_side(size: tuple[int, int], max_side: int | None, expected: tuple[int, int]) -> None:
    assert limit_side(np.zeros((*size, 3), np.uint8), max_side).shape[:2] == expected


def test_limit_side_is_antialiased() -> None:
    small = limit_side(stripes(800, 80, period=1), 100)
    assert np.abs(small[:, 5:-5].astype(int) - 100).max() <= 3


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [
        pytest.param(np.zeros((5, 7, 3), np.uint8), 0.0, id="black"),
        pytest.param(np.full((5, 7, 3), 255, np.uint8), 1.0, id="white"),
        pytest.param(GREY, 128 / 255, id="grey"),
        pytest.param(np.broadcast_to(np.array([255, 0, 0], np.uint8), (4, 4, 3)), 0.299, id="red"),
        pytest.param(np.broadcast_to(np.array([0, 255, 0], np.uint8), (4, 4, 3)), 0.587, id="green"),
        pytest.param(smooth(40, 40)[::-1, ::2], 0.5, id="not contiguous"),
    ],
)
def test_brightness(rgb: Rgb, expected: float) -> None:
    assert brightness(rgb) == pytest.approx(expected, abs=0.02 if expected == 0.5 else 1e-6)


def test_sharpness_falls_with_blur() -> None:
    sharp = stripes(256, 256, period=4)
    blurred = np.asarray(Image.fromarray(sharp).resize((32, 32)).resize((256, 256)))
    assert sharpness(sharp) > 4 * sharpness(blurred)
    assert sharpness(GREY) == 0.0
    assert sharpness(np.zeros((2, 9, 3), np.uint8)) == 0.0


def test_sharpness_does_not_depend_on_the_resolution() -> None:
    large, small = stripes(2048, 1024, period=64), stripes(1024, 512, period=32)
    assert sharpness(large) == pytest.approx(sharpness(small), rel=0.05)
