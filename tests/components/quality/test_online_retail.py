"""The dirt of real data comes out counted as an independent query counts it."""

from pathlib import Path

import polars as pl
import pytest

from components.data.configuration import load_settings
from components.data.sources import load
from components.quality import checks, coverage

DATA = Path(__file__).parents[3] / "../shared/data/online_retail"
LINES = 40_000

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data/online_retail is not on this machine"),
]


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """All items and the events of the log's first lines, loaded and checked by the example's settings."""
    workspace = tmp_path_factory.mktemp("online_retail")
    settings, _ = load_settings("online_retail")
    load(settings, DATA, workspace, workspace / "loaded")
    events = pl.read_parquet(workspace / "loaded/events.parquet").filter(pl.col("source_row") <= LINES)
    events.write_parquet(workspace / "loaded/events.parquet")
    return workspace, checks.inspect(workspace / "loaded", settings.quality, workspace / "checked")


def test_counts(stages) -> None:
    """Cancellations, lines without a customer or a price, services and repeats are counted to the row."""
    lines = pl.read_parquet(DATA / "online_retail.parquet").head(LINES)
    code = pl.col("StockCode").str.strip_chars().str.to_uppercase()
    product = code.str.contains(r"^\d{5}")
    cancelled = pl.col("InvoiceNo").cast(pl.String).str.starts_with("C")
    sold = (
        (pl.col("Quantity") > 0) & (pl.col("UnitPrice") > 0) & pl.col("CustomerID").is_not_null() & ~cancelled
    )
    event = ["InvoiceNo", "InvoiceDate", "CustomerID", "Quantity", code.alias("code")]
    repeats = lines.filter(sold & product).select(event).is_duplicated().sum()
    firsts = lines.filter(sold & product).select(event).filter(pl.struct(pl.all()).is_duplicated()).n_unique()
    broken = stages[1].broken
    kinds = "events: kind is one of impression, search_click, view, cart, purchase"
    assert broken[kinds] == lines.filter(~sold).height
    assert broken["events: quantity is above 0"] == lines.filter(pl.col("Quantity") <= 0).height
    assert broken["events: row is no exact repeat of an earlier one (the first stays)"] == repeats - firsts
    services = "events: item is a product (its id does not match ignore_item_pattern)"
    assert broken[services] == lines.filter(~product).height


def test_no_row_is_lost(stages) -> None:
    """Clean and quarantined events together are the lines of the log."""
    assert stages[1].rows["events"] + stages[1].quarantined["events"] == LINES


def test_coverage(stages) -> None:
    """Items that were never sold to a known customer are told as lost."""
    lost = coverage.lost_items(stages[0] / "loaded", stages[0] / "checked", None)
    assert 0 < lost["lost_items_quarantined"] <= lost["lost_items"] < lost["items_with_events"]
