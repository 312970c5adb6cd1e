"""The gates that compare two scorecards, one function each: a comparison in, one line of the report out.

`pass` and `fail` are each shown at the policy's confidence, `unsure` is neither; `missing` is a number
that should be there and is not, which never promotes (DESIGN.md, "The gate").
"""

from typing import Any, Literal

from components.contract.judging import GatePolicy
from components.contract.records import Entrance, Gate, Outcome
from components.gate import power, statistics, wording
from components.gate.comparison import Comparison

Kind = Literal["primary", "guardrail", "slice", "bound", "baseline", "check", "ranking", "task"]
NOTHING_RELEVANT = "no judged request has a relevant item in it"


def line(kind: Kind, name: str, outcome: Outcome, sentence: str, **figures: Any) -> Gate:
    """A line of the report; figures that are not given are None."""
    blank = dict.fromkeys(("champion", "challenger", "difference", "low", "high", "margin"))
    return Gate(
        name=name, kind=kind, outcome=outcome, sentence=sentence, **{**blank, "requests": 0, **figures}
    )


def primary_gate(comparison: Comparison, policy: GatePolicy, primary: Entrance) -> Gate:
    """Passes where the two-sided interval lies above 0; fails where it lies at or below it. Where nothing is
    left to gain (`at_ceiling`) a guardrail stands in its place: the other primary has to be shown better."""
    if gap := _gap("primary", comparison, primary):
        return gap
    if at_ceiling(comparison, policy):
        why = f"{_nothing_to_gain(comparison, policy)}, and "
        return guardrail_gate(comparison, policy, primary, required=True, why=why)
    low, high = statistics.two_sided_interval(comparison.means, policy.confidence)
    outcome, finding = _primary_outcome(comparison, policy, low, high)
    text = f"{wording.values(comparison)} {wording.interval(low, high)} – {finding}"
    return _compared("primary", comparison, primary, outcome, text, low=low, high=high)


def at_ceiling(comparison: Comparison, policy: GatePolicy) -> bool:
    """Whether the other side leaves less than `min_gain` to gain among new items alone: of at most k new
    items every model finds all, so that a gain could never be shown."""
    return (
        comparison.measure.startswith("new_only/")
        and comparison.other is not None
        and 1.0 - comparison.other < policy.min_gain
    )


def _nothing_to_gain(comparison: Comparison, policy: GatePolicy) -> str:
    return f"{comparison.other:.3f} leaves less than {wording.points(policy.min_gain)} to gain"


def _primary_outcome(
    comparison: Comparison, policy: GatePolicy, low: float, high: float
) -> tuple[Outcome, str]:
    if comparison.requests < policy.min_queries:
        return "unsure", _too_few(comparison, policy)
    if low > 0.0:
        return "pass", "shown better"
    if high <= 0.0:
        return "fail", "shown no better"
    return "unsure", f"not shown better{_power_note(comparison, policy)}"


def _power_note(comparison: Comparison, policy: GatePolicy) -> str:
    assert comparison.sd is not None, "an interval around 0 has two requests or more"
    sd, n = comparison.sd, comparison.requests
    powers = [power.achieved_power(sd, n, gain, policy.confidence) for gain in power.GAINS]
    gains = " / ".join(f"{gain * 100:g}" for gain in power.GAINS)
    shares = " / ".join(f"{value * 100:.0f}" for value in powers)
    return f"; with {wording.requests(n)} a true gain of {gains} points is shown {shares} times in 100"


def guardrail_gate(
    comparison: Comparison, policy: GatePolicy, primary: Entrance, *, required: bool, why: str = ""
) -> Gate:
    """Non-inferiority, one-sided. Under `min_queries` requests a required guardrail is unsure (missing
    if there are none), another one is not judged. why: words before the margin."""
    small = comparison.requests < policy.min_queries
    if comparison.absent is None and small and not required:
        return _not_judged("guardrail", comparison, policy, primary)
    if gap := _gap("guardrail", comparison, primary):
        return gap
    margin = _margin(comparison, policy.guardrail_margin)
    low, high = statistics.one_sided_bounds(comparison.means, policy.confidence)
    outcome, finding = _guardrail_outcome(comparison, policy, low, high, margin)
    text = (
        f"{wording.values(comparison)}, at least {wording.signed(low)} with "
        f"{wording.percent(policy.confidence)} confidence; {why}a loss of {margin:.3f} is allowed – {finding}"
    )
    return _compared("guardrail", comparison, primary, outcome, text, low=low, high=high, margin=margin)


def _guardrail_outcome(
    comparison: Comparison, policy: GatePolicy, low: float, high: float, margin: float
) -> tuple[Outcome, str]:
    if comparison.requests < policy.min_queries:
        return "unsure", _too_few(comparison, policy)
    if low >= -margin:
        return "pass", "shown no worse than allowed"
    if high < -margin:
        return "fail", "shown worse than allowed"
    return "unsure", f"not shown to stay within it{_guardrail_need(comparison, policy, margin)}"


