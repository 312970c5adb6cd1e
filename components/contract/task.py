"""A task: what else the shop's encoder is to answer about a text, declared as data (docs/decisions/0011)."""

from collections.abc import Collection
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from components.contract.section import Section, Share

HeadKind = Literal["classification", "nearest", "regression"]
"""nearest: the target of the most similar training text, for targets that are many or texts themselves."""
TaskMetric = Literal[
    "accuracy",
    "recall_at_5",
    "macro_f1",
    "calibration_error",
    "answered_share",
    "answered_accuracy",
    "absolute_error",
    "interval_coverage",
    "interval_width",
]
Loss = Literal["cross_entropy", "contrastive"]
Requirement = Literal["better", "non_inferior", "not_harmed", "reported"]
"""better: shown better; non_inferior: shown to lose at most the margin; not_harmed: not shown to lose more
than the margin, which few rows suffice for; reported: never blocks."""
Population = Literal["new", "all"]
Facet = Literal["category", "brand", "price", "attributes"]
"""What of an item a query may imply: columns of the contract's items."""
QUERY = "query"
"""The column whose text is a query's."""
NEGATIVE, POSITIVE = "negative", "positive"
"""Labels by which a task of `opinions` says whether a review is content."""

_ANSWERED: tuple[TaskMetric, ...] = ("answered_share", "answered_accuracy")
_METRICS: dict[HeadKind, tuple[TaskMetric, ...]] = {
    "classification": ("accuracy", "macro_f1", "calibration_error"),
    "nearest": ("accuracy", "recall_at_5", "calibration_error"),
    "regression": ("absolute_error", "interval_coverage", "interval_width"),
}
_OTHERS: dict[HeadKind, tuple[TaskMetric, ...]] = {
    "classification": ("recall_at_5",),
    "nearest": ("macro_f1",),
    "regression": (),
}
"""What may be measured besides."""


def tells_sentiment(labels: Collection[str]) -> bool:
    return {NEGATIVE, POSITIVE} <= set(labels)


class TaskPolicy(Section):
    """How the gate judges a task: by its first metric, on the test rows of new items, of all items, or
    both."""

    against_champion: Requirement = "not_harmed"
    against_baseline: Requirement = "reported"
    populations: tuple[Population, ...] = ("new", "all")
    margin: Share = 0.05
    """Share of the other side's value that may be lost."""
    min_rows: int = Field(default=50, ge=1)
    """With fewer test rows a population reads "not judged" and does not block."""


