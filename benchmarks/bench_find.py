"""How fast is a search among all frames, once their vectors are loaded?

    python benchmarks/bench_find.py [--frames N] [--dimension D]

Everything but the model: comparing, choosing the best, and looking up times and links in a project of that many frames
with tables on disk. The goal is a second at a million frames. Sorting all frames by `argsort`, as one would write it
first, is measured beside it on the same vectors. Needs 4 GB of memory and of disk.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy loads its BLAS
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import polars as pl

from benchmarks.harness import Result, finish
from miner_assets.frame_search import FrameSearch
from miner_assets.logic.vector_search import VectorTable
from miner_assets.stored_vectors import features_key, filter_identity
from miner_assets.workspace import Workspace
from miner_resources.config_files import load_config
from miner_resources.records import FRAMES_SCHEMA, Floats, Video
from miner_resources.storage import ArtifactKeys
from miner_resources.tables import write_table

FRAMES_PER_VIDEO = 1_000
GOAL_S = 1.0
TOP = 50


class DirectionModel:
    """Stands in for the text-image model: a text is a direction."""

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension

    def text_features(self, texts: list[str]) -> Floats:
        """(P, D) unit vectors."""
        return unit(np.random.default_rng(len(texts)).standard_normal((len(texts), self._dimension), np.float32))

    def logits(self, image_features: Floats, text_features: Floats) -> Floats:
        """(N, P), as SigLIP's."""
        return (image_features.astype(np.float64) @ text_features.astype(np.float64).T * 100 - 10).astype(np.float32)


def unit(vectors: Floats) -> Floats:
    """Rows at length 1."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def write_project(root: Path, frames: int, dimension: int) -> Workspace:
    """A project with stored features of that many frames, without pictures."""
    workspace = Workspace.open(load_config((), [f"output_dir={root}", "filter.model=demo"]))
    random = np.random.default_rng(0)
    identity = filter_identity(workspace)
    names = [f"video{number:06d}" for number in range(frames // FRAMES_PER_VIDEO)]
    workspace.catalog.add_videos(
        Video(video_id=name, url=f"https://example.org/{name}.mp4", added_at=datetime.now(UTC)) for name in names
    )
    for name in names:
        ids = pl.DataFrame({"video_id": [name] * FRAMES_PER_VIDEO, "frame_index": range(FRAMES_PER_VIDEO)})
        table = ids.with_columns(timestamp_s=pl.col("frame_index") / 25.0)
        rest = {column: pl.lit(None, kind) for column, kind in FRAMES_SCHEMA.items() if column not in table.columns}
        keys = ArtifactKeys(name, "")
        for path, rows, made in (
            (workspace.storage.frames_table(name), table.with_columns(**rest), keys),
            (
                workspace.storage.features_table(name),
                ids.with_columns(
                    feature=pl.Series(
                        unit(random.standard_normal((FRAMES_PER_VIDEO, dimension), np.float32)),
                        dtype=pl.Array(pl.Float32, dimension),
                    )
                ),
                ArtifactKeys(features_key(identity, keys), ""),
            ),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_table(path, rows, made)
    return workspace


def sort_everything(table: VectorTable, query: Floats) -> Floats:
    """The same by sorting all cosines."""
    cosines = np.concatenate([block @ query for block in table._blocks])[: len(table)]
    return np.argsort(-cosines, kind="stable")[:TOP]


def best_of(call: Callable[[], object], repeats: int = 5) -> float:
    """Shortest time in seconds."""
    times: list[float] = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=768)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        workspace = write_project(Path(folder), asked.frames, asked.dimension)
        search = FrameSearch(workspace)
        search._text_image_model = lambda: DirectionModel(asked.dimension)  # type: ignore[method-assign]
        start = time.perf_counter()
        table = search.features.table
        load_s = time.perf_counter() - start
        query = DirectionModel(asked.dimension).text_features(["a"])
        whole_s = best_of(lambda: search.by_text("a person", TOP))
        frame_s = best_of(lambda: search.by_image("video000000:7", TOP))
        ours_s = best_of(lambda: table.top(query, TOP))
        plain_s = best_of(lambda: sort_everything(table, query[0]), 3)
    count = f"{len(table):,} frames of {asked.dimension} numbers"
    finish(
        [
            Result(
                "search by text",
                whole_s,
                GOAL_S,
                "at most",
                "s",
                f"{count}; with times and links, without the text model",
            ),
            Result("search by a stored frame", frame_s, GOAL_S, "at most", "s", f"the best {TOP}"),
            Result(
                "sorting everything, against choosing the best",
                plain_s / ours_s,
                detail=f"{plain_s * 1e3:.0f} ms against {ours_s * 1e3:.0f} ms",
            ),
            Result("loading, once", load_s, unit="s", detail="from Parquet, one file per thousand frames"),
        ]
    )


if __name__ == "__main__":
    main()
