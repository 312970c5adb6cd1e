"""The text that pretraining reads: the training side's own, and nothing that is judged.

corpus/
  texts.parquet      text, kind (item, description, query, review), held_out
  pairs.parquet      title, description, held_out: the second task
  corpus.json        the record of it
"""

from pathlib import Path

import numpy as np
import polars as pl

from components.contract.digests import hashed, sha256_tree
from components.contract.errors import DataError
from components.contract.files import write_json
from components.contract.pretraining import PretrainingSettings
from components.contract.records import Record
from components.encoder.texts import item_texts
from components.split.catalogue import normalised
from components.split.judged import judged_queries
from components.split.split import learned_until

TEXTS, PAIRS, DESCRIPTION = "texts.parquet", "pairs.parquet", "corpus.json"
LEAST_TEXTS = 10
"""Held out, to measure perplexity on."""


class Corpus(Record):
    """What `collect` left in its folder."""

    path: str
    digest: str
    texts: dict[str, int]
    """Per kind, held-out ones included."""
    held_out: int
    pairs: int
    items: tuple[str, ...]
    """`hashed` ids of the items whose text or reviews are in it."""
    queries: tuple[str, ...] = ()
    """`hashed` normalised queries that are in it."""


def collect(
    split: Path, checked: Path, fields: tuple[str, ...], settings: PretrainingSettings, out: Path
) -> Corpus:
    """Writes the corpus of a split into the folder `out`.

    Of items that may be trained on: the text that the encoder reads (`fields`), the description, and reviews
    written before the training side ends; of queries those of the training rows that are judged in no part.
    A text that a held-out item has as well is left out. Equal texts are read once. Held out for perplexity
    are whole items, with their reviews, and queries, drawn by seed.

    checked: folder of the clean tables, for the reviews. Raises DataError where there is too little text.
    """
    catalogue = pl.read_parquet(split / "items.parquet").with_columns(
        text=pl.Series(item_texts(pl.read_parquet(split / "items.parquet"), fields), dtype=pl.String)
    )
    items = catalogue.filter("trainable")
    forbidden = _texts_of(catalogue.filter(~pl.col("trainable")))
    texts = [
        items.select("item_id", "text", kind=pl.lit("item")),
        _descriptions(items),
        _queries(split),
        _reviews(checked, items, split),
    ]
    rows = _drawn(_distinct(pl.concat(texts), forbidden), settings)
    pairs = _pairs(items, rows, forbidden)
    _require(rows, split)
    out.mkdir(parents=True, exist_ok=True)
    rows.select("text", "kind", "held_out").write_parquet(out / TEXTS)
    pairs.write_parquet(out / PAIRS)
    corpus = Corpus(
        path=out.name,
        digest=sha256_tree(out),
        texts=dict(rows.group_by("kind").len().sort("kind").iter_rows()),
        held_out=int(rows.get_column("held_out").sum()),
        pairs=len(pairs),
        items=hashed(rows.get_column("item_id").drop_nulls()),
        queries=hashed(rows.filter(pl.col("kind") == "query").select(normalised("text")).to_series()),
    )
    write_json(out / DESCRIPTION, corpus.model_dump(mode="json"))
    return corpus


def training_texts(corpus: Path) -> list[str]:
    """What is trained on, of a folder that `collect` wrote."""
    rows = pl.read_parquet(corpus / TEXTS).filter(~pl.col("held_out"))
    texts: list[str] = rows.get_column("text").to_list()
    return texts


def _texts_of(items: pl.DataFrame) -> pl.Series:
    """Normalised texts, titles and descriptions."""
    columns = [name for name in ("text", "title", "description") if name in items.columns]
    texts = [items.select(_key=normalised(name)).get_column("_key") for name in columns]
    return pl.concat(texts).drop_nulls().unique()


