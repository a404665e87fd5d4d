"""Pictures of what lies just above and just below thresholds of near-duplicates and of boxes."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from miner_assets.logic.dedup import deduplicate
from miner_assets.logic.filtering import judge, thresholds_of
from miner_assets.logic.threshold_examples import NearBox, Pair, boxes_near, nearest_boxes, nearest_pairs, pairs_near
from miner_assets.stored_scores import read_frames_of
from miner_assets.threshold_counts import configured
from miner_assets.threshold_inputs import StoredVideo
from miner_resources.config import MinerConfig
from miner_resources.drawing import contact_sheet
from miner_resources.drawn_boxes import draw_boxes
from miner_resources.errors import InvalidData
from miner_resources.images import limit_side, read_image
from miner_resources.palette import Color
from miner_resources.records import Rgb
from miner_resources.storage import Storage

PAIRS: Final = 8
"""Shown on each side of a threshold."""
BOXES: Final = 6
"""The same, of each class."""
_PAIR_COLUMNS: Final = 4
_TILE: Final = 284
_BOX_TILE: Final = 186
_WHITE: Final[Color] = (255, 255, 255)
"""Of boxes: colours would be taken for those of the borders."""
_AROUND: Final = 0.75
"""How much of a box's size is shown around it."""

Tile = tuple[Rgb, str, bool]


class ExampleCollector:
    """Remembers the examples nearest to some thresholds, of videos that are shown to it.

    Args:
        config: of the project.
        dedup: thresholds of near-duplicates within a video.
        detection: thresholds of boxes.
    """

    def __init__(self, config: MinerConfig, dedup: Sequence[float], detection: Sequence[float]) -> None:
        self._config = config
        self.pairs: dict[float, list[Pair]] = {threshold: [] for threshold in dedup}
        self.boxes: dict[float, list[NearBox]] = {threshold: [] for threshold in detection}

    def see(self, video: StoredVideo) -> None:
        """Keep what of this video is nearer to a threshold than what was seen before."""
        usual = configured(self._config)
        verdict = judge(video.positive, video.negative, thresholds_of(self._config.classes, usual.filter))
        rows = np.flatnonzero(verdict.kept & video.embedded)
        if not len(rows):
            return
        indexes, vectors = video.frame_indexes[rows], video.vectors[rows]
        for threshold, found in self.pairs.items():
            near = pairs_near(video.video_id, indexes, vectors, threshold, PAIRS)
            self.pairs[threshold] = nearest_pairs([*found, *near], PAIRS)
        unique = indexes[deduplicate(vectors, usual.dedup).kept]
        boxes = video.boxes.filter(video.boxes["frame_index"].is_in(unique))
        for threshold, found in self.boxes.items():
            self.boxes[threshold] = nearest_boxes([*found, *boxes_near(boxes, threshold, BOXES)], BOXES)


def pairs_sheet(storage: Storage, pairs: Sequence[Pair]) -> Rgb | None:
    """Pairs side by side: the earlier frame, then the one that repeats it or not, by its border.

    Returns:
        the picture, None if there is no pair or none can be read.
    """
    frames = _Frames(storage, [(pair.video_id, index) for pair in pairs for index in (pair.earlier, pair.frame_index)])
    tiles: list[Tile] = []
    for pair in pairs:
        verdict = "repeats it" if pair.repeats else "kept"
        earlier = frames.tile(pair.video_id, pair.earlier, pair.video_id, kept=True)
        frame = frames.tile(pair.video_id, pair.frame_index, f"{pair.similarity:.3f} {verdict}", kept=not pair.repeats)
        if earlier and frame:
            tiles += [earlier, frame]
    return contact_sheet(tiles, _PAIR_COLUMNS, _TILE) if tiles else None


def boxes_sheet(storage: Storage, boxes: Sequence[NearBox]) -> Rgb | None:
    """Boxes cut out with what is around them, the surest first: the border says which count.

    Args:
        storage: of the project.
        boxes: of one class.

    Returns:
        the picture, None if there is no box or none can be read.
    """
    frames = _Frames(storage, [(box.video_id, box.frame_index) for box in boxes])
    tiles: list[Tile] = []
    for box in boxes:
        picture = frames.picture(box.video_id, box.frame_index)
        if picture is not None:
            cut, place = _cut(picture, box.xywh)
            drawn = draw_boxes(cut, place, [box.category], colors={box.category: _WHITE}, tagged=False)
            tiles.append((drawn, f"{box.score:.3f}", box.counts))
    return contact_sheet(tiles, BOXES, _BOX_TILE) if tiles else None


class _Frames:
    """Pictures of frames, read when they are asked for."""

    def __init__(self, storage: Storage, frames: Sequence[tuple[str, int]]) -> None:
        rows = read_frames_of(storage, sorted(set(frames)))
        self._root = storage.root
        self._paths = {(video, index): (path, seconds) for video, index, seconds, path in rows.iter_rows()}

    def picture(self, video_id: str, frame_index: int) -> Rgb | None:
        """None if it cannot be read."""
        if (video_id, frame_index) not in self._paths:
            return None
        try:
            return read_image(self._root / self._paths[video_id, frame_index][0])
        except InvalidData:
            return None

    def tile(self, video_id: str, frame_index: int, text: str, *, kept: bool) -> Tile | None:
        """A tile with its time."""
        picture = self.picture(video_id, frame_index)
        if picture is None:
            return None
        _, seconds = self._paths[video_id, frame_index]
        return limit_side(picture, 2 * _TILE), f"{seconds:.1f} s  {text}", kept


def _cut(
    picture: Rgb, xywh: tuple[float, float, float, float]
) -> tuple[Rgb, np.ndarray[tuple[int, int], np.dtype[np.float32]]]:
    """A square around a box, as far as the picture goes, at the size of a tile; and (1, 4) the box in it."""
    x, y, w, h = xywh
    height, width = picture.shape[:2]
    half = (0.5 + _AROUND) * max(w, h)
    left, top = max(0, int(x + w / 2 - half)), max(0, int(y + h / 2 - half))
    right, bottom = min(width, round(x + w / 2 + half) + 1), min(height, round(y + h / 2 + half) + 1)
    cut = limit_side(np.ascontiguousarray(picture[top:bottom, left:right]), 2 * _BOX_TILE)
    scale = cut.shape[1] / max(1, right - left)
    return cut, np.array([[x - left, y - top, x + w - left, y + h - top]], np.float32) * np.float32(scale)
