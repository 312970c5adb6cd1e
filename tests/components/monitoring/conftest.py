"""A generated shop with a planted drift and its untrained encoder as the champion; and invented ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.contract.learning import EncoderSettings
from components.contract.live import Change, LiveItem
from components.contract.operations import MonitoringSettings
from components.contract.ports import Request
from components.contract.records import RetrievalPlan
from components.contract.settings import SplitSettings
from components.contract.tables import TABLES
from components.data.demo import sizes
from components.data.demo.catalogue import build_catalogue, launch_date
from components.data.demo.shoppers import draw_tastes
from components.data.demo.traffic import write_events
from components.encoder.base import resolve_base
from components.encoder.query_features import query_features
from components.encoder.transformer import TransformerEncoder
from components.encoder.word_pieces import word_pieces
from components.index.retrieval import open_candidate
from components.index.vectors import encode_catalogue
from components.monitoring.facts import REQUEST_COLUMNS, item_facts
from components.monitoring.reference import Reference, ReferenceFacts, build_reference
from components.release.candidate import build
from components.release.fingerprint import Fingerprint
from components.service.traffic_records import SCHEMAS, TrafficRecord
from components.split.split import split

END = launch_date(sizes.DRIFT_FROM_WEEK).replace(hour=0)
"""The judge window ends where the planted drift begins."""
DAY = timedelta(days=1)
KINDS = {"click": "search_click"}
DAILY = MonitoringSettings(resamples=200)
BUSY = 3_200
"""Searches per week, 460 a day. Of the queries 4 in 100 say a new word from END on."""


@dataclass(frozen=True)
class MonitoredShop:
    items: pl.DataFrame
    """The whole catalogue, with what is launched after END."""
    events: pl.DataFrame
    """All of them."""
    reference: Reference
    candidate: Path
    vectors: Path
    split: Path
    checked: Path

    def listed(self, at: datetime) -> pl.DataFrame:
        """The live catalogue at that time."""
        return self.items.filter(pl.col("listed_at") < at)

    def answers(self, events: pl.DataFrame, launched: pl.DataFrame | None = None) -> list[dict[str, Any]]:
        """Searches of an event table → rows of the traffic log, through the candidate's own path."""
        return _answered(self.candidate, self.vectors, events, launched)


@pytest.fixture(scope="session")
def busy_shop(tmp_path_factory: pytest.TempPathFactory) -> MonitoredShop:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sizes, "SEARCHES_PER_WEEK", BUSY)
        return _shop(tmp_path_factory.mktemp("busy"), DAILY)


def _shop(folder: Path, settings: MonitoringSettings) -> MonitoredShop:
    rows, events = generated(0)
    items = _items(rows)
    checked = _made(folder / "checked")
    items.filter(pl.col("listed_at") < END).write_parquet(checked / "items.parquet")
    events.filter(pl.col("at") < END).write_parquet(checked / "events.parquet")
    split(checked, SplitSettings(), _made(folder / "split"))
    candidate, vectors = _candidate(folder, folder / "split")
    out = folder / "reference"
    reference = build_reference(candidate, vectors, folder / "split", checked, settings, out)
    return MonitoredShop(items, events, reference, candidate, vectors, folder / "split", checked)


def generated(seed: int) -> tuple[list[dict[str, Any]], pl.DataFrame]:
    """The shop's items, and its events by this draw of people's wishes."""
    items, tastes = (np.random.default_rng([0, number]) for number in range(2))
    shop = build_catalogue(items)
    return shop.rows, _events(write_events(shop, draw_tastes(tastes), np.random.default_rng([1, seed])))


RELEASE = "a" * 64
DIMENSIONS = 8


def invented_requests(
    rng: np.random.Generator, days: int, per_day: int, day_effect: float, end: datetime = END
) -> pl.DataFrame:
    """Requests of the days before `end` whose numbers share an effect of their day, beside noise of sd 1."""
    frames = []
    for day in range(days):
        effect = day_effect * rng.standard_normal()
        numbers = effect + rng.standard_normal((6, per_day))
        vectors = (rng.standard_normal((per_day, DIMENSIONS)) + effect).astype(np.float32)
        at = end - (days - day) * DAY
        frames.append(
            pl.DataFrame(
                {
                    "at": [at + timedelta(minutes=n) for n in range(per_day)],
                    "entrance": "search",
                    "release": RELEASE,
                    "query_characters": (20 + 5 * numbers[0]).round(),
                    "query_words": (8 + 2 * numbers[1]).round(),
                    "language": rng.choice(["en", "und"], per_day),
                    "unknown_word_rate": numbers[2],
                    "query_vector": vectors.tolist(),
                    "item_ids": rng.integers(300, size=(per_day, 10)).astype(str).tolist(),
                    "top_score": numbers[3],
                    "mean_score": numbers[4],
                    "new_share": numbers[5],
                    "new_score": rng.standard_normal(per_day),
                    "zero_result": False,
                }
            )
        )
    return pl.concat(frames).select(pl.col(name).cast(kind) for name, kind in REQUEST_COLUMNS.items())


