"""A catalogue's vectors on disk: encoded once per encoder and catalogue, read by everything that ranks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from safetensors.numpy import load_file, save_file

from components.contract.errors import DataError
from components.contract.files import disk_errors
from components.contract.ports import Encoder, Vectors
from components.encoder.texts import item_texts

VECTORS_FILE = "vectors.safetensors"
ITEMS_FILE = "items.parquet"
# What an index snapshot keeps of the catalogue: enough to show and to filter a result.
SNAPSHOT_COLUMNS = ("item_id", "title", "brand", "category", "price", "listed_at", "first_seen")


def encode_catalogue(items: pl.DataFrame, encoder: Encoder, fields: Sequence[str], out: Path) -> None:
    """Writes vectors.safetensors ((n, d) float32, row = item row) and items.parquet into `out`."""
    write_vectors(items, encoder.encode_items(item_texts(items, fields)), out)


def write_vectors(items: pl.DataFrame, vectors: Vectors, out: Path) -> None:
    with disk_errors(out):
        save_file({"vectors": np.ascontiguousarray(vectors, dtype=np.float32)}, out / VECTORS_FILE)
        items.select(SNAPSHOT_COLUMNS).write_parquet(out / ITEMS_FILE)


def read_vectors(folder: Path) -> tuple[list[str], Vectors]:
    """item_ids and (n, d) vectors; raises DataError where they do not belong together."""
    with disk_errors(folder):
        item_ids = pl.read_parquet(folder / ITEMS_FILE).get_column("item_id").to_list()
        vectors: Vectors = load_file(folder / VECTORS_FILE)["vectors"]
    if len(item_ids) != len(vectors):
        raise DataError(f"{folder}: {len(item_ids)} items but {len(vectors)} vectors; build the index again.")
    return item_ids, vectors
