"""Many processes that write to one registry: is anything lost, and how long does a write wait?

    python benchmarks/bench_registry.py [--processes 8] [--writes 100]

Of ten writes of a process nine are what a stage says about a video (an event file, flushed to disk) and one registers a
video itself (the registry's lock); after every fifty it folds events into the registry, as a run does every ten
seconds. Afterwards every write must be in the registry, the events must be gone, and `registry rebuild` must make the
same registry from the files alone. Waits are seconds by the wall of processes that do nothing else, on as many cores as
there are.
"""

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from benchmarks.harness import Result, finish
from miner_resources import events
from miner_resources.catalog import Catalog
from miner_resources.records import Stage, StageRecord, Video
from miner_resources.storage import Storage

REGISTER_EVERY = 10
FOLD_EVERY = 50
STAGES = (Stage.DOWNLOAD, Stage.EXTRACT, Stage.FILTER)
Waits = dict[str, list[float]]


def video_of(worker: int, write: int) -> str:
    """The video that a write is about: nine writes in a row about the one that was registered before them."""
    return f"w{worker}-{write // REGISTER_EVERY}"


def write_all(root: str, worker: int, writes: int, done: "multiprocessing.Queue[Waits]") -> None:
    """One process: writes, and says how long each took."""
    storage = Storage(Path(root))
    catalog = Catalog(storage, timeout_s=600)
    waits: Waits = {"event": [], "register": [], "fold": []}
    for write in range(writes):
        name, began = video_of(worker, write), time.perf_counter()
        if write % REGISTER_EVERY == 0:
            catalog.add_videos([Video(video_id=name, url=f"https://example.org/{name}", added_at=datetime.now(UTC))])
            waits["register"].append(time.perf_counter() - began)
        else:
            events.publish(storage, said(name, write))
            waits["event"].append(time.perf_counter() - began)
        if write % FOLD_EVERY == FOLD_EVERY - 1:
            began = time.perf_counter()
            catalog.fold()
            waits["fold"].append(time.perf_counter() - began)
    done.put(waits)


def said(video_id: str, write: int) -> StageRecord:
    """What a stage says: it failed, so that a rebuild needs no artifact to believe it."""
    now = datetime.now(UTC)
    return StageRecord(
        video_id=video_id,
        stage=STAGES[write % len(STAGES)],
        status="failed",
        started_at=now,
        finished_at=now,
        error=f"write {write}",
    )


def missing(catalog: Catalog, processes: int, writes: int) -> int:
    """How many of the writes are not in the registry as they were last said."""
    last = {
        (video_of(worker, write), STAGES[write % len(STAGES)]): f"write {write}"
        for worker in range(processes)
        for write in range(writes)
        if write % REGISTER_EVERY
    }
    expected = {name for name, _ in last}
    known = {video.video_id for video in catalog.videos()}
    records = {(record.video_id, record.stage): record.error for record in catalog.stage_records()}
    return len(expected - known) + sum(records.get(key) != error for key, error in last.items())


def contents(catalog: Catalog) -> set[str]:
    """Everything the registry says."""
    return {repr(video) for video in catalog.videos()} | {repr(record) for record in catalog.stage_records()}


def results(root: Path, processes: int, writes: int) -> Iterator[Result]:
    """All rows of the table."""
    storage = Storage(root)
    catalog = Catalog(storage, timeout_s=600)
    context = multiprocessing.get_context("spawn")
    done: multiprocessing.Queue[Waits] = context.Queue()
    workers = [context.Process(target=write_all, args=(str(root), worker, writes, done)) for worker in range(processes)]
    began = time.perf_counter()
    for worker in workers:
        worker.start()
    waits = [done.get() for _ in workers]
    for worker in workers:
        worker.join()
    wall = time.perf_counter() - began
    catalog.fold()
    detail = f"{processes} processes × {writes} writes in {wall:.0f} s"
    yield Result("writes that are lost or wrong", missing(catalog, processes, writes), 0, "at most", detail=detail)
    yield Result("events left over", sum(1 for _ in (storage.events / "new").iterdir()), 0, "at most")
    before = contents(catalog)
    storage.registry.unlink()
    catalog.rebuild()
    yield Result("rows that differ after `registry rebuild`", len(before ^ contents(catalog)), 0, "at most")
    for name, what in (("event", "say what came of a stage"), ("register", "register a video"), ("fold", "fold")):
        times = np.concatenate([each[name] for each in waits])
        if not len(times):
            continue
        middle, longest = np.median(times), times.max()
        yield Result(
            f"{what}: wait, 99th percentile",
            float(np.percentile(times, 99)),
            unit="s",
            detail=f"median {middle:.3f} s, longest {longest:.1f} s, {len(times):,} times",
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--writes", type=int, default=100)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        finish(list(results(Path(folder) / "output", given.processes, given.writes)))


if __name__ == "__main__":
    main()
