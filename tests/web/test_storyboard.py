"""Storyboards of sites that exaggerate: what is kept of them is bounded."""

from pathlib import Path

import numpy as np
import pytest

from miner_resources.images import encode_image
from miner_resources.web.storyboard import storyboard
from tests.internet import PretendInternet, PretendVideo
from tests.web.conftest import Connect, youtube_video

ID = "board______"


def show(internet: PretendInternet, tmp_path: Path, *board: int, side: int = 64) -> None:
    """A video with such a storyboard: columns, rows, width, height, count; its sheets are square."""
    internet.folder = tmp_path
    sheet = np.tile(np.arange(side, dtype=np.uint8)[None, :, None] * 3, (side, 1, 3))
    (tmp_path / "sheet.jpg").write_bytes(encode_image(sheet))
    columns, rows, width, height, count = board
    internet.videos[ID] = PretendVideo(storyboard=("sheet.jpg", columns, rows, width, height, count), duration=1000)


@pytest.mark.parametrize(
    ("board", "most"),
    [
        pytest.param((4, 4, 16, 16, 16), 16, id="usual"),
        pytest.param((64, 64, 1, 1, 4096), 100, id="a picture for each pixel"),
        pytest.param((64, 64, 1, 1, 2**18), 100, id="a quarter of a million"),
        pytest.param((1, 1, 60_000, 60_000, 1), 0, id="huge pictures"),
        pytest.param((2**30, 2**30, 16, 16, 100), 100, id="sheets that claim more than they have"),
        pytest.param((4, 4, 0, 0, 16), 0, id="nothing"),
        pytest.param((4, 4, -16, -16, 16), 0, id="negative"),
    ],
)
def test_a_storyboard_gives_no_more_pictures_than_asked_for(
    board: tuple[int, int, int, int, int], most: int, internet: PretendInternet, connect: Connect, tmp_path: Path
) -> None:
    show(internet, tmp_path, *board)
    pictures = storyboard(connect(internet), youtube_video(ID), 100)
    assert len(pictures) <= most
    assert sum(picture.nbytes for picture in pictures) <= 100 * 640 * 640 * 3


def test_pictures_are_from_all_over(internet: PretendInternet, connect: Connect, tmp_path: Path) -> None:
    show(internet, tmp_path, 4, 4, 16, 16, 16)
    pictures = storyboard(connect(internet), youtube_video(ID), 4)
    assert 2 <= len(pictures) <= 4
