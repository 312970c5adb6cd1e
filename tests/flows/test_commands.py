"""The commands around a retrain: status, promote, rollback, the decision log, the quarantine, exit codes."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from mlflow import MlflowClient

from components.contract.errors import StorageError


@pytest.fixture
def refused(finished: Any) -> str:
    """D of the candidate that the finished run refused."""
    digest: str = finished[1].json["challenger_digest"]
    return digest


@pytest.fixture
def baseline(finished: Any) -> str:
    digest: str = finished[1].json["champion_digest"]
    return digest


def alias(shop: Any, name: str) -> str:
    uri = f"sqlite:///{shop.workspace / 'mlflow.db'}"
    digest: str = MlflowClient(uri, uri).get_model_version_by_alias("tiny", name).tags["digest"]
    return digest


def test_status_shows_who_serves(retrained: Any, debut: Any, baseline: str, refused: str) -> None:
    """In words, and with --json as one object with the last decision."""
    shown = debut("status", *retrained.arguments)
    assert shown.code == 0
    assert baseline in shown.out and refused in shown.out
    found = debut("status", *retrained.arguments, "--json").json
    assert (found["champion"], found["challenger"], found["previous"]) == (baseline, refused, None)
    assert found["records"] == 2
    assert found["last_record"]["kind"] == "inconclusive"
    [decided] = [line for line in shown.out.splitlines() if "last decision" in line]
    assert f"inconclusive of {refused[:12]}: {found['last_record']['reason']}" in decided
    [place] = [line for line in shown.out.splitlines() if line.strip().startswith("workspace")]
    assert str(retrained.workspace) in place and found["workspace"] == str(retrained.workspace)


def test_commands_that_only_look_make_no_folder(tiny_shop: Any, debut: Any) -> None:
    """A workspace that is not there – mistyped, perhaps – is not made by looking at it."""
    assert debut("status", *tiny_shop.arguments).code == 0
    verified = debut("decisions", "verify", *tiny_shop.arguments)
    assert verified.code == 1 and str(tiny_shop.workspace) in verified.sentence
    assert "holds no decision, so there is nothing to verify" in verified.sentence
    assert debut("quarantine", "list", *tiny_shop.arguments).sentence.endswith(
        "is missing: run `debut check` or `debut retrain` first."
    )
    assert not tiny_shop.workspace.parent.exists()


def test_a_refused_candidate_is_not_promoted_without_an_override(
    retrained: Any, debut: Any, refused: str
) -> None:
    """The sentence names the verdict and the gate that stopped it; nothing is recorded."""
    outcome = debut("promote", refused[:8], *retrained.arguments)
    assert outcome.code == 1
    assert outcome.sentence == (
        "The gate report does not allow a promotion: it says INCONCLUSIVE and its gate new/recall@10 did not "
        "pass. Only an override, with a reason and a role, promotes against it."
    )
    assert retrained.decisions() == ["000001.json", "000002.json"]


@pytest.mark.parametrize("given", [[], ["--reason", "it is better"], ["--role", "head of search"]])
def test_an_override_needs_reason_and_role(
    retrained: Any, debut: Any, refused: str, given: list[str]
) -> None:
    """Without both nothing is recorded."""
    outcome = debut("promote", refused[:8], *retrained.arguments, "--override", *given)
    assert outcome.code == 1
    assert outcome.sentence.startswith("An override needs a reason and the role")
    assert len(retrained.decisions()) == 2


def test_override_and_rollback_are_recorded_and_mirrored(
    retrained: Any, debut: Any, refused: str, baseline: str
) -> None:
    """An override makes the refused candidate the champion, a rollback the earlier one again; MLflow's
    aliases follow, and reasons may hold any sign."""
    reason = "[bold]seen[/] by hand [/x]"
    given = ["--override", "--reason", reason, "--role", "head of search"]
    promoted = debut("promote", refused[:8], *retrained.arguments, *given)
    assert promoted.code == 0, promoted.err
    assert reason in promoted.out
    record = json.loads((retrained.workspace / "decisions" / "000003.json").read_text())
    assert (record["kind"], record["release"], record["reason"]) == ("override", refused, reason)
    assert record["actor"] == "tester (head of search)"
    assert (alias(retrained, "champion"), alias(retrained, "previous")) == (refused, baseline)

    assert "already" in debut("promote", refused[:8], *retrained.arguments, *given).sentence

    rolled = debut("rollback", *retrained.arguments, "--reason", "customers complain")
    assert rolled.code == 0, rolled.err
    assert alias(retrained, "champion") == baseline
    assert "4 records, none changed or missing" in debut("decisions", "verify", *retrained.arguments).out


def test_a_rollback_needs_a_reason_and_an_earlier_champion(retrained: Any, debut: Any) -> None:
    """Each is refused with its own sentence."""
    assert debut("rollback", *retrained.arguments).sentence.startswith("A rollback needs a reason")
    nowhere = debut("rollback", *retrained.arguments, "--reason", "complaints")
    assert nowhere.sentence == "There is no earlier champion to roll back to; see `debut status`."
    assert len(retrained.decisions()) == 2


def test_an_unknown_candidate_is_named_with_those_there_are(retrained: Any, debut: Any, refused: str) -> None:
    """A digest that fits none, and an empty one, promote nothing."""
    for given in ("ffff0000", ""):
        outcome = debut("promote", given, *retrained.arguments)
        assert outcome.code == 1
        assert repr(given) in outcome.sentence and refused[:12] in outcome.sentence


def test_a_damaged_candidate_is_not_promoted(retrained: Any, debut: Any, refused: str) -> None:
    """A file that is not what the digest says stops even an override, and is named."""
    weights = retrained.workspace / "candidates" / refused / "encoder" / "model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    given = ["--override", "--reason", "please", "--role", "boss"]
    outcome = debut("promote", refused[:8], *retrained.arguments, *given)
    assert outcome.code == 1
    assert outcome.sentence.startswith(f"{weights} was changed after the candidate was built")
    assert len(retrained.decisions()) == 2


def test_a_changed_record_is_found_and_named(retrained: Any, debut: Any) -> None:
    """`decisions verify` ends with 1 and the record's name; and nothing is promoted on top of it."""
    record = retrained.workspace / "decisions" / "000001.json"
    record.write_text(record.read_text().replace("tester", "nobody"))
    verified = debut("decisions", "verify", *retrained.arguments)
    assert verified.code == 1
    assert "000001.json" in verified.sentence
    assert debut("rollback", *retrained.arguments, "--reason", "complaints").code == 1
    assert len(retrained.decisions()) == 2


