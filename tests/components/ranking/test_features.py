"""One row of numbers per proposed item."""

import numpy as np
import pytest

from components.ranking.features import FEATURES, ItemValues, Proposed, best, features


def items(**changes) -> ItemValues:
    nothing = np.full(4, np.nan, dtype=np.float32)
    known = {
        "category": np.asarray([0, 0, 1, -1], dtype=np.int32),
        "brand": np.full(4, -1, dtype=np.int32),
        "price": np.asarray([9.0, 99.0, 9.0, np.nan]),
        "demand": nothing,
        "attraction": nothing,
        "rating": nothing,
        "sentiment": nothing,
    }
    return ItemValues(**(known | changes))


def proposed(rows, profile) -> Proposed:
    numbers = np.linspace(1.0, 0.0, len(rows), dtype=np.float32)
    return Proposed(np.asarray(rows), numbers, numbers, numbers, numbers, np.asarray(profile))


def column(name: str, values: np.ndarray) -> list[float]:
    return values[:, FEATURES.index(name)].tolist()


def test_a_category_counts_by_its_share_of_the_profile():
    values = features(proposed([0, 2, 3], [0, 1, 2]), items())
    assert column("category_share", values) == pytest.approx([2 / 3, 1 / 3, np.nan], nan_ok=True)


def test_what_the_profile_does_not_know_is_no_number():
    values = features(proposed([0, 1], [3]), items())
    for name in ("category_share", "brand_share", "price_fit", "demand", "attraction", "rating", "sentiment"):
        assert np.isnan(column(name, values)).all(), name


def test_price_fit_is_the_distance_of_logarithms_from_the_profiles_median():
    values = features(proposed([0, 1], [0, 2]), items())
    assert column("price_fit", values) == pytest.approx([0.0, np.log(100.0) - np.log(10.0)])


def test_the_first_of_the_proposals_keep_their_rows_in_order():
    one = Proposed(
        np.asarray([2, 5, 7]), np.asarray([0.1, 0.9, 0.5], dtype=np.float32), *[np.zeros(3, np.float32)] * 3,
        np.asarray([0]),
    )  # fmt: skip
    assert one.first(2).rows.tolist() == [5, 7]
    assert one.first(3) is one
    assert best(one.score, one.rows, 2).tolist() == [5, 7]
