"""Search over all mined frames, also those that the filter dropped: by a text, by a picture, by another frame.

Vectors are those that the stages have stored; a search runs the model over one text or one picture, and over nothing at
all for a frame that is known. They are read once and kept, so make one `FrameSearch` and ask it often.
"""

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from miner_assets.logic.filtering import question
from miner_assets.logic.source_links import source_url
from miner_assets.model_choice import chosen_model
from miner_assets.stored_scores import read_frames_of
from miner_assets.stored_vectors import (
    StoredVectors,
    Track,
    embedder_identity,
    filter_identity,
    load_embeddings,
    load_features,
)
from miner_assets.workspace import Workspace
from miner_resources.config_sections import ClassSpec
from miner_resources.errors import InvalidData, MinerError, NotFound
from miner_resources.images import read_image
from miner_resources.models.adapter import ImageEmbedder, TextImageModel
from miner_resources.records import Floats, Stage, frame_id
from miner_resources.scores import sigmoid
from miner_resources.similarity import Indices
from miner_resources.storage import Storage

FRAME_ID: Final = re.compile(r"([A-Za-z0-9_-]{1,128}):(\d{1,12})")
"""A video id and a frame index."""


@dataclass(frozen=True)
class Match:
    """A frame that fits what was asked for.

    Attributes:
        score: by text the calibrated score in 0..1 that the filter would give, by picture the cosine similarity.
        timestamp_s: where in its video it is.
        source_url: opens the video at that second.
    """

    frame_id: str
    video_id: str
    frame_index: int
    score: float
    timestamp_s: float
    source_url: str


