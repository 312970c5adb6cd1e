"""Two scorecards side by side: which values pair up, and the bootstrap of each paired difference."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from components.contract.errors import JudgeError
from components.contract.judging import GatePolicy
from components.contract.records import Entrance
from components.evaluation.scorecard import EntranceScores, Scorecard
from components.gate import statistics
from components.gate.statistics import Floats, Units


@dataclass(frozen=True)
class Question:
    """A measure of the challenger beside the same of another scorecard (champion or baseline)."""

    entrance: Entrance
    measure: str
    """ "<slice>/recall@k"."""
    against_baseline: bool = False


@dataclass(frozen=True, eq=False)
class Comparison:
    """The answer to a Question, in score points; the other side's requests are the challenger's."""

    entrance: Entrance
    measure: str
    other_name: str
    requests: int
    """Requests with a relevant item in the slice."""
    challenger: float | None
    other: float | None
    difference: float | None
    """Mean of challenger − other; None where `requests` is 0."""
    sd: float | None
    """Of the paired differences; None under two requests."""
    means: Floats
    """(resamples,) resampled mean differences; empty where `requests` is 0."""
    absent: str | None
    """Which scorecard lacks the measure; None where both have it."""


@dataclass(frozen=True, eq=False)
class _Pair:
    challenger: Units
    other: Units
    absent: str | None = None


def check_comparable(challenger: Scorecard, other: Scorecard, entrances: Iterable[Entrance]) -> None:
    """Raises JudgeError unless both are of the same requests, in the same order, at the same k."""
    for what in ("primary", "k"):
        ours, theirs = getattr(challenger, what), getattr(other, what)
        if ours != theirs:
            raise JudgeError(
                f"{challenger.name} and {other.name} cannot be compared: {what} is {ours} in one scorecard "
                f"and {theirs} in the other. Judge both by one configuration."
            )
    for entrance in entrances:
        for card in (challenger, other):
            if entrance not in card.entrances:
                raise JudgeError(
                    f"{card.name} was not judged on {entrance}: judge both on the same entrances."
                )
        _check_requests(challenger, other, entrance)


def _check_requests(challenger: Scorecard, other: Scorecard, entrance: Entrance) -> None:
    ours, theirs = challenger.entrances[entrance].request_ids, other.entrances[entrance].request_ids
    if len(set(ours)) != len(ours):
        raise JudgeError(
            f"{challenger.name} was judged on a {entrance} request more than once: each is one unit of the "
            "bootstrap, so merge the judgements of equal requests."
        )
    if ours == theirs:
        return
    place = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), None)
    where = (
        f"{len(ours)} and {len(theirs)} of them"
        if place is None
        else f'number {place + 1} is "{ours[place]}" for one and "{theirs[place]}" for the other'
    )
    raise JudgeError(
        f"{challenger.name} and {other.name} were not judged on the same {entrance} requests in the same "
        f"order ({where}): judge both on one judged set."
    )


def compare(
    questions: Iterable[Question],
    challenger: Scorecard,
    champion: Scorecard,
    baseline: Scorecard | None,
    policy: GatePolicy,
) -> dict[Question, Comparison]:
    """Answers all questions with one bootstrap run.

    Raises JudgeError where a value is no recall, or one side has a value where the other has none.
    """
    others = {q: _other(q, champion, baseline) for q in questions}
    pairs = {q: _pair(q, challenger, other) for q, other in others.items()}
    differences = {q: pair.challenger - pair.other for q, pair in pairs.items()}
    means = statistics.resampled_means(differences, policy.resamples, policy.seed)
    return {q: _comparison(q, pairs[q], others[q].name, means[q]) for q in pairs}


def mean_difference(question: Question, challenger: Scorecard, champion: Scorecard) -> float | None:
    """Mean paired difference without a bootstrap; None where it is missing. Raises as `compare` does."""
    pair = _pair(question, challenger, champion)
    return statistics.mean(pair.challenger - pair.other) if len(pair.challenger) else None


def _other(question: Question, champion: Scorecard, baseline: Scorecard | None) -> Scorecard:
    if not question.against_baseline:
        return champion
    assert baseline is not None, "a question against the baseline needs its scorecard"
    return baseline


def _comparison(question: Question, pair: _Pair, other_name: str, means: Floats) -> Comparison:
    n, difference = len(pair.challenger), pair.challenger - pair.other
    return Comparison(
        entrance=question.entrance,
        measure=question.measure,
        other_name=other_name,
        requests=n,
        challenger=statistics.mean(pair.challenger) if n else None,
        other=statistics.mean(pair.other) if n else None,
        difference=statistics.mean(difference) if n else None,
        sd=statistics.standard_deviation(difference),
        means=means,
        absent=pair.absent,
    )


def _pair(question: Question, challenger: Scorecard, other: Scorecard) -> _Pair:
    """The values of the requests that have one, on both sides."""
    cards = (challenger, other)
    absent = [c.name for c in cards if question.measure not in c.entrances[question.entrance].measures]
    if absent:
        nothing = np.empty(0, dtype=np.int64)
        return _Pair(nothing, nothing, f"missing in the scorecard of {' and of '.join(absent)}")
    ours, theirs = (_values(c.entrances[question.entrance], question.measure, c.name) for c in cards)
    _check_same_population(question, ours, theirs, challenger, other)
    population = ~np.isnan(ours)
    return _Pair(statistics.to_units(ours[population]), statistics.to_units(theirs[population]))


def _values(scores: EntranceScores, measure: str, name: str) -> Floats:
    values = np.asarray(scores.measures[measure], dtype=np.float64)
    if values.shape != (len(scores.request_ids),):
        raise JudgeError(
            f"{name}: {measure} has {values.size} values for {len(scores.request_ids)} {scores.entrance} "
            "requests. The scorecard is damaged: judge again."
        )
    outside = ~np.isnan(values) & ~((values >= 0.0) & (values <= 1.0))
    if outside.any():
        first = int(np.flatnonzero(outside)[0])
        request = scores.request_ids[first]
        raise JudgeError(
            f'{name}: {measure} is {values[first]:g} for {scores.entrance} request "{request}", outside '
            "0 … 1. The scorecard is damaged: judge again."
        )
    return values


def _check_same_population(
    question: Question, ours: Floats, theirs: Floats, challenger: Scorecard, other: Scorecard
) -> None:
    differs = np.isnan(ours) != np.isnan(theirs)
    if not differs.any():
        return
    first, count = int(np.flatnonzero(differs)[0]), int(differs.sum())
    request = challenger.entrances[question.entrance].request_ids[first]
    raise JudgeError(
        f'{question.measure} of {question.entrance} request "{request}" has a value for one of '
        f"{challenger.name} and {other.name} and none for the other ({count:,} such "
        f"request{'' if count == 1 else 's'}): "
        "judge both on one judged set and one split."
    )
