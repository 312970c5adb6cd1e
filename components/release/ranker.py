"""The second stage, fitted on the validation part, and whether the release carries it.

Per entrance the first stage's proposals to each validation request become a list; what was relevant has a
gain. Validation rows are those before the cut-off that the encoder did not learn from: on rows that it did,
the text score would look better than it is, and the trees would trust it. What is known of the items is what
was known before the validation window, whose new items are as unknown as a release's. Requests are cut into
FOLDS; a request is always scored by trees of the other folds, and those scores decide how many trees are
grown and whether they are kept: only where neither new nor established items, nor new items among
themselves, are found less than without. Shapes: m items of all lists one after the other, r requests.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.contract.files import write_bytes, write_json
from components.contract.records import Entrance, RetrievalPlan
from components.contract.retrieving import RankingSettings
from components.contract.settings import Settings
from components.index.co_purchases import CoPurchases
from components.index.live import LiveIndex
from components.index.retrieval import open_encoder
from components.index.signals import Signals
from components.ranking.features import Floats
from components.ranking.labels import Gains, plain_gains, search_gains, user_gains
from components.ranking.model import Growth, Lists, Ranker
from components.ranking.observations import observed
from components.ranking.ranker_files import REPORT_FILE, model_file
from components.release.history_encoders import read_fitted
from components.release.plan import understanding_of, whole_validation
from components.split.judged import JudgedSet
from components.split.purchases import read_purchases
from components.split.split import learned_until
from components.split.statistics import read_traffic
from components.tasks.sentiment import read_opinions

K = 10
FOLDS = 5
FEWEST_REQUESTS = 100
"""With a list; fewer are too few to cut into folds and to tell a loss from chance."""


@dataclass(frozen=True, eq=False)
class Proposals:
    """Lists of one entrance's requests, among all items or among the new ones."""

    lists: Lists
    relevant: Mapping[str, tuple[NDArray[np.bool_], NDArray[np.int64]]]
    """Per population which of the lists' items (m,) are relevant, and per request (r,) how many of all
    are."""
    requests: NDArray[np.int64]
    """(r,) numbers of the requests that have a list."""
    new: NDArray[np.bool_]
    """(m,) which items count as new."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """What one entrance's validation requests say of a ranker."""

    without: dict[str, float]
    """Recall@10 per population of the first stage alone."""
    by_trees: dict[int, dict[str, float]]
    """With trees of the other folds."""
    trees: int
    """0: no ranker is carried."""
    ranker: Ranker | None

    def described(self) -> dict[str, Any]:
        return {
            "without": self.without,
            "by_trees": {str(count): found for count, found in self.by_trees.items()},
            "trees": self.trees,
            "importance": self.ranker.importance() if self.ranker else {},
        }


def proposals(
    index: LiveIndex, judged: JudgedSet, new: NDArray[np.bool_], gains: Gains, depth: int, *, new_only: bool
) -> Proposals:
    """new: (n,) the index's items that count as new; depth: most proposals per request."""
    ids = index.item_ids
    row_of = {item: row for row, item in enumerate(ids)}
    masks = [new if new_only else None] * len(judged.requests)
    numbers, rows, found, hits, values, counts = [], [], [], [], [], []
    for number, proposed in index.proposals(judged.requests, K, masks):
        proposed = proposed.first(depth)
        request_id = judged.requests[number].request_id
        relevant, gain = judged.relevant[request_id], gains.get(request_id, {})
        numbers.append(number)
        rows.append(proposed.rows)
        found.append(index.features(proposed))
        hits.append(np.asarray([ids[row] in relevant for row in proposed.rows], dtype=bool))
        values.append(np.asarray([gain.get(ids[row], 0.0) for row in proposed.rows]))
        is_new = [bool(new[row_of[item]]) for item in relevant]
        counts.append((sum(is_new), len(is_new) - sum(is_new)))
    lists = Lists(
        np.concatenate(found), np.concatenate(values), np.asarray([len(of) for of in rows], dtype=np.int64)
    )
    hit, of_new = np.concatenate(hits), new[np.concatenate(rows)]
    new_counts, others = np.asarray(counts, dtype=np.int64).T
    populations = {"new_only" if new_only else "new": (hit & of_new, new_counts)}
    if not new_only:
        populations["established"] = (hit & ~of_new, others)
    return Proposals(lists, populations, np.asarray(numbers, dtype=np.int64), of_new)


def recalls(of: Proposals, scores: Floats) -> dict[str, float]:
    """Recall@10 per population that has a relevant item."""
    best = _first(of, scores)
    request = np.repeat(np.arange(len(of.lists.sizes)), of.lists.sizes)
    found = {}
    for name, (relevant, counts) in of.relevant.items():
        hits = np.bincount(request[best[relevant[best]]], minlength=len(counts))
        judged = counts > 0
        if judged.any():
            found[name] = float((hits[judged] / counts[judged]).mean())
    return found


def new_share(of: Proposals, scores: Floats) -> float:
    """Of the first ten places."""
    return float(of.new[_first(of, scores)].mean())


def _first(of: Proposals, scores: Floats) -> NDArray[np.int64]:
    """The items of each list's first ten places."""
    starts = np.cumsum(of.lists.sizes) - of.lists.sizes
    lists = zip(starts, of.lists.sizes, strict=True)
    return np.concatenate(
        [start + np.argsort(-scores[start : start + size], kind="stable")[:K] for start, size in lists]
    )


