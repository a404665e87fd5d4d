"""Contact sheets: what is kept and dropped is to be seen, and captions fit."""

import numpy as np
import pytest
from PIL import ImageFont

from miner_resources.drawing import DROPPED, KEPT, contact_sheet
from miner_resources.errors import InvalidData
from miner_resources.records import Rgb

GREY = np.full((60, 80, 3), 128, np.uint8)


def has_color(rgb: Rgb, color: tuple[int, int, int]) -> np.ndarray:
    return np.all(rgb == color, axis=-1)


def test_contact_sheet_shows_each_picture_in_its_frame() -> None:
    tiles = [(GREY, "a", True), (GREY, "b", False), (GREY, "c", True)]
    sheet = contact_sheet(tiles, columns=2, tile_width=120)
    assert sheet.shape[1] == 2 * 120 + 3 * 6
    top, bottom = sheet[: len(sheet) // 2], sheet[len(sheet) // 2 :]
    assert has_color(top, KEPT).any(axis=0).nonzero()[0].max() < 6 + 120
    assert has_color(top, DROPPED).any(axis=0).nonzero()[0].min() == 6 + 120 + 6
    assert not has_color(bottom, DROPPED).any()
    assert has_color(sheet, (128, 128, 128)).sum() > 3 * 100 * 70


def test_contact_sheet_shortens_captions_and_takes_tall_pictures() -> None:
    tall = np.full((900, 100, 3), 200, np.uint8)
    sheet = contact_sheet([(tall, "a very long caption " * 5, True)], tile_width=120)
    assert sheet.shape[1] == 120 + 12
    assert sheet.shape[0] < 220
    right_of_tile = sheet[:, 6 + 120 :]
    assert (right_of_tile == right_of_tile[0, 0]).all()


def test_an_empty_contact_sheet_is_refused() -> None:
    with pytest.raises(InvalidData, match="at least one picture"):
        contact_sheet([])


def test_without_freetype_drawing_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFont, "load_default", lambda size: ImageFont.ImageFont())
    with pytest.raises(InvalidData, match="FreeType"):
        contact_sheet([(GREY, "a", True)])
