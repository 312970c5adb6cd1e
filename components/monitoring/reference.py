"""What the champion was judged on, as a folder: the measure that live windows are held against.

    reference/
      reference.json      where it comes from (ReferenceFacts)
      requests.parquet    one row per request, with the champion's own answer to it (facts.py), and its block
      items.parquet       one row per item that is compared (facts.py)

Requests that led to no logged event are in no event table. Where a shop logs clicks alone, the reference
holds searches that ended in a click, and live traffic the others too; log impressions to close that gap.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from components.contract.errors import MonitoringError
from components.contract.files import disk_errors, stage_folder, write_json
from components.contract.operations import MonitoringSettings
from components.contract.ports import Request
from components.contract.records import Entrance, Record
from components.encoder.query_features import query_features
from components.encoder.word_pieces import word_pieces
from components.index.live import LiveIndex
from components.index.retrieval import ENCODER, open_candidate
from components.monitoring.facts import DEPTH, REQUEST_COLUMNS, answer_facts, item_facts
from components.split.judged import JUDGE, read_judged

MAX_PER_BLOCK = 1_000
"""Requests that are kept of a day (or a chunk), by seed. A live window with more of them than as many of the
reference's days have is cut to that number: so this is how far the power of the alarms grows with traffic."""
DAY = timedelta(days=1)
CHUNKS = 14
"""Blocks of requests without dates."""
MIN_DAYS = 4
"""With fewer days than that nothing can be learned of how days differ: chunks then too."""
_ASKED: dict[str, pl.DataType] = {
    "at": pl.Datetime("us"),
    "text": pl.String(),
    "history": pl.List(pl.String),
    "exclude": pl.List(pl.String),
}
REFERENCE_FILE, REQUESTS_FILE, ITEMS_FILE = "reference.json", "requests.parquet", "items.parquet"


BlockKind = Literal["days", "chunks"]


class Undiscoverable(Record):
    """New items that none of their likely queries finds (evaluation.undiscoverable)."""

    found: int
    checked: int
    launches: tuple[tuple[int, int], ...] = ()
    """Found and checked per block of listing (launches.py); empty where it is not known."""


class ReferenceFacts(Record):
    release: str
    """D of the champion."""
    entrance: Entrance
    blocks: BlockKind
    """days: 24 hours each; chunks: requests without dates, or of too few days, dealt out by seed."""
    source: str
    """Where the requests come from, in a sentence."""
    start: datetime | None
    end: datetime
    """Until when the items were listed that count as new then; naive, UTC."""
    requests: int
    items: int
    new_items: int
    seed: int
    undiscoverable: Undiscoverable | None = None


@dataclass(frozen=True, eq=False)
class Reference:
    facts: ReferenceFacts
    requests: pl.DataFrame
    """facts.REQUEST_COLUMNS and `block` (int)."""
    items: pl.DataFrame


def build_reference(
    candidate: Path,
    vectors: Path,
    split: Path,
    checked: Path,
    settings: MonitoringSettings,
    out: Path,
    *,
    undiscoverable: Undiscoverable | None = None,
    threads: int = 1,
) -> Reference:
    """Asks the champion's retrieval path the requests of its judge window and writes `out` whole.

    candidate: folder `candidates/<D>`; vectors: the split's catalogue as it encodes it; checked: the tables
    that the split was made of; threads: of the encoder. The same arguments give the same bytes. Raises
    MonitoringError where there is no request, DataError or EncoderError for damaged files.
    """
    description = _description(split)
    asked, entrance, source = _asked(split, checked, description)
    start, end = _period(split, description)
    asked, blocks, kind = _limited(asked, *_blocks(asked, start, end, settings.seed), settings.seed)
    index = open_candidate(candidate, candidate.name[:12], vectors, threads)
    with disk_errors(split):
        catalogue = pl.read_parquet(split / "items.parquet")
    items = item_facts(catalogue, end, settings.new_item_days)
    new = set(items.filter("is_new").get_column("item_id"))
    answered = _answered(index, candidate, asked, new)
    facts = ReferenceFacts(
        release=candidate.name,
        entrance=entrance,
        blocks=kind,
        source=source,
        start=start,
        end=end,
        requests=len(asked),
        items=len(catalogue),
        new_items=len(new),
        seed=settings.seed,
        undiscoverable=undiscoverable,
    )
    requests = _conformed(answered, candidate.name, entrance).with_columns(block=pl.Series(blocks))
    reference = Reference(facts, requests, items)
    _write(reference, out)
    return reference


