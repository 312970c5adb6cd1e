"""A user's smoothed shares."""

import numpy as np
import polars as pl
import pytest

from components.profiles.priors import LabelPrior, PricePrior, Priors
from components.profiles.profile import ItemColumns, Profile

PRIORS = Priors(
    category=LabelPrior(("lamps", "mugs"), np.asarray([0.75, 0.25]), 4.0),
    brand=LabelPrior(("acme", "zen"), np.asarray([0.5, 0.5]), 2.0),
    price=PricePrior(np.log([1.0, 10.0, 100.0]), 0.003),
)


def items(*rows: tuple[str | None, str | None, float | None]) -> pl.DataFrame:
    schema = {"category": pl.String(), "brand": pl.String(), "price": pl.Float64()}
    return pl.DataFrame(list(rows), schema=schema, orient="row")


@pytest.fixture
def profile() -> Profile:
    past = items(("mugs", "zen", 10.0), ("mugs", "zen", 20.0), (None, "acme", 40.0), ("vases", None, None))
    return Profile.of(ItemColumns.of(past, PRIORS), PRIORS)


def test_shares_are_the_users_and_the_shops_by_their_counts(profile: Profile) -> None:
    """(items + strength · shop's share) / (items + strength); unknown labels count nowhere."""
    assert profile.category == pytest.approx([(0 + 4 * 0.75) / 6, (2 + 4 * 0.25) / 6])
    assert profile.brand == pytest.approx([(1 + 1) / 5, (2 + 1) / 5])
    assert profile.category_items.tolist() == [0, 2] and profile.brand_items.tolist() == [1, 2]


def test_a_user_without_items_has_the_shops_profile() -> None:
    """Nothing is known, so nothing differs."""
    nobody = Profile.of(ItemColumns.of(items(), PRIORS), PRIORS)
    assert nobody.category.tolist() == [0.75, 0.25] and nobody.brand.tolist() == [0.5, 0.5]
    assert nobody.log_band is not None and np.exp(nobody.log_band) == pytest.approx([1.0, 10.0, 100.0])


def test_a_shop_without_prices_has_no_band() -> None:
    """There is nothing to take quantiles of."""
    priors = Priors(PRIORS.category, PRIORS.brand, PricePrior(np.empty(0), 1.0))
    columns = ItemColumns.of(items(("mugs", "zen", None)), priors)
    profile = Profile.of(columns, priors)
    assert profile.log_band is None
