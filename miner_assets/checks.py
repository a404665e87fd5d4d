"""Asset checks: what must be true of the artifacts of a run's videos, whatever stage code wrote them.

A check looks at files, not at what is in memory, so that it also finds what a disk or another program did. Only those
block whose fault would poison the dataset without being seen. To add one: a `Check` in `CHECKS`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import dagster as dg
import numpy as np
import polars as pl

from miner_assets.metadata import table
from miner_resources.errors import MinerError
from miner_resources.records import DETECTIONS_SCHEMA, FRAMES_SCHEMA, UNIT_LENGTH_TOLERANCE, Stage
from miner_resources.storage import Storage
from miner_resources.tables import read_table
from miner_resources.video_decoder import first_picture
from miner_resources.video_facts import read_facts
from miner_resources.video_file import open_video

DURATION_SLACK: Final = 0.05
"""Share of its duration, and at least two seconds, by which a video may be shorter or longer than promised."""
MOST_PASS: Final = 0.95
FEW_FRAMES: Final = 50
"""Too few to say what share of frames should pass."""
SHOWN: Final = 50


@dataclass(frozen=True)
class Check:
    """Something to be true of each video.

    Attributes:
        problem: what is wrong with a video, None if nothing is.
        overall: what is wrong with the videos of a run together.
    """

    name: str
    description: str
    problem: Callable[[Storage, str], str | None]
    overall: Callable[[Storage, Sequence[str]], str | None] = lambda storage, video_ids: None  # noqa: ARG005
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR
    blocking: bool = False


def check_specs(stage: Stage, asset: str) -> list[dg.AssetCheckSpec]:
    """For the decorator of an asset."""
    return [
        dg.AssetCheckSpec(check.name, asset=asset, description=check.description, blocking=check.blocking)
        for check in CHECKS[stage]
    ]


def evaluate(stage: Stage, storage: Storage, video_ids: Sequence[str]) -> Iterator[dg.AssetCheckResult]:
    """The checks of a stage over the videos that a run has made artifacts of."""
    for check in CHECKS[stage]:
        found = [(video_id, problem) for video_id in video_ids if (problem := _problem(check, storage, video_id))]
        if not found and (problem := check.overall(storage, video_ids)):
            found = [("all", problem)]
        metadata: dict[str, Any] = {"videos": len(video_ids), "problems": len(found)}
        if found:
            metadata["what"] = table(("video", "problem"), found[:SHOWN])
        yield dg.AssetCheckResult(check_name=check.name, passed=not found, severity=check.severity, metadata=metadata)


def _problem(check: Check, storage: Storage, video_id: str) -> str | None:
    try:
        return check.problem(storage, video_id)
    except MinerError as error:
        return error.message


def _duration(storage: Storage, video_id: str) -> str | None:
    facts, path = read_facts(storage, video_id), storage.video(video_id)
    if facts is None or path is None:
        return "the video or its facts are missing"
    with open_video(path) as (container, stream):
        if facts.frames < 1 or first_picture(container, stream) is None:
            return "not one frame of it can be decoded"
    promised = facts.video.duration_s
    if not facts.fps or not promised:
        return None
    found = facts.frames / facts.fps
    if abs(found - promised) > max(2.0, DURATION_SLACK * promised):
        return f"{found:.1f} s of pictures, {promised:.1f} s were promised"
    return None


def _frames_are_whole(storage: Storage, video_id: str) -> str | None:
    frames = read_table(storage.frames_table(video_id), FRAMES_SCHEMA)
    for column in ("frame_index", "timestamp_s"):
        if not (frames[column].diff().drop_nulls() > 0).all():
            return f"{column} does not rise from frame to frame"
    present = {path.name for path in storage.raw_frames(video_id).iterdir()}
    missing = [path for path in frames["path"] if path.rpartition("/")[2] not in present]
    if missing:
        return f"{len(missing)} pictures are missing, such as {missing[0]}"
    extra = len(present) - len(frames) - 1
    return f"{extra} files are in no row of the table" if extra else None


def _pass_rate(storage: Storage, video_id: str) -> str | None:
    kept = read_table(storage.scores_table(video_id))["kept"]
    share = kept.mean()
    if len(kept) < FEW_FRAMES or not isinstance(share, float) or share <= MOST_PASS:
        return None
    return f"{share:.0%} of {len(kept)} frames pass: the threshold may be too low, or a prompt too general"


def _some_pass(storage: Storage, video_ids: Sequence[str]) -> str | None:
    tables = [storage.scores_table(video_id) for video_id in video_ids]
    kept = [read_table(path)["kept"] for path in tables if path.exists()]
    frames = sum(map(len, kept))
    if frames < FEW_FRAMES or any(column.any() for column in kept):
        return None
    return f"none of {frames} frames passes: the threshold may be too high, or the prompts miss what is shown"


def _unit_length(storage: Storage, video_id: str) -> str | None:
    vectors = read_table(storage.embeddings_table(video_id))["embedding"].to_numpy()
    if not len(vectors):
        return None
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    wrong = int((~(np.abs(lengths - 1) <= UNIT_LENGTH_TOLERANCE)).sum())
    return f"{wrong} of {len(vectors)} vectors are not of length 1" if wrong else None


def _boxes_inside(storage: Storage, video_id: str) -> str | None:
    boxes = read_table(storage.detections_table(video_id), DETECTIONS_SCHEMA)
    frames = read_table(storage.frames_table(video_id), FRAMES_SCHEMA).select("frame_index", "width", "height")
    joined = boxes.join(frames, on="frame_index", how="left")
    inside = (
        (pl.col("x") >= 0)
        & (pl.col("y") >= 0)
        & (pl.col("w") > 0)
        & (pl.col("h") > 0)
        & (pl.col("x") + pl.col("w") <= pl.col("width") + 0.01)
        & (pl.col("y") + pl.col("h") <= pl.col("height") + 0.01)
    )
    wrong = len(joined) - int(joined.select(inside.fill_null(value=False).sum()).item())
    return f"{wrong} of {len(boxes)} boxes are outside of their picture, or of none" if wrong else None


CHECKS: Final[Mapping[Stage, tuple[Check, ...]]] = {
    Stage.DOWNLOAD: (
        Check(
            "complete",
            "Every video decodes, and has pictures for about as long as was promised.",
            _duration,
            severity=dg.AssetCheckSeverity.WARN,
        ),
    ),
    Stage.EXTRACT: (
        Check("whole", "Frames are in order, and there is a picture for every row of the table.", _frames_are_whole),
    ),
    Stage.FILTER: (
        Check(
            "selective",
            "The filter lets neither nearly every frame of a video pass, nor none of all videos.",
            _pass_rate,
            overall=_some_pass,
            severity=dg.AssetCheckSeverity.WARN,
        ),
    ),
    Stage.EMBED: (
        Check("unit_length", "Every vector has length 1, and no entry is NaN.", _unit_length, blocking=True),
    ),
    Stage.DETECT: (Check("inside", "Every box lies inside of its picture.", _boxes_inside, blocking=True),),
}
