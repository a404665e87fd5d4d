"""What a per-video stage is: the tasks it is given, the outcomes it yields, and the keys it must name.

To add one: implement `VideoStage` (or `frame_stage.FrameStage` for a model over frames) and call `stage.run_stage` from
an asset.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from miner_resources.errors import InvalidData, MinerError
from miner_resources.records import Json, Stage, Video
from miner_resources.storage import ArtifactKeys
from miner_resources.tables import read_keys


@dataclass(frozen=True)
class Task:
    """One video that a stage has to compute, and the keys its artifact will carry."""

    video: Video
    keys: ArtifactKeys

    @property
    def video_id(self) -> str:
        """The partition key."""
        return self.video.video_id


@dataclass(frozen=True)
class Outcome:
    """How one task ended: with metrics, or with the error that stopped it.

    Attributes:
        metrics: numbers for the registry and the UI; `rows`, `kept` and `rejected` in every stage.
        sample: a picture for people, if the stage makes one.
    """

    task: Task
    metrics: dict[str, Json] = field(default_factory=dict[str, Json])
    sample: Path | None = None
    error: MinerError | None = None


class VideoStage(Protocol):
    """One per-video step of the pipeline. It reads files and writes files; `run_stage` does the rest."""

    @property
    def stage(self) -> Stage:
        """Which one it is."""
        ...

    @property
    def force(self) -> bool:
        """Compute again even if the artifact is there."""
        ...

    def keys(self, video: Video) -> ArtifactKeys:
        """The keys the artifact of `video` must carry to be up to date.

        Raises:
            MinerError: the input is missing.
        """
        ...

    def artifact_keys(self, video: Video) -> ArtifactKeys | None:
        """The keys of the artifact that is there, None if there is none."""
        ...

    def work(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Compute and publish, yielding each task's outcome as soon as its artifact is in place."""
        ...


def input_keys(path: Path, video_id: str, maker: Stage) -> ArtifactKeys:
    """The keys of an input artifact.

    Raises:
        InvalidData: it is not there; the message names the stage that makes it.
    """
    keys = read_keys(path)
    if keys is None:
        raise InvalidData(
            f"the input of video {video_id} is missing: {path}",
            remedy=f"run the stage '{maker}' for this video first",
        )
    return keys
