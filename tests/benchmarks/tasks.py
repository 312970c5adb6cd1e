"""Tasks beside TF-IDF with a linear model, on real shops and on the generated one: one table, one JSON
object.

    python tests/benchmarks/tasks.py [--shops womens_clothing,online_retail,best_buy,demo] [--tasks sentiment]
    [--steps 500 --rows 32] [--out .debut/bench-tasks]

Real shops: heads on the encoder as it was downloaded, because their data has nothing to train search with
(womens_clothing), or takes an hour (online_retail); new items are held out as the product's split has it.
The generated shop: whole retrains by `debut retrain`: the tasks' losses train the encoder (each task's own
weight), they do not (weight 0), and the former without the tasks of queries, whose promotion does not hang
on what queries imply; version 0 is the champion of all. What queries imply is learned in the first two, and
may raise what is found. Every figure is of the test rows, by the product's own judge. home_depot's file has
neither category, brand nor price: nothing to answer.

The last line is the JSON. `tasks`: per "shop/task" `metric`; `value` of what the shop would release – after
training where there was one, else of the head on the encoder as it was – and `baseline_value`, each on all
and on new items; `seconds` to fit and judge its heads and its baseline, without training the encoder; and all
systems in full. `shops`: per shop its seconds and, where it searches, recalls and verdicts. Two cores: about
four minutes for the real shops, twenty for the generated one.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from commit import commit

from flows.embedded import prepare_environment

TASKS = (
    *("category", "category_path", "brand", "price", "sentiment", "answer"),
    *("query_category", "query_brand", "query_price", "query_attribute"),
)
RECALLS = ("new", "new_only", "established", "all")


def main() -> None:
    prepare_environment(debug=False)  # before torch starts its threads
    from tasks_frozen import SHOPS, frozen

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shops", default=",".join([*SHOPS, "demo"]), help="by comma")
    parser.add_argument("--tasks", default="", help="these alone, by comma")
    parser.add_argument("--steps", type=int, help="of a real shop whose encoder its labels train")
    parser.add_argument("--rows", type=int, help="of each task in such a step")
    parser.add_argument("--reviews", type=int, help="at most so many of a real shop: a short run")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the real shops")
    parser.add_argument(
        "--out", type=Path, default=Path(".debut/bench-tasks"), help="folder of table and JSON"
    )
    chosen = parser.parse_args()
    figures: dict[str, Any] = {}
    shops = chosen.shops.split(",")
    unknown = sorted(set(shops) - {*SHOPS, "demo"})
    if unknown:
        parser.error(f"--shops: {', '.join(unknown)}; there are {', '.join([*SHOPS, 'demo'])}")
    for shop in shops:
        began = time.monotonic()
        if shop == "demo":
            found = generated(chosen.out / "demo", chosen.tasks)
        elif (chosen.data / shop).is_dir():
            training = {
                name: value for name in ("steps", "rows") if (value := getattr(chosen, name)) is not None
            }
            place = chosen.out / shop
            found = frozen(shop, chosen.data / shop, place, chosen.reviews, chosen.tasks, **training)
        else:
            sys.stderr.write(f"{shop}: {chosen.data / shop} is absent; left out\n")
            continue
        found["tasks"] = {name: _summed_up(of) for name, of in found["tasks"].items()}
        figures[shop] = found | {"seconds": round(time.monotonic() - began, 1)}
    if not figures:
        sys.exit("Nothing was measured: no shop's files are there.")
    table = markdown(figures)
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "tasks.md").write_text(table)
    told = json.dumps(_as_json(figures) | {"commit": commit()})
    (chosen.out / "tasks.json").write_text(told)
    sys.stderr.write(table)
    sys.stdout.write(told + "\n")


def _as_json(figures: dict[str, Any]) -> dict[str, Any]:
    tasks = {f"{shop}/{task}": of for shop, found in figures.items() for task, of in found["tasks"].items()}
    shops = {
        shop: {name: of for name, of in found.items() if name != "tasks"} for shop, found in figures.items()
    }
    return {"tasks": tasks, "shops": shops}


def _summed_up(of: dict[str, Any]) -> dict[str, Any]:
    """The task's own figures first, then all systems."""
    ours = of["multi_task"] if "multi_task" in of else of["untrained"]
    return {
        "metric": of["metric"],
        "value": {name: ours[name].get(of["metric"]) for name in ("all", "new")},
        "baseline_value": {name: of["baseline"][name].get(of["metric"]) for name in ("all", "new")},
        "seconds": round(sum(of["seconds"].values()), 1),
        "systems": {name: value for name, value in of.items() if name not in ("metric", "seconds")},
    }


