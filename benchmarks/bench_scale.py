"""Does a project of 10,000 videos stay a pleasure? Sensor ticks, the partitions page, registry, and one more video.

    python benchmarks/bench_scale.py [--videos 10000]

CPU seconds of this process. Videos are registered with tiny artifacts (8 vectors of 64 numbers). A column with a tenth
of the videos, in the same process, shows how costs grow: 10 is linear. `registry status` is also asked at ten times as
many videos, whose rows are written straight into a registry. Goals are those of issues 5 and 6.5.
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
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget
from dagster_graphql.test.utils import execute_dagster_graphql

from benchmarks.harness import Result, finish
from miner_assets.automation import finished_videos, new_videos
from miner_assets.graph import build_definitions
from miner_assets.instance import open_instance
from miner_assets.stored_vectors import MODEL, embedder_identity
from miner_assets.unique_frames import DedupStep
from miner_assets.workspace import Workspace
from miner_resources.catalog import Catalog
from miner_resources.config import MinerConfig
from miner_resources.config_files import load_config, to_yaml
from miner_resources.records import FRAMES_SCHEMA, VIDEO_STAGES, StageRecord, Video, embeddings_schema
from miner_resources.registry.database import RegistryDatabase
from miner_resources.registry.rows import save
from miner_resources.storage import ArtifactKeys, Storage
from miner_resources.tables import write_table

FRAMES = 8
DIMENSION = 64
MATERIALIZED = 200
Measured = dict[str, float]
GOALS = {
    "new_videos: first tick, all are new": 5.0,
    "new_videos: tick, all are partitions": 5.0,
    "finished_videos: tick": 5.0,
}
STATUS_GOAL_S = 1.0
PARTITIONS_PAGE = """query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  partitionKeysByDimension { name partitionKeys }
  partitionStats { numPartitions numMaterialized numFailed }
  assetPartitionStatuses { ... on DefaultPartitionStatuses { materializedPartitions } } } } }"""


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
        write_table(path, table, ArtifactKeys("c", "d"), metadata={MODEL: identity})
        folder = storage.raw_frames(name)
        folder.mkdir(parents=True)
        paths = [f"frames_raw/{name}/frame_{index:06d}.jpg" for index in range(FRAMES)]
        for each in paths:
            (storage.root / each).touch()
        frames = {column: [None] * FRAMES for column in FRAMES_SCHEMA}
        frames |= {"video_id": [name] * FRAMES, "frame_index": list(range(FRAMES)), "path": paths}
        write_table(storage.frames_table(name), pl.DataFrame(frames, schema=FRAMES_SCHEMA), ArtifactKeys("c", "d"))


def timed(call: Callable[[], Any]) -> float:
    """CPU seconds."""
    start = time.process_time()
    call()
    return time.process_time() - start


def partitions_page(instance: dg.DagsterInstance, config: MinerConfig) -> float:
    """What the UI asks for when the partitions of an asset are looked at; a first time fills Dagster's cache."""
    file = config.output_dir / "bench.yaml"
    file.write_text(to_yaml(config))
    os.environ["VIDEO_MINER_CONFIG"] = str(file)
    target = ModuleTarget("miner_assets.definitions", None, None, "miner")
    variables = {"key": {"path": ["embeddings"]}}
    with WorkspaceProcessContext(instance, target) as process:

        def ask() -> None:
            answer = execute_dagster_graphql(process.create_request_context(), PARTITIONS_PAGE, variables)
            assert answer.data["assetNodeOrError"]["partitionStats"]["numPartitions"], answer

        ask()
        seconds = timed(ask)
    del os.environ["VIDEO_MINER_CONFIG"]
    return seconds


def large_status(folder: Path, videos: int) -> float:
    """`registry status` on a registry of that many videos, all stages done."""
    storage = Storage(folder)
    storage.root.mkdir(parents=True)
    now = datetime.now(UTC)
    names = [f"video{number:06d}" for number in range(videos)]
    database = RegistryDatabase(storage)
    with database.lock(), database.create() as connection:
        save(connection, "videos", [Video(video_id=name, url=name, added_at=now) for name in names])
        for stage in VIDEO_STAGES:
            records = [
                StageRecord(video_id=name, stage=stage, status="done", started_at=now, finished_at=now)
                for name in names
            ]
            save(connection, "stages", records)
    statistics = Catalog(storage).statistics
    assert statistics().videos == videos
    return timed(statistics)


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
        for key in keys[:MATERIALIZED]:
            instance.report_runless_asset_event(dg.AssetMaterialization("embeddings", partition=key))
        found["partitions page of an asset (GraphQL)"] = partitions_page(instance, config)
        found["registry status"] = timed(workspace.catalog.statistics)
        found["unique_frames: all videos"] = timed(DedupStep(workspace, config.dedup).run)
        add_videos(workspace, videos, 1)
        found["unique_frames: one more video"] = timed(DedupStep(workspace, config.dedup).run)
        found["unique_frames: is it up to date?"] = timed(DedupStep(workspace, config.dedup).is_current)
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
    results = [
        Result(
            f"{name}, {videos:,} videos",
            many[name],
            GOALS.get(name),
            "at most",
            "s CPU",
            f"{few[name]:.2f} s with {videos // 10:,}: grows {many[name] / few[name]:.1f} times",
        )
        for name in many
    ]
    with tempfile.TemporaryDirectory() as folder:
        status_s = large_status(Path(folder) / "output", 10 * videos)
    results.append(Result(f"registry status, {10 * videos:,} videos", status_s, STATUS_GOAL_S, "at most", "s CPU"))
    finish(results)


if __name__ == "__main__":
    main()