def _descriptions(items: pl.DataFrame) -> pl.DataFrame:
    if "description" not in items.columns:
        return items.clear().select("item_id", "text", kind=pl.lit("description"))
    described = items.filter(pl.col("description").str.strip_chars() != "")
    return described.select("item_id", text="description", kind=pl.lit("description"))


def _queries(split: Path) -> pl.DataFrame:
    path = split / "train" / "search.parquet"
    queries = pl.read_parquet(path, columns=["query"]) if path.is_file() else pl.DataFrame({"query": []})
    queries = queries.cast(pl.String).unique().sort("query")
    judged = sorted(set().union(*judged_queries(split).values()))
    kept = queries.filter(~normalised("query").is_in(judged))
    return kept.select(item_id=pl.lit(None, dtype=pl.String), text="query", kind=pl.lit("query"))


def _reviews(checked: Path, items: pl.DataFrame, split: Path) -> pl.DataFrame:
    path = checked / "reviews.parquet"
    if not path.is_file():
        return items.clear().select("item_id", "text", kind=pl.lit("review"))
    reviews = pl.read_parquet(path, columns=["at", "item_id", "text"]).drop_nulls("text")
    until = learned_until(split)
    if until is not None:
        reviews = reviews.filter(pl.col("at") < until)
    known = reviews.join(items.select("item_id"), on="item_id", how="semi").sort("item_id", "at", "text")
    return known.select("item_id", "text", kind=pl.lit("review"))


def _distinct(rows: pl.DataFrame, forbidden: pl.Series) -> pl.DataFrame:
    rows = rows.with_columns(pl.col("text").str.strip_chars(), _key=normalised("text"))
    kept = rows.filter((pl.col("_key") != "") & ~pl.col("_key").is_in(forbidden.implode()))
    return kept.unique("_key", keep="first", maintain_order=True).drop("_key")


def _drawn(rows: pl.DataFrame, settings: PretrainingSettings) -> pl.DataFrame:
    """Adds held_out: all texts of a draw of the items, and a draw of the queries."""
    sources = rows.select(_source=pl.coalesce("item_id", pl.concat_str(pl.lit("query:"), "text")))
    rows = rows.with_columns(sources)
    names = rows.get_column("_source").unique().sort()
    count = max(1, round(settings.held_out_share * len(names)))
    drawn = np.random.default_rng(settings.seed).permutation(len(names))[:count]
    return rows.with_columns(held_out=pl.col("_source").is_in(names[drawn].implode())).drop("_source")


def _pairs(items: pl.DataFrame, rows: pl.DataFrame, forbidden: pl.Series) -> pl.DataFrame:
    """Titles with descriptions; one pair per distinct title and per distinct description, because in a batch
    the others are the wrong answers."""
    if "description" not in items.columns:
        return pl.DataFrame(schema={"title": pl.String, "description": pl.String, "held_out": pl.Boolean})
    held_out = rows.filter("held_out").get_column("item_id").drop_nulls().unique()
    described = items.filter(pl.col("description").str.strip_chars() != "")
    keys = [normalised(name).is_in(forbidden.implode()) for name in ("title", "description")]
    described = described.filter(~keys[0], ~keys[1])
    pairs = described.select("title", "description", held_out=pl.col("item_id").is_in(held_out.implode()))
    # A held-out one stays, and what is spelt otherwise alone goes: it would be the same again.
    pairs = pairs.sort("held_out", descending=True, maintain_order=True)
    for name in ("title", "description"):
        pairs = pairs.with_columns(_key=normalised(name)).unique("_key", keep="first", maintain_order=True)
    return pairs.drop("_key")


def _require(rows: pl.DataFrame, split: Path) -> None:
    held_out = int(rows.get_column("held_out").sum())
    read = len(rows) - held_out
    if held_out < LEAST_TEXTS or read < LEAST_TEXTS:
        other = "lower" if read < held_out else "raise"
        raise DataError(
            f"{split}: {read} texts to train on and {held_out} held out, at least {LEAST_TEXTS} of each are "
            f"needed. Give items more text, or {other} pretraining.held_out_share."
        )
