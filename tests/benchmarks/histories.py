"""Ways to score a user's past beside each other: text scorings, learned encoders, item-kNN, co-purchases.

    python tests/benchmarks/histories.py [--datasets online_retail,online_retail_2011_07]

Vectors are the untrained encoder's; learned encoders are trained and stopped as a retrain does it. Weights of
co-purchases, and what is chosen, come from validation by the product's rule (history_mix.best_mix). Then
everything learns from all purchases before the cut-off, and the product's judge reads the test requests once.
"demand, known beforehand" ranks by the judged requests' own purchases, for all users alike: no system can.
The last line is the JSON. Minutes per data set: the text encoder is not trained.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from commit import commit

from flows.embedded import prepare_environment

NEIGHBOURS = 100


def main() -> None:
    prepare_environment(debug=False)  # before torch starts its threads
    from recall_shop import open_bench

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--datasets", default="online_retail,online_retail_2011_07", help="by comma")
    parser.add_argument("--root", type=Path, help="folder of the data set's files")
    parser.add_argument("--cache", type=Path, default=Path(".debut/bench"), help="the benchmark's own folder")
    parser.add_argument("--validation-only", action="store_true", help="the test part is not read")
    chosen = parser.parse_args()
    figures = {}
    for name in chosen.datasets.split(","):
        bench = open_bench(name, chosen.root, chosen.cache / name)
        figures[name] = measured(bench, chosen.cache / "vectors", not chosen.validation_only)
        sys.stderr.write(table(name, figures[name]))
    sys.stdout.write(json.dumps(figures | {"commit": commit()}) + "\n")


def measured(bench: Any, cache: Path, test: bool) -> dict[str, Any]:
    from components.contract.retrieving import RetrievalSettings
    from components.release.history_encoders import fit_for_release, fit_on_validation, read_fitted

    retrieval = RetrievalSettings(history_encoders=("gru", "attention"))
    settings = bench.settings.model_copy(update={"retrieval": retrieval})
    index, folder = _index(bench, cache), cache / bench.name
    began = time.monotonic()
    fit_on_validation(index, bench.split, settings, folder)
    learned = read_fitted(folder)
    seconds = time.monotonic() - began
    found: dict[str, Any] = {
        "epochs": {kind: of.epochs for kind, of in learned.items()},
        "stopping_recalls": {
            kind: [round(recall, 4) for recall in of.recalls] for kind, of in learned.items()
        },
        "seconds_of_training": round(seconds, 1),
    }
    weights, found["validation"] = _chosen(bench, index, settings, learned)
    if test:
        final = folder / "final"
        for kind, of in learned.items():
            fit_for_release(kind, of.epochs, index, bench.split, settings.training.seed, final)
        found["test"] = _tested(bench, index, final, weights)
    return found


def _index(bench: Any, cache: Path) -> Path:
    """Index folder of the split's catalogue by the untrained encoder; equal texts are encoded once."""
    from peer_cache import PeerCache

    from components.contract.digests import sha256_json
    from components.encoder.base import resolve_base
    from components.encoder.transformer import TransformerEncoder
    from components.index.vectors import encode_catalogue
    from components.split.purchases import read_purchases

    settings = bench.settings.encoder
    encoder = TransformerEncoder.load(resolve_base(settings), settings)

    def encoded(texts: list[str]) -> Any:
        key = {"encoder": encoder.digest, "texts": sha256_json(texts)}
        place, _ = PeerCache(cache).made(
            "texts", key, lambda out: np.save(out / "vectors.npy", encoder.encode_catalogue(texts))
        )
        return np.load(place / "vectors.npy")

    out: Path = cache / bench.name / "index"
    out.mkdir(parents=True, exist_ok=True)
    purchases = read_purchases(bench.split, "statistics")
    encode_catalogue(bench.catalogue, encoded, settings.item_fields, out, settings.language, purchases)
    return out


def _chosen(
    bench: Any, index: Path, settings: Any, learned: dict[Any, Any]
) -> tuple[dict[str, float], dict[str, Any]]:
    """Per scoring the weight of co-purchases, "auto": what the plan takes; and the figures on validation."""
    from components.index.co_purchases import CoPurchases
    from components.index.fusion import recalls
    from components.release.history_mix import best_mix, scored_users
    from components.release.plan import CO_PURCHASE_WEIGHTS, OF_TEXTS, validation_snapshot
    from components.split.purchases import read_purchases
    from components.training.validation import read_validation

    validation = read_validation(bench.split, settings.encoder, settings.training)
    snapshot = validation_snapshot(validation, bench.split, index, settings.encoder)
    purchases, item_ids = read_purchases(bench.split, "train"), list(validation.item_ids)
    snapshot = snapshot.__class__(
        snapshot.items,
        snapshot.vectors,
        snapshot.lexical,
        CoPurchases.build(item_ids, snapshot.vectors, purchases),
    )
    scorings = (*OF_TEXTS, *learned)
    encoders = {kind: of.encoder for kind, of in learned.items()}
    users = scored_users(validation.judged["recommendation"], validation.new, snapshot, scorings, encoders)

    def figures(scoring: str, weight: float) -> dict[str, Any]:
        parts = [*(float(one == scoring) for one in scorings), weight]
        return {name: round(value, 4) for name, value in recalls(users, parts).items()}

    weights: dict[str, float] = {}
    table: dict[str, Any] = {}
    for scoring in scorings:
        # One scoring at a time: the parts of the others are left out by their weight.
        alone = [one.__class__(one.parts[[scorings.index(scoring), -1]], one.relevant) for one in users]
        weights[scoring] = best_mix(alone, (scoring,), CO_PURCHASE_WEIGHTS).weight
        table[scoring] = figures(scoring, 0.0)
        table[f"{scoring} + co-purchases"] = figures(scoring, weights[scoring]) | {"weight": weights[scoring]}
    for name, among in (("auto", scorings), ("auto of texts", OF_TEXTS)):
        lines = [scorings.index(one) for one in among]
        some = [one.__class__(one.parts[[*lines, -1]], one.relevant) for one in users]
        best = best_mix(some, among, CO_PURCHASE_WEIGHTS)
        table[name] = figures(best.scoring, best.weight) | {"scoring": best.scoring, "weight": best.weight}
    return weights, table


