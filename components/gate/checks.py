"""The gates that compare no populations: bounds of the policy, and checks that the figures can be trusted."""

import math

from components.contract.judging import Bound, Bounds
from components.contract.records import Entrance, Gate, Outcome
from components.evaluation.scorecard import Scorecard
from components.gate import wording
from components.gate.gates import line

RECALL_LOSS_ENTRANCE: dict[str, Entrance | None] = {
    "typo_recall_loss": "search",
    "attribute_dropout_recall_loss": None,
    "fast_path_recall_loss": None,
}
"""Bounds that are a ratio of two recalls, and the entrance they are measured on (None: the primary one)."""


def bound_gates(challenger: Scorecard, champion: Scorecard, bounds: Bounds, min_queries: int) -> list[Gate]:
    """One line per bound of the policy, also of one that is switched off.

    A loss of recall over fewer than `min_queries` requests with a relevant new item reads "not judged", as a
    slice of that size does: the ratio of two such recalls is mostly chance.
    """
    return [_bound_gate(name, bound, challenger, champion, min_queries) for name, bound in sorted(bounds)]


def _bound_gate(
    name: str, bound: Bound | None, challenger: Scorecard, champion: Scorecard, min_queries: int
) -> Gate:
    if bound is None:
        return line("bound", name, "not applicable", f"{name}: switched off in debut.yaml (gate.bounds).")
    value, theirs = _number(challenger, name), _number(champion, name)
    if value is None:
        return _unmeasured_bound(name, challenger)
    if name in RECALL_LOSS_ENTRANCE:
        entrance = RECALL_LOSS_ENTRANCE[name] or challenger.primary
        requests = challenger.requests(entrance, f"new/recall@{challenger.k}")
        if requests < min_queries:
            sentence = f"{name}: {value:.3g} on {requests} requests, fewer than {min_queries} – not judged."
            return line("bound", name, "not judged", sentence, champion=theirs, challenger=value)
    too_high = bound.at_most is not None and value > bound.at_most
    too_low = bound.at_least is not None and value < bound.at_least
    beside = f" (champion {theirs:.3g})" if theirs is not None else ""
    finding = "out of bounds" if too_high or too_low else "within bounds"
    return line(
        "bound",
        name,
        "fail" if too_high or too_low else "pass",
        f"{name}: {value:.3g}{beside}, must be {_limits(bound)} – {finding}.",
        champion=theirs,
        challenger=value,
    )


def _limits(bound: Bound) -> str:
    limits = [] if bound.at_most is None else [f"at most {bound.at_most:g}"]
    limits += [] if bound.at_least is None else [f"at least {bound.at_least:g}"]
    return wording.listed(limits)


def _unmeasured_bound(name: str, challenger: Scorecard) -> Gate:
    reason = challenger.not_applicable.get(name)
    if reason and name not in challenger.missing:
        return line("bound", name, "not applicable", f"{name}: does not apply, {reason}.")
    reason = challenger.missing.get(name) or "the scorecard gives no reason"
    return line("bound", name, "missing", f"{name}: not measured, {reason}.")


def condensed_gate(name: str, full: float | None, condensed: float | None) -> Gate:
    """Unsure where a mean difference changes its sign once unjudged items are removed from both lists
    (condensed lists: Sakai, SIGIR 2007). full, condensed: challenger − champion, None where missing."""
    if full is None or condensed is None:
        return line("check", name, "missing", f"{name}: the difference is missing, so no check was made.")
    agree = _sign(full) == _sign(condensed)
    finding = "the same sign" if agree else "another sign: label the unjudged pairs, then judge again"
    figures = f"{wording.signed(condensed)} without unjudged items, {wording.signed(full)} with them"
    outcome: Outcome = "pass" if agree else "unsure"
    return line("check", name, outcome, f"{name}: {figures} – {finding}.", difference=condensed)


def no_condensed_gate() -> Gate:
    sentence = (
        "Condensed lists: so few items are judged as not relevant, or none, that there is nothing to check."
    )
    return line("check", "condensed lists", "not applicable", sentence)


def overlap_gate(overlap: str | None) -> Gate:
    """overlap: the leakage check's sentence that the champion was trained on judged rows, else None."""
    if overlap is None:
        sentence = "Training overlap: no judged row was found in the champion's training data."
        return line("check", "training overlap", "pass", sentence)
    finding = " ".join(overlap.split()).rstrip(".") or "the champion was trained on judged rows"
    return line("check", "training overlap", "unsure", f"Training overlap: {finding}.")


def no_age_gate(reason: str | None) -> Gate:
    sentence = f"Item age: no slices, {reason or 'none were judged'}."
    return line("slice", "age", "not applicable", sentence)


def _number(scorecard: Scorecard, name: str) -> float | None:
    """NaN and infinity are missing numbers: they fail no comparison and fit in no JSON."""
    value = scorecard.bounds.get(name)
    return float(value) if value is not None and math.isfinite(value) else None


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
