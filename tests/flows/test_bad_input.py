"""Bad input, each through the command line: one clear sentence, exit code 1, and nothing half-done."""

import errno
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

from components.contract.errors import DataError, StorageError
from components.contract.files import stage_folder

OK, FAILED = 0, 1


def items(shop: Any) -> Path:
    path: Path = shop.folder / "items.csv"
    return path


def refused(shop: Any, outcome: Any, *parts: str) -> None:
    """The command failed with one sentence that has all parts, and left nothing half-done."""
    assert outcome.code == FAILED
    assert "Traceback" not in outcome.err
    sentence = outcome.err.splitlines()[-1].removeprefix("error: ")
    for part in parts:
        assert part in sentence, sentence
    assert sentence.endswith((".", "?", ")"))
    assert shop.decisions() == []
    assert shop.left_over() == []
    assert not list(shop.workspace.glob("candidates/*"))


@pytest.fixture(scope="session")
def mlflow_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store that several shops share: making its tables takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


@pytest.mark.parametrize("command", ["retrain", "check"])
def test_a_missing_file_is_named_with_its_source(tiny_shop: Any, debut: Any, command: str) -> None:
    """Before anything is imported or written, Prefect's server started or its folder made."""
    items(tiny_shop).unlink()
    outcome = debut(command, *tiny_shop.arguments)
    refused(tiny_shop, outcome, "source feed", str(items(tiny_shop)), "no such file", "--root")
    assert not tiny_shop.workspace.exists()


def test_a_root_that_is_not_there_is_named(tiny_shop: Any, debut: Any, tmp_path: Path) -> None:
    """The path in the sentence is the one below the wrong --root."""
    root = tmp_path / "elsewhere"
    outcome = debut("retrain", *tiny_shop.arguments, "--root", root)
    refused(tiny_shop, outcome, str(root / "items.csv"), "give --root")


def test_an_unknown_key_is_named_with_its_line(tiny_shop: Any, debut: Any) -> None:
    """And with the key that was probably meant."""
    tiny_shop.config.write_text(tiny_shop.config.read_text().replace("max_epochs", "max_epoch"))
    line = 1 + tiny_shop.config.read_text().splitlines().index("  max_epoch: 1")
    outcome = debut("retrain", *tiny_shop.arguments)
    refused(
        tiny_shop, outcome, f"debut.yaml, line {line}: `training.max_epoch` is not a known key", "max_epochs"
    )


def test_an_unknown_example_is_answered_with_the_known_ones(tiny_shop: Any, debut: Any) -> None:
    """So is a debut.yaml that is not there, the default included."""
    outcome = debut("retrain", "--config", "home_depo")
    refused(tiny_shop, outcome, "home_depo: there is no such file, and no example of that name", "home_depot")


def test_an_unknown_encoder_is_named(tiny_shop: Any, debut: Any) -> None:
    """Neither a folder here nor on the hub, which no test asks."""
    tiny_shop.configure(encoder={"name": "nobody/nothing"})
    outcome = debut("retrain", *tiny_shop.arguments)
    refused(tiny_shop, outcome, "encoder.name 'nobody/nothing'", "Check the name")