def fitted(parts: Sequence[Proposals], growth: Growth, trees: Sequence[int]) -> Fitted:
    """parts: the same requests' lists among all items, from which the trees learn, and among the new ones."""
    without = _together([recalls(part, part.lists.features[:, 0]) for part in parts])
    scores = _out_of_fold(parts, growth, trees)
    by_trees = {
        count: _together([recalls(part, one) for part, one in zip(parts, of, strict=True)])
        for count, of in scores.items()
    }
    kept = [count for count in trees if all(by_trees[count][name] >= without[name] for name in without)]
    best = max(kept, key=lambda count: _mean(by_trees[count]), default=0)
    if not best or _mean(by_trees[best]) <= _mean(without):
        return Fitted(without, by_trees, 0, None)
    ranker = Ranker.fit(parts[0].lists, growth.with_trees(best))
    return Fitted(without, by_trees, best, ranker)


def _out_of_fold(parts: Sequence[Proposals], growth: Growth, trees: Sequence[int]) -> dict[int, list[Floats]]:
    """Per number of trees the scores (m,) of each part's lists, a request's by trees of the other folds."""
    scores = {count: [np.zeros(len(part.lists.gains), np.float32) for part in parts] for count in trees}
    for fold in range(FOLDS):
        mine = [part.requests % FOLDS == fold for part in parts]
        ranker = Ranker.fit(parts[0].lists.of(~mine[0]), growth.with_trees(max(trees)))
        for number, (part, own) in enumerate(zip(parts, mine, strict=True)):
            rows = np.repeat(own, part.lists.sizes)
            for count in trees:
                scores[count][number][rows] = ranker.scores(part.lists.features[rows], count)
    return scores


def _together(found: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: value for one in found for name, value in one.items()}


def _mean(recalls: Mapping[str, float]) -> float:
    """Of new and established items among all: what decides everywhere else."""
    return float(np.mean([recalls[name] for name in ("new", "established") if name in recalls] or [0.0]))


def choose_rankers(
    plan: RetrievalPlan,
    encoder: Path,
    graph: Path | None,
    vectors: Path,
    split: Path,
    heads: Path | None,
    settings: Settings,
    out: Path,
    histories: Path | None = None,
    opinions: Path | None = None,
) -> RetrievalPlan:
    """Fits what `settings.ranking` asks for into `out` and returns the plan with the entrances that have one.

    The arguments are those of `release.plan.weigh_implied`, and the plan that it gave; histories: those of
    `choose_plan`; opinions: reviews that tasks.sentiment has read. Writes <entrance>.txt of those that are
    carried and, always, ranker.json with what validation said.
    """
    ranking = settings.ranking
    validation, snapshot = whole_validation(split, vectors, settings)
    traffic, since = read_traffic(split), learned_until(split)
    known = observed(snapshot.items, traffic, read_opinions(split, opinions), since)
    purchases = read_purchases(split, "train")
    bought = None
    if plan.co_purchase_weight and purchases is not None:
        bought = CoPurchases.build(list(validation.item_ids), snapshot.vectors, purchases)
    learned = {str(kind): of.encoder for kind, of in read_fitted(histories).items()} if histories else {}
    snapshot = replace(
        snapshot,
        co_purchases=bought,
        signals=Signals.build(snapshot.vectors, known),
        history_encoder=learned.get(plan.history_scoring),
    )
    index = LiveIndex(
        "validation",
        snapshot,
        open_encoder(encoder, graph or encoder, plan),
        plan,
        settings.encoder.item_fields,
        understanding=understanding_of(snapshot, heads, settings),
    )
    acts = dict(zip(validation.item_ids, known.kinds["demand"][0].tolist(), strict=True))
    new = np.asarray([item in validation.new for item in validation.item_ids])
    found = {}
    for entrance, judged in validation.judged.items():
        gains = plain_gains(judged)
        if entrance == "recommendation":
            gains = user_gains(judged, acts, ranking.popularity_bias)
        elif ranking.position_weights:
            gains = search_gains(judged, traffic, since)
        found[entrance] = _fit(index, judged, new, gains, ranking)
    kept = _write(found, ranking, out)
    return plan.model_copy(update={"rankers": kept})


def _fit(
    index: LiveIndex, judged: JudgedSet, new: NDArray[np.bool_], gains: Gains, settings: RankingSettings
) -> Fitted:
    parts = [
        proposals(index, judged, new, gains, settings.candidates, new_only=only) for only in (False, True)
    ]
    if len(parts[0].requests) < FEWEST_REQUESTS:
        return Fitted({}, {}, 0, None)
    growth = Growth(
        leaves=settings.leaves,
        learning_rate=settings.learning_rate,
        fewest_in_leaf=settings.fewest_in_leaf,
        seed=settings.seed,
    )
    return fitted(parts, growth, settings.trees)


def _write(found: Mapping[Entrance, Fitted], settings: RankingSettings, out: Path) -> tuple[Entrance, ...]:
    kept = []
    for entrance, one in found.items():
        if one.ranker is not None:
            write_bytes(out / model_file(entrance), one.ranker.text.encode())
            kept.append(entrance)
    described = {entrance: one.described() for entrance, one in found.items()}
    write_json(out / REPORT_FILE, {"candidates": settings.candidates, "validation": described})
    return tuple(sorted(kept))
