"""Batches that span videos."""

import threading
from collections.abc import Iterator, Sequence

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
    assert max(seen[count] - 10 * count for count in range(100)) <= 10 + 10 + 4 * 2 + 1, "the batch, and one ahead"


def test_the_next_batch_is_loaded_while_the_model_computes() -> None:
    loaded: list[int] = []
    waited = threading.Semaphore(0)

    def load(item: int) -> int:
        loaded.append(item)
        waited.release()
        return item

    def infer(batch: list[int]) -> list[int]:
        for _ in range(10 if batch[-1] < 99 else 0):
            assert waited.acquire(timeout=30), "nothing is loaded meanwhile"
        return batch

    for _ in range(10):
        waited.release()
    stream = in_batches([("a", range(100))], load=load, infer=infer, batch_size=lambda: 10, workers=1)
    assert dict(stream) == {"a": list(range(100))}


def test_the_model_goes_on_while_the_caller_is_busy() -> None:
    computed = {item: threading.Event() for item in range(8)}

    def infer(batch: list[int]) -> list[int]:
        computed[batch[0]].set()
        return batch

    videos = [(str(item), [item]) for item in range(8)]
    stream = in_batches(videos, load=lambda item: item, infer=infer, batch_size=lambda: 1, workers=1)
    assert next(stream) == ("0", [0])
    assert computed[7].wait(30)
    assert [key for key, _ in stream] == [str(item) for item in range(1, 8)]


def test_stopping_early_ends_all_threads_within_the_batch() -> None:
    before = set(threading.enumerate())
    batches: list[int] = []

    def infer(batch: list[int]) -> list[int]:
        batches.append(len(batch))
        return batch

    closed: list[bool] = []

    def videos() -> Iterator[tuple[str, Sequence[int]]]:
        try:
            yield "short", [0]
            yield "endless", range(1, 10**6)
        finally:
            closed.append(True)

    stream = in_batches(videos(), load=lambda item: item, infer=infer, batch_size=lambda: 1, workers=2)
    assert next(stream) == ("short", [0])
    stream.close()
    assert len(batches) < 10**6
    assert closed == [True]
    assert set(threading.enumerate()) <= before


def test_an_error_in_planning_ends_everything() -> None:
    def videos() -> Iterator[tuple[str, Sequence[int]]]:
        yield "a", [1]
        raise RuntimeError("the disk is gone")

    stream = in_batches(videos(), load=lambda item: item, infer=lambda batch: batch, batch_size=lambda: 1, workers=1)
    with pytest.raises(RuntimeError, match="the disk is gone"):
        list(stream)


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


def test_a_video_that_takes_too_long_is_lost_alone_and_not_loaded_to_its_end() -> None:
    loaded: list[str] = []

    def load(item: str) -> str:
        loaded.append(item)
        return item

    told: list[tuple[str, float]] = []

    def overdue(key: str, seconds: float) -> MinerError | None:
        told.append((key, seconds))
        return CorruptMedia(f"{key} is slow", remedy="none") if key == "slow" else None

    videos = [("slow", ["slow"] * 500), ("other", ["other"] * 5)]
    results = dict(
        in_batches(videos, load=load, infer=lambda batch: batch, batch_size=lambda: 2, workers=1, overdue=overdue)
    )
    assert isinstance(results["slow"], CorruptMedia)
    assert results["other"] == ["other"] * 5
    assert loaded.count("slow") < 20
    assert [key for key, _ in told].count("slow") == 1
    assert all(seconds >= 0 for _, seconds in told)


def test_a_video_that_is_done_is_not_overdue() -> None:
    late = CorruptMedia("late", remedy="none")
    stream = in_batches(
        [("a", [1, 2])],
        load=lambda item: item,
        infer=lambda batch: batch,
        batch_size=lambda: 2,
        workers=1,
        overdue=lambda key, seconds: late,
    )
    assert list(stream) == [("a", [1, 2])]
