"""Which pairs to judge next: what a judgement moves, what it is worth, what is expected of it."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pytest

from components.contract.ports import Ranking, Request
from components.evaluation.measures import slice_recall
from components.evaluation.pairs import judged_pairs
from components.evaluation.pooled import pool
from components.evaluation.scorecard import EntranceScores, Scorecard
from components.gate.labelling import FEWEST_JUDGED, next_pairs, relevance
from components.split.judged import JudgedSet

ITEMS, K = 40, 5


@dataclass
class Table:
    """Ranks by a table of scores: (requests, items)."""

    name: str
    item_ids: list[str]
    scores: np.ndarray

    def search(self, requests, k, among=None):
        scores = self.scores if among is None else np.where(among, self.scores, -np.inf)
        rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        values = np.take_along_axis(scores, rows, axis=1)
        return Ranking(np.where(np.isfinite(values), rows, -1), values.astype(np.float32))


@dataclass
class Judged:
    """Random systems and judgements, and what they are."""

    systems: dict[str, Table]
    catalogue: pl.DataFrame
    judged: JudgedSet

    def cards(self, judged: JudgedSet | None = None) -> list[Scorecard]:
        judged = judged or self.judged
        new = self.catalogue["is_new"].to_numpy()
        pairs = judged_pairs(judged, self.catalogue["item_id"].to_list())
        cards = []
        for name in ("challenger", "champion"):
            values = {}
            for part, among in (("new", None), ("new_only", new)):
                found = pairs.find(self.systems[name].search(judged.requests, K, among).rows)
                values[f"{part}/recall@{K}"] = slice_recall(found, pairs, new[pairs.row], K)
            ids = tuple(request.request_id for request in judged.requests)
            scores = EntranceScores("search", ids, values)
            cards.append(Scorecard(name, name, "search", {"search": scores}, {}, k=K))
        return cards

    def pool(self) -> pl.DataFrame:
        return pool(self.systems, self.judged, self.catalogue, K)

    def difference(self, part: str, judged: JudgedSet | None = None) -> float:
        ours, theirs = (
            card.entrances["search"].measures[f"{part}/recall@{K}"] for card in self.cards(judged)
        )
        return float(np.nanmean(ours - theirs))

    def label(self, request_id: str, item_id: str, relevant: bool) -> JudgedSet:
        judged = {name: dict(own) for name, own in self.judged.judged.items()}
        judged[request_id][item_id] = float(relevant)
        of = dict(self.judged.relevant)
        if relevant:
            of[request_id] = of[request_id] | {item_id}
        return replace(self.judged, judged=judged, relevant=of)


def make(requests: int = 12, seed: int = 0, share: float = 0.3) -> Judged:
    """share: of the pairs that are judged; relevance follows the true scores that systems see with noise."""
    rng = np.random.default_rng(seed)
    ids = [f"i{n:02d}" for n in range(ITEMS)]
    truth = rng.normal(size=(requests, ITEMS))
    noise = {"challenger": 0.5, "champion": 1.0, "bm25": 2.0}
    systems = {
        name: Table(name, ids, truth + by * rng.normal(size=truth.shape)) for name, by in noise.items()
    }
    catalogue = pl.DataFrame(
        {"item_id": ids, "title": ids, "is_new": [n >= ITEMS // 2 for n in range(ITEMS)]}
    )
    judged, relevant, asked = {}, {}, []
    for number in range(requests):
        name = f"r{number:03d}"
        asked.append(Request(name, text=f"query {number}"))
        known = [row for row in range(ITEMS) if rng.random() < share] or [0]
        grades = {ids[row]: float(truth[number, row] > 1.0) for row in known}
        old = ids[number % (ITEMS // 2)]
        grades[old] = 1.0  # of an item that is not new: every request has something relevant
        judged[name] = grades
        relevant[name] = frozenset(item for item, grade in grades.items() if grade)
    frequency = dict.fromkeys(judged, 0)
    return Judged(systems, catalogue, JudgedSet("search", tuple(asked), relevant, judged, True, frequency))


def test_a_pair_moves_the_difference_as_judging_it_relevant_does() -> None:
    """Each pair's move, over the requests that count, is what the measures of evaluation give when the
    judgement is really there; a judgement "not relevant" moves nothing."""
    shop = make()
    found = next_pairs(shop.pool(), *shop.cards(), count=10_000, confidence=0.95)
    counted = ~np.isnan(shop.cards()[0].entrances["search"].measures[f"new/recall@{K}"])
    n, before = counted.sum(), shop.difference("new")
    names = [request.request_id for request in shop.judged.requests]
    entered = 0
    for line in found.pairs.iter_rows(named=True):
        request_id = f"r{int(line['query'].split()[1]):03d}"
        after = shop.difference("new", shop.label(request_id, line["item_id"], relevant=True))
        if counted[names.index(request_id)]:
            assert after - before == pytest.approx(line["moves"] / n)
        else:
            entered += 1
            assert after == pytest.approx((before * n + line["moves"]) / (n + 1))
        assert shop.difference("new", shop.label(request_id, line["item_id"], relevant=False)) == before
    assert entered and len(found.pairs) == found.unjudged > 50


def test_the_first_pairs_take_most_variance_away() -> None:
    """Sorted by worth; judging all leaves what the drawn requests cause; more pairs never widen."""
    shop = make(requests=30)
    widths = []
    for count in (1, 5, 50, 10_000):
        found = next_pairs(shop.pool(), *shop.cards(), count=count, confidence=0.95)
        assert found.pairs["narrows"].is_sorted(descending=True)
        widths.append([one.half_width_after for one in found.narrowing])
        assert all(one.half_width_after < one.half_width for one in found.narrowing)
    assert (np.diff(np.array(widths), axis=0) <= 1e-12).all()
    for one, part in zip(found.narrowing, ("new", "new_only"), strict=True):
        ours, theirs = (c.entrances["search"].measures[f"{part}/recall@{K}"] for c in shop.cards())
        differences = (ours - theirs)[~np.isnan(ours)]
        variance = differences.var(ddof=1) / (len(differences) + one.more_requests)
        assert one.half_width_after == pytest.approx(1.959964 * variance**0.5)
        assert one.requests == len(differences)


def test_judging_by_worth_finds_the_true_difference_sooner_than_by_chance() -> None:
    """Over 20 shops: after as many judgements, the difference is nearer to that of a pool all judged."""
    by_worth, by_chance = [], []
    for seed in range(20):
        shop, whole = make(requests=30, seed=seed, share=0.25), make(requests=30, seed=seed, share=2.0)
        found = next_pairs(shop.pool(), *shop.cards(), count=10_000, confidence=0.95).pairs
        names = found.select("query", "item_id").rows()
        drawn = np.random.default_rng(seed).permutation(len(names))
        truth, worth, chance = (
            shop.difference("new", answered(shop, whole, chosen))
            for chosen in (names, names[:80], [names[i] for i in drawn[:80]])
        )
        by_worth.append(abs(worth - truth))
        by_chance.append(abs(chance - truth))
    assert np.mean(by_worth) < 0.8 * np.mean(by_chance)


def answered(shop: Judged, whole: Judged, chosen: list[tuple[str, str]]) -> JudgedSet:
    """The shop's judgements and those of the chosen pairs, as `whole` knows them."""
    judged = shop.judged
    for query, item_id in chosen:
        request_id = f"r{int(query.split()[1]):03d}"
        relevant = item_id in whole.judged.relevant[request_id]
        judged = replace(shop, judged=judged).label(request_id, item_id, relevant)
    return judged


