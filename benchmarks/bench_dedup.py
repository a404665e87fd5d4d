"""How fast is `deduplicate` beside the obvious ways to do the same, and does it decide the same?

    python benchmarks/bench_dedup.py [--quick]

All methods run on the same vectors in the same process on one thread, so the ratios hold on any machine; the times do
not. `--quick` leaves out the two slowest ones.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy loads its BLAS
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import numpy.typing as npt

from benchmarks.harness import Result, finish
from miner_assets.logic.dedup import Decisions, deduplicate, plain_deduplicate

Floats = npt.NDArray[np.float32]
Method = Callable[[Floats, float], Decisions]

COUNTS = (1_000, 10_000)
THRESHOLD = 0.9
DIMENSION = 768
FRAMES_PER_SHOT = 8.3  # keeps about 12 %


def shots(count: int, seed: int = 0) -> Floats:
    """Frames in time order: a random direction for each shot, noise around it; cosine about 0.94 inside a shot."""
    random = np.random.default_rng(seed)
    directions = random.standard_normal((int(count / FRAMES_PER_SHOT), DIMENSION))
    vectors = directions[np.sort(random.integers(0, len(directions), count))]
    vectors += 0.25 * random.standard_normal(vectors.shape)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def pair_loop(vectors: Floats, threshold: float) -> Decisions:
    """Two Python loops with one float32 dot product for each pair."""
    return _greedy(vectors, threshold, lambda vector, kept: np.array([np.dot(vector, vectors[at]) for at in kept]))


def gemv_per_frame(vectors: Floats, threshold: float) -> Decisions:
    """One matrix-vector product for each frame, against an array that grows without being copied."""
    shelf = np.empty_like(vectors)

    def compare(vector: Floats, kept: list[int]) -> Floats:
        if kept:
            shelf[len(kept) - 1] = vectors[kept[-1]]
        return shelf[: len(kept)] @ vector

    return _greedy(vectors, threshold, compare)


def _greedy(vectors: Floats, threshold: float, compare: Callable[[Floats, list[int]], Floats]) -> Decisions:
    count = len(vectors)
    kept: list[int] = []
    decisions = Decisions(np.zeros(count, np.bool_), np.full(count, -1, np.int64), np.full(count, np.nan, np.float32))
    for row, vector in enumerate(vectors):
        similarity = compare(vector, kept)
        best = int(np.argmax(similarity)) if kept else -1
        if kept and similarity[best] >= threshold:
            decisions.duplicate_of[row] = kept[best]
            decisions.similarity[row] = similarity[best]
        else:
            decisions.kept[row] = True
            kept.append(row)
    return decisions


def agreement(ours: Decisions, other: Decisions) -> str:
    """Which of the arrays are equal bit for bit."""
    equal = {
        "kept": np.array_equal(ours.kept, other.kept),
        "duplicate_of": np.array_equal(ours.duplicate_of, other.duplicate_of),
        "similarity": np.array_equal(ours.similarity, other.similarity, equal_nan=True),
    }
    different = [name for name, same in equal.items() if not same]
    return "identical" if not different else f"{', '.join(different)} differ"


def measure(method: Method, vectors: Floats, repeats: int) -> tuple[float, Decisions]:
    """Best CPU time in seconds, and the decisions."""
    best, decisions = np.inf, None
    for _ in range(repeats):
        start = time.process_time()
        decisions = method(vectors, THRESHOLD)
        best = min(best, time.process_time() - start)
    assert decisions is not None
    return best, decisions


GOALS = {"definition in plain Python": 40.0, "one matrix-vector product a frame": 2.0}
"""How many times as long they have to take at 10,000 frames."""


def compared(count: int, *, quick: bool) -> Iterator[Result]:
    """Every method beside `deduplicate`."""
    vectors = shots(count)
    own_s, ours = measure(deduplicate, vectors, 5)
    methods: dict[str, tuple[Method, int]] = {"one matrix-vector product a frame": (gemv_per_frame, 3)}
    if not quick:
        methods["pair loop with NumPy's dot product"] = (pair_loop, 1)
        methods["definition in plain Python"] = (plain_deduplicate, 1)
    for name, (method, repeats) in methods.items():
        seconds, decisions = measure(method, vectors, repeats)
        yield Result(
            f"{count:,} × {DIMENSION}: {name} ÷ `deduplicate`",
            seconds / own_s,
            GOALS.get(name) if count == max(COUNTS) else None,
            detail=f"{seconds * 1e3:,.1f} and {own_s * 1e3:.1f} ms, {ours.kept.mean():.0%} kept; decisions: "
            f"{agreement(ours, decisions)}",
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="leave out the two loops over pairs")
    quick = parser.parse_args().quick
    finish([result for count in COUNTS for result in compared(count, quick=quick)])


if __name__ == "__main__":
    main()