def load_reference(folder: Path) -> Reference:
    """Raises MonitoringError where there is none, or a file of it is damaged."""
    if not (folder / REFERENCE_FILE).is_file():
        raise MonitoringError(
            f"{folder}: there is no reference of this release. Every retrain makes one of the champion and "
            "one of its challenger, or tells why it cannot: run `debut retrain --force`."
        )
    try:
        with disk_errors(folder):
            facts = ReferenceFacts.model_validate_json((folder / REFERENCE_FILE).read_bytes())
            frames = [pl.read_parquet(folder / name) for name in (REQUESTS_FILE, ITEMS_FILE)]
    except (ValueError, pl.exceptions.PolarsError) as error:
        raise MonitoringError(
            f"{folder} cannot be read: it is damaged; build the reference again."
        ) from error
    return Reference(facts, *frames)


def _write(reference: Reference, out: Path) -> None:
    with stage_folder(out) as folder:
        reference.requests.write_parquet(folder / REQUESTS_FILE)
        reference.items.write_parquet(folder / ITEMS_FILE)
        write_json(folder / REFERENCE_FILE, reference.facts.model_dump(mode="json"))


def _description(split: Path) -> dict[str, str | None]:
    with disk_errors(split):
        description: dict[str, str | None] = json.loads((split / "split.json").read_bytes())
    return description


def _asked(
    split: Path, checked: Path, description: dict[str, str | None]
) -> tuple[pl.DataFrame, Entrance, str]:
    """Requests to ask (at, text, history, exclude); entrance; where from."""
    searches = _searches(checked, description)
    if searches is not None:
        return searches, "search", "Queries of the judge window's search events."
    # The one that reads test rows beside the judge: what it judged is what a reference is.
    judged = read_judged(split, "test", reader=JUDGE)
    entrance: Entrance = "search" if "search" in judged else "recommendation"
    if entrance not in judged or not judged[entrance].requests:
        raise MonitoringError(f"{split}: no judged request, so there is no reference to compare with.")
    requests = judged[entrance].requests
    rows = [(None, r.text, list(r.history), sorted(r.exclude)) for r in requests]
    frame = pl.DataFrame(rows, schema=_ASKED, orient="row")
    return frame, entrance, f"Judged {entrance} requests, which have no dates."


def _searches(checked: Path, description: dict[str, str | None]) -> pl.DataFrame | None:
    """One row per search of the judge window; None where no dated search was judged."""
    path, cutoff, end = checked / "events.parquet", description["cutoff"], description["judged_until"]
    if not path.exists() or cutoff is None or end is None:
        return None
    with disk_errors(path):
        events = pl.read_parquet(path)
    start, until = datetime.fromisoformat(cutoff), datetime.fromisoformat(end)
    within = events.filter((pl.col("at") >= start) & (pl.col("at") < until))
    asked = within.filter(pl.col("query").fill_null("").str.strip_chars() != "")
    # The acts on one results page are one search, which a request id names best.
    page = pl.coalesce(
        pl.col("request_id"),
        pl.concat_str(pl.coalesce("session_id", "user_id"), pl.lit(" "), pl.col("at").dt.date()),
    )
    searches = asked.with_columns(_page=page).with_row_index("_row")
    searches = searches.with_columns(pl.col("_page").fill_null(pl.col("_row").cast(pl.String)))
    searches = searches.group_by("_page", "query").agg(pl.col("at").min()).sort("at", "_page", "query")
    if not len(searches):
        return None
    empty = pl.lit([], dtype=pl.List(pl.String))
    return searches.select("at", text="query", history=empty, exclude=empty)


def _limited(
    asked: pl.DataFrame, blocks: list[int], kind: BlockKind, seed: int
) -> tuple[pl.DataFrame, list[int], BlockKind]:
    """At most MAX_PER_BLOCK requests of each block."""
    rng, numbers = np.random.default_rng(seed), np.asarray(blocks)
    members = [np.flatnonzero(numbers == block) for block in np.unique(numbers)]
    kept = np.sort(np.concatenate([rng.permutation(rows)[:MAX_PER_BLOCK] for rows in members]))
    return asked[kept], numbers[kept].tolist(), kind


