"""A task's rows are selected from the folder that was named."""

from pathlib import Path

import polars as pl

from components.data.checked_tables import select_checked


def test_a_folder_is_no_pattern(tmp_path: Path) -> None:
    """`check[1]` is that folder, not check1 beside it."""
    for name, item in (("check1", "other"), ("check[1]", "this")):
        (tmp_path / name).mkdir()
        pl.DataFrame({"item_id": [item]}).write_parquet(tmp_path / name / "items.parquet")
    rows = select_checked(tmp_path / "check[1]", "SELECT item_id FROM items", "task test")
    assert rows["item_id"].to_list() == ["this"]
