"""The data contract: which tables a shop has and which columns they hold.

Every loaded table carries three more columns, which name a row for quarantine:
`source_file` (str), `source_row` (int) and `row_hash` (hex, SHA-256 of the row's
contract values, first 16 digits). source_row counts

- in a CSV as a spreadsheet does: the header is row 1, a line break inside quotes
  begins no row (an empty line does not count);
- in JSON and Parquet the records, from 1;
- where a row is no single row of a file (joined, grouped, distinct, …) and the
  SQL hands no key on: the rows of the SELECT's result, sorted by their values,
  from 1; source_file then says "the SELECT's result (<files>)".
"""

from dataclasses import dataclass
from typing import Literal

TableName = Literal["items", "events", "judgements", "reviews", "dialogues"]
ColumnType = Literal["text", "number", "integer", "timestamp"]

KEY_COLUMNS = ("source_file", "source_row", "row_hash")

EVENT_KINDS = ("impression", "search_click", "view", "cart", "purchase")
# What an event says about relevance, as a grade (DESIGN.md, "Judging").
EVENT_GRADES = {"purchase": 3.0, "cart": 2.0, "search_click": 1.0}


@dataclass(frozen=True)
class Table:
    """Columns of one table; `required` ones must be in the shop's SQL result, the others become null."""

    required: dict[str, ColumnType]
    optional: dict[str, ColumnType]

    @property
    def columns(self) -> dict[str, ColumnType]:
        return self.required | self.optional


TABLES: dict[TableName, Table] = {
    "items": Table(
        required={"item_id": "text", "title": "text"},
        optional={
            "description": "text",
            "brand": "text",
            "category": "text",  # A > B > C
            "price": "number",
            "attributes": "text",  # "name: value; name: value"
            "image": "text",
            "listed_at": "timestamp",
            "group_id": "text",
        },
    ),
    "events": Table(
        required={"at": "timestamp", "kind": "text", "item_id": "text"},
        optional={
            "user_id": "text",
            "session_id": "text",
            "request_id": "text",
            "query": "text",
            "quantity": "number",
            "position": "integer",
            "propensity": "number",  # the probability that the position is looked at
        },
    ),
    "judgements": Table(
        required={"query": "text", "item_id": "text", "grade": "number"},
        optional={"split": "text"},
    ),
    "reviews": Table(
        required={"item_id": "text", "text": "text", "rating": "number"},
        optional={"at": "timestamp"},
    ),
    "dialogues": Table(
        required={"question": "text", "answer": "text"},
        optional={"at": "timestamp"},
    ),
}
