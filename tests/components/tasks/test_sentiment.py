"""What reviews say of items, for the second stage."""

from pathlib import Path

import polars as pl
import pytest
from pydantic import ValidationError

from components.contract.settings import Settings
from components.tasks.sentiment import opinion_task, read_opinions, write_read_reviews
from tests.components.tasks.conftest import task

SENTIMENT = task(name="sentiment", text=("text",), opinions=True)
REVIEWS = pl.DataFrame(
    {
        "at": [None] * 3,
        "item_id": ["a", "b", "b"],
        "rating": [None, 3.0, 5.0],
        "text": ["awful zip again", "average fit", "awful zip again\n"],
    },
    schema_overrides={"at": pl.Datetime("us")},
)


@pytest.fixture
def read(tmp_path: Path):
    """read(targets by word) → the reviews as the task reads them."""

    def make(targets: dict[str, str], more: dict[str, str] | None = None) -> pl.DataFrame:
        for folder in ("rows/sentiment", "split/statistics", "out"):
            (tmp_path / folder).mkdir(parents=True)
        REVIEWS.write_parquet(tmp_path / "split/statistics/reviews.parquet")
        texts = {f"{word} thing {number}": target for word, target in targets.items() for number in range(30)}
        texts |= more or {}
        train = pl.DataFrame({"text": [*texts], "target": [*texts.values()]})
        train.write_parquet(tmp_path / "rows/sentiment/train.parquet")
        write_read_reviews(SENTIMENT, tmp_path / "rows", tmp_path / "split", tmp_path / "out")
        found = read_opinions(tmp_path / "split", tmp_path / "out")
        assert found is not None
        return found

    return make


def test_each_review_is_read_by_its_words_with_stars_or_without(read) -> None:
    found = read({"awful": "negative", "lovely": "positive", "average": "neutral"})
    assert found.get_column("sentiment").to_list() == [0.0, 0.5, 0.0]
    assert found.get_column("rating").to_list() == [None, 3.0, 5.0]
    assert "text" not in found.columns


def test_a_review_that_was_learned_is_read_by_what_the_others_taught(read) -> None:
    """Its own label says positive, what is known of its words is negative."""
    found = read({"awful": "negative", "lovely": "positive"}, more={"awful zip again": "positive"})
    assert found.get_column("sentiment").to_list()[::2] == [0.0, 0.0]


def test_other_labels_say_nothing_of_an_item(read) -> None:
    assert "sentiment" not in read({"awful": "zips", "average": "fit"}).columns


def test_without_a_reading_there_are_the_stars(tmp_path: Path) -> None:
    (tmp_path / "statistics").mkdir()
    assert read_opinions(tmp_path, None) is None
    REVIEWS.write_parquet(tmp_path / "statistics/reviews.parquet")
    found = read_opinions(tmp_path, None)
    assert found is not None and found.equals(REVIEWS)


def test_only_a_classification_of_texts_that_says_so_reads_reviews() -> None:
    """Whatever it is called."""
    assert opinion_task([task(name="sentiment", text=("text",))]) is None
    content = task(name="content", text=("text",), opinions=True)
    assert opinion_task([task(), content]) is content
    for other in ({"head": "regression"}, {"text": ("query",)}):
        with pytest.raises(ValidationError, match="opinions: only for a classification of texts"):
            task(opinions=True, **other)
    more = task(name="content", opinions=True, text=("title", "text"))
    with pytest.raises(
        ValidationError, match=r"the task content is of opinions, so its text must be \[text\]"
    ):
        Settings(shop="one", tables={"items": "SELECT 1"}, tasks=(more,))
    with pytest.raises(ValidationError, match="tasks sentiment, content: only one may be of opinions"):
        Settings(shop="two", tables={"items": "SELECT 1"}, tasks=(SENTIMENT, content))
