"""The brand that a query implies, on judged search: recall with and without it, one JSON object.

    python tests/benchmarks/understanding_brands.py --workspace .debut/home_depot

Workspace: of a finished `debut retrain --config home_depot`; its newest trained candidate is judged.
home_depot's file names no brand, so a title's first word is taken for one where at least --items titles begin
with it. Rows, head, weight and measures are the product's own: the head learns from training queries, the
weight is chosen on validation, the test is judged twice. The intervals are the gate's.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workspace", type=Path, required=True, help="of a finished retrain")
    parser.add_argument("--items", type=int, default=150, help="titles that a brand's name begins")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="debut-") as scratch:
        found = measured(chosen.workspace.resolve(), chosen.items, Path(scratch))
    sys.stdout.write(json.dumps(found) + "\n")


def measured(workspace: Path, fewest: int, scratch: Path) -> dict[str, Any]:
    from components.data.configuration import load_settings, load_task
    from components.index.retrieval import read_plan
    from components.release.heads import fit_release_heads
    from components.release.plan import weigh_implied
    from components.tasks.rows import write_rows

    settings, _ = load_settings("home_depot")
    task = load_task("query_brand")
    settings = settings.model_copy(update={"tasks": (task,)})
    candidate = _trained(workspace)
    stages = workspace / "stages"
    split = _branded(next(stages.glob("split-*")), scratch / "split", fewest)
    checked = _branded(next(stages.glob("check-*")), scratch / "checked", fewest)
    (scratch / "rows").mkdir()
    data = write_rows([task], checked, split, scratch / "rows", settings.split.relevant_grade)
    plan, encoder, graph = read_plan(candidate), candidate / "encoder", candidate / "inference/encoder.onnx"
    fit_release_heads([task], scratch / "rows", encoder, graph, plan, scratch / "heads")
    index = candidate / "index"
    weighed = weigh_implied(plan, encoder, graph, index, split, scratch / "heads", settings)
    found = {"rows": data.counts[task.name], "weights": weighed.implied_weights}
    found |= _head(task, scratch, encoder, graph, plan)
    if weighed.implied_weights:
        found |= _judged(candidate, split, scratch / "heads", {"with": weighed, "without": plan}, settings)
    return found


def _trained(workspace: Path) -> Path:
    """Newest candidate that is not version 0."""
    from components.release.candidate import load_fingerprint

    folders = [path for path in (workspace / "candidates").iterdir() if not load_fingerprint(path).baseline]
    return max(folders, key=lambda path: path.stat().st_mtime)


def _branded(folder: Path, out: Path, fewest: int) -> Path:
    """The same folder, whose items have brands."""
    out.mkdir()
    for path in folder.iterdir():
        if path.name != "items.parquet":
            (out / path.name).symlink_to(path)
    word = pl.col("title").str.to_lowercase().str.split(" ").list.first()
    items = pl.read_parquet(folder / "items.parquet").with_columns(brand=word)
    often = pl.len().over("brand") >= fewest
    items.with_columns(brand=pl.when(often).then("brand")).write_parquet(out / "items.parquet")
    return out


def _head(task: Any, scratch: Path, encoder: Path, graph: Path, plan: Any) -> dict[str, Any]:
    """Accuracy on the test rows beside the constant answer's."""
    from components.evaluation.task_measures import measured as measures
    from components.index.retrieval import open_encoder
    from components.split.judged import JUDGE
    from components.tasks.baselines import constant_answer
    from components.tasks.heads import open_heads
    from components.tasks.judging import judge_heads
    from components.tasks.rows import read_rows

    opened = open_encoder(encoder, graph, plan)
    answers = judge_heads([task], scratch / "rows", opened, open_heads(scratch / "heads"))[task.name]
    constant = constant_answer(task, read_rows(scratch / "rows", task, "train", reader=JUDGE))
    simple = answers.with_columns(answer=pl.lit(constant), in_best=pl.col("target") == constant)
    return {"head": measures(task, answers), "constant": measures(task, simple)}


def _judged(
    candidate: Path, split: Path, heads: Path, plans: dict[str, Any], settings: Any
) -> dict[str, Any]:
    """Recalls with and without, paired differences with their intervals, and the median time of a search."""
    from dataclasses import replace

    from components.evaluation.judge import judge
    from components.evaluation.slices import trained_items
    from components.gate.comparison import Question, compare
    from components.index.live import LiveIndex
    from components.index.retrieval import item_fields, open_encoder, read_snapshot
    from components.split.judged import JUDGE, read_judged
    from components.tasks.heads import open_heads
    from components.understanding.understanding import Understanding

    catalogue = pl.read_parquet(split / "items.parquet")
    snapshot = replace(read_snapshot(candidate / "index"), items=catalogue)
    fields, known = item_fields(candidate / "encoder"), Understanding(open_heads(heads).values(), None)
    encoder = open_encoder(candidate / "encoder", candidate / "inference/encoder.onnx", plans["without"])
    judged = {"search": read_judged(split, "test", reader=JUDGE)["search"]}
    indexes = {
        how: LiveIndex(how, snapshot, encoder, plan, fields, understanding=known)
        for how, plan in plans.items()
    }
    cards = {
        how: judge(
            index,
            judged,
            catalogue,
            settings.judge,
            primary="search",
            digest=None,
            trained=trained_items(split),
            judged_until=None,
        )
        for how, index in indexes.items()
    }
    questions = {s: Question("search", f"{s}/recall@10") for s in ("new", "new_only", "established", "all")}
    answers = compare(questions.values(), cards["with"], cards["without"], None, settings.gate)
    recalls = {}
    for name, question in questions.items():
        answer = answers[question]
        low, high = np.percentile(answer.means, [2.5, 97.5])
        recalls[name] = {"with": answer.challenger, "without": answer.other, "low": low, "high": high}
        recalls[name] |= {"difference": answer.difference, "queries": answer.requests}
    times: dict[str, list[float]] = {how: [] for how in indexes}
    for request in judged["search"].requests[:200]:
        for how, index in indexes.items():
            began = time.perf_counter()
            index.search([request], 10)
            times[how].append(time.perf_counter() - began)
    milliseconds = {how: float(np.median(took)) * 1_000 for how, took in times.items()}
    return {"recall": recalls, "milliseconds": milliseconds}


if __name__ == "__main__":
    main()
