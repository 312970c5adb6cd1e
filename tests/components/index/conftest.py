"""Encoders whose vectors the tests choose, and snapshots of a release's index in memory."""

from collections.abc import Sequence

import boto3
import numpy as np
import polars as pl
import pytest

from components.contract.ports import Encoder, Vectors
from components.contract.tables import TABLES
from components.index.items_table import ItemsTable
from components.index.lexical import LexicalSnapshot
from components.index.live_rows import Snapshot

_TYPES = {"text": pl.String(), "number": pl.Float64(), "timestamp": pl.Datetime("us")}


class LookupEncoder(Encoder):
    """Gives each text the vector it was told; a subclass of the real port."""

    def __init__(self, vectors: dict[str, Sequence[float]]) -> None:
        self.vectors = vectors

    @property
    def digest(self) -> str:
        return "0" * 64

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return np.array([self.vectors[text] for text in texts], dtype=np.float32)

    def encode_items(self, texts: Sequence[str]) -> Vectors:
        return self.encode_queries(texts)


@pytest.fixture(scope="session")
def lookup_encoder():
    return LookupEncoder


class WordEncoder(Encoder):
    """A text's vector is the normalised sum of its words' random vectors: equal words, equal vectors."""

    def __init__(self, dimensions: int = 16) -> None:
        self.dimensions = dimensions
        self._known: dict[str, np.ndarray] = {}

    @property
    def digest(self) -> str:
        return "1" * 64

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return np.stack([self._vector(text) for text in texts])

    def encode_items(self, texts: Sequence[str]) -> Vectors:
        return self.encode_queries(texts)

    def _vector(self, text: str) -> np.ndarray:
        if text not in self._known:
            words = text.lower().split() or [""]
            total = sum(
                np.random.default_rng(list(word.encode())).standard_normal(self.dimensions) for word in words
            )
            self._known[text] = (total / np.linalg.norm(total)).astype(np.float32)
        return self._known[text]


@pytest.fixture(scope="session")
def word_encoder() -> WordEncoder:
    return WordEncoder()


def items_of(rows: Sequence[dict]) -> pl.DataFrame:
    """items.parquet of rows that name some of the contract's columns."""
    kinds = {name: _TYPES[kind] for name, kind in TABLES["items"].columns.items()}
    filled = [dict.fromkeys(kinds) | row for row in rows]
    return pl.DataFrame(filled, schema=kinds | {"first_seen": pl.Datetime("us")}).sort("item_id")


@pytest.fixture(scope="session")
def make_items():
    return items_of


@pytest.fixture(scope="session")
def make_snapshot():
    """make_snapshot(rows, vectors=None, encoder=None): vectors in item_id order, else of the titles."""

    def make(rows: Sequence[dict], vectors=None, encoder: Encoder | None = None) -> Snapshot:
        items = items_of(rows)
        titles = items.get_column("title").to_list()
        if vectors is None:
            vectors = encoder.encode_items(titles)
        return Snapshot(
            items, np.asarray(vectors, dtype=np.float32), LexicalSnapshot.build(titles, "english")
        )

    return make


@pytest.fixture
def uri(tmp_path):
    return str(tmp_path / "live")


@pytest.fixture
def table(uri):
    return ItemsTable.open(uri)


@pytest.fixture
def bucket(moto_url, monkeypatch, request):
    """An empty prefix behind a real HTTP endpoint on a loopback port."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_url)
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    boto3.client("s3").create_bucket(Bucket="live")
    return f"s3://live/{request.node.name}"