def test_probabilities_are_learnt_from_judged_pairs_and_calibrated() -> None:
    """Where there are enough of either kind; of the pairs that it calls likely more are relevant, and the
    mean is the share that is."""
    shop, whole = make(requests=300, seed=1), make(requests=300, seed=1, share=2.0)
    pooled = shop.pool()
    probability, calibrated = relevance(pooled)
    assert calibrated
    unjudged = pooled["relevant"].is_null().to_numpy()
    truth = np.array(
        [
            item in whole.judged.relevant[request]
            for request, item in pooled.select("request_id", "item_id").rows()
        ]
    )
    p, is_relevant = probability[unjudged], truth[unjudged]
    assert p.mean() == pytest.approx(is_relevant.mean(), abs=0.03)
    assert is_relevant[p > np.median(p)].mean() > 2 * is_relevant[p <= np.median(p)].mean()


def test_with_few_judged_pairs_nothing_is_claimed_about_relevance() -> None:
    shop = make(requests=4, share=0.1)
    known = shop.pool()["relevant"].drop_nulls()
    assert min(known.sum(), (~known).sum()) < FEWEST_JUDGED
    probability, calibrated = relevance(shop.pool())
    assert not calibrated and (probability == 0.5).all()


def test_a_pool_that_is_judged_throughout_has_nothing_to_ask() -> None:
    shop = make(share=2.0)
    found = next_pairs(shop.pool(), *shop.cards(), count=5, confidence=0.95)
    assert found.unjudged == 0 and found.pairs.is_empty()
    assert all(one.half_width == one.half_width_after and one.missing_share == 0.0 for one in found.narrowing)
