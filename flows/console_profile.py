"""How the terminal shows a user's profile."""

from rich.markup import escape

from components.profiles.readable import Favourite, UserProfile
from flows.console import counted, fact


def profile(found: UserProfile) -> None:
    active, tastes = found.activity, found.tastes
    fact(
        "activity",
        f"{counted(active.acts, 'act')} on {counted(active.items, 'item')}, "
        f"{counted(active.purchases, 'purchase')}, {counted(active.active_days, 'day')} with an act",
    )
    fact("last act", f"{active.last_at:%Y-%m-%d}, {active.recency_days:g} days before the newest data")
    if tastes.categories:
        fact("categories", _favourites(tastes.categories))
    if tastes.brands:
        fact("brands", _favourites(tastes.brands))
    if tastes.price_band is not None:
        band = tastes.price_band
        fact("prices", f"{band.low:,.2f} to {band.high:,.2f}, median {band.median:,.2f}")
    if found.recommended_brands:
        fact("brands to recommend", escape(", ".join(one.brand for one in found.recommended_brands)))
    fact("release", f"{found.release[:12]}, history scoring {found.history_scoring}")


def _favourites(favourites: tuple[Favourite, ...]) -> str:
    """ "Lamps 31 % (shop 9 %), …"."""
    return escape(", ".join(f"{one.label} {one.share:.0%} (shop {one.shop_share:.0%})" for one in favourites))
