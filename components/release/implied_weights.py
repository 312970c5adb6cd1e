"""How much the ranking leans on what a query implies, chosen on validation: facets' weights, and synonyms.

Shapes as in fusion.py; the first parts are the score so far, one per share of synonyms, the others a facet's
match each.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from components.contract.ports import Encoder, Request, Rows
from components.contract.records import RetrievalPlan
from components.contract.task import Facet
from components.index.facets import FACETS, Facets
from components.index.fusion import Populations, ScoredRequest, found
from components.index.lexical import Lexical
from components.index.live_rows import Snapshot
from components.index.topk import Scores
from components.split.judged import JudgedSet
from components.understanding.understanding import Understanding

WEIGHTS = (0.02, 0.05, 0.1, 0.2, 0.4)
SYNONYM_SHARES = (0.0, 0.5, 0.8, 1.0)
"""The first one is nothing, and what the others are held against."""
ERRORS = 2.0
"""Standard errors of its mean that a gain must exceed: of some twenty tries one looks better by chance."""
Recalls = Mapping[str, NDArray[np.float64]]
"""Per population the recall@10 of each request that has a relevant item in it."""
Name = TypeVar("Name")


class ImpliedParts:
    """The parts of judged queries' scores, of the items that any weights may bring to the top."""

    def __init__(
        self,
        plan: RetrievalPlan,
        judged: JudgedSet,
        new: frozenset[str],
        snapshot: Snapshot,
        shares: Sequence[float] = SYNONYM_SHARES,
    ) -> None:
        """new: item_ids of the items that count as new on validation; shares: of synonyms, at least one."""
        self._plan, self._judged, self._snapshot, self._shares = plan, judged, snapshot, shares
        self._populations = Populations(judged, new, snapshot.items.get_column("item_id").to_list())
        self._lexical = Lexical(snapshot.lexical, plan.grams_share)
        self._facets = Facets.of(snapshot.items)

    def scored(self, encoder: Encoder, understanding: Understanding) -> list[ScoredRequest]:
        requests = self._judged.requests
        asked = encoder.encode_queries([str(request.text) for request in requests])
        return [
            self._scored(request, vector, understanding)
            for request, vector in zip(requests, asked, strict=True)
        ]

    def _scored(
        self, request: Request, vector: NDArray[np.float32], understanding: Understanding
    ) -> ScoredRequest:
        query = str(request.text)
        bases = self._bases(query, vector, understanding.variants(query))
        matches = self._facets.match(understanding.imply(query, vector))
        nothing = np.zeros(len(self._snapshot.items), dtype=np.float32)
        facets = np.stack([matches.get(facet, nothing) for facet in FACETS])
        rows = self._rows(request, bases, facets)
        parts = np.concatenate([bases, facets])[:, rows]
        return ScoredRequest(parts, self._populations.of(request, rows))

    def _bases(self, query: str, vector: NDArray[np.float32], variants: Sequence[str]) -> Scores:
        """(shares, n): cosines and the lexical side with so much of the synonyms'."""
        cosines = self._snapshot.vectors @ vector
        own = self._words(query)
        others = np.max([np.zeros_like(own), *map(self._words, variants)], axis=0)
        weight = np.float32(self._plan.lexical_weight)
        bases: Scores = np.stack(
            [cosines + weight * np.maximum(own, np.float32(share) * others) for share in self._shares]
        )
        return bases

    def _words(self, query: str) -> Scores:
        scores = self._lexical.scores(query)
        return np.zeros(len(self._snapshot.items), dtype=np.float32) if scores is None else scores

    def _rows(self, request: Request, bases: Scores, facets: Scores) -> Rows:
        """Many items match a facet alike, so those are taken that come first by one facet, or by all, at any
        of the weights."""
        helped = [facet for facet in (*facets, facets.sum(axis=0)) if facet.any()]
        raised = [bases[0] + np.float32(weight) * facet for weight in WEIGHTS for facet in helped]
        return self._populations.best_rows(request, np.stack([*bases, *raised]))


def chosen_synonym_share(
    requests: Sequence[ScoredRequest], shares: Sequence[float] = SYNONYM_SHARES
) -> float:
    """shares: those that the requests were scored with; the first one where no other gains."""
    tried = {share: _found(requests, shares, share, {}) for share in shares}
    share = _best(tried, tried.pop(shares[0]))
    return shares[0] if share is None else share


def chosen_weights(
    requests: Sequence[ScoredRequest], share: float, shares: Sequence[float] = SYNONYM_SHARES
) -> dict[Facet, float]:
    """share: of synonyms, one of those that the requests were scored with. From no weight at all, each step
    takes in the facet that gains most, at its best weight, until none gains."""
    chosen: dict[Facet, float] = {}
    while True:
        steps = [step for step in product(FACETS, WEIGHTS) if step[0] not in chosen]
        tried = {step: _found(requests, shares, share, chosen | dict([step])) for step in steps}
        best = _best(tried, _found(requests, shares, share, chosen))
        if best is None:
            return chosen
        chosen |= dict([best])


def _found(
    requests: Sequence[ScoredRequest], shares: Sequence[float], share: float, weights: Mapping[Facet, float]
) -> Recalls:
    if share not in shares:  # its score so far is none of the parts: facets alone would be judged
        raise ValueError(f"share of synonyms {share}: the requests were scored with {list(shares)}")
    bases = [float(one == share) for one in shares]
    return found(requests, [*bases, *(weights.get(facet, 0.0) for facet in FACETS)])


def _best(tried: Mapping[Name, Recalls], now: Recalls) -> Name | None:
    """What gains most, of equals the first; None where nothing gains more than ERRORS, or all that does costs
    one of the populations some recall."""
    gains = {name: _gain(recalls, now) for name, recalls in tried.items()}
    gains = {name: gain for name, gain in gains.items() if gain > 0}
    return max(gains, key=lambda name: gains[name]) if gains else None


def _gain(then: Recalls, now: Recalls) -> float:
    """Of the mean of the populations' recalls; 0 where it is no more than ERRORS standard errors."""
    differences = [then[name] - now[name] for name in now]
    means = np.asarray([one.mean() for one in differences])
    variances = [one.var() / len(one) for one in differences]
    error = np.sqrt(sum(variances)) / max(1, len(means))
    gain = float(means.mean()) if len(means) else 0.0
    return gain if len(means) and means.min() >= 0 and gain > ERRORS * error else 0.0
