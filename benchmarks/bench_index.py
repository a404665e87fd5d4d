"""What does it cost to find repeats across videos: exact and with an index, at 10⁴, 10⁵ and 10⁶ stored vectors?

    python benchmarks/bench_index.py [--quick] [--full]

CPU seconds on one thread. Vectors of 384 numbers in half precision, memory-mapped; one new video of 500 frames, of
which every other one is a planted repeat at cosine .88 to .99. `easy` data has clusters, `hard` data has none and a
power-law spectrum, which is as bad as it gets for an index. `--quick` stops at 10⁵; `--full` also decides on a million
frames from nothing with the index.
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy loads its BLAS
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import numpy.typing as npt

from benchmarks.harness import Result, finish
from miner_assets.logic.unique import Known, decide_across
from miner_resources.faiss_index import CandidateIndex
from miner_resources.vector_index import ExactSearch, Halves, IndexedSearch

Floats = npt.NDArray[np.float32]
DIMENSION: Final = 384
FRAMES: Final = 500
THRESHOLD: Final = 0.9
CHUNK: Final = 50_000
REPEATS_IN_FULL: Final = 0.1

_SPECTRUM: Final = np.arange(1, DIMENSION + 1, dtype=np.float32) ** -0.5


def unit(vectors: Floats) -> Floats:
    """Rows of length 1."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def hard(random: np.random.Generator, count: int) -> Floats:
    """No clusters; eigenvalues fall as 1/k."""
    return unit(random.standard_normal((count, DIMENSION), dtype=np.float32) * _SPECTRUM)


def easy(random: np.random.Generator, count: int) -> Floats:
    """1,000 clusters; cosine within one about .6."""
    middle = np.random.default_rng(1).standard_normal((1_000, DIMENSION), dtype=np.float32)
    noise = random.standard_normal((count, DIMENSION), dtype=np.float32)
    return unit(middle[random.integers(0, len(middle), count)] + 0.8 * noise)


def planted(random: np.random.Generator, originals: Floats, noise: Floats) -> Floats:
    """A copy of each original at a cosine of .88 to .99."""
    cosine = random.uniform(0.88, 0.99, (len(originals), 1)).astype(np.float32)
    across = unit(noise - np.sum(noise * originals, axis=1, keepdims=True) * originals)
    return unit(cosine * originals + np.sqrt(1 - cosine**2) * across)


