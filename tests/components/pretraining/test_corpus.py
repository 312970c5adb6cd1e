"""What pretraining may read, and what it must never see."""

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from components.contract.digests import hashed
from components.contract.errors import DataError
from components.contract.pretraining import PretrainingSettings
from components.pretraining.corpus import PAIRS, TEXTS, collect

FIELDS = ("title", "brand")


@pytest.fixture
def collected(text: Any, settings: PretrainingSettings, tmp_path: Path) -> tuple[Any, Path]:
    out = tmp_path / "corpus"
    return collect(text.split, text.checked, FIELDS, settings, out), out


def test_no_text_of_a_held_out_item_and_no_judged_query_is_read(collected: Any) -> None:
    """Drills and brackets are held out: neither titles, descriptions nor reviews of them are there, nor an
    old item's description that a new one has too; nor a judged query in another spelling, nor a review
    written after the training side ended."""
    _, out = collected
    texts = pl.read_parquet(out / TEXTS).get_column("text").to_list()
    pairs = pl.read_parquet(out / PAIRS)
    everything = [*texts, *pairs.get_column("title"), *pairs.get_column("description")]
    assert not [one for one in everything if "drill" in one or "bracket" in one]
    assert not [one for one in everything if "judged" in one or "late" in one]
    assert "red chair stone" in texts and "chair in red" in texts
    assert "red chair" not in pairs.get_column("title")  # its description is a bracket's


def test_counts_and_items_are_told(collected: Any, text: Any) -> None:
    corpus, out = collected
    assert corpus.texts == {"description": 35, "item": 36, "query": 36, "review": 36}
    trainable = pl.read_parquet(text.split / "items.parquet").filter("trainable").get_column("item_id")
    assert corpus.items == hashed(trainable)
    assert corpus.pairs == len(pl.read_parquet(out / PAIRS)) == 35


def test_an_item_is_held_out_with_all_its_texts(collected: Any) -> None:
    """Else its review would tell what its title is."""
    _, out = collected
    rows = pl.read_parquet(out / TEXTS)
    things = pl.col("text").str.extract(r"(red|blue|green|steel|oak|glass)")
    kinds = pl.col("text").str.extract(r"(chair|table|lamp|mug|towel|hammer)")
    of_items = rows.filter(pl.col("kind").is_in(["item", "review"])).with_columns(item=things + kinds)
    sides = of_items.group_by("item").agg(pl.col("held_out").n_unique()).get_column("held_out")
    assert sides.to_list() == [1] * 36
    pairs = pl.read_parquet(out / PAIRS)
    held_out = set(rows.filter("held_out").get_column("text"))
    for title, told in pairs.select("title", "held_out").iter_rows():
        assert (f"{title} stone" in held_out) == told


def test_too_little_text_is_a_sentence(text: Any, settings: PretrainingSettings, tmp_path: Path) -> None:
    few = settings.model_copy(update={"held_out_share": 0.01})
    with pytest.raises(DataError, match=r"held out, at least 10 of each are needed.*held_out_share"):
        collect(text.split, text.checked, FIELDS, few, tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


def test_with_too_few_left_to_train_on_the_other_way_is_told(
    text: Any, settings: PretrainingSettings, tmp_path: Path
) -> None:
    most = settings.model_copy(update={"held_out_share": 0.99})
    with pytest.raises(DataError, match=r"or lower pretraining\.held_out_share"):
        collect(text.split, text.checked, FIELDS, most, tmp_path)


def test_a_description_in_another_spelling_is_the_same(
    text: Any, settings: PretrainingSettings, tmp_path: Path
) -> None:
    """What one item is held out with, another is not asked about."""
    split = tmp_path / "split"
    shutil.copytree(text.split, split)
    items = pl.read_parquet(split / "items.parquet")
    told = pl.when(pl.col("item_id") == "i02").then(pl.lit(f"  {items.item(1, 'description').upper()} "))
    items.with_columns(description=told.otherwise("description")).write_parquet(split / "items.parquet")
    collect(split, text.checked, FIELDS, settings, tmp_path / "corpus")
    known = pl.read_parquet(tmp_path / "corpus" / PAIRS).select(pl.col("description").str.strip_chars())
    assert known.select(pl.col("description").str.to_lowercase()).is_unique().all()
