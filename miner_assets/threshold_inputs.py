"""What the stages have stored about each video that a threshold decides on: scores, vectors, boxes."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from miner_assets.detections import FRAMES, DetectStage
from miner_assets.embeddings import EmbedStage
from miner_assets.filtered_frames import FilterStage
from miner_assets.model_choice import device_settings
from miner_assets.video_stage import VideoStage
from miner_assets.workspace import Workspace
from miner_resources.errors import InvalidData
from miner_resources.gpu_models import ImageEmbedders, ObjectDetectors, TextImageModels
from miner_resources.records import DETECTIONS_SCHEMA, Floats, Status, Video
from miner_resources.similarity import Indices
from miner_resources.tables import read_metadata, read_table

Track = Callable[[Sequence[Video]], Iterator[Video]]


@dataclass(frozen=True)
class StoredVideo:
    """What the stages have stored about one video; rows are its N sampled frames in order of time.

    Attributes:
        positive: (N, C) logits of the classes, `negative` those of their best negatives.
        vectors: (N, D) float32, zeros where `embedded` (N,) is False.
        boxes: `DETECTIONS_SCHEMA`, of the configured classes.
        looked: (N,) whether the detector has looked at a frame.
    """

    video_id: str
    frame_indexes: Indices
    positive: Floats
    negative: Floats
    vectors: Floats
    embedded: npt.NDArray[np.bool_]
    boxes: pl.DataFrame
    looked: npt.NDArray[np.bool_]


class ThresholdInputs:
    """Reads videos one after the other.

    Args:
        workspace: the project.
        track: goes through the videos and may show how far it is.
    """

    def __init__(self, workspace: Workspace, track: Track = iter) -> None:
        self._config = workspace.config
        self._storage = workspace.storage
        self._catalog = workspace.catalog
        self._track = track
        how = device_settings(self._config)
        # The stages say which artifacts are up to date; their models are never loaded.
        self._filter = FilterStage(workspace, self._config.filter, TextImageModels(**how))
        self._embed = EmbedStage(workspace, self._config.dedup, ImageEmbedders(**how))
        self._detect = DetectStage(workspace, self._config.detection, ObjectDetectors(**how))
        self.left_out = 0

    def videos(self) -> Iterator[StoredVideo]:
        """Every scored video in the order in which it was added; counts the others in `left_out`.

        Left out are videos whose frames were not scored yet, or by another model, for other texts, or before their
        frames were sampled anew.

        Raises:
            InvalidData: a table cannot be read.
        """
        self.left_out = 0
        for video in self._track([each for each in self._catalog.videos() if each.status is not Status.SKIPPED]):
            if _current(self._filter, video):
                yield self._read(video)
            else:
                self.left_out += 1

    def _read(self, video: Video) -> StoredVideo:
        columns = ("frame_index", "logits", "negative_logits")
        scores = read_table(self._storage.scores_table(video.video_id)).select(columns).sort("frame_index")
        indexes = scores["frame_index"].to_numpy()
        shape = (len(indexes), len(self._config.classes))
        positive, negative = (
            np.array(scores[column].to_list(), np.float32).reshape(shape) for column in ("logits", "negative_logits")
        )
        vectors, embedded = self._vectors(video, indexes)
        boxes, looked = self._boxes(video, indexes)
        return StoredVideo(video.video_id, indexes, positive, negative, vectors, embedded, boxes, looked)

    def _vectors(self, video: Video, indexes: Indices) -> tuple[Floats, npt.NDArray[np.bool_]]:
        embedded = np.zeros(len(indexes), np.bool_)
        if not _current(self._embed, video):
            return np.zeros((len(indexes), 1), np.float32), embedded
        table = read_table(self._storage.embeddings_table(video.video_id))
        found = table["embedding"].to_numpy() if len(table) else np.zeros((0, 1), np.float32)
        vectors = np.zeros((len(indexes), found.shape[1]), np.float32)
        places = np.searchsorted(indexes, table["frame_index"].to_numpy())
        vectors[places], embedded[places] = found, True
        return vectors, embedded

    def _boxes(self, video: Video, indexes: Indices) -> tuple[pl.DataFrame, npt.NDArray[np.bool_]]:
        looked = np.zeros(len(indexes), np.bool_)
        if not _current(self._detect, video):
            return DETECTIONS_SCHEMA.to_frame(), looked
        path = self._storage.detections_table(video.video_id)
        seen = {int(index): asked for index, asked in json.loads(read_metadata(path).get(FRAMES, "{}")).items()}
        frames = pl.DataFrame({"frame_index": sorted(seen)}, schema={"frame_index": pl.Int64})
        wanted = self._detect.asked(video.video_id, frames)
        same = [
            index for index, asked in zip(frames["frame_index"], wanted.to_list(), strict=True) if asked == seen[index]
        ]
        looked[np.searchsorted(indexes, np.array(same, np.int64))] = True
        boxes = read_table(path, DETECTIONS_SCHEMA).filter(pl.col("category").is_in(list(self._config.classes)))
        return boxes, looked


def _current(stage: VideoStage, video: Video) -> bool:
    """Whether the rows of a stage's artifact are those that it would compute now."""
    try:
        keys = stage.keys(video)
    except InvalidData:  # an input is missing
        return False
    there = stage.artifact_keys(video)
    return there is not None and there.compute == keys.compute
