"""Brands recommended to users beside the brands with most buyers and the nearest brand centroids.

    python tests/benchmarks/brands.py --workspace .debut [--config demo]

Of a shop that `debut demo` or `debut retrain` left: its champion, the newest split that counts purchases
before the cut-off, and the test requests of users. Relevant are the brands that a user first bought in the
judge window. Recall of them at 1, 3 and 5; the last line is the JSON.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from commit import commit

PLACES = (1, 3, 5)


def main() -> None:
    from flows.shop import open_shop

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workspace", default=".debut")
    parser.add_argument("--config", default="demo")
    chosen = parser.parse_args()
    shop = open_shop(chosen.config, None, chosen.workspace)
    digest = shop.decision_log().champion()
    splits = shop.workspace.glob("stages/split-*/statistics/purchases.parquet")
    newest = max(splits, key=lambda path: path.stat().st_mtime, default=None)
    if digest is None or newest is None:
        parser.error("the workspace has no champion, or no split with purchases: run `debut demo` first")
    sys.stdout.write(
        json.dumps(measured(shop.candidates / digest, newest.parents[1]) | {"commit": commit()}) + "\n"
    )


def measured(candidate: Path, split: Path) -> dict[str, Any]:
    import polars as pl

    from components.contract.ports import Request
    from components.index.retrieval import open_candidate
    from components.profiles.brands import DEPTH, recommended_brands
    from components.split.judged import JUDGE, read_judged
    from components.split.purchases import read_purchases

    index = open_candidate(candidate, candidate.name[:12])
    items = pl.read_parquet(split / "items.parquet")
    brand = dict(items.select("item_id", "brand").drop_nulls().iter_rows())
    ids = list(index.item_ids)
    rows = {
        name: [n for n, item in enumerate(ids) if brand.get(item) == name] for name in set(brand.values())
    }
    names = sorted(name for name, of in rows.items() if of)
    centroids = np.stack([np.mean([index.vector(n) for n in rows[name]], axis=0) for name in names])
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    bought = read_purchases(split, "statistics")
    assert bought is not None
    buyers = bought.join(items.select("item_id", "brand"), on="item_id").drop_nulls("brand")
    popular = buyers.group_by("brand").agg(pl.col("user_id").n_unique().alias("n")).sort("n", descending=True)
    judged = read_judged(split, "test", reader=JUDGE)["recommendation"]
    found: dict[str, list[list[float]]] = {"recommended": [], "most buyers": [], "centroid": []}
    for request in judged.requests:
        own = {brand[item] for item in request.history if item in brand}
        wanted = {brand[item] for item in judged.relevant[request.request_id] if item in brand} - own
        past = [index.row(item) for item in request.history if index.row(item) is not None]
        if not wanted or not past:
            continue
        asked = Request("brands", history=request.history, exclude=frozenset(request.history))
        ranked = [(ids[n], brand.get(ids[n])) for n in index.search([asked], DEPTH).rows[0] if n >= 0]
        user = np.mean([index.vector(n) for n in past if n is not None], axis=0)
        lists = {
            "recommended": [one.brand for one in recommended_brands(ranked, own, max(PLACES))],
            "most buyers": [name for name in popular.get_column("brand") if name not in own],
            "centroid": [names[n] for n in np.argsort(-(centroids @ user)) if names[n] not in own],
        }
        for system, listed in lists.items():
            found[system].append([len(wanted & set(listed[:k])) / len(wanted) for k in PLACES])
    means = {system: np.mean(recalls, axis=0).round(4).tolist() for system, recalls in found.items()}
    return {"users": len(found["recommended"]), "brands": len(names), "places": PLACES, "recall": means}


if __name__ == "__main__":
    main()
