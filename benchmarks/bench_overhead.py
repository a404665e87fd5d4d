"""What does the platform itself cost? CPU for each video and stage beside Dagster's own, and for `--help`.

    python benchmarks/bench_overhead.py

The baseline is a bare Dagster asset that logs one materialization for each of the same partition keys, in the same
process and on the same instance. The stage does no work either, but publishes a tiny artifact for each video: what it
costs more is plan, artifact, event file, registry, checks and metadata.
"""

import cProfile
import pstats
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import dagster as dg
import polars as pl

from benchmarks.harness import Result, clocked, finish
from benchmarks.projects import add_videos, materialize
from miner_assets.instance import open_instance
from miner_assets.partitions import VIDEOS
from miner_assets.stage import run_stage
from miner_assets.video_stage import Outcome, Task
from miner_assets.workspace import Workspace
from miner_resources.config_files import load_config
from miner_resources.records import Stage, Video
from miner_resources.storage import ArtifactKeys
from miner_resources.tables import read_keys, write_table

COUNT: Final = 500
GOAL_MS: Final = 10.0
HELP_GOAL_S: Final = 0.5


class TinyStage:
    """Writes one row for each video, as the embedding of a video with one frame."""

    stage = Stage.EMBED

    def __init__(self, workspace: Workspace, *, force: bool = False) -> None:
        self.workspace = workspace
        self.storage = workspace.storage
        self.force = force

    def keys(self, video: Video) -> ArtifactKeys:
        """From the input's, as every stage has them."""
        keys = read_keys(self.storage.frames_table(video.video_id))
        assert keys is not None
        return keys

    def artifact_keys(self, video: Video) -> ArtifactKeys | None:
        """Read from the table."""
        return read_keys(self.storage.embeddings_table(video.video_id))

    def work(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Publish a table of one unit vector."""
        vector = pl.Series([[1.0, 0.0]], dtype=pl.Array(pl.Float32, 2))
        for task in tasks:
            table = pl.DataFrame({"video_id": [task.video_id], "frame_index": [0], "embedding": vector, "kept": [True]})
            with self.storage.publish_file(self.storage.embeddings_table(task.video_id)) as target:
                write_table(target, table, task.keys)
            yield Outcome(task, {"rows": 1, "kept": 1, "rejected": 0})


@dg.asset(partitions_def=VIDEOS, output_required=False, backfill_policy=dg.BackfillPolicy.single_run())
def bare(context: dg.AssetExecutionContext) -> None:
    """What Dagster costs by itself: one materialization for each key, with metadata as our stages give it."""
    for key in context.partition_keys:
        metadata = {"rows": 1, "kept": 1, "rejected": 0, "source": f"file:///{key}"}
        tags = {"dagster/data_version": key}
        context.log_event(dg.AssetMaterialization(context.asset_key, partition=key, metadata=metadata, tags=tags))


@dg.asset(
    key="tiny",
    partitions_def=VIDEOS,
    output_required=False,
    backfill_policy=dg.BackfillPolicy.single_run(),
    check_specs=[dg.AssetCheckSpec("unit_length", asset="tiny", blocking=True)],
)
def tiny(context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]) -> Iterator[Any]:
    """The stage loop around nearly nothing."""
    yield from run_stage(context, workspace, TinyStage(workspace))


def overhead(folder: Path, profile: Path | None) -> list[Result]:
    """A stage beside a bare asset: all videos new, and all up to date."""
    workspace = Workspace.open(load_config((), [f"output_dir={folder}"]))
    names = add_videos(workspace, COUNT, frames=1, size=(64, 48))
    definitions = dg.Definitions(
        assets=[bare, tiny], resources={"workspace": workspace}, executor=dg.in_process_executor
    )
    with open_instance(workspace.storage) as instance:
        materialize(definitions, instance, "bare", names[:2])
        materialize(definitions, instance, "tiny", names[:2])

        def each_ms(asset: str) -> float:
            return clocked(lambda: materialize(definitions, instance, asset, names)).cpu * 1000 / COUNT

        dagster = each_ms("bare")
        profiler = cProfile.Profile()
        if profile:
            profiler.enable()
        new = each_ms("tiny")
        if profile:
            profiler.disable()
            pstats.Stats(profiler).dump_stats(profile)
        again = each_ms("tiny")
    detail = f"{{:.1f}} ms of CPU a video, a bare Dagster asset {dagster:.1f} ms ({COUNT} videos)"
    return [
        Result("stage loop and registry, new videos", new - dagster, GOAL_MS, "at most", "ms", detail.format(new)),
        Result("the same, all up to date", again - dagster, GOAL_MS, "at most", "ms", detail.format(again)),
    ]


def help_seconds() -> Result:
    """CPU of `video-miner --help`, the best of five."""
    command = [sys.executable, "-c", "from miner_assets.cli import main; main()", "--help"]

    def start() -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)

    runs = [clocked(start) for _ in range(5)]
    detail = f"best of 5; by the wall {min(run.wall for run in runs):.2f} s"
    return Result("video-miner --help", min(run.cpu for run in runs), HELP_GOAL_S, "at most", "s CPU", detail)


def main() -> None:
    """Print the table; `--profile FILE` keeps a profile of the stage loop."""
    profile = Path(sys.argv[2]) if sys.argv[1:2] == ["--profile"] else None
    with tempfile.TemporaryDirectory() as folder:
        finish([*overhead(Path(folder) / "output", profile), help_seconds()])


if __name__ == "__main__":
    main()
