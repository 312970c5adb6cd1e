"""How many judgements a person has to give until the gate's difference is what all would make it.

home_depot's own judgements of new items are hidden at random (half of those that two lexical systems show)
and given back pair by pair: in the order of `debut label next`, or by chance. No encoder runs: stemmed words
and character runs (the product's lexical side) stand for a challenger, plain BM25 for the champion. Prints
the mean absolute error of the mean difference, in points, over seeds of what is hidden.

    python tests/benchmarks/labels.py [--seeds 10] [--out labels.json]
"""

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from commit import commit

from components.contract.ports import Ranking, Request
from components.data.sources import load
from components.evaluation.measures import slice_recall
from components.evaluation.pairs import judged_pairs
from components.evaluation.pooled import pool
from components.evaluation.scorecard import EntranceScores, Scorecard
from components.gate.labelling import next_pairs
from components.index.bm25 import BM25Index
from components.index.lexical import Lexical, LexicalSnapshot
from components.index.topk import candidate_rows, empty_ranking, place
from components.split.judged import JUDGE, JudgedSet, read_judged
from components.split.split import split
from flows.shop import open_shop

DATA, K, GRAMS = "../shared/data/home_depot", 10, 0.5
BUDGETS = (50, 100, 200, 400)
QUERIES = 1_000
"""Of the test queries, by name; all would take some minutes."""


class Grams:
    """A Retriever by the product's lexical side alone."""

    name = "challenger"

    def __init__(self, item_ids: list[str], titles: list[str]) -> None:
        self.item_ids = item_ids
        self._lexical = Lexical(LexicalSnapshot.build(titles, "english"), GRAMS)

    def search(self, requests: list[Request], k: int, among: np.ndarray | None = None) -> Ranking:
        ranking, rows = empty_ranking(len(requests), k), candidate_rows(len(self.item_ids), among)
        for line, request in enumerate(requests):
            scores = self._lexical.scores(request.text or "")
            if scores is not None:
                place(ranking, line, scores[rows], rows)
        return ranking


class Kept:
    """A Retriever whose two rankings of the test queries were made once."""

    def __init__(self, system: object, requests: tuple[Request, ...], new: np.ndarray) -> None:
        self.name, self.item_ids = system.name, system.item_ids
        self._lines = {request.request_id: line for line, request in enumerate(requests)}
        self._rankings = [system.search(requests, K, among) for among in (None, new)]

    def search(self, requests: list[Request], k: int, among: np.ndarray | None = None) -> Ranking:
        assert k == K
        ranking = self._rankings[among is not None]
        lines = [self._lines[request.request_id] for request in requests]
        return Ranking(ranking.rows[lines], ranking.scores[lines])


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--seeds", type=int, default=10)
    arguments.add_argument("--out", type=Path)
    options = arguments.parse_args()
    catalogue, judged = home_depot()
    new = catalogue["is_new"].to_numpy()
    ids, titles = catalogue["item_id"].to_list(), catalogue["title"].to_list()
    made = {"challenger": Grams(ids, titles), "champion": BM25Index("champion", ids, titles)}
    systems = {name: Kept(system, judged.requests, new) for name, system in made.items()}
    systems["bm25"] = systems["champion"]
    errors: dict[str, dict[int, list[float]]] = {
        order: {b: [] for b in (0, *BUDGETS)} for order in ("next", "chance")
    }
    for seed in range(options.seeds):
        one_seed(systems, judged, catalogue, seed, errors)
    table = {
        order: {b: round(float(np.mean(e)), 3) for b, e in found.items()} for order, found in errors.items()
    }
    told = {"seeds": options.seeds, "mean absolute error in points": table, "commit": commit()}
    sys.stdout.write(json.dumps(told, indent=1) + "\n")
    if options.out:
        options.out.write_text(json.dumps(told))


def home_depot() -> tuple[pl.DataFrame, JudgedSet]:
    shop = open_shop("home_depot", DATA, tempfile.mkdtemp())
    loaded, folder = shop.workspace / "loaded", shop.workspace / "split"
    folder.mkdir(parents=True)
    load(shop.settings, shop.root, shop.workspace, loaded)
    split(loaded, shop.settings.split, folder)
    judged = read_judged(folder, "test", JUDGE)["search"]
    return pl.read_parquet(folder / "items.parquet"), replace(judged, requests=judged.requests[:QUERIES])


def one_seed(
    systems: dict,
    judged: JudgedSet,
    catalogue: pl.DataFrame,
    seed: int,
    errors: dict[str, dict[int, list[float]]],
) -> None:
    """Hides half of the pool's judged pairs and gives them back in either order."""
    whole = pool(systems, judged, catalogue, K)
    known = whole.filter(pl.col("relevant").is_not_null()).select("request_id", "item_id").rows()
    rng = np.random.default_rng(seed)
    hidden = {known[i] for i in rng.permutation(len(known))[: len(known) // 2]}
    partly = without(judged, hidden)
    asked = pool(systems, partly, catalogue, K)
    # Only pairs whose answer is known can be asked for.
    could = pl.DataFrame(sorted(hidden), ["request_id", "item_id"], orient="row")
    asked = pl.concat(
        [asked.filter(pl.col("relevant").is_not_null()), asked.join(could, ["request_id", "item_id"], "semi")]
    )
    cards = cards_of(systems, partly, catalogue)
    found = next_pairs(asked, *cards, count=len(hidden), confidence=0.95).pairs
    ids = dict(asked.select("query", "request_id").iter_rows())
    ordered = [(ids[query], item_id) for query, item_id in found.select("query", "item_id").rows()]
    truth = difference(systems, judged, catalogue)
    drawn = [ordered[i] for i in rng.permutation(len(ordered))]
    for order, pairs in (("next", ordered), ("chance", drawn)):
        for budget in (0, *BUDGETS):
            given = without(judged, hidden - set(pairs[:budget]))
            errors[order][budget].append(100 * abs(difference(systems, given, catalogue) - truth))


def without(judged: JudgedSet, hidden: set[tuple[str, str]]) -> JudgedSet:
    """The set without some judgements; requests stay that have no relevant item left."""
    kept = {
        name: {item: grade for item, grade in own.items() if (name, item) not in hidden}
        for name, own in judged.judged.items()
    }
    relevant = {name: own & kept[name].keys() for name, own in judged.relevant.items()}
    asked = tuple(r for r in judged.requests if relevant[r.request_id])
    return replace(judged, judged=kept, relevant=relevant, requests=asked)


def cards_of(systems: dict, judged: JudgedSet, catalogue: pl.DataFrame) -> list[Scorecard]:
    new = catalogue["is_new"].to_numpy()
    pairs = judged_pairs(judged, catalogue["item_id"].to_list())
    cards = []
    for name in ("challenger", "champion"):
        values = {}
        for part, among in (("new", None), ("new_only", new)):
            found = pairs.find(systems[name].search(judged.requests, K, among).rows)
            values[f"{part}/recall@{K}"] = slice_recall(found, pairs, new[pairs.row], K)
        scores = EntranceScores("search", tuple(r.request_id for r in judged.requests), values)
        cards.append(Scorecard(name, name, "search", {"search": scores}, {}, k=K))
    return cards


def difference(systems: dict, judged: JudgedSet, catalogue: pl.DataFrame) -> float:
    ours, theirs = (
        card.entrances["search"].measures[f"new/recall@{K}"] for card in cards_of(systems, judged, catalogue)
    )
    return float(np.nanmean(ours - theirs))


if __name__ == "__main__":
    main()
