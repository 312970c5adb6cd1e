"""What queries imply: recall with and without it, and how well each facet is told, one table and one JSON
object per shop.

    python tests/benchmarks/understanding.py [--shops demo,best_buy] [--pairs 2000]

A first retrain by the retrain flow's own functions, with Debut's tasks of queries and some knowledge. Then
the fine-tuned encoder and version 0 are each built and judged twice on the test: with the weights that
validation chose, and without any. The difference is paired over the queries, with the gate's 95 % bootstrap
interval. Accuracy of the facets is the judge's, beside TF-IDF with a linear model and the constant answer.
Time: the median over the test queries, asked one by one of both by turns, encoding included.

The demo's synonyms are what its generator calls a kind of product: the most that a shop could know. On
best_buy the category tree is all of the knowledge; it has no brands and no attributes.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from commit import commit

from flows.embedded import prepare_environment

QUERY_TASKS = {
    "demo": ("query_category", "query_brand", "query_price", "query_attribute"),
    "best_buy": ("query_category", "query_price"),
}
SLICES = ("new", "new_only", "established", "all")
TIMED = 300


def main() -> None:
    prepare_environment(debug=False)  # before torch starts its threads
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shops", default=",".join(QUERY_TASKS), help="by comma")
    parser.add_argument("--pairs", type=int, default=2_000, help="training pairs at most")
    parser.add_argument("--untrained", action="store_true", help="version 0 alone: a short run")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the real shops")
    parser.add_argument("--out", type=Path, default=Path(".debut/bench-understanding"), help="its folder")
    chosen = parser.parse_args()
    figures: dict[str, Any] = {}
    for name in chosen.shops.split(","):
        root = chosen.out / "demo-files" if name == "demo" else chosen.data / name
        if name != "demo" and not root.is_dir():
            sys.stderr.write(f"{name}: {root} is absent; left out\n")
            continue
        began = time.monotonic()
        figures[name] = measured(name, root, chosen.out, chosen.pairs, trained=not chosen.untrained)
        figures[name]["seconds"] = round(time.monotonic() - began, 1)
    table = markdown(figures)
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "understanding.md").write_text(table)
    sys.stderr.write(table)
    sys.stdout.write(json.dumps(figures | {"commit": commit()}) + "\n")


def measured(name: str, root: Path, out: Path, pairs: int, trained: bool) -> dict[str, Any]:
    """pairs: to train on at most; trained: not version 0 alone."""
    from components.data.configuration import load_task
    from components.data.demo_shop import TRUTH, generate
    from flows.embedded import keep_prefect_in
    from flows.shop import open_shop

    if name == "demo" and not (root / TRUTH).is_file():
        generate(root)
    keep_prefect_in(out)
    from flows.server import PrefectServer

    plain = open_shop(name, str(root), str(out / "workspace"))
    changes: dict[str, Any] = {
        "tasks": [load_task(task).model_dump(mode="json") for task in QUERY_TASKS[name]],
        "knowledge": {"synonyms": demo_synonyms() if name == "demo" else []},
        "training": plain.settings.training.model_dump() | {"max_pairs": pairs},
    }
    with PrefectServer().ready():
        shop = open_shop(name, str(root), str(out / "workspace"), changes)
        return _judged_twice(shop, trained=trained)


def demo_synonyms() -> list[list[str]]:
    from components.data.demo.departments import KINDS

    return [[*kind.nouns, *kind.asked] for kind in KINDS]


def _judged_twice(shop: Any, trained: bool) -> dict[str, Any]:
    from prefect import flow

    from components.index.retrieval import read_plan
    from components.tracking.run import start
    from flows import building, console, releases
    from flows.lease import retrain_lease
    from flows.preparation import prepare
    from flows.results import task_figures
    from flows.retrain import fine_tune
    from flows.run import new_run

    console.open_terminal(as_json=True)

    @flow(name="bench-understanding", persist_result=False)
    def judged_twice() -> dict[str, Any]:
        run = new_run(shop)
        tags = {"run_id": run.run_id}
        with (
            retrain_lease(shop, run.run_id),
            start(shop.settings, shop.workspace, name=run.run_id, tags=tags) as tracker,
        ):
            data = prepare(run)
            champion = releases.serving_release(run, data, tracker)
            plan = read_plan(shop.candidates / champion.digest)
            systems = {"version 0": (building.version_0(run), plan)}
            if trained:
                (model, folder), (plan, _) = fine_tune(run, data, champion)
                systems["fine-tuned"] = building.Model(folder / "encoder", model.encoder_digest), plan
            found, cards = {}, {}
            for name, (of, chosen) in systems.items():
                without = chosen.model_copy(update={"implied_weights": {}, "synonym_share": 0.0})
                plans = {"with": chosen, "without": without}
                built = {
                    how: building.build(run, data, of, retrieval=(one, None)) for how, one in plans.items()
                }
                judged = {how: releases.judged(run, data, one, name) for how, one in built.items()}
                cards["challenger" if name == "fine-tuned" else "champion"] = judged["with"]
                folders = {how: shop.candidates / one.digest for how, one in built.items()}
                found[name] = _figures(judged, shop.settings.gate) | {
                    "weights": chosen.implied_weights,
                    "synonym_share": chosen.synonym_share,
                    "lexical_weight": chosen.lexical_weight,
                    "milliseconds": _milliseconds(folders, data.split),
                }
            cards["bm25"] = releases.judge_all(run, data, champion, champion)["bm25"]
            return {"systems": found, "tasks": task_figures(shop.settings.tasks, cards)}

    return judged_twice()


def _figures(judged: dict[str, Any], policy: Any) -> dict[str, Any]:
    """Per slice recall@10 with and without, and the paired difference with its interval."""
    from components.gate.comparison import Question, compare

    questions = {name: Question("search", f"{name}/recall@10") for name in SLICES}
    answers = compare(questions.values(), judged["with"], judged["without"], None, policy)
    found = {}
    for name, question in questions.items():
        answer = answers[question]
        low, high = np.percentile(answer.means, [2.5, 97.5]) if len(answer.means) else (None, None)
        found[name] = {
            "with": answer.challenger,
            "without": answer.other,
            "difference": answer.difference,
            "low": low,
            "high": high,
            "queries": answer.requests,
        }
    return {"recall": found}


def _milliseconds(folders: dict[str, Path], split: Path) -> dict[str, float]:
    """Median of one search, both by turns."""
    from components.index.retrieval import open_candidate
    from components.split.judged import JUDGE, read_judged

    indexes = {how: open_candidate(folder, how) for how, folder in folders.items()}
    requests = read_judged(split, "test", reader=JUDGE)["search"].requests[:TIMED]
    times: dict[str, list[float]] = {how: [] for how in indexes}
    for request in requests:
        for how, index in indexes.items():
            began = time.perf_counter()
            index.search([request], 10)
            times[how].append(time.perf_counter() - began)
    return {how: round(float(np.median(took)) * 1_000, 3) for how, took in times.items()}


def markdown(figures: dict[str, Any]) -> str:
    """Recalls; weights and times; facets."""
    recalls = [
        [shop, system, name, one["queries"]]
        + [f"{one[how]:.4f}" for how in ("without", "with")]
        + [f"{one['difference']:+.4f}", f"{one['low']:+.4f} … {one['high']:+.4f}"]
        for shop, found in figures.items()
        for system, of in found["systems"].items()
        for name, one in of["recall"].items()
        if one["queries"]
    ]
    plans = [
        [shop, system, of["weights"] or "none", of["synonym_share"], *of["milliseconds"].values()]
        for shop, found in figures.items()
        for system, of in found["systems"].items()
    ]
    names = ("challenger", "champion", "baseline", "constant")
    facets = [
        [shop, task, metric, population, of["rows"]]
        + [_cell(systems.get(name, {}).get(population, {}).get(metric)) for name in names]
        for shop, found in figures.items()
        for task, systems in found["tasks"].items()
        for population, of in systems["baseline"].items()
        for metric in ("absolute_error" if task == "query_price" else "accuracy",)
    ]
    tables = (
        (["shop", "system", "slice", "queries", "without", "with", "difference", "95 %"], recalls),
        (["shop", "system", "weights", "synonyms", "ms with", "ms without"], plans),
        (["shop", "task", "metric", "rows of", "n", *names], facets),
    )
    lines = [[_line(head), "|---" * len(head) + "|", *map(_line, rows), ""] for head, rows in tables]
    return "\n".join(line for of in lines for line in of)


def _line(cells: list[Any]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    main()