def test_an_encoder_folder_without_weights_is_told_what_is_missing(
    tiny_shop: Any, tiny_encoder: Path, debut: Any, tmp_path: Path
) -> None:
    """A pickle in place of safetensors is not read."""
    folder = tmp_path / "encoder"
    shutil.copytree(tiny_encoder, folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    tiny_shop.configure(encoder={"name": str(folder)})
    outcome = debut("retrain", *tiny_shop.arguments)
    refused(tiny_shop, outcome, str(folder), "model.safetensors is missing", "safetensors only")


@pytest.mark.parametrize(
    ("training", "told"),
    [
        ({"frozen_layers": 2}, "training.frozen_layers: 2, but the encoder has 2 layers; leave at least one"),
        ({"matryoshka_dimensions": [32]}, "training.matryoshka_dimensions: 32 is not below the encoder's 32"),
    ],
)
def test_what_the_encoder_is_too_small_for_is_told_before_anything_is_computed(
    tiny_shop: Any, connected: Any, training: Any, told: str
) -> None:
    tiny_shop.configure(training=training)
    refused(tiny_shop, connected("retrain", *tiny_shop.arguments), told)
    assert not list(tiny_shop.workspace.glob("stages/*"))


def without_column(shop: Any) -> None:
    header, rows = items(shop).read_text().split("\n", 1)
    items(shop).write_text(header.replace("name", "titel") + "\n" + rows)


def misnamed_column(shop: Any) -> None:
    shop.configure(tables={"items": "SELECT sku AS id, name AS title FROM feed"})


def sql_error(shop: Any) -> None:
    shop.configure(tables={"items": "SELEC sku AS item_id FROM feed"})


def unknown_source(shop: Any) -> None:
    shop.configure(tables={"items": "SELECT sku AS item_id, name AS title FROM fed"})


def no_items(shop: Any) -> None:
    items(shop).write_text(items(shop).read_text().split("\n", 1)[0] + "\n")


def empty_file(shop: Any) -> None:
    items(shop).write_bytes(b"")


def undecodable(shop: Any) -> None:
    data = items(shop).read_bytes()
    items(shop).write_bytes(data[:200] + b"\xff" + data[200:])


def no_parquet(shop: Any) -> None:
    (shop.folder / "events.parquet").write_bytes(b"this is no Parquet")


def unreadable_number(shop: Any) -> None:
    shop.configure(tables={"items": "SELECT sku AS item_id, name AS title, 'x' || price AS price FROM feed"})


BAD_DATA: dict[str, tuple[Callable[[Any], None], list[str]]] = {
    "wrong column in the file": (without_column, ["tables.items", '"name" not found', "Correct the SELECT"]),
    "wrong column in the SELECT": (misnamed_column, ["tables.items: column item_id is missing"]),
    "SQL error": (sql_error, ["tables.items", '"SELEC"', "line 1 of the SQL", "Correct the SELECT"]),
    "unknown source": (unknown_source, ["tables.items", "fed", "sources are: feed, log"]),
    "no items": (no_items, ["items", "no row"]),
    "empty file": (empty_file, ["source feed (items.csv) has no header line"]),
    "undecodable bytes": (undecodable, ["items.csv", "0xff at offset 200", "sources.feed.encoding"]),
    "no Parquet": (no_parquet, ["source log (events.parquet) cannot be read", "sources.log.format"]),
    "a text that is no number": (unreadable_number, ["items", "price", "TRY_CAST"]),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_is_named_by_file_row_or_key(tiny_shop: Any, connected: Any, case: str) -> None:
    """Loading stops with the place and what to do; no stage folder stays behind."""
    damage, parts = BAD_DATA[case]
    damage(tiny_shop)
    refused(tiny_shop, connected("check", *tiny_shop.arguments), *parts)
    assert not list(tiny_shop.workspace.glob("stages/*"))


def test_in_a_process_of_its_own_the_sentence_stands_alone(
    tiny_shop: Any, debut_process: Any, prefect_url: str
) -> None:
    """No library adds a line to it, not even as the process ends."""
    sql_error(tiny_shop)
    outcome = debut_process("check", *tiny_shop.arguments, PREFECT_API_URL=prefect_url)
    refused(tiny_shop, outcome, "tables.items")
    assert len(outcome.err.splitlines()) == 1


def test_past_the_tolerance_the_run_stops_and_the_rows_can_be_seen(tiny_shop: Any, connected: Any) -> None:
    """Repeated ids, NaN prices and overlong titles are quarantined by row; more than the tolerance stop the
    run, and `quarantine list` still shows each with its key."""
    tiny_shop.configure(quality={"tolerance": 0.01})
    outcome = connected("check", *tiny_shop.arguments)
    refused(tiny_shop, outcome, "items: 3 of 123 rows (2.4 %) are in quarantine", "tolerance is 1.0 %",
            "debut quarantine list", "quality.table_tolerance.items")  # fmt: skip
    listed = connected("quarantine", "list", *tiny_shop.arguments)
    assert listed.code == OK
    assert all(f" {row} " in listed.out for row in (122, 123, 124))


def test_within_the_tolerance_the_check_goes_on(tiny_shop: Any, connected: Any) -> None:
    """`debut check` counts the rows and the reasons and says where the report is."""
    outcome = connected("check", *tiny_shop.arguments)
    assert outcome.code == OK, outcome.err
    assert "123 rows, 3 in quarantine" in outcome.out
    assert "quality.html" in outcome.out


def test_a_deleted_check_is_told_and_made_again_as_the_sentence_says(tiny_shop: Any, connected: Any) -> None:
    """The folder of stages may be deleted."""
    assert connected("check", *tiny_shop.arguments).code == OK
    shutil.rmtree(tiny_shop.workspace / "stages")
    told = connected("quarantine", "list", *tiny_shop.arguments)
    assert told.code == 1 and "is gone: run `debut check`" in told.sentence
    assert connected("check", *tiny_shop.arguments).code == OK
    assert connected("quarantine", "list", *tiny_shop.arguments).code == OK


def test_a_plain_select_names_the_files_rows_and_takes_corrections_once(
    tiny_shop: Any, connected: Any, tmp_path: Path
) -> None:
    """SQL without key columns, as the README writes it: the list shows the rows that a person counts, of two
    equal ids the later is bad, and a corrected row stands in its original's place."""
    sql = "SELECT sku AS item_id, name AS title, TRY_CAST(price AS DOUBLE) AS price FROM feed"
    tiny_shop.configure(tables={"items": sql})
    assert "123 rows, 3 in quarantine" in connected("check", *tiny_shop.arguments).out
    exported = tmp_path / "bad.csv"
    listed = connected("quarantine", "list", *tiny_shop.arguments, "--export", exported).out
    lines = items(tiny_shop).read_text().splitlines()
    for row, value in ((122, "a second i007"), (123, "bad1"), (124, "bad2")):
        assert value in lines[row - 1]
        assert f" {row} " in listed
    rows = pl.read_csv(exported, infer_schema=False)
    assert rows["title"][0] == "a second i007"
    own = pl.when(pl.col("item_id") == "i007").then(pl.lit("i999")).otherwise("item_id").alias("item_id")
    rows.with_columns(own).write_csv(exported)
    assert (
        "1 row is part of the data" in connected("quarantine", "replay", exported, *tiny_shop.arguments).out
    )
    again = connected("check", *tiny_shop.arguments)
    assert "123 rows, 1 corrected, 2 in quarantine" in again.out


def spreadsheet(shop: Any) -> None:
    items(shop).rename(shop.folder / "items.xlsx")
    shop.configure(sources={"feed": {"path": "items.xlsx"}, "log": {"path": "events.parquet"}})


def no_events(shop: Any) -> None:
    path = shop.folder / "events.parquet"
    pl.read_parquet(path).clear().write_parquet(path)


NO_USE: dict[str, tuple[Callable[[Any], None], list[str]]] = {
    "a spreadsheet": (spreadsheet, ["sources.feed", "items.xlsx", "save it as CSV or Parquet"]),
    "no events": (no_events, ["tables.events gives no row (events.parquet)", "more than a header"]),
}


@pytest.mark.parametrize("case", NO_USE)
def test_a_file_of_no_use_stops_the_check_already(tiny_shop: Any, connected: Any, case: str) -> None:
    damage, parts = NO_USE[case]
    damage(tiny_shop)
    refused(tiny_shop, connected("check", *tiny_shop.arguments), *parts)


def test_clicks_without_a_query_and_empty_tables_are_warned_of(tiny_shop: Any, connected: Any) -> None:
    """The check passes: purchases train and judge recommendation, and no review is needed."""
    reviews = "SELECT sku AS item_id, name AS text, 5 AS rating FROM feed WHERE false"
    events = "SELECT happened AS at, action AS kind, sku AS item_id, customer AS user_id FROM log"
    items_sql = "SELECT sku AS item_id, name AS title FROM feed LIMIT 120"
    tiny_shop.configure(tables={"items": items_sql, "events": events, "reviews": reviews})
    outcome = connected("check", *tiny_shop.arguments)
    assert outcome.code == OK, outcome.err
    assert "warning                tables.reviews gives no row (items.csv)" in outcome.out
    assert "search_clicks have no query: search is not trained or judged by them" in outcome.out


def no_new_items(shop: Any) -> None:
    """Everything listed before the log begins."""
    frame = pl.read_csv(items(shop), infer_schema=False).head(120)
    frame.with_columns(listed=pl.lit("2025-06-01")).write_csv(items(shop))


def one_query(shop: Any) -> None:
    """Judgements of a single query, by item."""
    sql = "SELECT 'red table' AS query, sku AS item_id, 1 AS grade FROM feed LIMIT 20"
    shop.configure(
        tables={"items": "SELECT sku AS item_id, name AS title FROM feed LIMIT 120", "judgements": sql}
    )


def a_short_log(shop: Any) -> None:
    """Two days: no room for a validation and a judge window."""
    path = shop.folder / "events.parquet"
    pl.read_parquet(path).head(48).write_parquet(path)


def no_judgements(shop: Any) -> None:
    shop.configure(tables={"items": "SELECT sku AS item_id, name AS title FROM feed LIMIT 120"})


UNJUDGEABLE: dict[str, tuple[Callable[[Any], None], list[str]]] = {
    "no new items": (no_new_items, ["items: none is new", "split.cutoff", "listed_at"]),
    "one query": (one_query, ["1 test and 0 validation queries", "Lower split.test_queries"]),
    "a short log": (a_short_log, ["events run from 2026-01-05 to 2026-01-06", "split.judge_window_days"]),
    "nothing that judges": (no_judgements, ["no events", "judgements"]),
}


@pytest.mark.parametrize("case", UNJUDGEABLE)
def test_what_cannot_be_judged_is_not_trained(
    tiny_shop: Any, connected: Any, mlflow_uri: str, case: str
) -> None:
    """The run stops at the split; MLflow keeps it as failed, with the sentence."""
    from mlflow import MlflowClient

    damage, parts = UNJUDGEABLE[case]
    tiny_shop.configure(tracking={"uri": mlflow_uri, "system_metrics": False, "experiment": case})
    damage(tiny_shop)
    outcome = connected("retrain", *tiny_shop.arguments)
    refused(tiny_shop, outcome, *parts)
    client = MlflowClient(mlflow_uri)
    [run] = client.search_runs([client.get_experiment_by_name(case).experiment_id])
    assert run.info.status == "FAILED"
    assert run.data.tags["error"] in outcome.err


@pytest.fixture
def vanishing(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """An S3 endpoint whose object is there when asked about, breaks off while read, and then is gone."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(200, 1_000, b"")

        def do_GET(self) -> None:
            first = "GET" not in asked
            self.answer(200 if first else 404, 1_000 if first else 0, b"sku,name\n" if first else b"")

        def answer(self, status: int, length: int, body: bytes) -> None:
            asked.append(self.command)
            self.send_response(status)
            self.send_header("content-length", str(length))
            self.send_header("etag", '"0123456789abcdef0123456789abcdef"')
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    yield asked
    server.shutdown()
    server.server_close()


def test_an_object_that_vanishes_while_it_is_read_is_named(
    tiny_shop: Any, connected: Any, vanishing: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence has the object's address; no stage folder is left."""
    from flows import data_stages

    monkeypatch.setattr(data_stages.load_data, "retry_delay_seconds", [0, 0])
    monkeypatch.setattr("components.data.s3.PAUSE_SECONDS", 0.001)
    tiny_shop.configure(
        sources={"feed": {"path": "s3://bucket/items.csv"}, "log": {"path": "events.parquet"}}
    )
    outcome = connected("check", *tiny_shop.arguments)
    refused(
        tiny_shop, outcome, "source feed: s3://bucket/items.csv: the object vanished while it was being read"
    )
    assert vanishing.count("GET") >= 2


def test_a_file_that_is_replaced_before_it_is_read_is_not_cached_as_the_old_one(
    tiny_shop: Any, tmp_path: Path
) -> None:
    """The run asked for a stage by digests; between then and now the export was written anew."""
    from flows.data_stages import load_data
    from flows.shop import open_shop

    shop = open_shop(str(tiny_shop.config), None, str(tmp_path))
    digests = shop.source_digests()
    feed = shop.root / shop.settings.sources["feed"].path
    feed.write_bytes(feed.read_bytes().replace(b"oak", b"ash"))
    with pytest.raises(DataError, match="source feed: the file changed after this run began; run again"):
        load_data.fn(shop.workspace / "stages/load-x", shop.settings, shop.root, shop.workspace, digests, {})
    assert not list(shop.workspace.glob("stages/load*"))


def test_rows_that_are_replayed_before_they_are_read_are_not_cached_as_none(
    tiny_shop: Any, tmp_path: Path
) -> None:
    """They came, or changed, after the run asked for the stage."""
    from components.data.sources import load
    from flows.data_stages import load_data
    from flows.fingerprint import run_fingerprint
    from flows.shop import open_shop

    shop = open_shop(str(tiny_shop.config), None, str(tmp_path))
    load(shop.settings, shop.root, shop.workspace, tmp_path / "loaded")
    asked = run_fingerprint(shop)
    rows = pl.read_parquet(tmp_path / "loaded" / "items.parquet").head(1)
    replayed = shop.workspace / "replayed" / "items.parquet"
    replayed.parent.mkdir()
    for changed in (rows, rows.with_columns(title=pl.lit("new"))):
        changed.write_parquet(replayed)
        given = (shop.settings, shop.root, shop.workspace, asked["data"], asked["replayed"])
        with pytest.raises(DataError, match="items: rows were replayed after this run began; run again"):
            load_data.fn(shop.workspace / "stages/load-x", *given)
        asked = run_fingerprint(shop)
    given = (shop.settings, shop.root, shop.workspace, asked["data"], asked["replayed"])
    assert load_data.fn(shop.workspace / "stages/load-x", *given).corrected == {"items": 1}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not permitted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_named_and_no_half_stage_stays(
    tiny_shop: Any, connected: Any, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage that does not fit is gone again, and its table is named."""
    from flows import data_stages

    monkeypatch.setattr(data_stages.load_data, "retry_delay_seconds", [0, 0])
    (small_disk / "filler").write_bytes(b"x" * 180_000)
    outcome = connected("check", "--config", tiny_shop.config, "--workspace", small_disk)
    assert outcome.code == FAILED
    assert "No space left on device" in outcome.err and "ree space" in outcome.err
    assert str(small_disk) in outcome.err and "Traceback" not in outcome.err
    assert not list(small_disk.glob("tiny/stages/*"))


def test_an_encoder_that_does_not_fit_is_told_in_a_sentence(small_disk: Path) -> None:
    """safetensors meets the full disk, and raises a class of its own."""
    with (
        pytest.raises(StorageError, match="base: No space left on device"),
        stage_folder(small_disk / "stages" / "base") as out,
    ):
        save_file({"weight": np.zeros(100_000, dtype=np.float32)}, out / "model.safetensors")
    assert not list(small_disk.glob("stages/*"))


def test_a_full_disk_outside_a_stage_is_told_in_a_sentence(
    tiny_shop: Any, debut: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect's or MLflow's database, or the temporary files: whatever class the library wraps it in."""

    def full(*_: Any) -> None:
        raise RuntimeError("(sqlite3.OperationalError) database or disk is full")

    monkeypatch.setattr("flows.shop.Shop.source_digests", full)
    outcome = debut("retrain", *tiny_shop.arguments)
    refused(tiny_shop, outcome, "No space is left", "TMPDIR", "Free space there")


def test_a_nearly_full_disk_is_told_before_anything_starts(
    tiny_shop: Any, debut: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect's server would otherwise wait for itself for two minutes."""
    usage = shutil.disk_usage("/")._replace(free=3_000_000)
    monkeypatch.setattr("flows.embedded.shutil.disk_usage", lambda _: usage)
    outcome = debut("retrain", *tiny_shop.arguments)
    refused(tiny_shop, outcome, str(tiny_shop.workspace), "3 MB are free", "--workspace on another disk")


def test_a_disk_that_fills_at_the_decision_promotes_nothing(
    retrained: Any, debut: Any, finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An override whose record cannot be written leaves the log as it was."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    digest = finished[1].json["challenger_digest"]
    given = ["--override", "--reason", "please", "--role", "boss"]
    outcome = debut("promote", digest[:8], *retrained.arguments, *given)
    assert outcome.code == FAILED
    assert "000003.json: No space left on device. Free space" in outcome.sentence
    assert retrained.decisions() == ["000001.json", "000002.json"]


def test_a_champion_whose_files_were_changed_stops_the_run(
    retrained: Any, connected: Any, finished: Any
) -> None:
    """There is nothing to judge against, so nothing is trained or promoted; the file is named."""
    digest = finished[1].json["champion_digest"]
    index = retrained.workspace / "candidates" / digest / "index" / "items.parquet"
    index.unlink()
    outcome = connected("retrain", *retrained.arguments, "--force")
    assert outcome.code == FAILED
    assert f"{index} is missing: it cannot be released" in outcome.sentence
    assert retrained.decisions() == ["000001.json", "000002.json"]


def test_a_server_that_is_away_is_told_in_a_sentence(
    tiny_shop: Any, connected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PREFECT_API_URL without a server behind it: nothing starts, and the address is named."""
    from prefect import settings

    url = "http://127.0.0.1:9/api"
    monkeypatch.setenv("PREFECT_API_URL", url)
    with settings.temporary_settings({settings.PREFECT_API_URL: url, settings.PREFECT_CLIENT_MAX_RETRIES: 0}):
        outcome = connected("retrain", *tiny_shop.arguments)
    refused(tiny_shop, outcome, f"Prefect's server at {url} failed", "PREFECT_API_URL")
