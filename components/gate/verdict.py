"""The verdict: two scorecards and the policy in, a gate report out. Pure, and it fails closed.

REJECT        some gate is shown to fail
PROMOTE       every gate passes, or does not apply, or is a slice too small to judge
INCONCLUSIVE  anything else: not shown either way, or a number is missing
"""

from collections.abc import Iterable, Mapping, Sequence

from components.contract.errors import JudgeError
from components.contract.judging import GatePolicy
from components.contract.records import Entrance, Gate, GateReport, Verdict
from components.contract.task import Task
from components.evaluation.scorecard import Scorecard
from components.gate import checks, gates, power, wording
from components.gate.comparison import (
    Comparison,
    Question,
    check_comparable,
    compare,
    mean_difference,
)
from components.gate.ranking import ranking_gates
from components.gate.tasks import task_gates

PRIMARIES = ("new", "new_only")
GUARDRAILS = ("established", "all")
SUB_SLICES = ("established_trained", "established_untrained")
SLICE_FAMILIES = ("category:", "age:", "query_length:", "query_frequency:")
BLOCKERS_NAMED = 4
"""In the verdict's sentence; the gates themselves are all in the report."""
HARMLESS = frozenset({"pass", "not judged", "not applicable"})

Comparisons = Mapping[Question, Comparison]


def decide(
    challenger: Scorecard,
    champion: Scorecard,
    policy: GatePolicy,
    *,
    floor: Scorecard | None = None,
    overlap: str | None = None,
    tasks: Sequence[Task] = (),
    baseline: Scorecard | None = None,
) -> GateReport:
    """Judges the challenger against the champion by every gate of DESIGN.md, "The gate".

    tasks: judged beside retrieval, each by its own policy; baseline: who answers them by simpler means.
    floor: BM25's scorecard, on the first run only. overlap: the leakage check's sentence where the
    champion was trained on judged rows. Equal arguments give equal reports, to the last bit.

    Raises JudgeError where the scorecards do not compare (other requests, entrances, k; a value on one
    side only), ConfigError where a bound of the policy has no limit.
    """
    if challenger.digest is None:
        raise JudgeError(f"{challenger.name}'s scorecard names no candidate: judge a built candidate.")
    _check(challenger, champion, floor)
    questions = _questions(challenger, champion, floor)
    answers = compare(questions, challenger, champion, floor, policy)
    lines = _gates(answers, challenger, champion, policy, overlap)
    lines += tuple(ranking_gates(challenger, policy))
    lines += tuple(task_gates(tasks, challenger, champion, baseline, policy))
    verdict = _verdict(lines)
    needed = _requests_needed(answers, challenger, policy) if verdict == "INCONCLUSIVE" else None
    return GateReport(
        challenger_digest=challenger.digest,
        champion_digest=champion.digest,
        verdict=verdict,
        sentence=_sentence(verdict, lines, needed, policy),
        gates=lines,
        queries_needed=needed,
        policy=policy.model_dump(mode="json"),
    )


def _check(challenger: Scorecard, champion: Scorecard, floor: Scorecard | None) -> None:
    check_comparable(challenger, champion, sorted({*challenger.entrances, *champion.entrances}))
    if challenger.primary not in challenger.entrances:
        raise JudgeError(
            f"{challenger.name} was not judged on {challenger.primary}, the primary entrance: judge again."
        )
    if floor is not None:
        check_comparable(challenger, floor, [challenger.primary])


def _primary_questions(scorecard: Scorecard, *, against_baseline: bool = False) -> list[Question]:
    return [
        Question(scorecard.primary, f"{name}/recall@{scorecard.k}", against_baseline) for name in PRIMARIES
    ]


def _required_guardrails(scorecard: Scorecard) -> list[Question]:
    """Established and all items of the primary entrance, all items of the others."""
    main = [Question(scorecard.primary, f"{name}/recall@{scorecard.k}") for name in GUARDRAILS]
    others = sorted(set(scorecard.entrances) - {scorecard.primary})
    return main + [Question(entrance, f"all/recall@{scorecard.k}") for entrance in others]


def _sub_slice_questions(scorecard: Scorecard) -> list[Question]:
    return [Question(scorecard.primary, f"{name}/recall@{scorecard.k}") for name in SUB_SLICES]


def _slice_questions(challenger: Scorecard, champion: Scorecard) -> list[Question]:
    """The slices of either side, so that one that a scorecard lost is noticed; primary entrance first."""
    entrances: list[Entrance] = sorted(
        challenger.entrances, key=lambda entrance: (entrance != challenger.primary, entrance)
    )
    ending = f"/recall@{challenger.k}"
    return [
        Question(entrance, measure)
        for entrance in entrances
        for measure in dict.fromkeys(
            [*challenger.entrances[entrance].measures, *champion.entrances[entrance].measures]
        )
        if measure.startswith(SLICE_FAMILIES) and measure.endswith(ending)
    ]


def _questions(challenger: Scorecard, champion: Scorecard, floor: Scorecard | None) -> list[Question]:
    baseline = _primary_questions(challenger, against_baseline=True) if floor is not None else []
    return [
        *_primary_questions(challenger),
        *_required_guardrails(challenger),
        *_sub_slice_questions(challenger),
        *baseline,
        *_slice_questions(challenger, champion),
    ]


