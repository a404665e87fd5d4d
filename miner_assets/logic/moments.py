"""The best frame of each class of a video, with a link that opens the source at its second."""

from collections.abc import Sequence

import polars as pl

from miner_assets.logic.source_links import source_url
from miner_resources.records import Json


def best_moments(url: str, found: pl.DataFrame, frames: pl.DataFrame, classes: Sequence[str]) -> dict[str, Json]:
    """For each class that was found its best score, when that is, and where to watch it.

    Args:
        url: of the video, or its path.
        found: `frame_index`, `category`, and `score`, which may be empty.
        frames: `frame_index` and `timestamp_s` of at least these frames.
        classes: the order of the result.
    """
    timed = found.join(frames.select("frame_index", "timestamp_s"), on="frame_index", how="left")
    best: dict[str, Json] = {}
    for name in classes:
        of_class = timed.filter(pl.col("category") == name).sort("score", descending=True, nulls_last=True)
        for time, score in of_class.select("timestamp_s", "score").head(1).iter_rows():
            rounded = None if score is None else round(score, 4)
            best[name] = {"score": rounded, "time_s": round(time, 3), "url": source_url(url, time)}
    return best


def score_histogram(found: pl.DataFrame, classes: Sequence[str]) -> dict[str, Json]:
    """Boxes by score, in tenths, and class: `{"0.3 to 0.4": {"car": 2}, …}`; those without a score do not count."""
    scored = found.drop_nulls("score").with_columns(tenth=(pl.col("score") * 10).floor().clip(0, 9).cast(pl.Int64))
    numbers = {(tenth, name): count for tenth, name, count in scored.group_by("tenth", "category").len().iter_rows()}
    return {
        f"{tenth / 10:.1f} to {(tenth + 1) / 10:.1f}": {name: numbers.get((tenth, name), 0) for name in classes}
        for tenth in range(10)
    }
