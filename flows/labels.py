"""`debut label`: which pairs a person should judge next, and taking the answers in."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from components.contract.errors import ConfigError, JudgeError
from components.contract.files import write_bytes
from components.contract.records import GateReport
from components.contract.spreadsheets import guarded
from components.evaluation.scorecard import Scorecard
from components.gate.labelling import Labelling, next_pairs
from components.release import candidate as candidates
from components.release.judging import POOL
from components.split.labels import read_answers, store, stored
from flows.fingerprint import LATEST
from flows.lease import retrain_lease
from flows.shop import Shop
from flows.undiscoverable import split_of

ANSWER_COLUMNS = ("query", "item_id", "title", "grade", "probability", "moves", "narrows", "shown_by")


@dataclass(frozen=True)
class Imported:
    answers: int
    blank: int
    relevant: int
    labels: int
    """All that the shop has now."""


def next_labels(shop: Shop, count: int) -> tuple[Labelling, GateReport]:
    """The pairs to judge next by the newest retrain, and its gate report.

    Raises JudgeError where there was none, its verdict needs no labels, or it was judged on users."""
    run = _newest_run(shop)
    report = GateReport.model_validate_json((run / "gate_report.json").read_bytes())
    cards = [Scorecard.read(run / "scorecards" / name) for name in ("challenger", "champion")]
    if not (run / POOL).is_file():
        if report.verdict == "PROMOTE":
            why = "promoted its challenger, so no judgement is waited for"
        elif cards[0].primary == "recommendation":
            why = "was judged on users, whose taste no third person can judge"
        else:
            why = "kept no pool of pairs: run `debut retrain --force` once"
        raise JudgeError(f"The newest retrain ({run.name}) {why}.")
    pool = pl.read_parquet(run / POOL)
    answered = stored(shop.labels).select("request_id", "item_id")  # since, or in the pool as judged
    waiting = pool.get_column("relevant").is_null()
    pool = pl.concat(
        [pool.filter(~waiting), pool.filter(waiting).join(answered, on=answered.columns, how="anti")]
    )
    return next_pairs(pool, cards[0], cards[1], count, shop.settings.gate.confidence), report


def export_pairs(pairs: pl.DataFrame, path: Path) -> int:
    """A CSV whose empty column `grade` a person fills in. Raises ConfigError where its folder is missing."""
    if not path.parent.is_dir():
        raise ConfigError(f"{path}: there is no folder {path.parent}; make it, or name another place.")
    rows = pairs.with_columns(grade=pl.lit(None, dtype=pl.String)).select(ANSWER_COLUMNS)
    texts = [name for name, kind in rows.schema.items() if kind == pl.String]
    rows = rows.with_columns(guarded(pl.col(name)).alias(name) for name in texts)
    # The mark at the start tells spreadsheets that the file is UTF-8.
    write_bytes(path, rows.write_csv(include_bom=True, float_precision=4).encode())
    return len(rows)


def import_answers(shop: Shop, path: Path, actor: str) -> Imported:
    """Takes a file of answers in, all or nothing, and records it in the decision log. Raises DataError for a
    bad row, OrchestrationError while a retrain runs."""
    run = _newest_run(shop)
    report = GateReport.model_validate_json((run / "gate_report.json").read_bytes())
    fingerprint = candidates.load_fingerprint(shop.candidates / report.challenger_digest)
    split, settings = split_of(shop, fingerprint.data_digest), shop.settings
    answers = read_answers(path, split, settings.quality)
    relevant = int((answers.rows.get_column("grade") >= settings.split.relevant_grade).sum())
    count = len(answers.rows)
    if not count:
        return Imported(0, answers.blank, 0, 0)
    with retrain_lease(shop, None, "label import"):  # a running judge reads one state of the labels
        # The record first: one without labels does no harm, but labels without a record would.
        shop.decision_log().append(
            "labels",
            release=None,
            actor=actor,
            reason=f"Judgements of test queries from {path.name}: {count}, {relevant} of them relevant",
        )
        labels = store(answers, shop.labels)
    return Imported(count, answers.blank, relevant, labels)


def as_json(found: Labelling, report: GateReport) -> dict[str, Any]:
    return {
        "verdict": report.verdict,
        "unjudged": found.unjudged,
        "calibrated": found.calibrated,
        "narrowing": [vars(one) for one in found.narrowing],
        "pairs": found.pairs.to_dicts(),
    }


def _newest_run(shop: Shop) -> Path:
    path = shop.runs / LATEST
    if not path.is_file():
        raise JudgeError(f"{path} is missing: run `debut retrain` first; labels are about what it judged.")
    return shop.runs / str(json.loads(path.read_text())["result"]["run_id"])