def write_vectors(path: Path, make: Callable[[np.random.Generator, int], Floats], count: int, repeats: float) -> Halves:
    """`count` vectors and `FRAMES` new ones as a memory-mapped file; a share of the former repeats earlier ones."""
    random = np.random.default_rng(0)
    stored = np.memmap(path, np.float16, "w+", shape=(count + FRAMES, DIMENSION))
    for start in range(0, count, CHUNK):
        part = make(random, min(CHUNK, count - start))
        copies = np.flatnonzero(random.random(len(part)) < repeats) if start else np.empty(0, np.int64)
        originals = stored[np.sort(random.integers(0, max(start, 1), len(copies)))].astype(np.float32)
        part[copies] = planted(random, unit(originals), part[copies])
        stored[start : start + len(part)] = part
    new = make(random, FRAMES)
    originals = stored[np.sort(random.integers(0, count, FRAMES // 2))].astype(np.float32)
    new[::2] = planted(random, unit(originals), new[::2])
    stored[count:] = new
    stored.flush()
    return np.memmap(path, np.float16, "r", shape=stored.shape)


def timed(call: Callable[[], object]) -> float:
    """CPU seconds of this process."""
    start = time.process_time()
    call()
    return time.process_time() - start


def peak_gb() -> float:
    """The most memory this process has had, mapped pages included, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def one_new_video(vectors: Halves) -> dict[str, float]:
    """CPU seconds of both searches and how well the index finds."""
    count = len(vectors) - FRAMES
    rows = np.arange(len(vectors))
    queries = vectors[count:].astype(np.float32)
    members = rows[:count]
    search = ExactSearch(vectors, rows)
    exact = search.best(queries, members, THRESHOLD)
    exact_s = min(timed(lambda: search.best(queries, members, THRESHOLD)) for _ in range(2))

    def build() -> IndexedSearch:
        sample = np.sort(np.random.default_rng(0).permutation(count)[: CandidateIndex.sample_size(count)])
        made = IndexedSearch(vectors, rows, CandidateIndex.train(search.read(sample), count))
        made.add(members)
        return made

    start = time.process_time()
    indexed = build()
    build_s = time.process_time() - start
    found = indexed.best(queries, members, THRESHOLD)
    index_s = min(timed(lambda: indexed.best(queries, members, THRESHOLD)) for _ in range(3))
    true = exact[0] >= THRESHOLD
    recall = float((found[0][true] >= THRESHOLD).mean())
    wrong = int((found[0] >= THRESHOLD)[~true].sum())
    return {
        "exact": exact_s,
        "index": index_s,
        "build": build_s,
        "recall": recall,
        "wrong": wrong,
        "repeats": float(true.sum()),
    }


def from_nothing(vectors: Halves, *, with_index: bool) -> tuple[float, int]:
    """CPU seconds to decide on all vectors, and how many are kept."""
    rows = np.arange(len(vectors))
    exact = ExactSearch(vectors, rows)
    start = time.process_time()
    search = exact
    if with_index:
        sample = np.sort(np.random.default_rng(0).permutation(len(rows))[: CandidateIndex.sample_size(len(rows))])
        search = IndexedSearch(vectors, rows, CandidateIndex.train(exact.read(sample), len(rows)))
    decisions = decide_across(search, exact, THRESHOLD, Known.nothing(len(rows)))
    return time.process_time() - start, int(decisions.kept.sum())


def exponent(sizes: list[int], seconds: list[float]) -> float:
    """Of the power law that fits best."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def of_one_new_video(data: str, count: int, found: dict[str, float], *, goals: bool) -> Iterator[Result]:
    """Rows about 500 new frames against `count` stored ones."""
    what = f"{data}, one new video against {count:,}"
    yield Result(f"{what}: exact", found["exact"], 10 if goals else None, "at most", "s CPU")
    yield Result(
        f"{what}: exact ÷ index",
        found["exact"] / found["index"],
        8 if goals else None,
        detail=f"index {found['index']:.3f} s, built in {found['build']:.1f} s",
    )
    yield Result(
        f"{what}: recall", found["recall"], 0.98 if goals else None, detail=f"of {found['repeats']:.0f} repeats"
    )
    if goals:
        yield Result(f"{what}: repeats that are none", found["wrong"], 0, "at most")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="up to 100,000 vectors, without goals")
    parser.add_argument("--full", action="store_true", help="also decide on a million frames from nothing")
    given = parser.parse_args()
    sizes = [10_000, 100_000] if given.quick else [10_000, 100_000, 1_000_000]
    results: list[Result] = []
    curves: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.f16"
        for data, make in (("hard", hard), ("easy", easy)):
            for size in sizes:
                found = one_new_video(write_vectors(path, make, size, 0.0))
                results += of_one_new_video(data, size, found, goals=size == 1_000_000)
                for name in ("exact", "index"):
                    curves.setdefault(f"one new video, {data}, {name}", []).append(found[name])
        runs = [(False, 10_000), (True, 10_000), (False, 100_000), (True, 100_000), (True, 1_000_000)]
        for with_index, size in runs[: len(runs) if given.full else 4]:
            vectors = write_vectors(path, hard, size - FRAMES, REPEATS_IN_FULL)
            seconds, kept = from_nothing(vectors, with_index=with_index)
            name = f"from nothing, hard, {'index' if with_index else 'exact'}"
            curves.setdefault(name, []).append(seconds)
            results.append(Result(f"{name}: {size:,}", seconds, unit="s CPU", detail=f"{kept:,} kept"))
    for name, seconds in curves.items():
        power = exponent([10_000, 100_000, 1_000_000][: len(seconds)], seconds)
        results.append(Result(f"{name}: grows as n to the power of", power))
    results.append(Result("most memory", peak_gb(), 2.5, "at most", "GB", "the mapped file included"))
    finish(results)


if __name__ == "__main__":
    main()