def _tested(bench: Any, index: Path, final: Path, weights: dict[str, float]) -> dict[str, Any]:
    """Recall@10 of all systems on the test requests, by the product's judge."""
    from rankings import ScoredIndex

    from components.index.co_purchases import CoPurchaseScores
    from components.index.histories import NEWEST, TOP, centred, top_mean, unit
    from components.index.history_encoder import HistoryEncoder
    from components.index.retrieval import read_snapshot
    from components.index.topk import catalogue_rows

    snapshot = read_snapshot(index)
    plain = snapshot.vectors.astype(np.float64)
    moved = centred(plain, plain.mean(axis=0))
    narrow, narrow_moved = plain.astype(np.float32), moved.astype(np.float32)
    bought = CoPurchaseScores(snapshot.co_purchases, snapshot.vectors)
    row_of = catalogue_rows(bench.item_ids)
    encoders = {kind: HistoryEncoder.load(final, kind) for kind in ("gru", "attention")}
    parts: dict[str, dict[str, Any]] = {name: {} for name in (*weights, "co-purchases", "item-kNN")}
    knn = _item_knn(bench, len(plain))
    for request in bench.requests:
        past = list(dict.fromkeys(row_of[item] for item in request.history if item in row_of))
        newest = past[-NEWEST:]
        cosines, cosines_moved = narrow[newest] @ narrow.T, narrow_moved[newest] @ narrow_moved.T
        of = {
            "mean": (plain @ unit(plain[past].mean(axis=0))).astype(np.float32),
            "top3": top_mean(cosines.copy(), TOP["top3"]),
            "top10": top_mean(cosines, TOP["top10"]),
            "centred_top10": top_mean(cosines_moved, TOP["centred_top10"]),
            "co-purchases": bought.scores(past),
            "item-kNN": knn(past),
        }
        for kind, encoder in encoders.items():
            user = encoder.encode(moved[past]).astype(np.float32)
            of[kind] = of["centred_top10"] + narrow_moved @ user
        for name, scores in of.items():
            parts[name][request.request_id] = scores
    systems = {name: parts[name] for name in (*weights, "item-kNN")}
    systems["demand, known beforehand"] = dict.fromkeys(parts["mean"], _demand(bench))
    for name, weight in weights.items():
        pairs = ((user, parts["co-purchases"][user]) for user in parts[name])
        systems[f"{name} + co-purchases"] = {
            user: parts[name][user] + np.float32(weight) * bought_of for user, bought_of in pairs
        }
    figures = {}
    for name, scores in systems.items():
        measures = bench.scores(ScoredIndex(name, bench.item_ids, _lookup(scores))).measures
        columns = ("new/recall@10", "new_only/recall@10", "established/recall@10")
        figures[name] = {column: round(float(np.nanmean(measures[column])), 4) for column in columns}
    return figures


def _lookup(scores: dict[str, Any]) -> Callable[[Any], Any]:
    return lambda request: scores[request.request_id]


def _demand(bench: Any) -> Any:
    """(items,) of how many judged requests each is relevant to."""
    wanted = Counter(item for items in bench.judged[bench.entrance].relevant.values() for item in items)
    return np.array([wanted[item] for item in bench.item_ids], dtype=np.float32)


def _item_knn(bench: Any, items: int) -> Callable[[list[int]], Any]:
    """peers_purchases.item_knn with the NEIGHBOURS that decision 0010 found as good as any."""
    from peers_purchases import Purchases, item_knn

    from components.contract.ports import Request

    score = item_knn(Purchases(bench.purchases("refit"), bench.item_ids, bench.texts), 0, NEIGHBOURS)
    ids = bench.item_ids

    def scored(past: list[int]) -> Any:
        found = score(Request("one", history=tuple(ids[row] for row in past)))
        return np.full(items, -np.inf, dtype=np.float32) if found is None else found

    return scored


def table(name: str, found: dict[str, Any]) -> str:
    lines = [
        f"{name}: epochs {found['epochs']}",
        "| system | new | new only | established |",
        "|---" * 4 + "|",
    ]
    for system, of in found.get("test", {}).items():
        lines.append(f"| {system} | {' | '.join(f'{value:.3f}' for value in of.values())} |")
    lines += [f"validation {system}: {of}" for system, of in found["validation"].items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
