"""What a run leaves for people and machines: its result as JSON, and the fingerprint it belongs to."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from components.contract.files import write_json
from components.contract.records import Decision, GateReport
from components.contract.task import Task
from components.evaluation.scorecard import Scorecard
from components.evaluation.task_measures import measured
from flows.costs import cost_of_run
from flows.fingerprint import LATEST
from flows.run import Data, Run

SLICES = ("new", "new_only", "established", "all")


def figures(scorecard: Scorecard) -> dict[str, dict[str, float | int | None]]:
    """Plain means of the four main slices on the primary entrance, each with its number of requests."""
    summary = scorecard.summary()
    return {name: summary[name] for name in SLICES if name in summary}


def result_of(
    run: Run,
    data: Data,
    scorecards: dict[str, Scorecard],
    report: GateReport,
    decision: Decision | None,
    undiscoverable_items: dict[str, int],
    seconds: float,
) -> dict[str, Any]:
    """One JSON object with every figure; intervals are under `gates`; "decision" is null where the challenger
    waits for a review."""
    return verdict_of(scorecards, report) | {
        "tasks": task_figures(run.shop.settings.tasks, scorecards),
        "seconds": round(seconds, 1),
        "run_id": run.run_id,
        "shop": run.shop.settings.shop,
        "entrance": data.prepared.entrances[0],
        "challenger_digest": report.challenger_digest,
        "champion_digest": report.champion_digest,
        "decision": decision.number if decision else None,
        "requested_by": run.requested_by,
        "because": run.because,
        "counts": data.prepared.counts,
        "rows": data.loaded.rows,
        "quarantined": data.checked.quarantined,
        "quarantine_reasons": data.checked.broken,
        "lost_items": data.lost_items,
        "undiscoverable_items": undiscoverable_items,
        "cost": cost.model_dump(mode="json") if (cost := cost_of_run(run, report)) else None,
        "bounds": {name: scorecards[name].bounds for name in ("challenger", "champion")},
    }


def verdict_of(scorecards: dict[str, Scorecard], report: GateReport) -> dict[str, Any]:
    """Figures of each system, the verdict and the gates."""
    return {
        **{name: figures(scorecard) for name, scorecard in scorecards.items()},
        "verdict": report.verdict,
        "sentence": report.sentence,
        "queries_needed": report.queries_needed,
        "own_judgements": report.own_judgements.model_dump() if report.own_judgements else None,
        "gates": [gate.model_dump(mode="json") for gate in report.gates],
    }


def task_figures(tasks: Sequence[Task], scorecards: dict[str, Scorecard]) -> dict[str, Any]:
    """Per task, system ("baseline": TF-IDF and a linear model; "constant": the most frequent class, the
    median) and population the metrics."""
    found: dict[str, Any] = {}
    for task in tasks:
        answers = {
            role: card.tasks[task.name] for role, card in scorecards.items() if task.name in card.tasks
        }
        simple = answers.pop("bm25")
        constant = simple.with_columns(
            answer=pl.col("constant"), in_best=pl.col("constant") == pl.col("target")
        )
        answers |= {"baseline": simple, "constant": constant}
        found[task.name] = {name: measured(task, frame) for name, frame in answers.items()}
    return found


def save_result(run: Run, result: dict[str, Any]) -> None:
    """Writes runs/<run_id>/result.json, then – last – which fingerprint it belongs to."""
    write_json(run.folder / "result.json", result)
    write_json(run.shop.runs / LATEST, {"fingerprint": run.fingerprint, "result": result})