def _guardrail_need(comparison: Comparison, policy: GatePolicy, margin: float) -> str:
    assert comparison.sd is not None, "bounds around the margin have two requests or more"
    needed = power.requests_needed_non_inferior(comparison.sd, margin, policy.power, policy.confidence)
    if needed is None or needed <= comparison.requests:
        return ""
    return f"; about {needed:,} requests are needed to show it of a challenger that is truly no worse"


def slice_gates(comparisons: list[Comparison], policy: GatePolicy, primary: Entrance) -> list[Gate]:
    """Harm tests, Holm-adjusted over the slices with `min_queries` requests or more."""
    judged = [c.requests >= policy.min_queries for c in comparisons]
    raw = [
        statistics.p_not_below(c.means, -_margin(c, policy.slice_margin))
        for c, is_judged in zip(comparisons, judged, strict=True)
        if is_judged
    ]
    adjusted = iter(statistics.holm(raw))
    return [
        _slice_gate(c, next(adjusted), policy, primary) if is_judged else _unjudged_slice(c, policy, primary)
        for c, is_judged in zip(comparisons, judged, strict=True)
    ]


def _slice_gate(comparison: Comparison, p: float, policy: GatePolicy, primary: Entrance) -> Gate:
    low, high = statistics.one_sided_bounds(comparison.means, policy.confidence)
    # Rounded: 1 − 0.95 is 0.05000000000000004 in binary, which would count p = 0.05 as significant.
    harmed = p < round(1.0 - policy.confidence, 12)
    margin = _margin(comparison, policy.slice_margin)
    # The margin is named: an interval below 0 that reaches past it shows a loss, but none so large.
    finding = f"{'shown' if harmed else 'not shown'} to lose more than {margin:.3f}"
    text = f"{wording.values(comparison)}, adjusted p {p:.3f} – {finding}"
    outcome: Outcome = "fail" if harmed else "pass"
    return _compared(
        "slice", comparison, primary, outcome, text, low=low, high=high, margin=margin, p_value=p
    )


def _unjudged_slice(comparison: Comparison, policy: GatePolicy, primary: Entrance) -> Gate:
    if comparison.absent is None:
        return _not_judged("slice", comparison, policy, primary)
    sentence = f"{wording.label(comparison, primary)}: {comparison.absent}."
    return line("slice", wording.gate_name(comparison, primary), "missing", sentence)


def baseline_gate(comparison: Comparison, policy: GatePolicy, primary: Entrance) -> Gate:
    """First run only: the challenger's point value lies above the baseline's; the interval is shown. Not
    above it on fewer than `min_queries` requests is unsure, as a primary is: so few show nothing."""
    prefix = f"{comparison.other_name} "
    if gap := _gap("baseline", comparison, primary, prefix):
        return gap
    low, high = statistics.two_sided_interval(comparison.means, policy.confidence)
    outcome, finding = _baseline_outcome(comparison, policy)
    text = (
        f"{wording.values(comparison, other=f'{comparison.other_name} ')} {wording.interval(low, high)} – "
        f"{finding}"
    )
    return _compared("baseline", comparison, primary, outcome, text, prefix, low=low, high=high)


def _baseline_outcome(comparison: Comparison, policy: GatePolicy) -> tuple[Outcome, str]:
    name = comparison.other_name
    if comparison.difference is not None and comparison.difference > 0.0:
        return "pass", f"above {name}, as a first release must be"
    if comparison.requests < policy.min_queries:
        return "unsure", f"not above {name}; {_too_few(comparison, policy)}"
    if at_ceiling(comparison, policy):
        return "not applicable", _nothing_to_gain(comparison, policy)
    return "fail", f"not above {name}, as a first release must be"


def _gap(kind: Kind, comparison: Comparison, primary: Entrance, prefix: str = "") -> Gate | None:
    """The line of a comparison that must exist and does not; None where it does."""
    if comparison.absent is None and comparison.requests:
        return None
    sentence = f"{wording.label(comparison, primary)}: {comparison.absent or NOTHING_RELEVANT}."
    return line(kind, prefix + wording.gate_name(comparison, primary), "missing", sentence)


def _not_judged(kind: Kind, comparison: Comparison, policy: GatePolicy, primary: Entrance) -> Gate:
    text = f"{wording.requests(comparison.requests)}, fewer than {policy.min_queries} – not judged"
    return _compared(kind, comparison, primary, "not judged", text)


def _compared(
    kind: Kind,
    comparison: Comparison,
    primary: Entrance,
    outcome: Outcome,
    text: str,
    prefix: str = "",
    **figures: float | None,
) -> Gate:
    return line(
        kind,
        prefix + wording.gate_name(comparison, primary),
        outcome,
        f"{wording.label(comparison, primary)}: {text}.",
        champion=comparison.other,
        challenger=comparison.challenger,
        difference=comparison.difference,
        requests=comparison.requests,
        **figures,
    )


def _margin(comparison: Comparison, share: float) -> float:
    assert comparison.other is not None, "a margin is asked for only where there are requests"
    return share * comparison.other


def _too_few(comparison: Comparison, policy: GatePolicy) -> str:
    return f"not settled by {wording.requests(comparison.requests)}, fewer than {policy.min_queries}"
