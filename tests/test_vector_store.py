"""The copy of all vectors: what is in it, what a kill leaves, and when it is written anew."""

from pathlib import Path

import numpy as np
import pytest

from miner_resources.errors import InvalidData
from miner_resources.storage import Storage
from miner_resources.vector_store import NewVectors, VectorStore, file_stamp


def video(name: str, count: int, seed: int = 0, width: int = 4) -> NewVectors:
    vectors = np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return NewVectors(name, f"stamp of {name}", "v1", np.arange(count) * 30, vectors)


def content(store: VectorStore) -> dict[str, list[list[float]]]:
    return {name: store.vectors[known.rows].tolist() for name, known in store.videos.items()}


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path)


def test_what_was_stored_is_there_again(storage: Storage) -> None:
    first = [video("a", 3, 1), video("empty", 0), video("b", 2, 2)]
    VectorStore(storage, "m").update(first, [])
    store = VectorStore(storage, "m")
    assert content(store) == {new.video_id: new.vectors.astype(np.float16).tolist() for new in first}
    assert store.videos["b"].frame_indexes.tolist() == [0, 30]
    assert (store.videos["a"].stamp, store.videos["a"].keys_version) == ("stamp of a", "v1")
    store.update([video("c", 1, 3)], ["a", "b"])
    assert list(content(VectorStore(storage, "m"))) == ["a", "b", "c"]


def test_equal_vectors_have_an_equal_digest(storage: Storage) -> None:
    store = VectorStore(storage, "m")
    store.update([video("a", 3, 1), video("b", 3, 1), video("c", 3, 2)], [])
    digest = {name: known.digest for name, known in store.videos.items()}
    assert digest["a"] == digest["b"] != digest["c"]


def test_what_a_killed_writer_appended_does_not_count(storage: Storage) -> None:
    store = VectorStore(storage, "m")
    store.update([video("a", 3, 1)], [])
    before = content(store)
    with next(storage.dedup_store.glob("*.f16")).open("ab") as file:
        file.write(b"half a row")
    again = VectorStore(storage, "m")
    assert content(again) == before
    again.update([video("b", 2, 2)], ["a"])
    assert content(VectorStore(storage, "m")) == before | {"b": video("b", 2, 2).vectors.astype(np.float16).tolist()}


def test_rows_that_count_no_more_are_dropped_when_they_are_half(storage: Storage) -> None:
    store = VectorStore(storage, "m")
    store.update([video("a", 5, 1), video("b", 4, 2)], [])
    file = store.index_file
    store.update([], ["a"])
    assert (len(store.vectors), store.index_file) == (9, file)
    store.update([video("c", 1, 3)], [])
    assert len(store.vectors) == 1
    assert store.index_file != file, "an index over the old rows is not taken for one over the new"
    assert len(list(storage.dedup_store.glob("*.f16"))) == 1


def test_another_model_begins_anew(storage: Storage) -> None:
    VectorStore(storage, "m").update([video("a", 3)], [])
    other = VectorStore(storage, "n")
    assert other.videos == {}
    other.update([video("b", 2, width=6)], [])
    assert VectorStore(storage, "n").vectors.shape == (2, 6)
    assert VectorStore(storage, "m").videos == {}


def test_vectors_that_cannot_be_compared_are_refused(storage: Storage) -> None:
    store = VectorStore(storage, "m")
    store.update([video("a", 3)], [])
    with pytest.raises(InvalidData, match=r"embeddings of b: \(2, 6\)"):
        store.update([video("b", 2, width=6)], ["a"])
    long = video("c", 2)
    long.vectors[0] *= 2
    with pytest.raises(InvalidData, match="unit length"):
        VectorStore(storage, "m").update([long], ["a"])
    assert list(VectorStore(storage, "m").videos) == ["a"], "what was there stays"


def test_a_file_that_is_replaced_has_another_stamp(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert file_stamp(path) is None
    path.write_text("one")
    before = file_stamp(path)
    assert file_stamp(path) == before
    (tmp_path / "other").write_text("two")
    (tmp_path / "other").replace(path)
    assert file_stamp(path) != before
