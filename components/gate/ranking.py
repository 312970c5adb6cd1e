"""The gates of a second stage: the release with it beside the same release without.

What it must not cost is what the first stage finds of new items, among all and among themselves: both
recalls are non-inferior by the guardrail margin of the policy, on every entrance. Exposure is bounded (its
`ranker_…`), that of the entrance it changes most. Established items are judged against the champion,
as without a second stage. A release without one has no such gates; a number that should be there and is not
never promotes.
"""

from components.contract.judging import GatePolicy
from components.contract.records import Gate
from components.evaluation.scorecard import Scorecard
from components.gate.comparison import Question, check_comparable, compare
from components.gate.gates import guardrail_gate, line

POPULATIONS = ("new", "new_only")


def ranking_gates(challenger: Scorecard, policy: GatePolicy) -> list[Gate]:
    """Raises JudgeError where the two scorecards are not of the same requests."""
    plain = challenger.first_stage
    if plain is None:
        if challenger.bounds.get("ranker_new_item_share_change") is None:
            return []
        told = "Second stage: the scorecard of the release without it is missing."
        return [line("ranking", "second stage", "missing", told)]
    check_comparable(challenger, plain, sorted(challenger.entrances))
    main = challenger.primary
    questions = [
        Question(entrance, f"{population}/recall@{challenger.k}")
        for entrance in sorted(challenger.entrances, key=lambda one: (one != main, one))
        for population in POPULATIONS
    ]
    answers = compare(questions, challenger, plain, None, policy)
    return [_gate(guardrail_gate(answers[q], policy, main, required=q.entrance == main)) for q in questions]


def _gate(gate: Gate) -> Gate:
    sentence = gate.sentence[0].lower() + gate.sentence[1:]
    return gate.model_copy(
        update={
            "kind": "ranking",
            "name": f"second stage {gate.name}",
            "sentence": f"With the second stage beside without it, {sentence}",
        }
    )