def _gates(
    answers: Comparisons,
    challenger: Scorecard,
    champion: Scorecard,
    policy: GatePolicy,
    overlap: str | None,
) -> tuple[Gate, ...]:
    main = challenger.primary
    required, sub = _required_guardrails(challenger), _sub_slice_questions(challenger)
    return (
        *(gates.primary_gate(answers[q], policy, main) for q in _primary_questions(challenger)),
        *(gates.guardrail_gate(answers[q], policy, main, required=True) for q in required),
        *(gates.guardrail_gate(answers[q], policy, main, required=False) for q in sub),
        *(gates.baseline_gate(answer, policy, main) for q, answer in answers.items() if q.against_baseline),
        *checks.bound_gates(challenger, champion, policy.bounds, policy.min_queries),
        *_condensed_gates(challenger, champion),
        checks.overlap_gate(overlap),
        *_slice_gates(answers, challenger, champion, policy),
    )


def _slice_gates(
    answers: Comparisons, challenger: Scorecard, champion: Scorecard, policy: GatePolicy
) -> list[Gate]:
    questions = _slice_questions(challenger, champion)
    lines = gates.slice_gates([answers[q] for q in questions], policy, challenger.primary)
    if not any(q.measure.startswith("age:") for q in questions):
        lines.append(checks.no_age_gate(challenger.not_applicable.get("age_slices")))
    return lines


def _condensed_gates(challenger: Scorecard, champion: Scorecard) -> list[Gate]:
    """One line per primary, or one that says why there is none."""
    entrance, k = challenger.primary, challenger.k
    known = {*challenger.entrances[entrance].measures, *champion.entrances[entrance].measures}
    names = [f"{name}_condensed/recall@{k}" for name in PRIMARIES]
    if known.isdisjoint(names):
        return [checks.no_condensed_gate()]
    return [
        checks.condensed_gate(
            name,
            mean_difference(full, challenger, champion),
            mean_difference(Question(entrance, name), challenger, champion),
        )
        for name, full in zip(names, _primary_questions(challenger), strict=True)
        if name in known
    ]


def _verdict(lines: Iterable[Gate]) -> Verdict:
    outcomes = {gate.outcome for gate in lines}
    if "fail" in outcomes:
        return "REJECT"
    return "PROMOTE" if outcomes <= HARMLESS else "INCONCLUSIVE"


def _requests_needed(answers: Comparisons, challenger: Scorecard, policy: GatePolicy) -> int | None:
    """The larger need of the primaries, at least `min_queries`; None where it cannot be told: fewer
    were judged, or their differences show no spread."""
    found = (answers[q] for q in _primary_questions(challenger))
    primaries = [comparison for comparison in found if not gates.at_ceiling(comparison, policy)]
    needs = [
        power.requests_needed(each.sd, policy.min_gain, policy.power, policy.confidence)
        for each in primaries
        if each.sd is not None and each.requests >= policy.min_queries
    ]
    known = [need for need in needs if need is not None]
    return max(policy.min_queries, *known) if len(known) == len(primaries) else None


def _sentence(verdict: Verdict, lines: Iterable[Gate], needed: int | None, policy: GatePolicy) -> str:
    if verdict == "REJECT":
        return f"Not promoted: {_blockers(lines, 'fail')}."
    if verdict == "INCONCLUSIVE":
        open_gates = _blockers(lines, "unsure", "missing")
        return f"Not promoted, not settled: {open_gates}. {_need(lines, needed, policy)}"
    primaries = [gate.name for gate in lines if gate.kind == "primary"]
    verb = "is" if len(primaries) == 1 else "are"
    better = f"{wording.listed(primaries)} {verb} shown better"
    return f"Passed: {better}, and every other gate passes or does not apply."


def _blockers(lines: Iterable[Gate], *outcomes: str) -> str:
    found = [f"{gate.name} ({_why(gate)})" for gate in lines if gate.outcome in outcomes]
    rest = len(found) - BLOCKERS_NAMED
    return wording.listed(found if rest <= 1 else [*found[:BLOCKERS_NAMED], f"{rest} more gates"])


def _why(gate: Gate) -> str:
    if gate.outcome == "missing":
        return "missing"
    reasons = {
        "primary": {"fail": "shown no better", "unsure": "not shown better"},
        "guardrail": {"fail": "shown worse than allowed", "unsure": "not shown to stay within the margin"},
        "slice": {"fail": "shown harmed"},
        "bound": {"fail": "out of bounds"},
        "baseline": {"fail": "not above it", "unsure": "not above it, on few requests"},
        "check": {"unsure": "see its line"},
        "ranking": {"fail": "shown worse than allowed", "unsure": "not shown to stay within the margin"},
        "task": {"fail": "shown worse than its policy allows", "unsure": "its policy is not shown to be met"},
    }
    return reasons[gate.kind][gate.outcome]


def _need(lines: Iterable[Gate], needed: int | None, policy: GatePolicy) -> str:
    primaries = [gate for gate in lines if gate.kind == "primary"]
    judged = min(gate.requests for gate in primaries)
    gain, chance = wording.points(policy.min_gain), wording.percent(policy.power)
    plan = f"a gain of {gain} on each primary with {chance} power"
    if all(gate.outcome == "pass" for gate in primaries):
        shown = "The primaries are shown better; the rest keeps it from promotion"
        if needed is None:
            return f"{shown}."
        return f"{shown} (to show {plan} takes {_with_new(needed)}, {judged:,} were judged)."
    if needed is None:
        small = judged < policy.min_queries
        why = f"fewer than {policy.min_queries}" if small else "which on one primary all differ alike"
        return f"How many {_with_new()} would settle it cannot be told from {judged:,}, {why}."
    if judged >= needed:
        return f"{_with_new(judged)} were judged; to show {plan}, {needed:,} suffice."
    return f"To show {plan}, {_with_new(needed)} are needed; {judged:,} were judged."


def _with_new(count: int | None = None) -> str:
    text = "requests with a relevant new item"
    return text if count is None else f"{count:,} {text}"