def test_a_lost_value_is_not_shown_as_none(retrained: Any, debut: Any) -> None:
    """Whether it was empty or unreadable, the row does not tell; its type is named."""
    from components.quality import quarantine
    from flows.shop import open_shop

    folder = open_shop(str(retrained.config), None, str(retrained.workspace.parent)).newest_check()
    rows = quarantine.read(folder).with_columns(column=pl.Series(["title", "price", "listed_at"]), value=None)
    rows.cast(quarantine.QUARANTINE_SCHEMA).write_parquet(folder / quarantine.FILE)
    listed = debut("quarantine", "list", *retrained.arguments).out
    assert "None" not in listed
    assert all(f"empty, or not readable as a {kind}" in listed for kind in ("number", "timestamp"))


def test_quarantine_lists_every_bad_row_with_its_key(retrained: Any, debut: Any) -> None:
    """Table, file, row, column, value and expectation; a long value is cut, and the table fits 80 columns."""
    listed = debut("quarantine", "list", *retrained.arguments).out
    for row, value, expectation in (
        (122, "i007", "item_id occurs once"),
        (123, "NaN", "price is a number (not NaN or infinite)"),
        (124, "oak oak", "title is at most 2,000 characters"),
    ):
        [line] = [line for line in listed.splitlines() if f" {row} " in line]
        assert "items.csv" in line and value in line and expectation in line
    assert len(listed) < 3_000
    assert debut("quarantine", "list", *retrained.arguments, "--table", "events").out == (
        "No row is in quarantine.\n"
    )
    unknown = debut("quarantine", "list", *retrained.arguments, "--table", "itmes")
    assert unknown.sentence.startswith("--table itmes: there is no such table; use one of items, events")


