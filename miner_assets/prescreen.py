"""Looking at storyboards before anything is downloaded: which videos first, and which not at all.

Off by default. A ranker more than a judge: a storyboard misses what is on screen for less than a few seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from miner_assets.logic import filtering
from miner_assets.model_choice import chosen_model
from miner_assets.video_stage import Task
from miner_assets.workspace import Workspace
from miner_resources.errors import NotWanted
from miner_resources.gpu_models import TextImageModels
from miner_resources.pacing import YOUTUBE, pool_of
from miner_resources.records import Json, Rgb, Stage, Video
from miner_resources.scores import sigmoid
from miner_resources.web.client import WebClient
from miner_resources.web.storyboard import storyboard
from miner_resources.web.trouble import SourceFailed


@dataclass(frozen=True)
class Look:
    """What a storyboard shows.

    Attributes:
        score: that of the best class on the best picture, 0 to 1.
        best_class: which class that is.
        pictures: how many were looked at.
    """

    score: float
    best_class: str
    pictures: int

    def metrics(self) -> dict[str, Json]:
        """For the registry and the UI."""
        return {
            "prescreen_score": round(self.score, 4),
            "prescreen_class": self.best_class,
            "prescreen_pictures": self.pictures,
        }


class Prescreen:
    """Scores storyboards with the model and the classes of the filter.

    Args:
        workspace: for the configuration.
        models: where the text-image model comes from.
    """

    def __init__(self, workspace: Workspace, models: TextImageModels) -> None:
        self.config = workspace.config.prescreen
        self._whole = workspace.config
        self._filter = workspace.config.filter
        self._models = models
        self._question = filtering.question(workspace.config.classes, workspace.config.filter.templates)

    def look(self, client: WebClient, video: Video) -> Look | None:
        """Score a video; None if it has no storyboard, which speaks neither for nor against it.

        Raises:
            Waiting: the site is cooling down for longer than a run waits.
        """
        if pool_of(video.url) != YOUTUBE:
            return None
        try:
            pictures = storyboard(client, video, self.config.max_pictures)
        except SourceFailed:
            return None  # the download will meet the same trouble, and say so
        return self._score(pictures) if pictures else None

    def check(self, video: Video, look: Look | None) -> None:
        """Refuse a video whose storyboard shows too little.

        Raises:
            NotWanted: with the score.
        """
        if look is not None and look.score < self.config.threshold:
            raise NotWanted(
                f"{video.url}: the best of {look.pictures} storyboard pictures scores {look.score:.3f} for "
                f"{look.best_class!r}, prescreen.threshold is {self.config.threshold:g}",
                remedy="lower prescreen.threshold, or leave it out",
            )

    def _score(self, pictures: Sequence[Rgb]) -> Look:
        name = chosen_model(self._whole, Stage.FILTER, self._filter.model, fetch=True)
        model = self._models.get(name, self._filter.batch_size)
        features = model.image_features([model.prepare(picture) for picture in pictures])
        logits = model.logits(features, model.text_features(self._question.texts))
        positive, _ = filtering.class_logits(logits, self._question)
        scores = sigmoid(positive)
        picture, best = np.unravel_index(int(scores.argmax()), scores.shape)
        return Look(float(scores[picture, best]), self._question.classes[int(best)], len(pictures))


def best_first(tasks: Sequence[Task], looks: dict[str, Look | None]) -> list[Task]:
    """Tasks by score, those without one last, otherwise in their order."""

    def rank(task: Task) -> float:
        look = looks.get(task.video_id)
        return -1.0 if look is None else look.score

    return sorted(tasks, key=rank, reverse=True)
