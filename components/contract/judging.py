"""What a candidate is judged by: the sections judge and gate of debut.yaml."""

from typing import Literal

from pydantic import Field, model_validator

from components.contract.section import Section, Seed, Share


class JudgeSettings(Section):
    primary: Literal["auto", "search", "recommendation"] = "auto"
    k: int = Field(default=10, ge=1)
    """The k of the gate's recall@k and of the exposure measures."""
    age_bucket_days: tuple[int, ...] = (1, 7, 14, 30, 60)
    max_categories: int = Field(default=12, ge=0)
    """Category slices reported, largest first; the rest are one slice "other"."""


class Bound(Section):
    """A limit on one measure of the challenger."""

    at_most: float | None = None
    at_least: float | None = None

    @model_validator(mode="after")
    def _limits(self) -> "Bound":
        if self.at_most is None and self.at_least is None:
            raise ValueError("give at_most or at_least; null in the bound's place switches it off")
        return self


class Bounds(Section):
    """The limit of each measure. One that is given replaces its default only; null switches it off."""

    typo_recall_loss: Bound | None = Bound(at_most=0.5)
    attribute_dropout_recall_loss: Bound | None = Bound(at_most=0.5)
    fast_path_recall_loss: Bound | None = Bound(at_most=0.02)
    exposure_new_item_share_ratio: Bound | None = Bound(at_most=3.0)
    exposure_top_1_percent_share: Bound | None = Bound(at_most=0.5)
    exposure_small_brand_share_ratio: Bound | None = Bound(at_least=0.5)
    ranker_new_item_share_change: Bound | None = Bound(at_least=-0.05, at_most=0.05)
    ranker_top_1_percent_share_change: Bound | None = Bound(at_most=0.1)
    p95_latency_ms: Bound | None = Bound(at_most=250.0)
    size_mb: Bound | None = Bound(at_most=2_000.0)


class GatePolicy(Section):
    """DESIGN.md, "The gate". All margins are shares of the champion's value."""

    confidence: float = Field(default=0.95, gt=0.5, lt=1.0)
    guardrail_margin: Share = 0.05
    slice_margin: Share = 0.05
    min_queries: int = Field(default=50, ge=1)
    """Slices with fewer requests read "not judged"."""
    resamples: int = Field(default=10_000, ge=100)
    seed: Seed = 0
    min_gain: float = Field(default=0.02, gt=0)
    """Recall points (0.02 = 2 points) at which an INCONCLUSIVE verdict plans for 80 % power."""
    power: float = Field(default=0.8, gt=0.5, lt=1.0)
    bounds: Bounds = Bounds()
