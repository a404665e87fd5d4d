"""Kill real runs at random points, run them again, and compare every artifact with that of an undisturbed run.

    python -m tests.faults.kill_runs [--kills 200] [--seed 1] [--videos 3]

A run mines a folder of demo videos with the bundled models, in a process of its own, and gets SIGKILL: at a change of
the file system whose number is drawn (counted by an audit hook, so that it falls between two steps of ours), or after a
time that is drawn (so that it falls anywhere, also into native code). The next run goes on in the same folder. When one
comes to its end, all artifacts must be the same byte for byte, nothing temporary may be left, and the registry must
say the same about every video and stage; then a new folder is begun.
"""

import argparse
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from ctypes import Array, c_char
from dataclasses import dataclass, field
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any, Final

from miner_resources.demo.videos import write_demo_videos
from miner_resources.records import Stage

CHANGES: Final = frozenset({"os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "open"})
PRELOAD: Final = ("tests.assets.pipelines", "miner_assets.graph", "miner_resources.models.loaded", "transformers")
"""What takes seconds to import: once, in the process that all runs are forked from."""
STAGE_BYTES: Final = 40
PATIENCE_S: Final = 300
SPAN: Final = 3
"""A run is killed within the first third of an undisturbed run, so that several kills fall on one dataset."""


@dataclass
class Report:
    """What became of all runs.

    Attributes:
        kills: stage → how many runs were killed in it.
        finished: runs that came to their end.
        differences: what was not as in the undisturbed run; empty if all is well.
    """

    kills: Counter[str] = field(default_factory=Counter[str])
    finished: int = 0
    differences: list[str] = field(default_factory=list[str])


@dataclass(frozen=True)
class Trace:
    """What a run lets its parent know: how many changes it has made, and in which stage it is."""

    count: "Synchronized[int]"
    stage: "Array[c_char]"


def mine(output: str, videos: str, trace: Trace, die_at: int = 0) -> None:
    """Mine in this process; with `die_at`, kill it at that change of the file system below `output`."""
    from miner_assets.instance import open_instance
    from miner_assets.pipeline import Pipeline
    from miner_assets.workspace import SilentListener, Workspace
    from tests.assets.pipelines import dagster_home, demo_config

    class Listener(SilentListener):
        def started(self, stage: Stage, videos: int) -> None:
            trace.stage.value = stage.value.encode()

    trace.count.value, trace.stage.value = 0, b"before the first stage"
    sys.addaudithook(_Reaper(output, trace, die_at))
    config = demo_config(Path(output), [Path(videos)], "extraction.seconds=1")
    with dagster_home(config.output_dir):
        workspace = Workspace.open(config, Listener())
        with open_instance(workspace.storage) as instance:
            Pipeline(workspace, instance).execute()
    os._exit(0)  # without a page of DuckDB's about references


class _Reaper:
    """Audit hook: counts changes, and ends the process at the one that was drawn."""

    def __init__(self, root: str, trace: Trace, die_at: int) -> None:
        self._root, self._trace, self._die_at = root, trace, die_at

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in CHANGES or (event == "open" and not _writes(arguments)):
            return
        if not any(_name(argument).startswith(self._root) for argument in arguments):
            return
        self._trace.count.value += 1
        if self._trace.count.value == self._die_at:
            os.kill(os.getpid(), signal.SIGKILL)


def _writes(arguments: tuple[Any, ...]) -> bool:
    flags = arguments[2]
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _name(argument: object) -> str:
    return os.fsdecode(argument) if isinstance(argument, (str, bytes, os.PathLike)) else ""


def contents(output: Path) -> dict[str, str]:
    """Every artifact by its hash, and what the registry says of every video and stage."""
    from miner_resources.catalog import Catalog
    from miner_resources.storage import Storage
    from tests.assets.pipelines import digests

    catalog = Catalog(Storage(output))
    said = {f"status of {video.video_id}": video.status.value for video in catalog.videos()}
    for record in catalog.stage_records():
        counts = [record.metrics.get(name) for name in ("rows", "kept", "rejected")]
        keys = (record.status, record.compute_key, record.decision_key)
        said[f"{record.stage} of {record.video_id}"] = f"{keys} {counts}"
    return digests(output) | said


def kill_runs(folder: Path, *, kills: int, seed: int, videos: int, deadline: float = float("inf")) -> Iterator[Report]:
    """Kill so many runs below `folder`; yields the report as it grows, after each run."""
    write_demo_videos(folder / "videos", videos=videos)
    draw = random.Random(seed)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOAD))
    trace = Trace(context.Value("l", 0, lock=False), context.Array(c_char, STAGE_BYTES, lock=False))
    source = str(folder / "videos")
    began = time.monotonic()
    if _ended(context.Process(target=mine, args=(str(folder / "undisturbed"), source, trace))):
        raise RuntimeError("the undisturbed run failed")
    lasts_s, changes = time.monotonic() - began, trace.count.value
    expected = contents(folder / "undisturbed")
    report, number = Report(), 0
    while report.kills.total() < kills and time.monotonic() < deadline:
        output = folder / f"killed-{number}"
        by_change = draw.random() < 0.7
        die_at = draw.randrange(1, changes // SPAN) if by_change else 0
        process = context.Process(target=mine, args=(str(output), source, trace, die_at))
        code = _ended(process, None if by_change else draw.uniform(0, lasts_s / SPAN))
        if code == -signal.SIGKILL:
            report.kills[trace.stage.value.decode()] += 1
        else:
            report.finished += 1
            report.differences += [f"run {number} ended with {code}"] if code else []
            report.differences += _differences(output, expected)
            number += 1
        yield report
    output = folder / f"killed-{number}"
    code = _ended(context.Process(target=mine, args=(str(output), source, trace)))
    report.finished += 1
    report.differences += [f"the last run ended with {code}"] if code else _differences(output, expected)
    yield report


def _ended(process: Any, kill_after_s: float | None = None) -> int:
    process.start()
    process.join(PATIENCE_S if kill_after_s is None else kill_after_s)
    if process.exitcode is None:
        process.kill()
        process.join()
    return int(process.exitcode)


def _differences(output: Path, expected: dict[str, str]) -> list[str]:
    found = contents(output)
    wrong = [f"{output.name}: {name}" for name in sorted(found.keys() ^ expected.keys())]
    wrong += [
        f"{output.name}: {name} differs"
        for name in sorted(found.keys() & expected.keys())
        if found[name] != expected[name]
    ]
    return wrong + [f"{output.name}: {path.name} is left over" for path in (output / ".tmp").glob("*")]


def main() -> None:
    """Kill, and say where and what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--videos", type=int, default=3)
    given = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        for report in kill_runs(Path(folder), kills=given.kills, seed=given.seed, videos=given.videos):
            line = f"\r{report.kills.total()} kills, {report.finished} datasets, {len(report.differences)} differences"
            print(line, end="", file=sys.stderr, flush=True)
    print("\n| killed in | runs |\n| --- | --- |")
    for stage, count in report.kills.most_common():
        print(f"| {stage} | {count} |")
    print(f"\n{report.kills.total()} kills, {report.finished} datasets finished, {len(report.differences)} differences")
    print("\n".join(report.differences[:50]))
    sys.stdout.flush()
    os._exit(bool(report.differences))


if __name__ == "__main__":
    main()
