"""Frames that match a text or are like a picture, by the features that the filter has stored.

No frame is looked at anew: a text costs one pass of the filter's text model, another picture one of its image model, a
frame of the project nothing.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from miner_assets.filtered_frames import stored_features
from miner_assets.logic.source_links import source_url
from miner_assets.model_choice import chosen_model
from miner_assets.workspace import Workspace
from miner_resources.errors import MinerError, NotFound
from miner_resources.images import read_image
from miner_resources.models.adapter import TextImageModel
from miner_resources.records import Floats, Stage, frame_id
from miner_resources.tables import read_table
from miner_resources.video_facts import read_facts


@dataclass(frozen=True)
class Match:
    """A frame that was found.

    Attributes:
        score: cosine of its feature and what was asked for, -1 to 1; comparable within one search only.
        source_url: opens the video at that second, None if it is not known where the video is from.
    """

    frame_id: str
    video_id: str
    frame_index: int
    score: float
    timestamp_s: float
    source_url: str | None


@dataclass(frozen=True)
class _Features:
    """All stored features: (N,) videos and frame indexes, (N, D) unit vectors, and what they were read at."""

    videos: list[str]
    indexes: list[int]
    vectors: Floats
    changed_ns: int


class FrameSearch:
    """Searches one project; safe to call from several threads, which then wait for each other.

    Keeps the features in memory and reads them again when the filter has run; loads the model at the first search that
    needs it.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._lock = threading.Lock()
        self._features: _Features | None = None
        self._model: TextImageModel | None = None

    def by_text(self, text: str, top: int) -> list[Match]:
        """The `top` frames that match a text best, best first.

        Raises:
            NotFound: the filter has stored no features yet.
            MinerError: the filter's model cannot be loaded.
        """
        with self._lock:
            features = self._stored()
            return self._nearest(features, self._loaded().text_features([text])[0], top)

    def by_image(self, path_or_frame_id: Path | str, top: int) -> list[Match]:
        """The `top` frames most like a picture file, or like a frame (`video_id:frame_index`), best first.

        Raises:
            NotFound: as in `by_text`; or the frame has no stored feature.
            MinerError: the picture cannot be read, or the filter's model cannot be loaded.
        """
        with self._lock:
            features = self._stored()
            if isinstance(path_or_frame_id, Path):
                model = self._loaded()
                wanted = model.image_features([model.prepare(read_image(path_or_frame_id))])[0]
            else:
                wanted = self._feature_of(features, path_or_frame_id)
            return self._nearest(features, wanted, top)

    def _feature_of(self, features: _Features, name: str) -> Floats:
        video, _, index = name.rpartition(":")
        pairs = zip(features.videos, map(str, features.indexes), strict=True)
        row = next((row for row, pair in enumerate(pairs) if pair == (video, index)), None)
        if row is None:
            raise NotFound(f"the filter has no features of frame {name}", remedy="run the stage 'filter' again")
        return features.vectors[row]

    def _nearest(self, features: _Features, wanted: Floats, top: int) -> list[Match]:
        cosines = features.vectors @ wanted.astype(np.float32)
        best = np.argsort(-cosines, kind="stable")[: max(0, top)]
        return [self._match(features.videos[row], features.indexes[row], float(cosines[row])) for row in best.tolist()]

    def _match(self, video_id: str, index: int, score: float) -> Match:
        storage = self._workspace.storage
        try:
            facts = read_facts(storage, video_id)
            times = read_table(storage.frames_table(video_id)).filter(frame_index=index)["timestamp_s"]
        except MinerError:
            facts, times = None, pl.Series(dtype=pl.Float64)
        time_s = float(times[0]) if len(times) else 0.0
        link = None if facts is None else source_url(facts.video.url, time_s)
        return Match(frame_id(video_id, index), video_id, index, score, time_s, link)

    def _stored(self) -> _Features:
        storage = self._workspace.storage
        tables = storage.scores_tables()
        changed = tables[0].parent.parent.stat().st_mtime_ns if tables else 0  # a new table comes by a rename there
        if self._features is None or self._features.changed_ns != changed:
            self._features = self._read([table.parent.name for table in tables], changed)
        if not len(self._features.vectors):
            raise NotFound(
                "there are no features to search in", remedy="run the filter first: video-miner run-config FILE"
            )
        return self._features

    def _read(self, videos: Sequence[str], changed_ns: int) -> _Features:
        found = [table for video in videos if (table := stored_features(self._workspace, video)) is not None]
        full = [table for table in found if len(table)]
        if not full:
            return _Features([], [], np.zeros((0, 1), np.float32), changed_ns)
        rows = pl.concat(full)
        vectors = np.ascontiguousarray(rows["feature"].to_numpy(), np.float32)
        return _Features(rows["video_id"].to_list(), rows["frame_index"].to_list(), vectors, changed_ns)

    def _loaded(self) -> TextImageModel:
        if self._model is None:
            from miner_resources.models.loading import Settings, load_text_image_model  # seconds to import

            config = self._workspace.config
            name = chosen_model(config, Stage.FILTER, config.filter.model)
            self._model = load_text_image_model(name, Settings(device=config.device, precision=config.precision))
        return self._model
