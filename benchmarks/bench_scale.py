"""Does a project of 10,000 videos stay a pleasure? Sensor ticks, registry, and one more video for `unique_frames`.

    python benchmarks/bench_scale.py [--videos 10000]

Videos are registered with tiny artifacts (8 vectors of 64 numbers). A second row with a tenth of the videos, in the
same process, shows how costs grow: 10 is linear. Goals are those of issue 5: a tick below 5 s.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import dagster as dg
import numpy as np
import polars as pl

from benchmarks.harness import Result, finish
from miner_assets.automation import finished_videos, new_videos
from miner_assets.embeddings import MODEL, embedder_identity
from miner_assets.graph import build_definitions
from miner_assets.instance import open_instance
from miner_assets.unique_frames import DedupStep
from miner_assets.workspace import Workspace
from miner_resources.config_files import load_config
from miner_resources.records import FRAMES_SCHEMA, Video, embeddings_schema
from miner_resources.storage import ArtifactKeys
from miner_resources.tables import write_table

FRAMES = 8
DIMENSION = 64
TICK_S = 5.0
Measured = dict[str, float]


def add_videos(workspace: Workspace, first: int, count: int) -> None:
    """Register videos and write their frame tables and embeddings."""
    now = datetime.now(UTC)
    names = [f"video{number:06d}" for number in range(first, first + count)]
    workspace.catalog.add_videos(
        Video(video_id=name, url=f"https://example.org/{name}.mp4", added_at=now) for name in names
    )
    rng = np.random.default_rng(first)
    identity = embedder_identity(workspace, workspace.config.dedup)
    storage = workspace.storage
    for name in names:
        vectors = rng.standard_normal((FRAMES, DIMENSION)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        table = pl.DataFrame(
            {
                "video_id": [name] * FRAMES,
                "frame_index": range(FRAMES),
                "embedding": pl.Series(vectors, dtype=pl.Array(pl.Float32, DIMENSION)),
                "kept": [True] * FRAMES,
                "duplicate_of": pl.Series([None] * FRAMES, dtype=pl.Int64),
                "similarity": pl.Series([None] * FRAMES, dtype=pl.Float32),
            },
            schema=embeddings_schema(DIMENSION),
        )
        path = storage.embeddings_table(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(path, table, ArtifactKeys("c", "d"), {MODEL: identity})
        folder = storage.raw_frames(name)
        folder.mkdir(parents=True)
        paths = [f"frames_raw/{name}/frame_{index:06d}.jpg" for index in range(FRAMES)]
        for each in paths:
            (storage.root / each).touch()
        frames = {column: [None] * FRAMES for column in FRAMES_SCHEMA}
        frames |= {"video_id": [name] * FRAMES, "frame_index": list(range(FRAMES)), "path": paths}
        write_table(storage.frames_table(name), pl.DataFrame(frames, schema=FRAMES_SCHEMA), ArtifactKeys("c", "d"))


def timed(call: Callable[[], Any]) -> float:
    """Seconds."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(folder: Path, videos: int) -> Measured:
    """What a project of that size takes, in seconds."""
    config = load_config(
        (), [f"output_dir={folder}", "dedup.model=demo", "filter.model=demo", "detection.detector=demo"]
    )
    workspace = Workspace.open(config)
    found: Measured = {}
    add_videos(workspace, 0, videos)
    with open_instance(workspace.storage) as instance:
        definitions = build_definitions(workspace)
        repository = definitions.get_repository_def()

        def tick(sensor: dg.SensorDefinition) -> Any:  # noqa: ANN401
            context = dg.build_sensor_context(
                instance=instance, repository_def=repository, resources={"workspace": workspace}
            )
            return sensor.evaluate_tick(context)

        found["new_videos: first tick, all are new"] = timed(lambda: tick(new_videos))
        keys = [video.video_id for video in workspace.catalog.videos()]
        instance.add_dynamic_partitions("videos", keys)
        found["new_videos: tick, all are partitions"] = timed(lambda: tick(new_videos))
        found["finished_videos: tick"] = timed(lambda: tick(finished_videos))
        found["partitions listed by Dagster"] = timed(lambda: instance.get_dynamic_partitions("videos"))
        found["registry status"] = timed(workspace.catalog.statistics)
        found["unique_frames: all videos"] = timed(DedupStep(workspace, config.dedup).run)
        add_videos(workspace, videos, 1)
        found["unique_frames: one more video"] = timed(DedupStep(workspace, config.dedup).run)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=10_000)
    videos = parser.parse_args().videos
    os.environ.pop("DAGSTER_HOME", None)
    rows: list[Measured] = []
    for count in (videos // 10, videos):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(Path(folder) / "output", count))
            os.environ.pop("DAGSTER_HOME", None)
    few, many = rows
    finish(
        [
            Result(
                f"{name}, {videos:,} videos",
                many[name],
                TICK_S if "tick" in name else None,
                "at most",
                "s",
                f"{few[name]:.2f} s with {videos // 10:,}: {many[name] / few[name]:.1f} times that",
            )
            for name in many
        ]
    )


if __name__ == "__main__":
    main()
