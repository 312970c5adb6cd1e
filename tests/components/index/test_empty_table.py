"""Making one table from several processes at once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import lancedb
import pyarrow as pa
import pytest

from components.index.empty_table import create_if_absent

SCHEMA = pa.schema([pa.field("item_id", pa.string(), False, {"lance-schema:unenforced-primary-key": "true"})])


def rows(*item_ids):
    return pa.table({"item_id": item_ids}, SCHEMA)


def stored(folder):
    table = lancedb.connect(folder).open_table("items")
    return sorted(table.search().to_arrow()["item_id"].to_pylist())


def test_a_table_is_made_empty(tmp_path):
    """With its schema and the metadata of its columns, and it takes rows."""
    create_if_absent(str(tmp_path), "items", SCHEMA)
    table = lancedb.connect(tmp_path).open_table("items")
    assert table.schema.equals(SCHEMA, check_metadata=True)
    assert table.version == 1
    table.add(rows("a"))
    assert stored(tmp_path) == ["a"]


def test_a_table_that_is_there_stays(tmp_path):
    """Also where the creation was decided before the table appeared."""
    create_if_absent(str(tmp_path), "items", SCHEMA)
    lancedb.connect(tmp_path).open_table("items").add(rows("a"))
    create_if_absent(str(tmp_path), "items", SCHEMA)
    assert stored(tmp_path) == ["a"]


@pytest.mark.parametrize("turn", range(5))
def test_no_row_is_lost_where_many_make_it(tmp_path, turn):
    """Each maker adds a row as soon as it has the table; with Lance's own creation some of them fail."""
    barrier = threading.Barrier(6)

    def make_and_add(number):
        barrier.wait()
        create_if_absent(str(tmp_path), "items", SCHEMA)
        lancedb.connect(tmp_path).open_table("items").add(rows(str(number)))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(make_and_add, range(6)))
    assert stored(tmp_path) == list("012345")
