from datetime import datetime

import pytest

from components.contract.settings import QualitySettings
from components.quality import checks, coverage

CUTOFF = datetime(2024, 3, 1)
OLD, NEW = datetime(2024, 1, 1), datetime(2024, 4, 1)


@pytest.fixture
def stages(loaded, table, tmp_path):
    items = table(
        "items",
        {"item_id": "kept"},
        {"item_id": "old"},
        {"item_id": "new"},
        {"item_id": "listed new", "listed_at": NEW},
        {"item_id": "listed old", "listed_at": OLD},
        {"item_id": "bad", "title": None},
        {"item_id": "POST"},
        {"item_id": "quiet"},
    )
    events = table(
        "events",
        {"item_id": "kept", "at": NEW},
        {"item_id": "kept", "at": NEW, "kind": "refund"},
        {"item_id": "old", "at": OLD, "kind": "refund"},
        {"item_id": "new", "at": NEW, "kind": "refund"},
        {"item_id": "listed new", "at": OLD, "kind": "refund"},
        {"item_id": "listed old", "at": NEW, "kind": "refund"},
        {"item_id": "bad", "at": OLD},
        {"item_id": "POST", "at": NEW},
        {"item_id": "unknown", "at": NEW},
    )
    folder = loaded(items=items, events=events)
    checks.inspect(folder, QualitySettings(ignore_item_pattern="^POST$"), tmp_path / "out")
    return folder, tmp_path / "out"


def test_lost_items(stages) -> None:
    """Products that lost all their events are counted; not services, unknown ids, quiet items."""
    assert coverage.lost_items(*stages, CUTOFF) == {
        "items_with_events": 6,
        "lost_items": 5,
        "lost_items_quarantined": 1,
        "new_items_with_events": 3,  # kept, new, listed new
        "lost_new_items": 2,
    }


def test_without_cutoff(stages) -> None:
    """Where the cut-off is not known yet nothing is said about new items."""
    assert "lost_new_items" not in coverage.lost_items(*stages, None)


def test_without_events(loaded, tmp_path) -> None:
    """A shop without events has no such figures."""
    folder = loaded()
    checks.inspect(folder, QualitySettings(), tmp_path / "out")
    assert coverage.lost_items(folder, tmp_path / "out", CUTOFF) == {}
