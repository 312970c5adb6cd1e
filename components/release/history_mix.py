"""How past items score an item, chosen on validation: by their texts, and by what the same users buy.

Shapes as in fusion.py: one part per scoring of texts, and one for co-purchases.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from components.contract.retrieving import HistoryEncoderKind, HistoryScoring
from components.index.co_purchases import CoPurchaseScores
from components.index.coded_vectors import CodedVectors
from components.index.fusion import Populations, ScoredRequest, recalls
from components.index.histories import Histories
from components.index.history_encoder import HistoryEncoder
from components.index.live_rows import Snapshot
from components.split.judged import JudgedSet


@dataclass(frozen=True)
class HistoryMix:
    """score = similarity of texts by `scoring` + weight · score by co-purchases"""

    scoring: HistoryScoring
    weight: float


def scored_users(
    judged: JudgedSet,
    new: frozenset[str],
    snapshot: Snapshot,
    scorings: Sequence[HistoryScoring],
    encoders: Mapping[HistoryEncoderKind, HistoryEncoder] | None = None,
) -> list[ScoredRequest]:
    """new: item_ids of the items that count as new on validation; a user without a known past item leaves;
    encoders: of the learned scorings. The last part is 0 where the snapshot has no co-purchases."""
    populations = Populations(judged, new, snapshot.items.get_column("item_id").to_list())
    vectors, coded = snapshot.vectors, CodedVectors(snapshot.vectors)
    learned = {str(kind): encoder for kind, encoder in (encoders or {}).items()}
    histories = [Histories(scoring, vectors, learned.get(scoring)) for scoring in scorings]
    bought = snapshot.co_purchases and CoPurchaseScores(snapshot.co_purchases, vectors)
    scored = []
    for request in judged.requests:
        row_of = populations.row_of
        past = list(dict.fromkeys(row_of[item] for item in request.history if item in row_of))
        if past:
            sums = bought.scores(past) if bought else np.zeros(len(vectors), dtype=np.float32)
            scans = np.stack([*(one.scan(vectors, coded, past) for one in histories), sums])
            rows = populations.best_rows(request, scans)
            exact = [one.exact(vectors[rows], vectors[past]) for one in histories]
            scored.append(ScoredRequest(np.stack([*exact, sums[rows]]), populations.of(request, rows)))
    return scored


def best_mix(
    users: list[ScoredRequest], scorings: Sequence[HistoryScoring], weights: Sequence[float]
) -> HistoryMix:
    """The highest mean of recall@10 of new and of established items, the first of equals, among the mixes in
    which neither of the two finds less than with the least weight (0) by the best scoring of texts.

    scorings: those of `users`; weights: of co-purchases, ascending.
    """

    def found(mix: HistoryMix) -> dict[str, float]:
        return recalls(users, [*(float(scoring == mix.scoring) for scoring in scorings), mix.weight])

    def mean(mix: HistoryMix) -> float:
        return float(np.mean(list(found(mix).values()) or [0.0]))

    simple = [scoring for scoring in scorings if scoring not in get_args(HistoryEncoderKind)] or scorings
    floor = found(max([HistoryMix(scoring, weights[0]) for scoring in simple], key=mean))
    mixes = [HistoryMix(scoring, weight) for weight in weights for scoring in scorings]
    kept = [mix for mix in mixes if all(value >= floor[name] for name, value in found(mix).items())]
    return max(kept, key=mean)
