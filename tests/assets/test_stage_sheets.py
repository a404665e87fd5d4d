"""Contact sheets of the stages: which frames they show, with real pixels."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from miner_assets.stage_sheets import boxes_sheet, frames_sheet, repeats_sheet
from miner_resources.drawing import DROPPED, KEPT
from miner_resources.images import encode_image, read_image
from miner_resources.palette import class_colors
from miner_resources.records import DETECTIONS_SCHEMA, FRAMES_SCHEMA, Rgb
from miner_resources.storage import Storage

SIZE = (90, 160)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "output")


def color(number: int) -> tuple[int, int, int]:
    """Of the picture of a frame; no two are near each other, and none is a border's."""
    return 40 + 20 * (number % 8), 100, 120 + 17 * (number // 8)


def extracted(storage: Storage, count: int) -> pl.DataFrame:
    folder = storage.raw_frames("v")
    folder.mkdir(parents=True)
    rows = []
    for number in range(count):
        path = folder / f"frame_{number:06d}.png"
        path.write_bytes(encode_image(np.full((*SIZE, 3), color(number), np.uint8), "png"))
        row = dict.fromkeys(FRAMES_SCHEMA, None) | {"video_id": "v", "frame_index": number, "timestamp_s": number / 2}
        rows.append(row | {"path": storage.relative(path), "height": SIZE[0], "width": SIZE[1]})
    return pl.DataFrame(rows, schema=FRAMES_SCHEMA)


def shows(sheet: Rgb, rgb: tuple[int, int, int], pixels: int = 2000) -> bool:
    return bool((np.abs(sheet.astype(int) - rgb).max(axis=2) < 8).sum() >= pixels)


def test_frames_are_spread_over_the_video(storage: Storage) -> None:
    frames = extracted(storage, 60)
    path = frames_sheet(storage, "v", frames, storage.raw_frames("v"))
    assert path is not None
    sheet = read_image(path)
    shown = [number for number in range(60) if shows(sheet, color(number))]
    assert len(shown) == 24
    assert (shown[0], shown[-1]) == (0, 59)
    assert shows(sheet, KEPT, 500)
    assert not shows(sheet, DROPPED, 500)


def test_the_least_alike_repeats_stand_beside_what_they_repeat(storage: Storage) -> None:
    frames = extracted(storage, 40)
    similarity = [None if n % 2 == 0 else 0.9 + n / 1000 for n in range(40)]
    decided = pl.DataFrame(
        {
            "frame_index": range(40),
            "kept": [n % 2 == 0 for n in range(40)],
            "duplicate_of": [None if n % 2 == 0 else n - 1 for n in range(40)],
            "similarity": similarity,
        }
    )
    path = repeats_sheet(storage, "v", frames, decided)
    assert path is not None
    sheet = read_image(path)
    assert [number for number in range(1, 40, 2) if shows(sheet, color(number))] == [1, 3, 5, 7, 9, 11]
    assert all(shows(sheet, color(number)) for number in (0, 2, 4, 6, 8, 10))
    assert shows(sheet, DROPPED, 500)


def test_a_rare_class_is_not_crowded_out(storage: Storage) -> None:
    frames = extracted(storage, 30)
    common = {"video_id": "v", "x": 20.0, "y": 10.0, "w": 100.0, "h": 60.0, "detector": "d", "prompt": "p"}
    rows = [common | {"frame_index": n, "category": "car", "score": 0.9} for n in range(29)]
    rows.append(common | {"frame_index": 29, "category": "cat", "score": 0.31})
    path = boxes_sheet(storage, "v", frames, pl.DataFrame(rows, schema=DETECTIONS_SCHEMA))
    assert path is not None
    sheet = read_image(path)
    assert sum(shows(sheet, color(number), 20_000) for number in range(30)) == 12
    assert shows(sheet, color(29))
    assert shows(sheet, class_colors(["car", "cat"])["cat"], 200)
    assert shows(sheet, class_colors(["car", "cat"])["car"], 2000)


def test_boxes_without_scores_are_shown(storage: Storage) -> None:
    frames = extracted(storage, 1)
    row = dict.fromkeys(DETECTIONS_SCHEMA, None) | {"video_id": "v", "frame_index": 0, "category": "car"}
    boxes = pl.DataFrame([row | {"x": 20.0, "y": 10.0, "w": 100.0, "h": 60.0}], schema=DETECTIONS_SCHEMA)
    path = boxes_sheet(storage, "v", frames, boxes)
    assert path is not None
    assert shows(read_image(path), class_colors(["car"])["car"], 200)


def test_nothing_to_show_leaves_no_old_picture(storage: Storage) -> None:
    frames = extracted(storage, 2)
    path = frames_sheet(storage, "v", frames, storage.raw_frames("v"))
    assert path is not None
    assert frames_sheet(storage, "v", frames.clear(), storage.raw_frames("v")) is None
    assert not path.exists()


def test_a_picture_that_cannot_be_read_is_left_out(storage: Storage) -> None:
    frames = extracted(storage, 3)
    (storage.root / frames["path"][1]).write_bytes(b"no picture")
    path = frames_sheet(storage, "v", frames, storage.raw_frames("v"))
    assert path is not None
    assert [shows(read_image(path), color(number)) for number in range(3)] == [True, False, True]
