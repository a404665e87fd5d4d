"""What one tick costs: our sensor beside Dagster's declarative automation, at 1,000 and 3,000 videos.

    python benchmarks/bench_automation.py [--videos 1000 3000]

Declarative automation is evaluated on a bare graph of the pipeline's shape (`on_missing()` for the first asset,
`eager()` for what follows); the sensor is the project's own `new_videos` over a real registry. Both run in this process
on an instance in SQLite files, as the daemon of a laptop has it. Ratios hold on any machine; times do not.
"""

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import dagster as dg

from benchmarks.harness import Result, finish
from miner_assets import automation
from miner_assets.partitions import VIDEOS, add_partitions
from miner_assets.workspace import Workspace
from miner_resources.config import MinerConfig
from miner_resources.records import Status, Video

PER_VIDEO = ("videos", "frames", "filtered_frames", "embeddings", "detections")
EAGER = dg.AutomationCondition.eager()
ON_MISSING = dg.AutomationCondition.on_missing()
NEW = 50
"""Videos that come through the first stage between two ticks."""


def bare_graph() -> dg.Definitions:
    """The pipeline's shape without its work."""
    assets: list[dg.AssetsDefinition] = []
    for place, name in enumerate((*PER_VIDEO, "unique_frames")):

        @dg.asset(
            name=name,
            deps=[PER_VIDEO[place - 1]] if place else [],
            partitions_def=VIDEOS if name in PER_VIDEO else None,
            automation_condition=EAGER if place else ON_MISSING,
            backfill_policy=dg.BackfillPolicy.multi_run(50) if name in PER_VIDEO else None,
        )
        def nothing() -> None: ...

        assets.append(nothing)
    return dg.Definitions(assets=assets)


def timed(tick: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what the tick said."""
    began = time.perf_counter()
    answer = tick()
    return time.perf_counter() - began, answer


def declarative(instance: dg.DagsterInstance, keys: list[str]) -> Iterator[tuple[str, float, str]]:
    """Ticks of declarative automation."""
    defs = bare_graph()
    cursor: Any = dg.evaluate_automation_conditions(defs=defs, instance=instance).cursor
    add_partitions(instance, VIDEOS, keys)
    for state in ("all videos are new", "nothing has changed", f"{NEW} came through a stage"):
        if state.startswith(str(NEW)):
            for key in keys[:NEW]:
                instance.report_runless_asset_event(dg.AssetMaterialization("videos", partition=key))
        seconds, result = timed(
            lambda cursor=cursor: dg.evaluate_automation_conditions(defs=defs, instance=instance, cursor=cursor)
        )
        cursor = result.cursor
        yield state, seconds, f"{result.total_requested} partitions"


def sensor(instance: dg.DagsterInstance, keys: list[str], folder: Path) -> Iterator[tuple[str, float, str]]:
    """Ticks of `new_videos`."""
    workspace = Workspace.open(MinerConfig(output_dir=folder / "output"))
    began = datetime.now(UTC)
    workspace.catalog.add_videos(
        Video(video_id=key, url=f"https://youtu.be/{key}", added_at=began + timedelta(microseconds=place))
        for place, key in enumerate(keys)
    )

    def tick() -> object:
        return automation.new_videos(dg.build_sensor_context(instance=instance, resources={"workspace": workspace}))

    for state in ("all videos are new", "nothing has changed", f"{NEW} came through a stage"):
        if state.startswith(str(NEW)):
            workspace.catalog.set_status(keys[:NEW], Status.PENDING)
        seconds, result = timed(tick)
        asked = result.run_requests if isinstance(result, dg.SensorResult) else []
        yield state, seconds, f"{len(asked)} runs of up to {workspace.config.automation.videos_per_run} videos"
        if state.startswith("all"):
            add_partitions(instance, VIDEOS, keys)
            workspace.catalog.mark_complete(keys)


def main() -> None:
    """Print the table."""
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, nargs="+", default=[1_000, 3_000], help="how many")
    results: list[Result] = []
    for count in parser.parse_args().videos:
        keys = [f"v{number:06d}" for number in range(count)]
        with tempfile.TemporaryDirectory() as folder, dg.instance_for_test(temp_dir=folder) as instance:
            own = list(sensor(instance, keys, Path(folder)))
        with tempfile.TemporaryDirectory() as folder, dg.instance_for_test(temp_dir=folder) as instance:
            theirs = list(declarative(instance, keys))
        for (state, own_s, asked), (_, their_s, asked_too) in zip(own, theirs, strict=True):
            what = f"{count:,} videos, {state}: declarative ÷ `new_videos`"
            detail = f"{their_s:.2f} s for {asked_too}, {own_s:.2f} s for {asked}"
            results.append(Result(what, their_s / own_s, 1.0, detail=detail))
    finish(results)


if __name__ == "__main__":
    main()
