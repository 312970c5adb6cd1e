"""What a champion was judged on, written as a folder."""

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from components.contract.digests import sha256_tree
from components.contract.errors import MonitoringError
from components.contract.files import write_json
from components.contract.learning import EncoderSettings
from components.contract.operations import MonitoringSettings
from components.contract.records import RetrievalPlan
from components.contract.settings import SplitSettings
from components.encoder.transformer import TransformerEncoder
from components.index.vectors import encode_catalogue
from components.monitoring import reference
from components.monitoring.reference import Undiscoverable, build_reference, load_reference
from components.split.split import split
from tests.components.monitoring.conftest import END

SETTINGS = MonitoringSettings(min_rows=20, resamples=100)
COLOURS, THINGS = ("red", "blue", "green", "steel"), ("chair", "table", "lamp", "mug", "towel")


@pytest.fixture(scope="module")
def champion(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory):
    """Candidate, vectors, split and checked tables of a tiny shop: dated events, or undated judgements."""

    def make(dated: bool) -> tuple[Path, Path, Path, Path]:
        folder = tmp_path_factory.mktemp("champion")
        for name in ("checked", "split", "vectors", "candidate"):
            (folder / name).mkdir()
        _tables(folder / "checked", dated)
        split(
            folder / "checked",
            SplitSettings(judge_window_days=7, test_queries=10, validation_queries=5),
            folder / "split",
        )
        settings = EncoderSettings(name=str(tiny_encoder), max_length=16, item_fields=("title",))
        encoder = TransformerEncoder.load(tiny_encoder, settings)
        encoder.save(folder / "candidate" / "encoder")
        write_json(folder / "candidate" / "retrieval.json", RetrievalPlan().model_dump(mode="json"))
        catalogue = pl.read_parquet(folder / "split" / "items.parquet")
        encode_catalogue(catalogue, encoder.encode_catalogue, ("title",), folder / "vectors")
        return folder / "candidate", folder / "vectors", folder / "split", folder / "checked"

    return make


def _tables(checked: Path, dated: bool) -> None:
    titles = [f"{colour} {thing}" for thing in THINGS for colour in COLOURS]
    ids = [f"{100 + n}" for n in range(len(titles))]
    listed = [END - timedelta(days=60 - 3 * n) if dated else None for n in range(len(titles))]
    texts = dict.fromkeys(("description", "brand", "category", "attributes", "image", "group_id"), pl.String)
    schema = {"item_id": pl.String, "title": pl.String, "listed_at": pl.Datetime("us")}
    items = pl.DataFrame({"item_id": ids, "title": titles, "listed_at": listed}, schema=schema)
    empty = [pl.lit(None, dtype=kind).alias(name) for name, kind in texts.items()]
    items = items.with_columns(*empty, pl.lit(None, pl.Float64).alias("price"))
    items.write_parquet(checked / "items.parquet")
    if not dated:
        rows = [(f"a {title}", item_id, 1.0) for title, item_id in zip(titles, ids, strict=True)]
        frame = pl.DataFrame(rows, schema=["query", "item_id", "grade"], orient="row")
        frame.with_columns(split=pl.lit(None, pl.String)).write_parquet(checked / "judgements.parquet")
        return
    events = [
        {
            "at": END - timedelta(hours=6 * n),
            "kind": "search_click",
            "item_id": ids[n % len(ids)],
            "query": f"a {titles[n % len(ids)]}",
            "user_id": f"u{n}",
            "request_id": f"r{n}",
        }
        for n in range(160)
    ]
    twice = [{**events[0], "item_id": ids[1], "at": END - timedelta(hours=1)}]
    frame = pl.DataFrame([*events, *twice], schema_overrides={"at": pl.Datetime("us")})
    frame.with_columns(
        session_id=pl.lit(None, pl.String),
        position=pl.lit(None, pl.Int64),
        propensity=pl.lit(None, pl.Float64),
    ).write_parquet(checked / "events.parquet")


def test_dated_searches_come_in_days(champion, tmp_path: Path) -> None:
    """Each search of the judge window once, whatever it led to, in blocks of 24 hours."""
    built = build_reference(*champion(True), SETTINGS, tmp_path / "reference")
    assert (built.facts.blocks, built.facts.entrance) == ("days", "search")
    assert len(built.requests) == 29
    assert built.requests["block"].n_unique() == 7
    assert built.facts.new_items == built.items["is_new"].sum() > 0
    row = built.requests.row(0, named=True)
    assert (len(row["item_ids"]), len(row["query_vector"]), row["query_words"]) == (10, 32, 3)
    assert row["top_score"] >= row["mean_score"]


def test_judged_requests_without_dates_come_in_chunks(champion, tmp_path: Path) -> None:
    built = build_reference(*champion(False), SETTINGS, tmp_path / "reference")
    assert built.facts.blocks == "chunks"
    assert "no dates" in built.facts.source
    assert built.requests["at"].null_count() == len(built.requests) > 0
    assert built.facts.new_items == 4


def test_so_many_requests_of_each_day_are_kept(champion, tmp_path: Path, monkeypatch) -> None:
    """The cap is of a day, so that longer judge windows do not make smaller windows."""
    monkeypatch.setattr(reference, "MAX_PER_BLOCK", 3)
    kept = build_reference(*champion(True), SETTINGS, tmp_path / "reference")
    assert kept.requests.group_by("block").len().get_column("len").to_list() == [3] * 7
    assert kept.facts.requests == len(kept.requests) == 21
    days = (kept.requests["at"].max() - kept.requests["at"].min()).days
    assert days >= 6


@pytest.mark.parametrize("dated", [True, False])
def test_the_same_arguments_give_the_same_bytes_and_no_query_text(champion, tmp_path: Path, dated) -> None:
    made = champion(dated)
    first = build_reference(
        *made, SETTINGS, tmp_path / "a", undiscoverable=Undiscoverable(found=1, checked=4)
    )
    build_reference(*made, SETTINGS, tmp_path / "b", undiscoverable=Undiscoverable(found=1, checked=4))
    assert sha256_tree(tmp_path / "a") == sha256_tree(tmp_path / "b")
    read = load_reference(tmp_path / "a")
    assert read.facts == first.facts
    assert read.requests.equals(first.requests)
    assert read.items.equals(first.items)
    assert not {"text", "query", "user", "user_id", "request_id"} & set(read.requests.columns)


def test_no_reference_and_a_damaged_one_say_so(champion, tmp_path: Path) -> None:
    with pytest.raises(MonitoringError, match=r"no reference of this release.*`debut retrain --force`"):
        load_reference(tmp_path / "absent")
    build_reference(*champion(True), SETTINGS, tmp_path / "reference")
    (tmp_path / "reference" / "items.parquet").write_bytes(b"half")
    with pytest.raises(MonitoringError, match="damaged"):
        load_reference(tmp_path / "reference")