def generated(folder: Path, wanted: str = "") -> dict[str, Any]:
    """Per task the figures of all systems; of all retrains recalls, verdict and seconds. wanted: tasks."""
    from components.data.configuration import load_task
    from components.data.demo_shop import TRUTH, generate

    root = folder / "shop"
    if not (root / TRUTH).is_file():
        generate(root)
    names = [name for name in TASKS if not wanted or name in wanted.split(",")]
    alone = [load_task(name).model_dump(mode="json") | {"weight": 0.0} for name in names]
    runs = {
        "multi_task": _retrained(folder, root, "multi_task", names),
        "contrastive": _retrained(folder, root, "contrastive", alone),
    }
    if not wanted:
        of_items = [name for name in TASKS if not name.startswith("query_")]
        runs["without_query_tasks"] = _retrained(folder, root, "without_query_tasks", of_items)
    seconds = _seconds(folder / "multi_task" / "demo", runs["multi_task"], names)
    tasks = {}
    for name, of in runs["multi_task"]["tasks"].items():
        tasks[name] = {
            "metric": load_task(name).measured[0],
            "multi_task": of["challenger"],
            "contrastive": runs["contrastive"]["tasks"][name]["challenger"],
            "untrained": of["champion"],
            "baseline": of["baseline"],
            "constant": of["constant"],
            "seconds": {system: of_system[name] for system, of_system in seconds.items()},
        }
        if load_task(name).head == "nearest":
            run = folder / "multi_task" / "demo" / "runs" / runs["multi_task"]["run_id"]
            tasks[name]["risk_coverage"] = _risk_coverage(run / "scorecards" / "challenger", name)
    return {"tasks": tasks, "retrieval": {name: _retrieval(run) for name, run in runs.items()}}


def _seconds(workspace: Path, result: dict[str, Any], names: list[str]) -> dict[str, dict[str, float]]:
    """By system and task: a head and its answers again, on the encoder that the retrain left."""
    from tasks_frozen import Kept, timed, timed_baselines

    from components.data.configuration import load_task
    from components.encoder.transformer import TransformerEncoder
    from components.index.retrieval import ENCODER

    tasks = [load_task(name) for name in names]
    # An earlier run may have left rows of other tasks, or of other code, which are the same rows.
    stages = workspace.glob("stages/tasks-*")
    rows = next(stage for stage in stages if {of.name for of in stage.iterdir() if of.is_dir()} == {*names})
    candidate = workspace / "candidates" / result["challenger_digest"]
    encoder = Kept(TransformerEncoder.load_saved(candidate / ENCODER))
    with tempfile.TemporaryDirectory() as out:
        _, _, ours = timed(tasks, rows, encoder, Path(out))
    return {"multi_task": ours, "baseline": timed_baselines(tasks, rows)[1]}


def _retrained(folder: Path, root: Path, name: str, tasks: list[Any]) -> dict[str, Any]:
    """The result of one `debut retrain`, a process of its own."""
    from importlib import resources

    example = resources.files("components.data") / "examples" / "demo.yaml"
    config = folder / f"{name}.yaml"
    config.write_text(yaml.safe_dump(yaml.safe_load(example.read_text()) | {"tasks": tasks}))
    command = [sys.executable, "-c", "from flows.cli import main; main()", "retrain", "--config", str(config)]
    command += ["--root", str(root), "--workspace", str(folder / name), "--json"]
    names = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    done = subprocess.run(command, env=names, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _risk_coverage(scorecard: Path, task: str) -> list[tuple[float, float]]:
    """(coverage, risk) of the answers to the test rows, the surest first."""
    import polars as pl

    from components.evaluation.risk_coverage import risk_at_coverage

    risk = risk_at_coverage(pl.read_parquet(scorecard / f"task-{task}.parquet"))
    assert risk is not None
    return [((place + 1) / len(risk), float(one)) for place, one in enumerate(risk)]


def _retrieval(result: dict[str, Any]) -> dict[str, Any]:
    systems = ("challenger", "champion", "bm25")
    recalls = {s: {name: result[s][name]["recall@10"] for name in RECALLS} for s in systems}
    return recalls | {name: result[name] for name in ("verdict", "sentence", "seconds")}


def markdown(figures: dict[str, Any]) -> str:
    """A line per shop, task, metric and population, its systems in columns."""
    names = (
        *("multi_task", "multi_task_vectors_alone", "contrastive"),
        *("untrained", "untrained_vectors_alone", "baseline", "constant"),
    )
    lines = [f"| shop | task | metric | rows of | n | {' | '.join(names)} |", "|---" * (5 + len(names)) + "|"]
    for shop, found in figures.items():
        for task, systems in found["tasks"].items():
            of = systems["systems"]
            others = {metric for one in names if one in of for metric in of[one]["all"]}
            metrics = [systems["metric"], *sorted(others - {systems["metric"], "rows"})]
            for metric, population in product(metrics, ("new", "all")):
                values = [of.get(name, {}).get(population, {}).get(metric) for name in names]
                cells = ["–" if value is None else f"{value:.3f}" for value in values]
                rows = of["baseline"][population]["rows"]
                lines.append(f"| {shop} | {task} | {metric} | {population} | {rows} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
