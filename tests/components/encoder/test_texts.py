"""The text of one item and the texts of a catalogue are the same."""

from datetime import datetime

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from components.contract.live import LiveItem
from components.encoder.texts import item_text, item_texts

# Python counts four separators of ASCII among the spaces that it strips, Polars does not.
TEXT = st.none() | st.text(
    st.characters(exclude_characters="\x1c\x1d\x1e\x1f", exclude_categories=["Cs"]), max_size=12
)
SPACED = st.sampled_from([None, "", " ", "\u00a0 oak\u3000", "\toak  chair\n", "\u200b", "👩‍🔧", "שלום "])
FIELDS = st.lists(
    st.sampled_from(["title", "brand", "attributes", "description", "price", "listed_at"]),
    min_size=1,
    max_size=6,
)


@given(
    title=st.text(max_size=5) | SPACED.map(lambda text: text or ""),
    brand=TEXT | SPACED,
    attributes=TEXT | SPACED,
    price=st.none() | st.decimals(0, 10_000, places=2).map(float),
    listed_at=st.none() | st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)),
    fields=FIELDS,
)
@settings(max_examples=200, deadline=None)
def test_a_live_item_has_the_text_that_it_would_have_in_a_catalogue(
    title, brand, attributes, price, listed_at, fields
):
    """Any fields in any order: texts, prices and times."""
    title = title.translate(dict.fromkeys(range(0x1C, 0x20))).encode(errors="ignore").decode()
    item = LiveItem(
        item_id="i", title=title, brand=brand, attributes=attributes, price=price, listed_at=listed_at
    )
    schema = dict.fromkeys(("item_id", "title", "brand", "attributes", "description"), pl.String)
    schema |= {"price": pl.Float64, "listed_at": pl.Datetime("us")}
    row = {name: getattr(item, name) for name in schema}
    frame = pl.DataFrame([row], schema=schema)
    assert [item_text(item.model_dump(), fields)] == item_texts(frame, fields)


def test_a_field_that_an_item_lacks_leaves_no_gap():
    assert item_text(
        {"title": " oak ", "brand": None, "attributes": "x: y"}, ("brand", "title", "attributes")
    ) == ("oak x: y")
    assert item_text({"title": ""}, ("title", "brand")) == ""
