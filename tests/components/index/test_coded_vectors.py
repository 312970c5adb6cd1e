"""Vectors in 8 bits: how far their cosines are from the exact ones, and what the best of a scan hold."""

import numpy as np
import pytest

from components.index.coded_vectors import CodedVectors, coded


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def clustered(items: int, dimensions: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Items in groups of about 50 near neighbours, as a catalogue has them, and 40 queries among them."""
    rng = np.random.default_rng(seed)
    centres = unit(rng.standard_normal((items // 50, dimensions)))
    chosen = rng.integers(0, len(centres), items)
    vectors = unit(centres[chosen] + 0.5 * unit(rng.standard_normal((items, dimensions))))
    queries = unit(vectors[:40] + 0.5 * unit(rng.standard_normal((40, dimensions))))
    return vectors, queries


@pytest.mark.parametrize("dimensions", [8, 96, 384])
def test_cosines_are_within_a_hundredth_and_the_best_200_hold_the_exact_ten(dimensions):
    vectors, queries = clustered(10_000, dimensions, seed=dimensions)
    exact = queries.astype(np.float64) @ vectors.T.astype(np.float64)
    found = CodedVectors(vectors).cosines(queries)
    assert found.dtype == np.float32
    assert np.abs(found - exact).max() < 0.01
    proposed, best = np.argsort(-found, axis=1)[:, :200], np.argsort(-exact, axis=1)[:, :10]
    assert all(set(few) <= set(many) for few, many in zip(best, proposed, strict=True))


@pytest.mark.parametrize("factor", [10, 30])
def test_a_dimension_that_is_much_larger_than_the_rest_costs_little(factor):
    """As some encoders have one: it sets the scale for all numbers of a vector."""
    rng = np.random.default_rng(factor)
    vectors = rng.standard_normal((5_000, 384))
    vectors[:, 5] *= factor
    vectors = unit(vectors)
    exact = vectors[:40].astype(np.float64) @ vectors.T.astype(np.float64)
    assert np.abs(CodedVectors(vectors).cosines(vectors[:40]) - exact).max() < 0.01


def test_appended_rows_have_the_cosines_they_had_from_the_start():
    """Rows one by one, in blocks and all at once are the same to the last bit."""
    vectors, queries = clustered(500, 32, seed=1)
    grown = CodedVectors(vectors[:300])
    grown.append(vectors[300:301])
    grown.append(vectors[301:450])
    grown.append(vectors[450:])
    assert len(grown) == 500
    assert (grown.cosines(queries) == CodedVectors(vectors).cosines(queries)).all()


def test_a_catalogue_may_start_empty():
    vectors, queries = clustered(100, 16, seed=2)
    grown = CodedVectors(vectors[:0])
    assert grown.cosines(queries).shape == (40, 0)
    grown.append(vectors)
    assert (grown.cosines(queries) == CodedVectors(vectors).cosines(queries)).all()


def test_a_vector_of_zeros_has_cosine_zero():
    """An item's and a query's."""
    vectors = np.array([[0.0, 0.0, 0.0], [0.6, 0.8, 0.0]], dtype=np.float32)
    cosines = CodedVectors(vectors).cosines(np.array([[0, 0, 0], [0, 1, 0]], dtype=np.float32))
    np.testing.assert_allclose(cosines, [[0, 0], [0, 0.8]], atol=0.005)


def test_one_dimension_is_exact():
    vectors = np.array([[1.0], [-1.0], [0.0]], dtype=np.float32)
    found = CodedVectors(vectors).cosines(np.array([[1.0], [-1.0]], dtype=np.float32))
    np.testing.assert_allclose(found, [[1, -1, 0], [-1, 1, 0]], atol=1e-6)


def test_no_queries_give_no_rows():
    vectors, _ = clustered(100, 16, seed=4)
    assert CodedVectors(vectors).cosines(vectors[:0]).shape == (0, 100)


def test_codes_use_the_whole_range_and_never_leave_it():
    """The largest number of a vector is ±127, whatever the vector's length."""
    rng = np.random.default_rng(5)
    vectors = (rng.standard_normal((200, 24)) * 10.0 ** rng.uniform(-6, 6, (200, 1))).astype(np.float32)
    codes, steps = coded(vectors)
    assert (np.abs(codes.astype(int)).max(axis=1) == 127).all()
    assert (np.abs(codes * steps[:, None] - vectors) <= 0.501 * steps[:, None]).all()


def test_a_query_is_scored_alike_alone_and_among_others():
    vectors, queries = clustered(1_000, 64, seed=6)
    index = CodedVectors(vectors)
    alone = np.concatenate([index.cosines(query[None]) for query in queries])
    assert (index.cosines(queries) == alone).all()
