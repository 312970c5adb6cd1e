"""The shop's tastes and how much they count."""

import numpy as np
import polars as pl
import pytest

from components.profiles.priors import LEAST_STRENGTH, MOST_STRENGTH, LabelPrior, PricePrior


def pasts(users: list[list[str | None]], prices: list[list[float | None]] | None = None) -> pl.DataFrame:
    """A row per user and item: its brand and its price."""
    rows = [(f"u{n}", label) for n, labels in enumerate(users) for label in labels]
    cells = [price for of in prices or [[1.0] * len(labels) for labels in users] for price in of]
    frame = pl.DataFrame(rows, schema=["user_id", "brand"], orient="row", strict=False)
    return frame.with_columns(price=pl.Series(cells, dtype=pl.Float64), brand=pl.col("brand").cast(pl.String))


def test_shares_are_those_of_all_users_items() -> None:
    """Items without the label say nothing."""
    prior = LabelPrior.of(pasts([["a", "b", None], ["a", "a"]]), "brand")
    assert prior.labels == ("a", "b")
    assert prior.shares.tolist() == [0.75, 0.25]


@pytest.mark.parametrize("strength", [2.0, 8.0, 30.0])
def test_strength_is_the_concentration_that_users_were_drawn_with(strength: float) -> None:
    """2,000 users of a Dirichlet-multinomial with a known concentration."""
    rng = np.random.default_rng(7)
    shares = np.asarray([0.4, 0.3, 0.2, 0.1])
    users = [
        rng.choice(list("abcd"), size=rng.integers(2, 40), p=rng.dirichlet(strength * shares)).tolist()
        for _ in range(2_000)
    ]
    prior = LabelPrior.of(pasts(users), "brand")
    assert prior.shares == pytest.approx(shares, abs=0.02)
    assert prior.strength == pytest.approx(strength, rel=0.12)


def test_strength_of_prices_is_the_credibility_constant() -> None:
    """Variance within users over that between them, both known: 0.25 / 0.5."""
    rng = np.random.default_rng(3)
    means = rng.normal(2.0, np.sqrt(0.5), size=2_000)
    prices = [np.exp(rng.normal(mean, 0.5, size=rng.integers(2, 20))).tolist() for mean in means]
    prior = PricePrior.of(pasts([["a"] * len(of) for of in prices], prices))
    assert prior.strength == pytest.approx(0.5, rel=0.1)
    assert len(prior.log_prices) == 1_001 and (np.diff(prior.log_prices) >= 0).all()


def test_users_who_differ_no_more_than_by_chance_have_the_shops_tastes() -> None:
    """And so where there is one user, one item each, or none at all; users who share nothing keep theirs."""
    alike: list[list[str | None]] = [["a", "b"]] * 20
    assert LabelPrior.of(pasts(alike), "brand").strength == MOST_STRENGTH
    for few in ([["a", "b", "b"]], [["a"], ["b"]], [[None]]):
        assert LabelPrior.of(pasts(few), "brand").strength == MOST_STRENGTH  # type: ignore[arg-type]
    assert PricePrior.of(pasts([["a"]], [[None]])).band(np.empty(0), np.asarray([0.5])) is None
    loyal: list[list[str | None]] = [["a"] * 5, ["b"] * 5] * 10
    assert LabelPrior.of(pasts(loyal), "brand").strength == LEAST_STRENGTH


def test_a_band_moves_from_the_shops_prices_to_the_users() -> None:
    """With the shop's quantiles without a price of the user's, and nearly his own with many."""
    prior = PricePrior(np.log(np.arange(1.0, 102.0)), strength=10.0)
    middle = np.asarray([0.5])
    bands = [prior.band(np.full(n, np.log(500.0)), middle) for n in (0, 1, 9, 1_000)]
    shop, one, nine, many = (float(np.exp(band[0])) for band in bands if band is not None)
    assert shop == pytest.approx(51.0)
    assert shop < one < nine < many == pytest.approx(500.0)
