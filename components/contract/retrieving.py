"""How a release ranks: the sections retrieval and ranking of debut.yaml."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from components.contract.section import Section, Seed, Share
from components.contract.task import Facet

Inference = Literal["torch", "onnx", "onnx-int8"]
"""What encodes queries: torch: fp32 from encoder/; onnx, onnx-int8: ONNX Runtime, fp32 or 8-bit weights."""
HistoryScoring = Literal["mean", "top3", "top10", "centred_top10", "gru", "attention"]
HistoryEncoderKind = Literal["gru", "attention"]
"""The history scorings that are learned."""


class RetrievalSettings(Section):
    inference: Inference | Literal["auto"] = "auto"
    """What encodes in the service. torch: fp32 weights; onnx: ONNX Runtime, fp32; onnx-int8: 8-bit weights;
    auto: the fastest that loses at most `max_loss` of the fp32 recall on validation."""
    max_loss: Share = 0.02
    """Share of the fp32 encoder's recall@10 that a faster path may lose: on validation when it is chosen,
    of the new items when it is judged."""
    lexical_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] | Literal["auto"] = "auto"
    """Added to the cosine per unit of the lexical score (normalised BM25, 0 to 1); 0: vectors alone; auto:
    chosen on validation, 0 where it does not help."""
    grams_share: Share | Literal["auto"] = "auto"
    """Of runs of three characters in the lexical score, the rest are whole words; auto: chosen on
    validation."""
    history_scoring: HistoryScoring | Literal["auto"] = "auto"
    """How a user's history scores an item: similarity to its mean vector, or the mean of the three
    or ten most similar past items, or of ten after the catalogue's mean vector was taken out of all
    vectors, or that and similarity to a vector that one of `history_encoders` makes of the history; auto:
    chosen on validation. Past items are compared one by one up to the 256 newest."""
    history_encoders: tuple[HistoryEncoderKind, ...] = ()
    """Learned encoders of a history that are trained and stand for choice."""
    co_purchase_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] | Literal["auto"] = "auto"
    """Added to that similarity per unit of the score by what the same users bought before the cut-off; 0:
    texts alone; auto: chosen on validation, 0 where new or established items would lose by it."""
    implied_weights: dict[Facet, Annotated[float, Field(ge=0, allow_inf_nan=False)]] | Literal["auto"] = (
        "auto"
    )
    """Per facet, added to a query's score per unit of an item's match with what the query implies; auto:
    chosen on validation, 0 where it does not help."""
    synonym_share: Share | Literal["auto"] = "auto"
    """Of the lexical score that an item has by a synonym of the query's words; auto: chosen on validation."""

    @model_validator(mode="after")
    def _a_learned_scoring_is_trained(self) -> "RetrievalSettings":
        if self.history_scoring in ("gru", "attention") and self.history_scoring not in self.history_encoders:
            raise ValueError(f"history_scoring {self.history_scoring}: add it to history_encoders")
        return self


class RankingSettings(Section):
    """A second stage that scores the first stage's proposals again (components.ranking)."""

    learner: Literal["none", "lambdarank"] = "none"
    """none: the first stage's order is the release's. lambdarank: LightGBM's (extra `ranking`), carried where
    on validation neither new nor established items, nor new items among themselves, are found less by it."""
    candidates: int = Field(default=100, ge=20, le=200)
    """Proposals per request that are scored again."""
    trees: tuple[Annotated[int, Field(ge=1, le=2_000)], ...] = (10, 25, 50, 100, 200)
    """Numbers of trees to choose from on validation."""
    leaves: int = Field(default=15, ge=2, le=255)
    learning_rate: float = Field(default=0.05, gt=0, le=1)
    fewest_in_leaf: int = Field(default=50, ge=1)
    position_weights: bool = True
    """A click weighs 1 / the probability that its place was looked at, at most 10. A query counts by the
    largest weight of its items: in full where one was clicked, below their sum where several were (decision
    0016)."""
    popularity_bias: float = Field(default=0.25, ge=0, le=2)
    """A user's act on an item weighs (1 + acts on it before, halved monthly) ** -popularity_bias: what was
    shown much is acted on more because it was shown; 0: all acts weigh alike. A user counts by the
    largest weight of the acts."""
    seed: Seed = 0

    @model_validator(mode="after")
    def _has_trees(self) -> "RankingSettings":
        if not self.trees:
            raise ValueError("trees: name at least one number of trees, or set learner to none")
        return self
