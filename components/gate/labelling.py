"""Which judgements would narrow the gate's interval most: the next pairs for a person to judge.

The gate takes an unjudged item for one that is not relevant. Here its relevance is a Bernoulli variable, so
that the mean difference challenger − champion of a primary has two sources of variance: the requests that
happened to be drawn, sd² / n, and the judgements that are missing, for a pair with probability p of being
relevant p · (1 − p) · (how far its relevance moves the mean)². That is the variance of Carterette, Allan &
Sitaraman, "Minimal test collections for retrieval evaluation" (SIGIR 2006, section 3), to first order in the
pairs; judging a pair takes its term away. As there, p is 0.5 where nothing is known; from 20 judged pairs of
either kind on it is a logistic regression on the systems' places and scores, fitted on the judged pairs
(sampled pools and estimated relevance: Yilmaz & Aslam, CIKM 2006).
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.evaluation.pooled import SYSTEMS
from components.evaluation.scorecard import Scorecard

PRIMARIES = ("new", "new_only")
FEWEST_JUDGED = 20
"""Judged pairs of either kind from which on the probability of relevance is learnt."""
_PLACE = {"new": "place", "new_only": "new_place"}

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Narrowing:
    """What the gate's interval of one primary would be with and without more judgements. half_width: of the
    difference of means, in score points, at the policy's confidence; missing judgements counted."""

    measure: str
    requests: int
    half_width: float
    half_width_after: float
    """Once the listed pairs are judged, as expected."""
    missing_share: float
    """Of the variance, how much the missing judgements cause."""
    more_requests: float
    """Requests that the listed pairs are expected to give their first relevant new item."""


@dataclass(frozen=True)
class Labelling:
    pairs: pl.DataFrame
    """query, item_id, title, probability (of being relevant), moves (the difference of the query on the new
    items if it is), narrows (share of the primaries' mean variance that its judgement takes away), shown_by;
    the most useful first."""
    narrowing: tuple[Narrowing, ...]
    unjudged: int
    """Pooled pairs that nobody has judged."""
    calibrated: bool
    """Whether the probabilities are learnt from judged pairs; else they are 0.5."""


def next_pairs(
    pool: pl.DataFrame, challenger: Scorecard, champion: Scorecard, count: int, confidence: float
) -> Labelling:
    """The `count` unjudged pairs of `pool` (evaluation.pooled) whose judgement is worth most; the scorecards
    are those of the run that it was pooled in."""
    probability, calibrated = relevance(pool)
    unjudged = pool.get_column("relevant").is_null().to_numpy()
    # In one piece: polars 2.1 panics where concat_str meets a frame in several.
    pairs, p = pool.filter(unjudged).rechunk(), probability[unjudged]
    parts = [_Part.of(name, pairs, p, challenger, champion) for name in PRIMARIES]
    worth = np.mean([part.gained / part.variance for part in parts], axis=0) if len(pairs) else np.empty(0)
    order = np.lexsort((np.arange(len(worth)), -worth))[:count]
    z = NormalDist().inv_cdf(0.5 + confidence / 2.0)
    shown = pairs.with_columns(
        probability=pl.Series(p),
        moves=pl.Series(parts[0].moves if len(pairs) else p),
        narrows=pl.Series(worth),
        shown_by=_shown_by(),
    )
    columns = ("query", "item_id", "title", "probability", "moves", "narrows", "shown_by")
    return Labelling(
        pairs=shown[order].select(*columns),
        narrowing=tuple(
            part.narrowing(name, order, p, z) for name, part in zip(PRIMARIES, parts, strict=True)
        ),
        unjudged=len(pairs),
        calibrated=calibrated,
    )


def relevance(pool: pl.DataFrame) -> tuple[Floats, bool]:
    """(pairs,) probability of being relevant, and whether it was learnt from the judged pairs."""
    known = pool.get_column("relevant")
    judged = known.is_not_null().to_numpy()
    target = known.drop_nulls().to_numpy()
    if min(target.sum(), (~target).sum()) < FEWEST_JUDGED:
        return np.full(len(pool), 0.5), False
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features = _features(pool)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000))
    model.fit(features[judged], target)
    return np.asarray(model.predict_proba(features)[:, 1]), True


