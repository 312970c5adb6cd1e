"""A user's smoothed shares, and how items fit."""

import numpy as np
import polars as pl
import pytest

from components.profiles.priors import LabelPrior, PricePrior, Priors
from components.profiles.profile import ItemColumns, Profile, match

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


def test_items_fit_by_shares_and_by_the_distance_to_the_price_band(profile: Profile) -> None:
    """A label that nobody's past has fits by 0; what is not known of an item is NaN; the distance is of
    logarithms, 0 within the band."""
    wanted = items(("mugs", "zen", 20.0), ("vases", "new", 80.0), (None, None, None), ("lamps", "acme", 2.5))
    fit = match(profile, ItemColumns.of(wanted, PRIORS))
    assert fit["category_share"] == pytest.approx([0.5, 0.0, np.nan, 0.5], nan_ok=True)
    assert fit["brand_share"] == pytest.approx([0.6, 0.0, np.nan, 0.4], nan_ok=True)
    assert fit["price_distance"] == pytest.approx([0.0, np.log(2), np.nan, np.log(4)], nan_ok=True)


def test_a_fit_is_the_items_own(profile: Profile) -> None:
    """Whichever other items are asked about with it."""
    columns = ItemColumns.of(items(("mugs", "zen", 5.0), ("lamps", None, 200.0), ("x", "acme", 0.0)), PRIORS)
    together, alone = match(profile, columns), match(profile, columns.taken(np.asarray([1])))
    assert all(together[name][1:2] == pytest.approx(alone[name], nan_ok=True) for name in together)
    assert np.isnan(together["price_distance"][2]), "a price of 0 is none"


def test_a_shop_without_prices_has_no_band() -> None:
    """Nor a distance."""
    priors = Priors(PRIORS.category, PRIORS.brand, PricePrior(np.empty(0), 1.0))
    columns = ItemColumns.of(items(("mugs", "zen", None)), priors)
    profile = Profile.of(columns, priors)
    assert profile.log_band is None and np.isnan(match(profile, columns)["price_distance"]).all()
