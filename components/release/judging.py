"""Judging what would be released: a candidate through its own retrieval path, and BM25 beside it."""

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from components.augment.noise import drop_attributes, typos
from components.contract.files import write_bytes
from components.contract.judging import JudgeSettings
from components.contract.ports import Encoder, Retriever
from components.contract.records import PreparedData
from components.contract.task import Task
from components.encoder.texts import item_texts
from components.encoder.transformer import TransformerEncoder
from components.evaluation.judge import judge
from components.evaluation.pooled import System, pool
from components.evaluation.scorecard import Scorecard
from components.evaluation.slices import trained_items
from components.index.bm25 import BM25Index
from components.index.lexical import LexicalSnapshot
from components.index.live import LiveIndex
from components.index.live_rows import Snapshot
from components.index.retrieval import HEADS, open_candidate, open_exact
from components.split.labels import Labels, read_test
from components.tasks.heads import open_heads
from components.tasks.judging import judge_baselines, judge_heads

POOL = "pool.parquet"
_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class JudgedTasks:
    """What is judged beside retrieval: tasks, and the folder of their rows."""

    tasks: tuple[Task, ...]
    rows: Path


def judge_candidate(
    candidate: Path,
    vectors: Path,
    split: Path,
    prepared: PreparedData,
    settings: JudgeSettings,
    *,
    name: str,
    out: Path,
    tasks: JudgedTasks | None = None,
    labels: Labels | None = None,
) -> Scorecard:
    """Judges a candidate on the test part of `split` and writes its scorecard into `out`.

    candidate: folder `candidates/<D>`; vectors: this split's catalogue as the candidate's retrieval path
    encodes it (index.vectors), because a champion of an earlier week indexed another catalogue. A candidate
    that was built on this split holds the same vectors in its own index. What the path loses against the fp32
    encoder and an exact scan of the same vectors is measured beside it.
    """
    catalogue = pl.read_parquet(split / "items.parquet")
    index = open_candidate(candidate, name, vectors, threads=_threads())
    exact = open_exact(candidate, f"{name}, exact", vectors)
    size = sum(path.stat().st_size for path in candidate.rglob("*") if path.is_file())
    answers = {}
    if tasks is not None:
        answers = judge_heads(tasks.tasks, tasks.rows, index.encoder, open_heads(candidate / HEADS))
    return _judged(
        index,
        split,
        catalogue,
        prepared,
        settings,
        digest=candidate.name,
        without_attributes=_without_attributes(index, exact.encoder, catalogue),
        exact=exact,
        first_stage=index.without_rankers() if index.rankers is not None else None,
        size_mb=size / _MEGABYTE,
        answers=answers,
        out=out,
        labels=labels,
    )


def write_pool(
    candidates: Mapping[System, tuple[Path, Path]],
    split: Path,
    settings: JudgeSettings,
    fields: tuple[str, ...],
    out: Path,
    labels: Labels | None = None,
) -> None:
    """Writes pool.parquet: what the candidates and BM25 show of the new items for the judged queries.

    candidates: candidate folder and vectors folder by name.
    """
    catalogue = pl.read_parquet(split / "items.parquet")
    retrievers: dict[System, Retriever] = {
        name: open_candidate(folder, name, index, threads=_threads())
        for name, (folder, index) in candidates.items()
    }
    retrievers["bm25"] = _bm25(catalogue, fields)
    buffer = io.BytesIO()
    pool(retrievers, read_test(split, labels)["search"], catalogue, settings.k).write_parquet(buffer)
    write_bytes(out / POOL, buffer.getvalue())


def judge_bm25(
    split: Path,
    prepared: PreparedData,
    settings: JudgeSettings,
    fields: tuple[str, ...],
    out: Path,
    tasks: JudgedTasks | None = None,
    labels: Labels | None = None,
) -> Scorecard:
    """Judges BM25 over the same item texts on the same requests, and on the tasks TF-IDF with a linear
    model."""
    catalogue = pl.read_parquet(split / "items.parquet")
    retriever = _bm25(catalogue, fields)
    answers = judge_baselines(tasks.tasks, tasks.rows) if tasks is not None else {}
    return _judged(retriever, split, catalogue, prepared, settings, answers=answers, out=out, labels=labels)


def _judged(
    retriever: Retriever,
    split: Path,
    catalogue: pl.DataFrame,
    prepared: PreparedData,
    settings: JudgeSettings,
    *,
    digest: str | None = None,
    without_attributes: Retriever | None = None,
    exact: Retriever | None = None,
    first_stage: Retriever | None = None,
    size_mb: float | None = None,
    answers: dict[str, pl.DataFrame],
    out: Path,
    labels: Labels | None,
) -> Scorecard:
    scorecard = judge(
        retriever,
        read_test(split, labels),
        catalogue,
        settings,
        primary=prepared.entrances[0],
        digest=digest,
        trained=trained_items(split),
        judged_until=prepared.judged_until,
        typos=typos,
        without_attributes=without_attributes,
        exact=exact,
        first_stage=first_stage,
        size_mb=size_mb,
    )
    scorecard.tasks.update(answers)
    scorecard.write(out)
    return scorecard


def _bm25(catalogue: pl.DataFrame, fields: tuple[str, ...]) -> BM25Index:
    return BM25Index("BM25", catalogue.get_column("item_id").to_list(), item_texts(catalogue, fields))


def _without_attributes(index: LiveIndex, encoder: Encoder, catalogue: pl.DataFrame) -> LiveIndex | None:
    """The same path over the items' texts without brand, category and attributes; None where they hold none
    of these. Of all items: dropping them from some would move those, shorter than the rest, up or down.

    encoder: the fp32 one, which encodes catalogues."""
    kept = drop_attributes(index.fields)
    dropped = [field for field in index.fields if field not in kept]
    if not any(catalogue.get_column(field).is_not_null().any() for field in dropped):
        return None
    # What the ranking knows of facets goes with their words.
    nothing = (pl.lit(None, dtype=catalogue.schema[field]).alias(field) for field in dropped)
    catalogue = catalogue.with_columns(nothing)
    texts = item_texts(catalogue, kept)
    assert isinstance(encoder, TransformerEncoder)  # what open_exact opens
    lexical, vectors = LexicalSnapshot.build(texts, index.language), encoder.encode_catalogue(texts)
    purchases = index.co_purchases and index.co_purchases.with_texts(vectors)
    snapshot = Snapshot(catalogue, vectors, lexical, purchases, index.signals, index.history_encoder)
    known, rankers = index.understanding, index.rankers
    return LiveIndex(
        index.name, snapshot, index.encoder, index.plan, kept, understanding=known, rankers=rankers
    )


def _threads() -> int:
    """The judge encodes in bulk, alone on the machine's cores; the service takes one thread per process."""
    return len(os.sched_getaffinity(0))