def _features(pool: pl.DataFrame) -> Floats:
    """(pairs, 9): 1 / place in both lists of each system, 0 where it does not show the item; its score."""
    columns = [1.0 / pl.col(f"{system}_{kind}") for system in SYSTEMS for kind in _PLACE.values()]
    scores = [pl.col(f"{system}_score") for system in SYSTEMS]
    cells = [each.fill_null(0.0).alias(str(n)) for n, each in enumerate((*columns, *scores))]
    return pool.select(cells).to_numpy().astype(np.float64)


def _shown_by() -> pl.Expr:
    """The systems that show the item in a top k, with its place there: "challenger 3, bm25 1 of the new"."""
    names = [
        pl.when(pl.col(f"{system}_place").is_not_null())
        .then(pl.format(f"{system} {{}}", f"{system}_place"))
        .when(pl.col(f"{system}_new_place").is_not_null())
        .then(pl.format(f"{system} {{}} of the new", f"{system}_new_place"))
        for system in SYSTEMS
    ]
    return pl.concat_str(names, separator=", ", ignore_nulls=True)


@dataclass(frozen=True, eq=False)
class _Part:
    """One primary; arrays are (pairs,)."""

    requests: int
    spread: float
    """Variance of the requests' differences."""
    enters: NDArray[np.bool_]
    """The request has no relevant new item yet, so a relevant one makes it count."""
    of_request: NDArray[np.int64]
    moves: Floats
    """By how much the request's own difference moves if the pair is relevant."""
    missing: Floats
    """Variance of the mean because the pair is not judged."""
    gained: Floats
    """That, and by how much one request more would narrow the sampling."""

    @classmethod
    def of(cls, name: str, pairs: pl.DataFrame, p: Floats, ours: Scorecard, theirs: Scorecard) -> "_Part":
        measure = f"{name}/recall@{ours.k}"
        scores, others = (card.entrances[card.primary] for card in (ours, theirs))
        differences = scores.measures[measure] - others.measures[measure]
        known = differences[~np.isnan(differences)]
        n, mean = len(known), float(known.mean())
        spread = float(known.var(ddof=1)) if n > 1 else 0.0
        row = {request_id: number for number, request_id in enumerate(scores.request_ids)}
        of_request = np.array([row[each] for each in pairs.get_column("request_id")], dtype=np.int64)
        relevant = pairs.get_column("relevant_new").to_numpy()
        places = [f"{system}_{_PLACE[name]}" for system in ("challenger", "champion")]
        hit, their_hit = (pairs.get_column(each).is_not_null().to_numpy().astype(float) for each in places)
        enters = relevant == 0
        now = np.where(enters, 0.0, differences[of_request])
        then = (now * relevant + hit - their_hit) / (relevant + 1)
        steps = np.where(enters, (then - mean) / (n + 1), (then - now) / n)
        missing = p * (1.0 - p) * steps**2
        more = np.where(enters, p * spread / (n * (n + 1)), 0.0)
        return cls(n, spread, enters, of_request, then - now, missing, missing + more)

    @property
    def variance(self) -> float:
        total = self.spread / self.requests + float(self.missing.sum())
        return max(total, float(np.finfo(np.float64).tiny))

    def narrowing(self, name: str, chosen: NDArray[np.intp], p: Floats, z: float) -> Narrowing:
        entering = chosen[self.enters[chosen]]
        stays_out = np.ones(int(self.of_request.max(initial=0)) + 1)
        np.multiply.at(stays_out, self.of_request[entering], 1.0 - p[entering])
        more = float((1.0 - stays_out).sum())
        left = float(self.missing.sum() - self.missing[chosen].sum())
        after = self.spread / (self.requests + more) + max(left, 0.0)
        return Narrowing(
            measure=name,
            requests=self.requests,
            half_width=z * float(self.variance**0.5),
            half_width_after=z * float(after**0.5),
            missing_share=float(self.missing.sum()) / self.variance,
            more_requests=more,
        )
