"""What all users did, as one check of the shop's data has it: each user's acts, and the priors of all."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Self

import polars as pl

from components.contract.records import Record
from components.contract.tables import EVENT_GRADES
from components.profiles.priors import Priors

SHOWN = "impression"
"""Kind of event that is no act of the user's."""


class Activity(Record):
    """How often and how lately a user acted."""

    acts: int
    purchases: int
    items: int
    """Distinct ones, of all acts."""
    active_days: int
    """Distinct days (UTC) with an act."""
    first_at: datetime
    last_at: datetime
    recency_days: float
    """From the last act to the newest event of the shop's data, to a tenth."""


@dataclass(frozen=True, eq=False)
class Behaviour:
    acts: pl.DataFrame
    """user_id, at, kind, item_id, grade, sorted by user and time."""
    items: pl.DataFrame
    """item_id, category, brand, price as the shop's data has them."""

    @classmethod
    def of(cls, events: pl.DataFrame, items: pl.DataFrame) -> Self:
        """events, items: checked tables; rows without a user and what a user was only shown are left out."""
        acts = events.select("user_id", "at", "kind", "item_id").drop_nulls()
        acts = acts.filter(pl.col("kind") != SHOWN).sort("user_id", "at", "item_id", maintain_order=True)
        acts = acts.with_columns(grade=pl.col("kind").replace_strict(EVENT_GRADES, default=0.0))
        return cls(acts, items.select("item_id", "category", "brand", "price"))

    @classmethod
    def read(cls, checked: Path) -> Self | None:
        """From the folder of a check; None where the shop has no events."""
        events = checked / "events.parquet"
        if not events.is_file():
            return None
        return cls.of(pl.read_parquet(events), pl.read_parquet(checked / "items.parquet"))

    @cached_property
    def priors(self) -> Priors:
        pasts = self.acts.select("user_id", "item_id").unique(maintain_order=True)
        return Priors.of(pasts.join(self.items, on="item_id"))

    @cached_property
    def as_of(self) -> datetime | None:
        """Of the newest act."""
        newest = self.acts.get_column("at").max()
        return newest if isinstance(newest, datetime) else None

    def past(self, user_id: str) -> list[str]:
        """The user's distinct items by acts of the strongest kind that the user has, in the order of the
        first of them: of one who bought the history that is judged (0005). None for a user nobody knows."""
        own = self._acts_of(user_id)
        strongest = own.filter(pl.col("grade") == pl.col("grade").max())
        return list(strongest.get_column("item_id").unique(maintain_order=True))

    def past_items(self, user_id: str) -> pl.DataFrame:
        """category, brand and price of the user's distinct items, those that the shop's data has."""
        own = self._acts_of(user_id).select("item_id").unique(maintain_order=True)
        return own.join(self.items, on="item_id", maintain_order="left")

    def activity(self, user_id: str) -> Activity | None:
        """None for a user nobody knows."""
        own = self._acts_of(user_id)
        if self.as_of is None or not len(own):
            return None
        at = own.get_column("at")
        first, last = at[0], at[-1]
        return Activity(
            acts=len(own),
            purchases=int((own.get_column("kind") == "purchase").sum()),
            items=own.get_column("item_id").n_unique(),
            active_days=at.dt.date().n_unique(),
            first_at=first,
            last_at=last,
            recency_days=round((self.as_of - last).total_seconds() / 86_400, 1),
        )

    def _acts_of(self, user_id: str) -> pl.DataFrame:
        """By bisection: the acts are sorted by user."""
        users = self.acts.get_column("user_id")
        first, last = (users.search_sorted(user_id, side=side) for side in ("left", "right"))
        return self.acts[first:last]
