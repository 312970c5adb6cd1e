"""`debut label`: from a verdict that is not settled to one that people's judgements settle."""

import json
from typing import Any

import polars as pl
import pytest
import yaml

from components.contract.errors import StorageError
from components.split.labels import stored

JUDGEMENTS_SQL = "SELECT query, sku AS item_id, grade FROM judged"


def relevant(query: str, title: str) -> bool:
    return set(query.split()) <= set(title.split())


@pytest.fixture
def judged_shop(tiny_shop: Any) -> Any:
    """The tiny shop with judged queries instead of events. For most, people judged items that are not new, so
    that only seven of the test queries have a relevant new item."""
    items = pl.read_csv(tiny_shop.folder / "items.csv", infer_schema=False).head(120)
    new = set(items["sku"].sort().tail(24))
    titles = dict(items.select("sku", "name").rows())
    queries = sorted({f"{word} {name.split()[2]}" for name in titles.values() for word in name.split()[:2]})
    rows = []
    for number, query in enumerate(queries):
        for sku, title in titles.items():
            if relevant(query, title) and (sku not in new or number % 5 == 0):
                rows.append((query, sku, 3))
        rows.append((query, next(sku for sku, title in titles.items() if not relevant(query, title)), 0))
    pl.DataFrame(rows, ["query", "sku", "grade"], orient="row").write_csv(tiny_shop.folder / "judged.csv")
    settings = yaml.safe_load(tiny_shop.config.read_text())
    tiny_shop.configure(
        sources={"feed": settings["sources"]["feed"], "judged": {"path": "judged.csv"}},
        tables={"items": settings["tables"]["items"], "judgements": JUDGEMENTS_SQL},
        split={"test_queries": 45, "validation_queries": 10, "relevant_grade": 2.0, "positive_grade": 2.0},
        gate={"resamples": 500, "min_queries": 9},
        retrieval={"lexical_weight": 0.0, "inference": "torch"},
    )
    return tiny_shop


def test_imported_answers_settle_what_was_inconclusive(judged_shop: Any, connected: Any) -> None:
    """The pairs asked for first are of queries that do not count yet; with the answers the same candidate is
    judged again, by more queries, nothing is trained again, and the verdict is another one."""
    shop = judged_shop
    outcome = connected("retrain", *shop.arguments, "--json")
    assert outcome.code == 0, outcome.err
    before = outcome.json
    assert before["verdict"] == "INCONCLUSIVE"
    assert before["challenger"]["new"]["requests"] < 9

    export = shop.folder / "pairs.csv"
    listed = connected("label", "next", *shop.arguments, "--count", "200", "--export", export, "--json")
    assert listed.code == 0, listed.err
    told = listed.json
    assert told["verdict"] == "INCONCLUSIVE" and len(told["pairs"]) == min(200, told["unjudged"])
    [new, _] = told["narrowing"]
    assert (
        new["half_width_after"] < new["half_width"]
        and new["requests"] == before["challenger"]["new"]["requests"]
    )
    assert "expected" not in listed.err and str(export) in listed.err

    pairs = pl.read_csv(export, infer_schema=False)
    grades = [str(3 * relevant(query, title)) for query, title in pairs.select("query", "title").rows()]
    answers = shop.folder / "answers.csv"
    pairs.with_columns(grade=pl.Series(grades)).write_csv(answers)
    taken = connected("label", "import", answers, *shop.arguments)
    assert taken.code == 0, taken.err
    assert f"{len(pairs)} taken in, {grades.count('3')} of them relevant" in taken.out
    record = json.loads((shop.workspace / "decisions" / shop.decisions()[-1]).read_text())
    assert record["kind"] == "labels" and f"answers.csv: {len(pairs)}" in record["reason"]

    waiting = connected("label", "next", *shop.arguments, "--json").json["pairs"]
    answered = set(pairs.select("query", "item_id").rows())
    assert not answered & {(pair["query"], pair["item_id"]) for pair in waiting}

    trained = {path.name for path in (shop.workspace / "stages").glob("train-*")}
    after = connected("retrain", *shop.arguments, "--json").json
    assert after["challenger"]["new"]["requests"] >= 9
    # So many queries show that BM25 is above the tiny encoder.
    assert after["verdict"] == "REJECT", after["sentence"]
    assert after["challenger_digest"] == before["challenger_digest"]
    assert before["own_judgements"] is None
    assert after["own_judgements"] == {"imported": len(pairs), "judged": len(pairs)}
    report = (shop.workspace / "runs" / after["run_id"] / "gate_report.md").read_text()
    assert f"{len(pairs)} are of this test's requests" in report
    assert {path.name for path in (shop.workspace / "stages").glob("train-*")} == trained

    asked = connected("label", "next", *shop.arguments, "--json").json["pairs"]
    known = set(pairs.select("query", "item_id").rows())
    assert not known & {(pair["query"], pair["item_id"]) for pair in asked}


def test_answers_that_cannot_be_recorded_are_not_taken_in(retrained: Any, monkeypatch: Any) -> None:
    """A judgement that no record names would count all the same."""
    from flows.labels import import_answers, next_labels
    from flows.shop import Shop, open_shop

    class Unreachable:
        def append(self, *_: object, **__: object) -> None:
            raise StorageError("s3://bucket/decisions: cannot be reached.")

    shop = open_shop(str(retrained.config), None, str(retrained.workspace.parent))
    found, _ = next_labels(shop, 1)
    file = retrained.folder / "answers.csv"
    found.pairs.select("query", "item_id", grade=pl.lit(1)).write_csv(file)
    monkeypatch.setattr(Shop, "decision_log", lambda _: Unreachable())
    with pytest.raises(StorageError):
        import_answers(shop, file, "tester")
    assert stored(shop.labels).is_empty()


def test_answers_are_refused_before_a_run_and_while_one_runs(retrained: Any, debut: Any) -> None:
    """And a shop that was judged on users has no question for a third person."""
    file = retrained.folder / "answers.csv"
    file.write_text("query,item_id,grade\n")
    empty = debut("label", "import", file, *retrained.arguments)
    assert empty.code == 0 and "No row has a grade" in empty.out
    pair = debut("label", "next", *retrained.arguments, "--count", "1", "--json").json["pairs"][0]
    file.write_text(f"query,item_id,grade\n{pair['query']},{pair['item_id']},1\n")
    from flows.lease import retrain_lease
    from flows.shop import open_shop

    shop = open_shop(str(retrained.config), None, str(retrained.workspace.parent))
    with retrain_lease(shop, "20990101-000000-other"):
        refused = debut("label", "import", file, *retrained.arguments)
    assert refused.code == 1 and "A retrain of" in refused.sentence and stored(shop.labels).is_empty()
    nowhere = retrained.folder / "absent" / "pairs.csv"
    assert "there is no folder" in debut("label", "next", *retrained.arguments, "--export", nowhere).sentence
    (pool,) = shop.runs.glob("*/pool.parquet")
    pool.unlink()
    assert "kept no pool" in debut("label", "next", *retrained.arguments).sentence
    card = pool.parent / "scorecards" / "challenger" / "scorecard.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"primary": "recommendation"}))
    assert "judged on users" in debut("label", "next", *retrained.arguments).sentence
    (shop.runs / "latest.json").unlink()
    for command in (("next",), ("import", file)):
        refused = debut("label", *command, *retrained.arguments)
        assert refused.code == 1 and "run `debut retrain` first" in refused.sentence
