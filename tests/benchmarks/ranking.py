"""The second stage beside the first alone: one table per shop, one JSON object.

    python tests/benchmarks/ranking.py [--datasets demo,online_retail] [--cache .debut/bench]

The encoder is the untrained one, so that everything that is learned is the ranker's. The plan is chosen on
the validation part as in a retrain; the second stage is fitted there, with labels weighted by what people had
the chance to see (places of clicks, popularity of what was bought) and with all labels alike; the test part
is judged once per system by the product's own judge. A ranker that validation refuses is not carried, so its
line is the first stage's (`carried` says so). Beside recall@10: new items' share of the shown places, the
share of the 1 % most shown items, the 95th percentile of a search's time in the same run, and each feature's
share of the gain of all splits. The generated shop logs how likely each place was looked at, so recall is
also given with each click weighted by 1 / that (`debiased`): what people would click had they looked at all.

The last line is the JSON. Two idle cores: about three minutes for both.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from commit import commit

from flows.embedded import prepare_environment

PLACES = 10
LABELS = {
    "weighted": {},
    "unweighted": {"position_weights": False, "popularity_bias": 0.0},
}


@dataclass(frozen=True)
class System:
    index: Any
    told: Mapping[str, Any]


def main() -> None:
    prepare_environment(debug=False)  # before torch starts its threads
    from recall_shop import DATASETS, open_bench

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--datasets", default="demo,online_retail", help=f"by comma, of {', '.join(DATASETS)}"
    )
    parser.add_argument("--root", type=Path, help="folder of the data set's files")
    parser.add_argument("--cache", type=Path, default=Path(".debut/bench"), help="the benchmark's own folder")
    parser.add_argument("--out", type=Path, default=Path(".debut/bench-ranking"), help="of table and JSON")
    chosen = parser.parse_args()
    figures = {}
    for name in chosen.datasets.split(","):
        began = time.monotonic()
        found = measured(open_bench(name, chosen.root, chosen.cache / name), chosen.out / name)
        figures[name] = found | {"seconds": round(time.monotonic() - began, 1)}
        sys.stderr.write(markdown(name, figures[name]))
        sys.stderr.flush()
    (chosen.out / "ranking.md").write_text("\n".join(markdown(*each) for each in figures.items()))
    sys.stdout.write(json.dumps(figures | {"commit": commit()}) + "\n")


def measured(bench: Any, folder: Path) -> dict[str, Any]:
    """Per entrance and system the figures of the test part."""
    systems = _systems(bench, folder)
    return {
        entrance: {name: _figures(bench, entrance, name, system) for name, system in systems.items()}
        for entrance in bench.prepared.entrances
    }


def _systems(bench: Any, folder: Path) -> dict[str, System]:
    import shutil

    import polars as pl

    from components.contract.retrieving import RankingSettings, RetrievalSettings
    from components.encoder.base import resolve_base
    from components.encoder.transformer import TransformerEncoder
    from components.index.live import LiveIndex
    from components.index.retrieval import read_snapshot
    from components.index.vectors import encode_catalogue
    from components.ranking.observations import observed
    from components.ranking.ranker_files import open_rankers
    from components.release.plan import choose_plan
    from components.release.ranker import choose_rankers
    from components.split.purchases import read_purchases
    from components.split.split import cutoff_of
    from components.split.statistics import read_reviews, read_traffic

    shutil.rmtree(folder, ignore_errors=True)
    for name in ("vectors", *LABELS):
        (folder / name).mkdir(parents=True)
    settings = bench.settings.model_copy(update={"retrieval": RetrievalSettings(inference="torch")})
    encoder = TransformerEncoder.load(resolve_base(settings.encoder), settings.encoder)
    encoder.save(folder / "encoder")
    items = pl.read_parquet(bench.split / "items.parquet")
    traffic, reviews = read_traffic(bench.split), read_reviews(bench.split)
    known = observed(items, traffic, reviews, cutoff_of(bench.split))
    purchases = read_purchases(bench.split, "statistics")
    fields, vectors = settings.encoder.item_fields, folder / "vectors"
    encode_catalogue(items, encoder.encode_catalogue, fields, vectors, "english", purchases, known)
    plan = choose_plan(folder / "encoder", None, vectors, bench.split, settings)
    snapshot = read_snapshot(vectors)

    def index(**more: Any) -> LiveIndex:
        return LiveIndex("bench", snapshot, encoder, plan, fields, **more)

    systems = {"first stage": System(index(), {"plan": plan.model_dump()})}
    for name, changes in LABELS.items():
        asked = settings.model_copy(update={"ranking": RankingSettings(learner="lambdarank", **changes)})
        ranked = choose_rankers(
            plan, folder / "encoder", None, vectors, bench.split, None, asked, folder / name
        )
        told = json.loads((folder / name / "ranker.json").read_bytes())["validation"]
        rankers = open_rankers(folder / name) if ranked.rankers else None
        systems[name] = System(index(rankers=rankers), told)
    return systems


def _figures(bench: Any, entrance: str, name: str, system: System) -> dict[str, Any]:
    from components.evaluation.judge import judge
    from components.evaluation.slices import trained_items
    from components.split.judged import JUDGE, read_judged

    judged = read_judged(bench.split, "test", reader=JUDGE)
    card = judge(
        system.index,
        {entrance: judged[entrance]},
        bench.catalogue,
        bench.settings.judge,
        primary=entrance,
        digest=None,
        trained=trained_items(bench.split),
        judged_until=bench.prepared.judged_until,
        first_stage=system.index.without_rankers(),
    )
    found: dict[str, Any] = {
        population: card.mean(entrance, f"{population}/recall@{PLACES}")
        for population in ("new", "new_only", "established", "all")
    }
    found |= _shown(bench, judged[entrance], system.index)
    found["p95_ms"] = card.bounds["p95_latency_ms"]
    if entrance == "search":
        found["debiased"] = _debiased(bench, judged[entrance], system.index)
    if name != "first stage":
        of = system.told.get(entrance, {})
        found |= {
            "carried": bool(of.get("trees")),
            "trees": of.get("trees"),
            "importance": of.get("importance"),
        }
        found["validation"] = {"without": of.get("without"), "by_trees": of.get("by_trees")}
    return found


def _shown(bench: Any, judged: Any, index: Any) -> dict[str, float]:
    from components.evaluation import bounds

    rows = index.search(judged.requests, PLACES).rows
    shown = rows[rows >= 0]
    return {
        "new_item_share": float(bench.catalogue.get_column("is_new").to_numpy()[shown].mean()),
        "top_1_percent_share": bounds.top_1_percent_share(shown, len(bench.catalogue)).value or 0.0,
    }


def _debiased(bench: Any, judged: Any, index: Any) -> float | None:
    """Mean over queries of the share of click weight (1 / propensity) that the first ten places hold."""
    import polars as pl

    from components.ranking.labels import search_gains
    from components.split.catalogue import normalised
    from components.split.split import cutoff_of

    events = pl.read_parquet(bench.split.parent / "check" / "events.parquet")
    if events.get_column("propensity").is_null().all():
        return None
    clicks = events.with_columns(normalised("query"))
    gains = search_gains(judged, clicks, cutoff_of(bench.split))
    rows, shares = index.search(judged.requests, PLACES).rows, []
    for request, line in zip(judged.requests, rows.tolist(), strict=True):
        of = gains[request.request_id]
        found = sum(of.get(index.item_ids[row], 0.0) for row in line if row >= 0)
        shares.append(found / sum(of.values()))
    return float(np.mean(shares))


def markdown(dataset: str, figures: Mapping[str, Any]) -> str:
    columns = (
        "new",
        "new_only",
        "established",
        "all",
        "debiased",
        "new_item_share",
        "top_1_percent_share",
        "p95_ms",
    )
    lines = [f"### {dataset}", "", "| | " + " | ".join(columns) + " | carried |", "|---" * 10 + "|"]
    for entrance, systems in figures.items():
        if not isinstance(systems, Mapping):
            continue
        for name, found in systems.items():
            cells = ["–" if found.get(column) is None else f"{found[column]:.3f}" for column in columns]
            carried = {True: "yes", False: "no"}.get(found.get("carried"), "–")
            lines.append(f"| {entrance}, {name} | " + " | ".join(cells) + f" | {carried} |")
        best = systems["weighted"].get("importance") or {}
        shares = sorted(best.items(), key=lambda item: -item[1])[:6]
        lines.append(
            f"\n{entrance}: " + ", ".join(f"{feature} {share:.2f}" for feature, share in shares) + "\n"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
