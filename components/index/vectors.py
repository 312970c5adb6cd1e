"""A catalogue's vectors on disk: encoded once per encoder and catalogue, read by everything that ranks."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from safetensors.numpy import load_file, save_file

from components.contract.errors import DataError, EncoderError
from components.contract.files import disk_errors
from components.contract.learning import Language
from components.contract.ports import Vectors
from components.contract.tables import TABLES
from components.encoder.texts import item_texts
from components.index.co_purchases import CoPurchases
from components.index.lexical import LEXICAL_FILES, LexicalSnapshot
from components.index.signals import Signals
from components.ranking.observations import Observed

VECTORS_FILE = "vectors.safetensors"
ITEMS_FILE = "items.parquet"
INDEX_FILES = (VECTORS_FILE, ITEMS_FILE, *LEXICAL_FILES)
# What an index snapshot keeps of the catalogue: enough to show, filter and encode an item again.
SNAPSHOT_COLUMNS = (*TABLES["items"].columns, "first_seen")


def encode_catalogue(
    items: pl.DataFrame,
    encode: Callable[[list[str]], Vectors],
    fields: Sequence[str],
    out: Path,
    language: Language = "english",
    purchases: pl.DataFrame | None = None,
    observed: Observed | None = None,
) -> None:
    """Writes vectors.safetensors ((n, d) float32, row = item row), the lexical side of the same texts and
    items.parquet into `out`; purchases: user_id and item_id of those before the cut-off, where users are
    known, become co_purchases.safetensors; observed: of the same items before the cut-off, becomes
    signals.safetensors."""
    texts = item_texts(items, fields)
    vectors = encode(texts)
    write_vectors(items, vectors, out)
    LexicalSnapshot.build(texts, language).save(out)
    if purchases is not None:
        CoPurchases.build(items.get_column("item_id").to_list(), vectors, purchases).save(out)
    if observed is not None:
        Signals.build(vectors, observed).save(out)


class KnownVectors:
    """Encodes the texts that an index of the same encoder does not hold; takes the other vectors from it."""

    def __init__(self, index: Path, fields: Sequence[str], encode: Callable[[list[str]], Vectors]) -> None:
        _, self._vectors = read_vectors(index)
        texts = item_texts(pl.read_parquet(index / ITEMS_FILE), fields)
        self._row_of = {text: row for row, text in enumerate(texts)}
        self._encode = encode
        self.taken, self.encoded = 0, 0
        """Items, and distinct texts."""

    def encode(self, texts: list[str]) -> Vectors:
        unknown = sorted({text for text in texts if text not in self._row_of})
        place = {text: len(self._vectors) + row for row, text in enumerate(unknown)}
        vectors = np.concatenate([self._vectors, self._encode(unknown)]) if unknown else self._vectors
        rows = [place[text] if text in place else self._row_of[text] for text in texts]
        self.taken, self.encoded = sum(row < len(self._vectors) for row in rows), len(unknown)
        return vectors[rows]


def write_vectors(items: pl.DataFrame, vectors: Vectors, out: Path) -> None:
    with disk_errors(out):
        save_file({"vectors": np.ascontiguousarray(vectors, dtype=np.float32)}, out / VECTORS_FILE)
        items.select(SNAPSHOT_COLUMNS).write_parquet(out / ITEMS_FILE)


def read_vectors(folder: Path) -> tuple[list[str], Vectors]:
    """item_ids and (n, d) vectors; raises DataError where they do not belong together."""
    with disk_errors(folder / ITEMS_FILE):
        item_ids = pl.read_parquet(folder / ITEMS_FILE).get_column("item_id").to_list()
    with disk_errors(folder / VECTORS_FILE):
        vectors: Vectors = load_file(folder / VECTORS_FILE)["vectors"]
    if len(item_ids) != len(vectors):
        raise DataError(f"{folder}: {len(item_ids)} items but {len(vectors)} vectors; build the index again.")
    return item_ids, vectors


def check_finite(vectors: Vectors, what: str) -> Vectors:
    """The vectors; raises EncoderError where a number is NaN or infinite, which no ranking may hold."""
    if not np.isfinite(vectors).all():
        row = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
        raise EncoderError(
            f"The encoder gave a vector that is not finite ({what}, number {row}): its weights are damaged; "
            "restore them or train again."
        )
    return vectors
