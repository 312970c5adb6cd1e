"""Live items: what the shop PUTs and deletes between two releases."""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, Field, StrictBool

from components.contract.records import Record
from components.contract.times import UtcTime


def _without_control_characters(text: str) -> str:
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise ValueError("must not hold control characters")
    return text


_NO_CONTROL_CHARACTERS = {"pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]*$"}
ItemId = Annotated[
    str,
    Field(min_length=1, max_length=200, json_schema_extra=_NO_CONTROL_CHARACTERS),
    AfterValidator(_without_control_characters),
]
ShortText = Annotated[str, Field(max_length=2_000)]
LongText = Annotated[str, Field(max_length=100_000)]


class LiveItem(Record):
    """One item as the shop describes it; lengths are in characters. Raises pydantic's ValidationError."""

    item_id: ItemId
    title: ShortText
    """May be empty: such an item is stored, and reported as undiscoverable."""
    description: LongText | None = None
    brand: ShortText | None = None
    category: ShortText | None = None
    """A > B > C."""
    price: Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)] | None = None
    attributes: LongText | None = None
    """name: value; name: value."""
    image: ShortText | None = None
    listed_at: UtcTime | None = None
    group_id: ShortText | None = None
    in_stock: StrictBool = True


class Change(Record):
    """What last happened to an item."""

    item_id: str
    seq: int
    """The writer's clock in nanoseconds; 0: the row came from a release's snapshot."""
    item: LiveItem | None
    """None: deleted."""
