"""Batches that span videos."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner_assets.logic.batching import in_batches
from miner_resources.errors import CorruptMedia, MinerError, NotConfigured, Unavailable


def run(videos: dict[str, list[int]], batch_size: int, bad: frozenset[int] = frozenset()):
    sizes: list[int] = []

    def load(item: int) -> int:
        if item in bad:
            raise CorruptMedia(f"item {item}", remedy="none")
        return item * 10

    def infer(batch: list[int]) -> list[int]:
        sizes.append(len(batch))
        return [value + 1 for value in batch]

    stream = in_batches(videos.items(), load=load, infer=infer, batch_size=lambda: batch_size, workers=2)
    return list(stream), sizes


def test_batches_are_full_across_videos() -> None:
    done, sizes = run({"a": [1, 2, 3], "b": [4], "c": [5, 6, 7, 8]}, batch_size=4)
    assert dict(done) == {"a": [11, 21, 31], "b": [41], "c": [51, 61, 71, 81]}
    assert sizes == [4, 4]


def test_a_bad_frame_loses_its_video_only() -> None:
    done, _ = run({"a": [1, 2], "b": [3, 4, 5], "c": [6]}, batch_size=2, bad=frozenset({4}))
    results = dict(done)
    assert isinstance(results["b"], CorruptMedia)
    assert (results["a"], results["c"]) == ([11, 21], [61])


@given(st.lists(st.integers(0, 5), max_size=8), st.integers(1, 7), st.frozensets(st.integers(0, 40), max_size=5))
def test_every_video_comes_out_once_with_its_rows_in_order(
    lengths: list[int], batch_size: int, bad: frozenset[int]
) -> None:
    videos: dict[str, list[int]] = {}
    for number, length in enumerate(lengths):
        start = sum(lengths[:number])
        videos[str(number)] = list(range(start, start + length))
    done, sizes = run(videos, batch_size, bad)
    assert sorted(key for key, _ in done) == sorted(videos)
    for key, rows in done:
        if bad & set(videos[key]):
            assert isinstance(rows, CorruptMedia)
        else:
            assert rows == [item * 10 + 1 for item in videos[key]]
    assert all(size == batch_size for size in sizes[:-1])


def test_the_loader_does_not_run_ahead_of_a_slow_model() -> None:
    loaded: list[int] = []
    lock = threading.Lock()

    def load(item: int) -> int:
        with lock:
            loaded.append(item)
        return item

    stream = in_batches([("a", range(1000))], load=load, infer=lambda batch: batch, batch_size=lambda: 10, workers=2)
    seen: list[int] = []

    def infer(batch: list[int]) -> list[int]:
        seen.append(len(loaded))
        return batch

    stream = in_batches([("a", range(1000))], load=load, infer=infer, batch_size=lambda: 10, workers=2)
    next(stream)
    assert seen[0] <= 10 + 4 * 2 + 1


def test_an_error_of_the_model_ends_everything() -> None:
    def infer(batch: list[int]) -> list[int]:
        raise RuntimeError("device lost")

    stream = in_batches([("a", [1])], load=lambda item: item, infer=infer, batch_size=lambda: 1, workers=1)
    with pytest.raises(RuntimeError, match="device lost"):
        list(stream)


def refusing(refused: int, error: type[MinerError]):
    asked: list[list[int]] = []

    def infer(batch: list[int]) -> list[int]:
        asked.append(batch)
        if refused in batch:
            raise error(f"item {refused}", remedy="none")
        return batch

    return infer, asked


def test_frames_that_a_model_refuses_lose_their_video_only() -> None:
    infer, asked = refusing(4, Unavailable)
    videos = {"a": [1, 2], "b": [3, 4, 5, 6], "c": [7, 8]}
    stream = in_batches(videos.items(), load=lambda item: item, infer=infer, batch_size=lambda: 5, workers=1)
    done = dict(stream)
    assert isinstance(done["b"], Unavailable)
    assert (done["a"], done["c"]) == ([1, 2], [7, 8])
    assert asked == [[1, 2, 3, 4, 5], [1, 2], [3, 4, 5], [7, 8]], "what is left of a lost video is not asked for"


def test_a_model_that_lacks_something_ends_everything() -> None:
    infer, _ = refusing(1, NotConfigured)
    stream = in_batches([("a", [1]), ("b", [2])], load=lambda item: item, infer=infer, batch_size=lambda: 2, workers=1)
    with pytest.raises(NotConfigured):
        list(stream)
