"""Contact sheets of one video: its frames, which of them repeat others, and the boxes on them.

The sheet of the filter, which needs more room, is in `threshold_sheet.py`.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from miner_assets.logic.sampling import thin
from miner_resources.drawing import contact_sheet
from miner_resources.drawn_boxes import draw_boxes
from miner_resources.images import encode_image
from miner_resources.palette import class_colors
from miner_resources.records import Rgb, Stage
from miner_resources.storage import Storage
from miner_resources.thumbnails import read_thumbnail

COLUMNS: Final = 6
TILE_WIDTH: Final = 240
FRAMES_SHOWN: Final = 24
UNIQUE_SHOWN: Final = 12
PAIRS_SHOWN: Final = 6
BOX_COLUMNS: Final = 4
BOX_TILE_WIDTH: Final = 360
BOXED_SHOWN: Final = 12

Tile = tuple[Rgb, str, bool]


def frames_sheet(storage: Storage, video_id: str, frames: pl.DataFrame, folder: Path) -> Path | None:
    """Frames spread over the video.

    Args:
        storage: of the project.
        video_id: the video.
        frames: rows of `FRAMES_SCHEMA` in order of time.
        folder: where the pictures are now, before they are published.

    Returns:
        the picture's path, None if there is nothing to show.
    """
    chosen = thin(frames.to_dicts(), FRAMES_SHOWN)
    return _write(storage, Stage.EXTRACT, video_id, _tiles(folder, ((row, _time(row), True) for row in chosen)))


def repeats_sheet(storage: Storage, video_id: str, frames: pl.DataFrame, decided: pl.DataFrame) -> Path | None:
    """The repeats that are least like the frame that they repeat, beside it; then unique frames spread over the video.

    Args:
        storage: of the project.
        video_id: the video.
        frames: rows of `FRAMES_SCHEMA` in order of time.
        decided: `frame_index`, `kept`, `duplicate_of`, `similarity`.

    Returns:
        the picture's path, None if there is nothing to show.
    """
    folder = storage.raw_frames(video_id)
    rows = {row["frame_index"]: row for row in frames.iter_rows(named=True)}
    tiles: list[Tile] = []
    doubtful = decided.filter(~pl.col("kept")).sort("similarity", "frame_index").head(PAIRS_SHOWN)
    for index, original, similarity in doubtful.select("frame_index", "duplicate_of", "similarity").iter_rows():
        pair = [
            (rows[original], _time(rows[original]), True),
            (rows[index], f"{_time(rows[index])}  {similarity:.3f} alike", False),
        ]
        tiles += _tiles(folder, pair)
    unique = thin(decided.filter("kept")["frame_index"].sort().to_list(), UNIQUE_SHOWN)
    tiles += _tiles(folder, ((rows[index], _time(rows[index]), True) for index in unique))
    return _write(storage, Stage.EMBED, video_id, tiles)


def boxes_sheet(
    storage: Storage, video_id: str, frames: pl.DataFrame, boxes: pl.DataFrame, classes: Iterable[str] = ()
) -> Path | None:
    """The frames with the surest boxes of each class, drawn.

    Args:
        storage: of the project.
        video_id: the video.
        frames: rows of `FRAMES_SCHEMA`.
        boxes: rows of `DETECTIONS_SCHEMA` to draw.
        classes: of the project, so that each has its colour of everywhere else.

    Returns:
        the picture's path, None if there is nothing to show.
    """
    folder = storage.raw_frames(video_id)
    rows = {row["frame_index"]: row for row in frames.iter_rows(named=True)}
    by_frame = boxes.partition_by("frame_index", as_dict=True)
    colors = class_colors([*classes, *boxes["category"].unique().sort()])
    tiles: list[Tile] = []
    for index in _surest(boxes, BOXED_SHOWN):
        row = rows[index]
        small = _thumbnail(folder, row, BOX_TILE_WIDTH)
        if small is not None:
            found = by_frame[index,]
            corners = found.select("x", "y", x2=pl.col("x") + pl.col("w"), y2=pl.col("y") + pl.col("h")).to_numpy()
            scores = None if found["score"].has_nulls() else found["score"].to_list()
            scaled = (corners * (small.shape[1] / row["width"])).astype(np.float32)
            tiles.append((draw_boxes(small, scaled, found["category"].to_list(), scores, colors), _time(row), True))
    return _write(storage, Stage.DETECT, video_id, tiles, columns=BOX_COLUMNS, tile_width=BOX_TILE_WIDTH)


def _surest(boxes: pl.DataFrame, count: int) -> list[int]:
    """Frames in turn by the best box of each class, so that a frequent class does not crowd out a rare one."""
    best = boxes.group_by("category", "frame_index").agg(pl.col("score").max())
    turn = pl.col("score").rank("ordinal", descending=True).over("category")
    ordered = best.sort("category", "frame_index").with_columns(turn=turn).sort("turn", "category", nulls_last=True)
    return list(dict.fromkeys(ordered["frame_index"].to_list()))[:count]


def _write(
    storage: Storage,
    stage: Stage,
    video_id: str,
    tiles: Sequence[Tile],
    *,
    columns: int = COLUMNS,
    tile_width: int = TILE_WIDTH,
) -> Path | None:
    target = storage.contact_sheet(stage, video_id)
    if not tiles:
        storage.discard(target)
        return None
    with storage.publish_file(target) as temporary:
        temporary.write_bytes(encode_image(contact_sheet(tiles, columns, tile_width), "jpg", 85))
    return target


def _tiles(folder: Path, shown: Iterable[tuple[dict[str, Any], str, bool]]) -> list[Tile]:
    read = ((_thumbnail(folder, row, TILE_WIDTH), caption, kept) for row, caption, kept in shown)
    return [(small, caption, kept) for small, caption, kept in read if small is not None]


def _thumbnail(folder: Path, row: dict[str, Any], width: int) -> Rgb | None:
    return read_thumbnail(folder / Path(row["path"]).name, width, 2 * width)


def _time(row: dict[str, Any]) -> str:
    return f"{row['timestamp_s']:.1f} s"