def _period(split: Path, description: dict[str, str | None]) -> tuple[datetime | None, datetime]:
    """The judge window; of undated judgements only an end, just after the youngest item was listed."""
    start, end = description["cutoff"], description["judged_until"]
    if start is not None and end is not None:
        return datetime.fromisoformat(start), datetime.fromisoformat(end)
    with disk_errors(split):
        items = pl.read_parquet(split / "items.parquet", columns=["listed_at"])
    latest = items.get_column("listed_at").cast(pl.Datetime("us")).max()
    after = latest + timedelta(seconds=1) if isinstance(latest, datetime) else datetime(1970, 1, 1)
    return None, after


def _answered(index: LiveIndex, candidate: Path, asked: pl.DataFrame, new: set[str]) -> pl.DataFrame:
    """The champion's answers; equal queries are asked once."""
    keys = asked.select("text", "history", "exclude").unique(maintain_order=True).with_row_index("_key")
    rows = list(keys.iter_rows(named=True))
    ranking = index.search([_request(row) for row in rows], DEPTH)
    shown = [[index.item_ids[row] for row in one if row >= 0] for one in ranking.rows]
    scores = [one[: len(ids)].tolist() for one, ids in zip(ranking.scores, shown, strict=True)]
    texts = [row["text"] or "" for row in rows]
    pieces = word_pieces(candidate / ENCODER)
    features = [query_features(text, pieces) for text in texts]
    encoded = index.encoder.encode_queries(texts) if any(texts) else [None] * len(texts)
    # In half precision, as the traffic log keeps them.
    vectors = [
        v.astype(np.float16).astype(np.float32) if t else None for v, t in zip(encoded, texts, strict=True)
    ]
    answers = pl.DataFrame(
        {
            "_key": pl.Series(range(len(rows)), dtype=pl.UInt32),
            "item_ids": pl.Series(shown, dtype=pl.List(pl.String)),
            "scores": pl.Series(scores, dtype=pl.List(pl.Float64)),
            "query_characters": [one.characters for one in features],
            "query_words": [one.words for one in features],
            "language": [one.language for one in features],
            "unknown_word_rate": [one.unknown_word_rate for one in features],
            "query_vector": pl.Series(vectors, dtype=pl.List(pl.Float32)),
            "zero_result": [not ids for ids in shown],
        }
    )
    keyed = asked.join(keys, on=["text", "history", "exclude"], nulls_equal=True, maintain_order="left")
    return answer_facts(keyed.join(answers, on="_key", maintain_order="left"), new)


def _request(row: dict[str, object]) -> Request:
    text, history, exclude = row["text"], row["history"], row["exclude"]
    assert isinstance(history, list) and isinstance(exclude, list)
    return Request(
        request_id="",
        text=None if text is None else str(text),
        history=tuple(history),
        exclude=frozenset(exclude),
    )


def _conformed(answered: pl.DataFrame, release: str, entrance: str) -> pl.DataFrame:
    named = answered.with_columns(release=pl.lit(release), entrance=pl.lit(entrance))
    return named.select(pl.col(name).cast(kind) for name, kind in REQUEST_COLUMNS.items())


def _blocks(
    asked: pl.DataFrame, start: datetime | None, end: datetime, seed: int
) -> tuple[list[int], BlockKind]:
    """Per request the number of its day, or of its chunk. Days are counted from the window's start, which is
    seldom midnight: a date with a quarter of an hour of traffic would make no block."""
    at = asked.get_column("at")
    if start is not None and not at.null_count():
        last = max(0, (end - start) // DAY - 1)
        days = ((at - start).dt.total_seconds() // DAY.total_seconds()).clip(0, last).cast(pl.Int64)
        if days.n_unique() >= MIN_DAYS:
            return days.to_list(), "days"
    order = np.random.default_rng([seed, 1]).permutation(len(asked))
    return (order % CHUNKS).tolist(), "chunks"


def utc(at: datetime) -> datetime:
    """Naive, in UTC; a naive time is taken for UTC."""
    return at if at.tzinfo is None else at.astimezone(UTC).replace(tzinfo=None)
