import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miner_assets.logic import dedup
from miner_assets.logic.dedup import deduplicate, plain_deduplicate
from miner_resources import similarity
from miner_resources.errors import InvalidData
from miner_resources.similarity import canonical_similarities, canonical_similarity


def unit(vectors):
    vectors = np.asarray(vectors, dtype=np.float64)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def shots(count, dimension, *, seed=0, noise=0.25, centres=None):
    random = np.random.default_rng(seed)
    middle = random.standard_normal((centres or max(1, count // 4), dimension))
    return unit(
        middle[random.integers(0, len(middle), count)] + noise * random.standard_normal((count, dimension)),
    )


def assert_same(ours, definition):
    np.testing.assert_array_equal(ours.kept, definition.kept)
    np.testing.assert_array_equal(ours.duplicate_of, definition.duplicate_of)
    np.testing.assert_array_equal(ours.similarity, definition.similarity)
    assert (ours.kept.dtype, ours.duplicate_of.dtype, ours.similarity.dtype) == (np.bool_, np.int64, np.float32)


@st.composite
def scenes(draw):
    """Vectors with copies, near-copies that differ in the last bits, and a threshold that may lie exactly on a pair."""
    dimension = draw(st.sampled_from([1, 2, 3, 8, 33, 384, 768]))
    noise = draw(st.sampled_from([0.0, 1e-7, 1e-6, 1e-3, 0.1, 0.5]))
    vectors = shots(draw(st.integers(1, 40)), dimension, seed=draw(st.integers(0, 10_000)), noise=noise)
    copies = draw(st.lists(st.integers(0, len(vectors) - 1), max_size=6))
    vectors = np.concatenate([vectors, vectors[copies]])
    left, right = draw(st.integers(0, len(vectors) - 1)), draw(st.integers(0, len(vectors) - 1))
    on_a_pair = canonical_similarity(vectors[left], vectors[right])
    around = [on_a_pair, np.nextafter(on_a_pair, 2), np.nextafter(on_a_pair, -2)]
    threshold = draw(st.sampled_from([*around, 0.0, 0.5, 0.9, 0.99, 0.99999, 1.0, 1.5, -1.0, -5.0, np.inf, -np.inf]))
    return vectors, float(threshold)


@settings(max_examples=300, deadline=None)
@given(scenes(), st.sampled_from([1, 2, 7, 256]))
def test_equals_the_definition_bit_for_bit(scene, block):
    vectors, threshold = scene
    ours = deduplicate(vectors, threshold, block=block)
    assert_same(ours, plain_deduplicate(vectors, threshold))
    assert int(ours.kept.sum()) + int((ours.duplicate_of >= 0).sum()) == len(vectors)


@settings(max_examples=100, deadline=None)
@given(scenes(), st.data())
def test_earlier_decisions_never_depend_on_later_frames(scene, data):
    vectors, threshold = scene
    cut = data.draw(st.integers(0, len(vectors)))
    part, whole = deduplicate(vectors[:cut], threshold), deduplicate(vectors, threshold)
    assert_same(part, dedup.Decisions(whole.kept[:cut], whole.duplicate_of[:cut], whole.similarity[:cut]))


@settings(max_examples=100, deadline=None)
@given(scenes(), st.data())
def test_frames_kept_before_are_compared_and_counted(scene, data):
    vectors, threshold = scene
    cut = data.draw(st.integers(0, len(vectors)))
    before = vectors[:cut]
    ours = deduplicate(vectors[cut:], threshold, kept_before=before, block=3)
    assert_same(ours, plain_deduplicate(vectors[cut:], threshold, kept_before=before))


@settings(max_examples=100, deadline=None)
@given(scenes())
def test_kept_frames_are_pairwise_below_the_threshold_and_removed_ones_are_not(scene):
    vectors, threshold = scene
    decisions = deduplicate(vectors, threshold)
    kept = vectors[decisions.kept]
    for row in range(1, len(kept)):
        assert np.all(canonical_similarities(kept[:row], kept[row][None]) < threshold)
    for row in np.flatnonzero(~decisions.kept):
        keeper = decisions.duplicate_of[row]
        assert keeper < row
        assert decisions.kept[keeper]
        assert canonical_similarity(vectors[row], vectors[keeper]) >= threshold


@pytest.mark.parametrize(
    ("vectors", "threshold", "duplicate_of"),
    [
        pytest.param([[1, 0], [1, 0], [0, 1]], 0.9, [-1, 0, -1], id="a copy"),
        pytest.param([[1, 0], [0, 1], [1, 1]], 0.7, [-1, -1, 0], id="a tie goes to the earliest"),
        pytest.param([[1, 0], [0, 1], [1, 1.1]], 0.7, [-1, -1, 1], id="else to the most similar"),
        pytest.param([[1, 0], [1, 0.3], [1, 0.6]], 0.9, [-1, 0, -1], id="removed frames remove nobody"),
        pytest.param([[1, 0], [-1, 0]], -1.0, [-1, 0], id="at -1 only the first stays"),
        pytest.param([[1, 0], [1, 0]], 1.0, [-1, 0], id="at 1 equal vectors are copies"),
        pytest.param([[1, 0], [1, 0]], 1.1, [-1, -1], id="above 1 everything stays"),
        pytest.param([[1, 0]], 0.5, [-1], id="one frame"),
        pytest.param(np.empty((0, 2)), 0.5, [], id="no frames"),
    ],
)
def test_small_cases(vectors, threshold, duplicate_of):
    vectors = unit(vectors) if len(vectors) else np.empty((0, 2), np.float32)
    decisions = deduplicate(vectors, threshold)
    assert decisions.duplicate_of.tolist() == duplicate_of
    assert decisions.kept.tolist() == [index < 0 for index in duplicate_of]
    assert np.isnan(decisions.similarity).tolist() == decisions.kept.tolist()


def test_a_tie_goes_to_the_earliest_wherever_the_equals_are(monkeypatch):
    first, second, between = np.split(unit([[1, 0], [0, 1], [1, 1]]), 3)
    in_block = deduplicate(np.concatenate([second, between]), 0.7, kept_before=first)
    assert in_block.duplicate_of.tolist() == [-1, 0]
    monkeypatch.setattr(dedup, "PIECE", 1)
    in_pieces = deduplicate(between, 0.7, kept_before=np.concatenate([first, second]))
    assert in_pieces.duplicate_of.tolist() == [0]


@pytest.mark.parametrize("threshold", [0.3, 0.9, 0.999], ids=str)
@pytest.mark.parametrize("dimension", [16, 768])
def test_many_blocks_and_pieces(monkeypatch, dimension, threshold):
    monkeypatch.setattr(dedup, "PIECE", 32)
    monkeypatch.setattr(similarity, "PAIRS", 16)
    vectors = shots(400, dimension, noise=0.25)
    before, after = vectors[:70], vectors[70:]
    ours = deduplicate(after, threshold, kept_before=before, block=24)
    assert_same(ours, plain_deduplicate(after, threshold, kept_before=before))


@pytest.mark.parametrize("threshold", [0.9999995, 0.9999999, 1.0], ids=str)
def test_a_still_picture_with_noise_in_the_last_bits(threshold):
    vectors = shots(150, 384, noise=3e-7, centres=1)
    assert_same(deduplicate(vectors, threshold, block=50), plain_deduplicate(vectors, threshold))


def test_a_crowd_of_candidates_is_thinned_before_the_canonical_product(monkeypatch):
    vectors = shots(600, 64, noise=1e-6, centres=1)
    compared = []

    def counting(left, right):
        compared.append(len(left))
        return canonical_similarities(left, right)

    monkeypatch.setattr(similarity, "canonical_similarities", counting)
    decisions = deduplicate(vectors[300:], 1.1, kept_before=vectors[:300])
    assert decisions.kept.all()
    assert sum(compared) == 0
    deduplicate(vectors[300:], 0.9999999, kept_before=vectors[:300])
    assert 0 < sum(compared) <= 20 * 300, "without thinning 300 * 300"


@given(st.integers(1, 900), st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_canonical_similarity_depends_on_the_two_vectors_alone(dimension, seed):
    vectors = shots(9, dimension, seed=seed)
    reverse = vectors[::-1]
    together = canonical_similarities(vectors, reverse)
    strided = np.asfortranarray(np.repeat(vectors, 2, axis=0))[::2]
    np.testing.assert_array_equal(together, canonical_similarities(reverse, vectors))
    np.testing.assert_array_equal(together, canonical_similarities(strided, reverse.copy()))
    np.testing.assert_array_equal(together[3:4], canonical_similarities(vectors[3:4], reverse[3:4]))
    assert together[3] == canonical_similarity(vectors[3], vectors[5])
    np.testing.assert_allclose(together, (vectors.astype(float) * reverse).sum(axis=1), atol=1e-14)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 2000), st.integers(0, 1000))
def test_fast_products_stay_inside_the_proven_bound(dimension, seed):
    vectors = shots(20, dimension, seed=seed, noise=1e-3, centres=2)
    exact = np.stack([canonical_similarities(vectors, row[None]) for row in vectors])
    for dtype in (np.float32, np.float64):
        fast = vectors.astype(dtype) @ vectors.astype(dtype).T
        assert np.abs(fast - exact).max() <= similarity.error_bound(dimension, dtype)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 900), st.integers(0, 1000))
