"""Projects that benchmarks run on: registered videos with frame tables and pictures, without download or decoding."""

from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg
import numpy as np
import polars as pl

from miner_assets.partitions import VIDEOS, add_partitions
from miner_assets.workspace import Workspace
from miner_resources.images import encode_image
from miner_resources.records import FRAMES_SCHEMA, Rgb, Video
from miner_resources.storage import ArtifactKeys
from miner_resources.tables import write_table


def add_videos(workspace: Workspace, count: int, *, frames: int, size: tuple[int, int]) -> list[str]:
    """Register videos whose frames are extracted already; returns their ids.

    Args:
        workspace: the project.
        count: how many videos.
        frames: of each video; every video has the same pictures.
        size: (width, height) of a picture.
    """
    names = [f"video{number:05d}" for number in range(count)]
    now = datetime.now(UTC)
    workspace.catalog.add_videos(Video(video_id=name, url=f"file:///{name}", added_at=now) for name in names)
    pictures = [encode_image(_picture(size, seed), "jpg", 90) for seed in range(frames)]
    for name in names:
        _write_frames(workspace, name, pictures, size)
    return names


def materialize(definitions: dg.Definitions, instance: dg.DagsterInstance, asset: str, names: Sequence[str]) -> None:
    """One Dagster run of one asset over all these videos."""
    add_partitions(instance, VIDEOS, list(names))
    job = definitions.resolve_implicit_global_asset_job_def()
    job.execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey(asset)],
        tags={"dagster/asset_partition_range_start": names[0], "dagster/asset_partition_range_end": names[-1]},
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )


def _picture(size: tuple[int, int], seed: int) -> Rgb:
    """Smooth colours with some noise, which JPEG packs about as well as a photograph."""
    width, height = size
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / rng.uniform(5, 80) + rng.uniform(0, 9)) * np.cos(y / rng.uniform(5, 80)) for _ in range(3)]
    smooth = 128 + 90 * np.stack(waves, -1)
    return np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)


def _write_frames(workspace: Workspace, name: str, pictures: Sequence[bytes], size: tuple[int, int]) -> None:
    storage, count = workspace.storage, len(pictures)
    folder = storage.raw_frames(name)
    folder.mkdir(parents=True)
    for index, picture in enumerate(pictures):
        (folder / f"frame_{index:06d}.jpg").write_bytes(picture)
    columns = {
        "video_id": [name] * count,
        "frame_index": list(range(count)),
        "pts": list(range(count)),
        "time_base_num": [1] * count,
        "time_base_den": [25] * count,
        "timestamp_s": [index / 25 for index in range(count)],
        "is_keyframe": [False] * count,
        "width": [size[0]] * count,
        "height": [size[1]] * count,
        "path": [f"frames_raw/{name}/frame_{index:06d}.jpg" for index in range(count)],
        "sharpness": [1.0] * count,
        "brightness": [100.0] * count,
    }
    write_table(storage.frames_table(name), pl.DataFrame(columns, schema=FRAMES_SCHEMA), ArtifactKeys(name, "d"))
