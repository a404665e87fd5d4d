"""One contract for every search: what is found is what the definition finds, or (the index) a part of it."""

import numpy as np
import pytest

from miner_resources.faiss_index import CandidateIndex
from miner_resources.similarity import canonical_similarities
from miner_resources.vector_index import DeviceSearch, ExactSearch, IndexedSearch

COUNT, WIDTH = 5_000, 32


def vectors_of(count=COUNT, seed=0, noise=0.25):
    random = np.random.default_rng(seed)
    middle = np.random.default_rng(1).standard_normal((60, WIDTH))
    vectors = middle[random.integers(0, 60, count)] + noise * random.standard_normal((count, WIDTH))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def exact(vectors, rows):
    return ExactSearch(vectors, rows)


def on_device(vectors, rows):
    return DeviceSearch(vectors, rows, "cpu")


def indexed(vectors, rows):
    search = IndexedSearch(vectors, rows, CandidateIndex.train(vectors.astype(np.float32), len(vectors)))
    search.add(np.arange(len(rows)))
    return search


def definition(queries, vectors, rows, members, threshold):
    """Every pair, by the canonical dot product; the first of the most similar."""
    highest, nearest = np.full(len(queries), -np.inf), np.full(len(queries), -1)
    others = vectors[rows[members]].astype(np.float32)
    for number, query in enumerate(queries):
        similarity = canonical_similarities(np.broadcast_to(query, others.shape), others)
        if similarity.max() >= threshold:
            highest[number], nearest[number] = similarity.max(), members[similarity.argmax()]
    return highest, nearest


@pytest.mark.parametrize("make", [exact, on_device, indexed])
@pytest.mark.parametrize("threshold", [0.9, 0.97])
def test_finds_the_most_similar_member_and_of_equals_the_first(make, threshold):
    vectors = vectors_of()
    vectors[4_000:4_100] = vectors[:100]  # copies
    rows = np.random.default_rng(2).permutation(COUNT)  # the order of frames is not that of the store
    members = np.flatnonzero(np.random.default_rng(3).random(COUNT) < 0.7)
    queries = np.concatenate([vectors_of(60, seed=5), vectors[:20]]).astype(np.float32)
    highest, nearest = make(vectors, rows).best(queries, members, threshold)
    wanted, place = definition(queries, vectors, rows, members, threshold)
    true = wanted >= threshold
    assert 20 < true.sum() < 80 or threshold == 0.9
    if make is indexed:
        found = highest >= threshold
        assert not np.any(found & ~true), "it never invents one"
        assert np.isin(nearest[found], members).all()
        assert found[true].mean() > 0.95
    else:
        np.testing.assert_array_equal(highest[true], wanted[true])
        np.testing.assert_array_equal(nearest[true], place[true])
        assert np.all(highest[~true] < threshold)


@pytest.mark.parametrize("make", [exact, on_device, indexed])
def test_nothing_to_search_in_and_nothing_to_search_for(make):
    vectors = vectors_of(50)
    search = make(vectors, np.arange(50))
    highest, nearest = search.best(vectors[:3].astype(np.float32), np.empty(0, np.int64), 0.9)
    assert (highest.tolist(), nearest.tolist()) == ([-np.inf] * 3, [-1] * 3)
    assert len(search.best(np.empty((0, WIDTH), np.float32), np.arange(50), 0.9)[0]) == 0


def test_more_alike_than_the_products_can_tell_apart():
    vectors = np.repeat(vectors_of(1), 3_000, axis=0)
    for make in (exact, on_device):
        _, nearest = make(vectors, np.arange(3_000)).best(vectors[:2].astype(np.float32), np.arange(5, 3_000), 0.9)
        assert nearest.tolist() == [5, 5]


def test_the_index_survives_the_disk_and_takes_no_row_twice(tmp_path):
    vectors = vectors_of(400)
    index = CandidateIndex.train(vectors.astype(np.float32), 400)
    IndexedSearch(vectors, np.arange(400), index).add(np.arange(0, 400, 2))
    index.save(tmp_path / "index")
    again = CandidateIndex.load(tmp_path / "index")
    assert sorted(again.rows()) == list(range(0, 400, 2))
    IndexedSearch(vectors, np.arange(400), again).add(np.arange(400))
    assert sorted(again.rows()) == list(range(400))
    assert again.suits(400)
    assert not again.suits(40_000)