def test_screens_let_no_pair_slip_that_reaches_the_threshold(dimension, seed):
    vectors = shots(60, dimension, seed=seed, noise=0.8, centres=20)
    exact = np.array([canonical_similarities(vectors, np.broadcast_to(row, vectors.shape)) for row in vectors])
    threshold = float(np.quantile(exact, 0.95))
    screens = similarity.screen(vectors)
    found = similarity.screened_pairs(screens, screens, threshold)
    assert found is None or set(zip(*np.nonzero(exact >= threshold), strict=True)) <= set(zip(*found, strict=True))


@pytest.mark.parametrize(
    ("vectors", "threshold", "before"),
    [
        pytest.param([[2.0, 0.0]], 0.9, None, id="not of unit length"),
        pytest.param([[np.nan, 0.0]], 0.9, None, id="not finite"),
        pytest.param([[1.0, 0.0]], 0.9, [[1.0, 0.0, 0.0]], id="another width"),
        pytest.param([[1.0, 0.0]], 0.9, [[3.0, 0.0]], id="kept before not of unit length"),
        pytest.param([[1.0, 0.0]], np.nan, None, id="threshold NaN"),
    ],
)
def test_wrong_input_is_refused(vectors, threshold, before):
    kept_before = None if before is None else np.asarray(before, np.float32)
    with pytest.raises(InvalidData):
        deduplicate(np.asarray(vectors, np.float32), threshold, kept_before=kept_before)