def test_quarantine_goes_out_and_corrected_rows_come_back(retrained: Any, debut: Any, tmp_path: Path) -> None:
    """Export, correct one cell, replay: that row is taken, the others are refused with their reasons, the act
    is in the decision log, and the next run is something new."""
    from flows.fingerprint import run_fingerprint
    from flows.shop import open_shop

    exported = tmp_path / "bad.csv"
    assert "3 rows written" in debut("quarantine", "list", *retrained.arguments, "--export", exported).out
    rows = pl.read_csv(exported, infer_schema=False)
    price = pl.when(pl.col("item_id") == "bad1").then(pl.lit("12.5")).otherwise("price").alias("price")
    rows.with_columns(price).write_csv(exported)
    replayed = debut("quarantine", "replay", exported, *retrained.arguments)
    assert replayed.code == 0, replayed.err
    assert "1 row is part of the data from the next run on" in replayed.out
    assert replayed.out.count("refused") == 2
    record = json.loads((retrained.workspace / "decisions" / "000003.json").read_text())
    assert (record["kind"], record["actor"]) == ("replay", "tester")
    assert "1 items" in record["reason"]
    shop = open_shop(str(retrained.config), None, str(retrained.workspace.parent))
    assert list(run_fingerprint(shop)["replayed"]) == ["items.parquet"]


def test_nothing_is_replayed_while_a_retrain_runs_or_without_a_record(
    retrained: Any, debut: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The retrain read another state of the rows; and rows that no record names would count all the same."""
    from flows.lease import retrain_lease
    from flows.quarantine import replay_rows
    from flows.shop import Shop, open_shop

    class Unreachable:
        def append(self, *_: object, **__: object) -> None:
            raise StorageError("s3://bucket/decisions: cannot be reached.")

    exported = tmp_path / "bad.csv"
    debut("quarantine", "list", *retrained.arguments, "--export", exported)
    rows = pl.read_csv(exported, infer_schema=False)
    price = pl.when(pl.col("item_id") == "bad1").then(pl.lit("12.5")).otherwise("price").alias("price")
    rows.with_columns(price).write_csv(exported)
    shop = open_shop(str(retrained.config), None, str(retrained.workspace.parent))
    with retrain_lease(shop, "run-1"):
        outcome = debut("quarantine", "replay", exported, *retrained.arguments)
    assert outcome.code == 1 and "A retrain of tiny runs (run run-1" in outcome.sentence
    monkeypatch.setattr(Shop, "decision_log", lambda _: Unreachable())
    with pytest.raises(StorageError):
        replay_rows(shop, exported, "tester")
    assert not (shop.workspace / "replayed").exists()


@pytest.mark.parametrize(("verdict", "required"), [("PROMOTE", 0), ("REJECT", 3), ("INCONCLUSIVE", 4)])
def test_exit_codes_tell_the_verdict_only_where_asked(
    retrained: Any, debut: Any, monkeypatch: pytest.MonkeyPatch, verdict: str, required: int
) -> None:
    """0 for any verdict; with --require-promote 3 for REJECT and 4 for INCONCLUSIVE."""
    known = {"run_id": "r", "verdict": verdict}
    monkeypatch.setattr("flows.fingerprint.last_result", lambda *_: known)
    assert debut("retrain", *retrained.arguments).code == 0
    outcome = debut("retrain", *retrained.arguments, "--require-promote", "--json")
    assert outcome.code == required
    assert outcome.json == known


@pytest.mark.parametrize(
    "arguments", [["retrain", "--confg", "x"], ["nonsense"], ["promote"], ["quarantine", "replay"]]
)
def test_wrong_usage_ends_with_2(debut: Any, arguments: list[str]) -> None:
    """An unknown option or command and a missing argument are usage errors, told without traceback."""
    outcome = debut(*arguments)
    assert outcome.code == 2
    assert "Error" in outcome.err and "Traceback" not in outcome.err


def test_a_new_key_is_all_that_stdout_holds(tiny_shop: Any, debut: Any) -> None:
    """A script reads it there; a person is told on stderr that it is shown once."""
    outcome = debut("keys", "add", "shop-backend", "--role", "write", *tiny_shop.arguments)
    assert outcome.code == 0
    [key] = outcome.out.splitlines()
    assert key.startswith("debut_")
    assert outcome.sentence == "The key of shop-backend, role write, is shown this once:"


def test_debug_shows_the_traceback(tiny_shop: Any, debut: Any) -> None:
    """--debug lets the error through, wherever it stands on the line."""
    from components.contract.errors import ConfigError

    with pytest.raises(ConfigError):
        debut("--debug", "status", "--config", tiny_shop.folder / "nothing.yaml")
    with pytest.raises(ConfigError):
        debut("status", "--config", tiny_shop.folder / "nothing.yaml", "--debug")
