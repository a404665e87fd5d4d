"""Thumbnails: sizes, formats, and that the cache keeps within its limit."""

import io
from pathlib import Path

import pytest
from PIL import Image

from miner_assets.explore.thumbnails import Thumbnails, shrink
from miner_resources.errors import InvalidData


def size_of(data: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.format == "JPEG"
        return picture.size


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_pictures_shrink_in_proportion(tmp_path: Path, name: str) -> None:
    Image.new("RGB", (1920, 1080), (10, 200, 30)).save(tmp_path / name)
    assert size_of(shrink(tmp_path / name, 320)) == (320, 180)
    assert size_of(shrink(tmp_path / name, 4000)) == (1920, 1080), "never larger than they are"
    with Image.open(io.BytesIO(shrink(tmp_path / name, 320))) as picture:
        assert all(abs(a - b) < 6 for a, b in zip(picture.getpixel((100, 100)), (10, 200, 30), strict=True))


def test_tall_pictures_stay_in_bounds(tmp_path: Path) -> None:
    Image.new("RGB", (100, 3000)).save(tmp_path / "a.png")
    width, height = size_of(Thumbnails().get(tmp_path / "a.png", 160))
    assert height == 320
    assert width == 11


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a", b"\xff\xd8\xff\xe0 broken", b"<svg xmlns='http://www.w3.org/2000/svg'/>"]
)
def test_what_is_no_picture_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(InvalidData, match=r"a\.jpg"):
        shrink(tmp_path / "a.jpg", 320)
    with pytest.raises(InvalidData, match="absent"):
        Thumbnails().get(tmp_path / "absent.jpg", 320)


def test_a_thumbnail_is_made_once_until_its_picture_changes(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (640, 360), "red").save(path)
    thumbnails = Thumbnails()
    first = thumbnails.get(path, 320)
    assert thumbnails.get(path, 320) is first
    Image.new("RGB", (640, 360), "blue").save(path)
    assert thumbnails.get(path, 320) != first


def test_the_least_recently_wanted_go_first(tmp_path: Path) -> None:
    for name in "abc":
        Image.new("RGB", (320, 180), "red").save(tmp_path / f"{name}.png")
    one = len(shrink(tmp_path / "a.png", 160, 320))
    thumbnails = Thumbnails(limit_bytes=2 * one)
    a, b = (thumbnails.get(tmp_path / f"{name}.png", 160) for name in "ab")
    assert thumbnails.get(tmp_path / "a.png", 160) is a
    thumbnails.get(tmp_path / "c.png", 160)
    assert thumbnails.get(tmp_path / "a.png", 160) is a
    assert thumbnails.get(tmp_path / "b.png", 160) is not b