class Task(Section):
    """One YAML file. Adding a task is adding that file: nothing else names it."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    says: str
    """What an answer tells, as people read it: "Department of an item"."""
    rows: str
    """One SELECT over the contract's tables, after the checks. Its columns: target (null: unknown, see
    self_training), those of `text`; item_id, where a row is about an item; and `at`, where rows are dated."""
    text: Annotated[tuple[str, ...], Field(min_length=1)]
    """Columns that are read, joined by spaces, in this order; never one that gives the target away. Where all
    are columns of items, the service answers for an item too."""
    prompt: str = ""
    """Put before the text: a description of the task, for encoders that were trained with such."""
    head: HeadKind
    facet: Facet | None = None
    """Where the text is a query: which column of items an answer speaks of. The ranking may then prefer items
    that have what the query implies. An answer names a category path or the start of one, a brand, a price or
    an attribute "name: value"."""
    precision: Share | None = None
    """classification, nearest: an answer that is less probable than a threshold abstains; the threshold is
    chosen on validation so that this share of the others is right, and is never below one half. None:
    never."""
    otherwise: str | None = None
    """Where an answer abstains, what the service says instead: a text in which {items} becomes the titles,
    each with the beginning of the description, of the items that a search for the question finds first.
    None: nothing."""
    loss: Loss = "cross_entropy"
    """classification, nearest: what trains the encoder. contrastive: rows with equal labels are drawn
    together and others apart; the head is fitted afterwards as ever. Not shown to be better (0022)."""
    self_training: Share | None = None
    """classification: training rows whose target is null are given the head's answer where it is surer than
    a threshold, and the head is fitted again on all. The threshold is chosen on labelled training rows that
    were left out of the fit, so that this share of such answers is right. The encoder is trained on given
    labels alone. None: rows without a target are left out."""
    balanced: bool = False
    """classification: each class counts alike in the loss, however many rows it has."""
    words: bool = True
    """classification of at most 500 classes, regression, of texts that are no queries: besides the vector,
    the head may read the text's words (TF-IDF and a linear model). What share of the answer they have is
    chosen on validation; 0 leaves them out of the release, and so do fewer rows than `policy.min_rows`."""
    opinions: bool = False
    """classification of reviews' texts: labels "negative" and "positive" say whether a review is content,
    others neither. Then the second stage ranks by what reviews say, and the monitor tells of surges."""
    log_scale: bool = False
    """regression: of the target's logarithm; then targets must be above 0."""
    coverage: float = Field(default=0.9, gt=0, lt=1)
    """regression: share of the answers whose interval is to hold the truth; no interval holds all of them, or
    none."""
    weight: float = Field(default=0.2, ge=0)
    """Of the task's loss beside the contrastive one in training; 0: the head alone is trained."""
    metrics: tuple[TaskMetric, ...] = ()
    """Not given: all of the head's kind. The first decides in the gate."""
    policy: TaskPolicy = TaskPolicy()

    @model_validator(mode="after")
    def _fits_its_head(self) -> Self:
        known = (*self._usual, *_OTHERS[self.head])
        unknown = [name for name in self.metrics if name not in known]
        if unknown:
            raise ValueError(f"metrics: {unknown[0]} is none of this {self.head}'s: {', '.join(known)}")
        if self.measured[0] in _ANSWERED:
            first = self.measured[0]
            raise ValueError(
                f"metrics: {first} cannot come first and decide: alone it says nothing of the answers"
            )
        if self.precision is not None and self.head == "regression":
            raise ValueError("precision: a regression does not abstain; it has an interval")
        if self.otherwise is not None and (self.precision is None or "{items}" not in self.otherwise):
            raise ValueError("otherwise: only with precision, and with {items} in it")
        if self.loss == "contrastive" and (self.head == "regression" or not self.weight):
            raise ValueError("loss: contrastive needs labels and a weight above 0: it trains the encoder")
        if self.self_training is not None and (self.head != "classification" or self.of_queries):
            raise ValueError("self_training: only for a classification of texts that are no queries")
        if self.balanced and self.head != "classification":
            raise ValueError("balanced: only for a classification")
        if self.opinions and (self.head != "classification" or self.of_queries):
            raise ValueError("opinions: only for a classification of texts that are no queries")
        if self.log_scale and self.head != "regression":
            raise ValueError("log_scale: only for a regression")
        return self

    @model_validator(mode="after")
    def _ranks_by_queries(self) -> Self:
        if QUERY in self.text and (len(self.text) > 1 or self.prompt):
            raise ValueError("text: a query is read alone and without a prompt, as search reads it")
        if self.facet is not None and not self.of_queries:
            raise ValueError("facet: only where the text is [query]")
        if self.facet is not None and (self.facet == "price") != (self.head == "regression"):
            raise ValueError("facet: price goes with a regression, the others with a classification")
        return self

    @property
    def of_queries(self) -> bool:
        """Whether its text is a query: encoded as searches are, and held out by them where it has no date."""
        return self.text == (QUERY,)

    @property
    def measured(self) -> tuple[TaskMetric, ...]:
        return self.metrics or self._usual

    @property
    def _usual(self) -> tuple[TaskMetric, ...]:
        return _METRICS[self.head] + (_ANSWERED if self.precision is not None else ())