def invented_items(count: int = 400) -> pl.DataFrame:
    """A catalogue whose categories have their own prices; ten items are listed a day, up to END."""
    rng = np.random.default_rng(5)
    kind = rng.integers(4, size=count)
    return pl.DataFrame(
        {
            "item_id": [f"{number:04d}" for number in range(count)],
            "title": ["oak " * int(words) for words in rng.integers(2, 6, size=count)],
            "category": [f"kind {one} > more" for one in kind],
            "brand": [f"brand {one}" for one in rng.integers(8, size=count)],
            "price": np.exp(kind + 0.3 * rng.standard_normal(count)),
            "listed_at": [END - DAY * (1 + number // 10) for number in range(count)],
        }
    )


def invented_reference(requests: pl.DataFrame, per_day: int, settings: MonitoringSettings) -> Reference:
    """The requests of invented_requests, by day, and invented_items."""
    items = item_facts(invented_items(), END, settings.new_item_days)
    facts = ReferenceFacts(
        release=RELEASE,
        entrance="search",
        blocks="days",
        source="Invented.",
        start=None,
        end=END,
        requests=len(requests),
        items=len(items),
        new_items=int(items["is_new"].sum()),
        seed=settings.seed,
    )
    return Reference(facts, requests.with_columns(block=pl.int_range(pl.len()) // per_day), items)


def write_traffic(folder: Path, rows: Sequence[dict[str, Any]], acts: Sequence[dict[str, Any]] = ()) -> Path:
    """A traffic log with these rows, as the service writes it."""
    for kind, found in (("requests", rows), ("events", acts)):
        (folder / kind).mkdir(parents=True)
        if found:
            table = pa.Table.from_pylist(list(found), schema=SCHEMAS[kind])
            pq.write_table(table, folder / kind / "20270101T000000Z-1-abcd1234-1.parquet")
    return folder


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _items(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    found = [
        {
            "item_id": row["sku"],
            "title": row["name"],
            "description": row["text"],
            "brand": row["maker"],
            "category": " > ".join(row["shelf"]),
            "price": float(row["price"]),
            "attributes": "; ".join(
                f"{p['name']}: {p['value']}" for p in row["properties"] if p["name"] == "colour"
            ),
            "image": None,
            "listed_at": datetime.fromisoformat(str(row["listed"])),
            "group_id": row["family"],
        }
        for row in rows
    ]
    types = {"text": pl.String(), "number": pl.Float64(), "timestamp": pl.Datetime("us")}
    schema = {name: types[kind] for name, kind in TABLES["items"].columns.items()}
    return pl.DataFrame(found, schema=schema).sort("item_id")


def _events(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    columns = {
        "at": pl.Datetime("us"),
        "kind": pl.String,
        "item_id": pl.String,
        "user_id": pl.String,
        "session_id": pl.String,
        "request_id": pl.String,
        "query": pl.String,
        "position": pl.Int64,
        "propensity": pl.Float64,
    }
    found = [
        (
            row["happened"],
            KINDS.get(row["action"], row["action"]),
            row["sku"],
            row["customer"],
            row.get("session"),
            row.get("search"),
            row.get("query"),
            row.get("position"),
            row.get("propensity"),
        )
        for row in rows
    ]
    return pl.DataFrame(found, schema=columns, orient="row")


def _candidate(folder: Path, prepared: Path) -> tuple[Path, Path]:
    settings = EncoderSettings(item_fields=("title", "attributes"), max_length=32)
    encoder = TransformerEncoder.load(resolve_base(settings), settings)
    encoder.save(folder / "encoder")
    vectors = _made(folder / "vectors")
    catalogue = pl.read_parquet(prepared / "items.parquet")
    encode_catalogue(catalogue, encoder.encode_catalogue, settings.item_fields, vectors)
    fingerprint = Fingerprint(
        data_digest="d" * 64,
        encoder_digest=encoder.digest,
        base_digest=encoder.digest,
        lock_digest="1" * 64,
        code_digest="c" * 64,
        cutoff=END - 14 * DAY,
        settings={},
    )
    made = build(
        folder / "candidates",
        encoder=folder / "encoder",
        index=vectors,
        plan=RetrievalPlan(),
        fingerprint=fingerprint,
    )
    return folder / made.path, vectors


def _answered(
    candidate: Path, vectors: Path, events: pl.DataFrame, launched: pl.DataFrame | None
) -> list[dict[str, Any]]:
    index, pieces = open_candidate(candidate, "live", vectors), word_pieces(candidate / "encoder")
    if launched is not None:
        rows = launched.iter_rows(named=True)
        changes = [Change(item_id=row["item_id"], seq=1, item=LiveItem(**row)) for row in rows]
        index.apply(index.encode(changes))
    asked = events.drop_nulls("query").unique("request_id", keep="first", maintain_order=True)
    texts = asked["query"].to_list()
    ranking = index.search([Request(str(n), text) for n, text in enumerate(texts)], 10)
    encoded = index._query_vectors(texts)
    records = []
    for n, (request_id, at, text) in enumerate(asked.select("request_id", "at", "query").iter_rows()):
        features = query_features(text, pieces)
        record = TrafficRecord(
            request_id=request_id,
            at=at.replace(tzinfo=UTC),
            entrance="search",
            release=candidate.name,
            query_sealed=None,
            user=None,
            query_characters=features.characters,
            query_words=features.words,
            language=features.language,
            unknown_word_rate=features.unknown_word_rate,
            query_vector=encoded[n],
            k=10,
            filters="{}",
            item_ids=[index.item_ids[row] for row in ranking.rows[n]],
            scores=ranking.scores[n].tolist(),
            zero_result=False,
            latency_ms=1.0,
        )
        records.append(record.row())
    return records
