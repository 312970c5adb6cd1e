"""The gates of a second stage: the release with it beside the same release without.

What it must not cost is what the first stage finds of new items among themselves: new-only recall is
non-inferior by the policy's guardrail margin, on every entrance. Exposure is bounded (`ranker_…` in the
policy's bounds). New and established items among all are judged against the champion, as without a second
stage. A release without one has no such gates; a number that should be there and is not never promotes.
"""

from components.contract.records import Gate
from components.contract.settings import GatePolicy
from components.evaluation.scorecard import Scorecard
from components.gate.comparison import Question, check_comparable, compare
from components.gate.gates import guardrail_gate, line


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
    questions = [Question(name, f"new_only/recall@{challenger.k}") for name in sorted(challenger.entrances)]
    answers = compare(questions, challenger, plain, None, policy)
    return [
        _gate(guardrail_gate(answers[each], policy, main, required=each.entrance == main))
        for each in sorted(questions, key=lambda each: each.entrance != main)
    ]


def _gate(gate: Gate) -> Gate:
    sentence = gate.sentence[0].lower() + gate.sentence[1:]
    return gate.model_copy(
        update={
            "kind": "ranking",
            "name": f"second stage {gate.name}",
            "sentence": f"With the second stage beside without it, {sentence}",
        }
    )