class FrameSearch:
    """Finds frames of one project. Any number of threads may ask.

    Args:
        workspace: the project; its configuration says which models.
        notice: hears what a person should know about the answers, such as videos that are left out.
        track: goes through the files while vectors are loaded and may show how far it is.

    Raises:
        MinerError: a model that is configured does not exist.
    """

    def __init__(self, workspace: Workspace, *, notice: Callable[[str], object] = str, track: Track = iter) -> None:
        self._config = workspace.config
        self._storage = workspace.storage
        self._catalog = workspace.catalog
        self._workspace = workspace
        self._notice = notice
        self._track = track
        self._lock = threading.RLock()
        self._vectors: dict[Stage, tuple[int, StoredVectors]] = {}
        self._models: dict[Stage, Any] = {}

    def by_text(self, text: str, top: int = 20) -> list[Match]:
        """The frames that show what a text describes, best first.

        The text goes into `filter.templates` as the name of a class does, and the best one counts.

        Args:
            text: one or a few words.
            top: how many frames, at most.

        Raises:
            InvalidData: the text is blank.
            NotFound: the filter's model has not looked at any frame.
            MinerError: the model cannot be loaded.
        """
        words = " ".join(text.split())
        if not words:
            raise InvalidData("there is no text to search for", remedy="give at least one word")
        features = self.features
        model = self._text_image_model()
        texts = model.text_features(question({words: ClassSpec()}, self._config.filter.templates).texts)
        rows, _ = features.table.top(texts, top)
        # Float64 as in the filter: the score here is the score there, to the last bit.
        logits = model.logits(features.table.rows(rows), texts).max(axis=1, initial=-np.inf)
        order = np.argsort(-logits, kind="stable")
        return self._matches(features, rows[order], sigmoid(logits[order]))

    def by_image(self, image: Path | str, top: int = 20) -> list[Match]:
        """The frames that look like a picture or like another frame, best first; such a frame comes first itself.

        Compared by the embedder where it can be (it has seen the frames that passed the filter), else by the filter's
        image features. A frame that is stored needs no model.

        Args:
            image: a picture file, or the id of a frame as a str.
            top: how many frames, at most.

        Raises:
            NotFound: no vectors are stored, or no frame of that id is.
            InvalidData: the file is no picture.
            MinerError: neither model can be loaded.
        """
        known = FRAME_ID.fullmatch(image) if isinstance(image, str) else None
        if known:
            return self._like_frame(known[1], int(known[2]), top)
        stored, vector = self._vector_of(Path(image))
        return self._nearest(stored, vector, top)

    @property
    def features(self) -> StoredVectors:
        """Image features of all frames that the filter has looked at.

        Raises:
            NotFound: there are none by the filter's model.
        """
        folder = self._storage.filtered_frames("any").parent
        found = self._stored(Stage.FILTER, folder, self._identity[Stage.FILTER], load_features)
        if not len(found):
            raise self._no_features(found.left_out)
        return found

    @property
    def embeddings(self) -> StoredVectors:
        """Embeddings of the frames that passed the filter; may be empty."""
        folder = self._storage.embeddings_table("any").parent
        return self._stored(Stage.EMBED, folder, self._identity[Stage.EMBED], load_embeddings)

    def release(self) -> None:
        """Free the devices' memory; vectors stay."""
        with self._lock:
            for model in self._models.values():
                model.release()
            self._models.clear()

    def _stored(
        self, stage: Stage, folder: Path, identity: str, load: Callable[[Storage, str, Track], StoredVectors]
    ) -> StoredVectors:
        """The vectors that a stage has stored, read again when it has run since."""
        with self._lock:
            state = folder.stat().st_mtime_ns if folder.exists() else 0  # artifacts come by a rename there
            known = self._vectors.get(stage)
            if known is None or known[0] != state:
                self._vectors.pop(stage, None)  # never two of them in memory
                known = self._vectors[stage] = (state, load(self._storage, identity, self._track))
                if stage is Stage.FILTER and known[1].left_out and len(known[1]):
                    self._notice(
                        f"{known[1].left_out} videos are not searched: their features are of another model or of older "
                        f"frames; run the stage '{stage}' again"
                    )
            return known[1]

    @cached_property
    def _identity(self) -> dict[Stage, str]:
        # Once: it may mean to hash the weights in a folder.
        embedder = embedder_identity(self._workspace, self._config.dedup)
        return {Stage.FILTER: filter_identity(self._workspace), Stage.EMBED: embedder}

    def _no_features(self, left_out: int) -> NotFound:
        if left_out:
            return NotFound(
                f"the features of all {left_out} videos in {self._storage.root} are of another model than "
                f"filter.model = {self._config.filter.model} (or number format), or of frames that were replaced",
                remedy="run the stage again: video-miner run-config FILE --stages filter; or set filter.model back",
            )
        return NotFound(
            f"{self._storage.root} has no features to search in yet",
            remedy="run the filter first: video-miner run-config FILE",
        )

    def _like_frame(self, video_id: str, frame_index: int, top: int) -> list[Match]:
        stored = self.embeddings
        row = stored.row_of(video_id, frame_index)
        if row is None:
            stored = self.features
            row = stored.row_of(video_id, frame_index)
            if row is None:
                raise NotFound(
                    f"no vector of frame {frame_id(video_id, frame_index)} is stored",
                    remedy="name a sampled frame as `video-miner find` prints them, or a picture file",
                )
            self._notice("compared by the filter's image features: the frame is not embedded, as it did not pass it")
        return self._nearest(stored, stored.table.rows([row]), top)

    def _vector_of(self, path: Path) -> tuple[StoredVectors, Floats]:
        """What to search in, and the (1, D) vector to search for."""
        if not path.is_file():
            raise NotFound(f"there is no picture {path}", remedy="name a picture file, or a frame such as VIDEO_ID:120")
        rgb = read_image(path)
        reason = "no frame is embedded by dedup.model"
        embeddings = self.embeddings
        if len(embeddings):
            try:
                embedder = self._embedder()
            except MinerError as error:
                reason = error.message
            else:
                return embeddings, embedder.embed([embedder.prepare(rgb)])
        features = self.features
        self._notice(f"compared by the filter's image features: {reason}")
        model = self._text_image_model()
        return features, model.image_features([model.prepare(rgb)])

    def _nearest(self, stored: StoredVectors, vector: Floats, top: int) -> list[Match]:
        rows, cosines = stored.table.top(vector, top)
        return self._matches(stored, rows, cosines)

    def _matches(self, stored: StoredVectors, rows: Indices, scores: Floats) -> list[Match]:
        found = [stored.frame_at(row) for row in rows.tolist()]
        times = self._times(found)
        urls = {video.video_id: video.url for video in self._catalog.videos(ids={video_id for video_id, _ in found})}
        matches: list[Match] = []
        for (video_id, index), score in zip(found, scores.tolist(), strict=True):
            seconds, url = times.get((video_id, index)), urls.get(video_id)
            # A frame may be gone since the vectors were loaded: its video taken down, or sampled anew.
            if seconds is not None and url is not None:
                name = frame_id(video_id, index)
                matches.append(Match(name, video_id, index, float(score), seconds, source_url(url, seconds)))
        return matches

    def _times(self, frames: Sequence[tuple[str, int]]) -> dict[tuple[str, int], float]:
        rows = read_frames_of(self._storage, frames).select("video_id", "frame_index", "timestamp_s")
        return {(video_id, index): seconds for video_id, index, seconds in rows.iter_rows()}

    def _text_image_model(self) -> TextImageModel:
        return self._model(Stage.FILTER, self._config.filter.model, "load_text_image_model")

    def _embedder(self) -> ImageEmbedder:
        resize = self._config.dedup.resize
        return self._model(Stage.EMBED, self._config.dedup.model, "load_embedder", resize=resize)

    def _model(self, stage: Stage, name: str, loader: str, **how: str) -> Any:  # noqa: ANN401 (kinds differ by loader)
        with self._lock:
            if stage not in self._models:
                # torch and transformers take seconds to import: not before a model is wanted.
                from miner_resources.models import loading

                config = self._config
                settings = loading.Settings(
                    device=config.device, precision=config.precision, compiled=config.compile_models, **how
                )
                self._models[stage] = getattr(loading, loader)(chosen_model(config, stage, name), settings)
            return self._models[stage]
