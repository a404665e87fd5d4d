"""Exact search among vectors: against the plain definition, across blocks, with ties."""

import numpy as np
import pytest

from miner_assets.logic import vector_search
from miner_assets.logic.vector_search import VectorTable
from miner_resources.errors import InvalidData


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_search, "BLOCK", 8)


def unit(count: int, seed: int = 0, dimension: int = 12) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def table_of(*parts: np.ndarray) -> VectorTable:
    table = VectorTable()
    for part in parts:
        table.add(part)
    return table


@pytest.mark.parametrize("sizes", [(1,), (8,), (3, 5, 8), (20, 1), (7, 0, 30)])
@pytest.mark.parametrize("count", [1, 5, 100])
def test_it_finds_what_sorting_all_rows_finds(sizes: tuple[int, ...], count: int) -> None:
    parts = [unit(size, seed) for seed, size in enumerate(sizes)]
    vectors, queries = np.concatenate(parts), unit(2, 99)
    table = table_of(*parts)
    rows, cosines = table.top(queries, count)
    expected = (vectors @ queries.T).max(axis=1)
    assert len(table) == len(vectors)
    assert rows.tolist() == np.argsort(-expected, kind="stable")[:count].tolist()
    np.testing.assert_allclose(cosines, expected[rows], atol=1e-6)
    np.testing.assert_array_equal(table.rows(rows), vectors[rows])


def test_of_equal_rows_the_earlier_ones_count() -> None:
    one = unit(1)
    rows, _ = table_of(unit(5, 1), np.repeat(one, 20, axis=0)).top(one, 3)
    assert rows.tolist() == [5, 6, 7]


def test_an_empty_table_has_nothing() -> None:
    rows, cosines = VectorTable().top(unit(1), 5)
    assert (len(rows), len(cosines)) == (0, 0)
    assert table_of(unit(3)).rows([]).shape == (0, 12)


def test_vectors_of_another_model_are_refused() -> None:
    with pytest.raises(InvalidData, match="12 numbers cannot be compared with those of 7"):
        table_of(unit(2, dimension=7), unit(2))
