"""A catalogue's vectors on disk."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from components.contract.errors import DataError, StorageError
from components.contract.ports import Vectors
from components.index.vectors import (
    ITEMS_FILE,
    SNAPSHOT_COLUMNS,
    KnownVectors,
    encode_catalogue,
    read_vectors,
    write_vectors,
)


@pytest.fixture
def items() -> pl.DataFrame:
    columns = dict.fromkeys(SNAPSHOT_COLUMNS, pl.Series([None, None], dtype=pl.String))
    return pl.DataFrame(
        {**columns, "item_id": ["a", "b"], "title": ["oak", "pine"], "attributes": ["x", None]}
    )


def test_what_is_read_is_what_was_encoded(items, lookup_encoder, tmp_path):
    """The encoder gets the texts of the configured fields, in catalogue order."""
    encoder = lookup_encoder({"oak x": [1.0, 0.0], "pine": [0.0, 1.0]})
    encode_catalogue(items, encoder.encode_items, ["title", "attributes"], tmp_path)
    item_ids, vectors = read_vectors(tmp_path)
    assert item_ids == ["a", "b"]
    assert vectors.dtype == np.float32
    assert vectors.tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert pl.read_parquet(tmp_path / ITEMS_FILE).columns == list(SNAPSHOT_COLUMNS)


def test_items_and_vectors_that_do_not_belong_together_are_refused(items, lookup_encoder, tmp_path):
    encoder = lookup_encoder({"oak": [1.0], "pine": [1.0]})
    encode_catalogue(items, encoder.encode_items, ["title"], tmp_path)
    items.head(1).write_parquet(tmp_path / ITEMS_FILE)
    with pytest.raises(DataError, match="1 items but 2 vectors; build the index again"):
        read_vectors(tmp_path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(StorageError, match="nowhere"):
        read_vectors(tmp_path / "nowhere")


def test_an_index_of_the_same_encoder_is_used_again_for_texts_that_it_has(tmp_path: Path) -> None:
    """An item whose text changed, and a new one, are encoded; equal texts once."""
    asked: list[list[str]] = []

    def encode(texts: list[str]) -> Vectors:
        asked.append(texts)
        return np.asarray([[len(text), 1.0] for text in texts], dtype=np.float32)

    items = pl.DataFrame({name: [None, None] for name in SNAPSHOT_COLUMNS}).with_columns(
        item_id=pl.Series(["a", "b"]), title=pl.Series(["oak chair", "lamp"])
    )
    write_vectors(items, np.asarray([[5, 5], [7, 7]], dtype=np.float32), tmp_path)
    known = KnownVectors(tmp_path, ["title"], encode)
    assert known.encode(["lamp", "mug", "oak chair", "mug"]).tolist() == [[7, 7], [3, 1], [5, 5], [3, 1]]
    assert asked == [["mug"]]
    assert (known.taken, known.encoded) == (2, 1)
    assert known.encode(["lamp"]).tolist() == [[7, 7]]
    assert len(asked) == 1
