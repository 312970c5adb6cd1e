"""Rows of the live items' table, and what they are outside it.

The columns are the contract's item columns and
    in_stock, deleted   a deleted item's row stays, without its texts
    seq                 the writer's clock in nanoseconds when it wrote the row; 0: from a release's snapshot

item_id is the table's primary key (metadata in its schema): Lance then sees that two commits inserted the
same item, and repeats the later one as an update. Without it such a race leaves two rows.
"""

from collections.abc import Iterable
from typing import Any

import polars as pl
import pyarrow as pa

from components.contract.errors import DataError
from components.contract.live import Change, LiveItem
from components.contract.tables import TABLES, ColumnType

COLUMNS = TABLES["items"].columns
# Arrow's plain string holds 2 GiB per column, too little for texts.
_ARROW_TYPES = {"text": pa.large_string(), "number": pa.float64(), "timestamp": pa.timestamp("us")}
_POLARS_TYPES: dict[ColumnType, pl.DataType] = {
    "text": pl.String(),
    "number": pl.Float64(),
    "timestamp": pl.Datetime("us"),
}
SCHEMA = pa.schema(
    [
        pa.field("item_id", pa.string(), False, {"lance-schema:unenforced-primary-key": "true"}),
        *(pa.field(name, _ARROW_TYPES[kind]) for name, kind in COLUMNS.items() if name != "item_id"),
        pa.field("in_stock", pa.bool_(), False),
        pa.field("deleted", pa.bool_(), False),
        pa.field("seq", pa.int64(), False),
    ]
)


def put_rows(items: Iterable[LiveItem]) -> pa.Table:
    """Rows of items, seq 0; of an item_id given twice the last."""
    rows = {item.item_id: {**item.model_dump(), "deleted": False, "seq": 0} for item in items}
    return pa.Table.from_pylist(list(rows.values()), SCHEMA)


def tombstones(item_ids: Iterable[str]) -> pa.Table:
    """Rows of deleted items, seq 0. Raises DataError for an id that is no Unicode text."""
    ids = list(dict.fromkeys(item_ids))
    for item_id in ids:
        if not is_unicode(item_id):
            raise DataError(f"item_id {item_id!r} is no Unicode text; nothing was deleted.")
    rows = [{"item_id": item_id, "in_stock": False, "deleted": True, "seq": 0} for item_id in ids]
    return pa.Table.from_pylist(rows, SCHEMA)


def stamped(rows: pa.Table, seq: int) -> pa.Table:
    number = SCHEMA.get_field_index("seq")
    return rows.set_column(number, SCHEMA.field(number), pa.array([seq] * len(rows), pa.int64()))


def change(row: dict[str, Any]) -> Change:
    """What is in the table was checked when it was PUT, or by the run that made the snapshot."""
    fields = {name: row[name] for name in LiveItem.model_fields}
    item = None if row["deleted"] else LiveItem.model_construct(**fields)
    return Change.model_construct(item_id=row["item_id"], seq=row["seq"], item=item)


def snapshot_rows(snapshot: pl.DataFrame) -> pa.Table:
    """A snapshot in the table's columns, with seq 0."""
    ids = snapshot.get_column("item_id") if "item_id" in snapshot.columns else pl.Series([None])
    if ids.null_count():
        raise DataError("The release's snapshot has rows without item_id: build the release again.")
    if ids.n_unique() < len(ids):
        twice = ids.filter(ids.is_duplicated()).min()
        raise DataError(f"The release's snapshot has item_id {twice!r} twice: build the release again.")
    frame = snapshot.select(
        *(_snapshot_column(snapshot, name, kind) for name, kind in COLUMNS.items()),
        in_stock=pl.lit(True),
        deleted=pl.lit(False),
        seq=pl.lit(0, pl.Int64),
    )
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(SCHEMA)


def _snapshot_column(snapshot: pl.DataFrame, name: str, kind: ColumnType) -> pl.Expr:
    dtype = snapshot.schema.get(name)
    if dtype is None:
        return pl.lit(None, _POLARS_TYPES[kind]).alias(name)
    column = pl.col(name)
    if isinstance(dtype, pl.Datetime) and dtype.time_zone:
        column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    column = column.cast(_POLARS_TYPES[kind])
    if kind == "number":
        return pl.when(column.is_finite()).then(column).alias(name)
    return column.fill_null("") if name == "title" else column


def is_unicode(text: str) -> bool:
    """Whether UTF-8 can hold it; half a surrogate pair it cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
