"""The split of judgements without dates, by item and by query."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from components.contract.errors import ConfigError, DataError, LeakageError
from components.contract.settings import SplitSettings
from components.split.judged import read_judged
from components.split.purchases import read_purchases
from components.split.statistics import read_reviews, read_traffic
from components.split.trained_on import trained_on
from tests.components.split.conftest import Write, run

UNDATED = SplitSettings(test_queries=10, validation_queries=6, relevant_grade=2.0, positive_grade=2.0)


def test_the_last_items_in_id_order_are_new_and_none_of_them_is_trained_on(
    write_tables: Write, undated: dict[str, pl.DataFrame]
) -> None:
    """By item: 20 % of 40 are new; an established item with a new item's title leaves training too."""
    out = run(write_tables(**undated), UNDATED)
    items = pl.read_parquet(out / "items.parquet")
    assert items.filter("is_new").get_column("item_id").to_list() == [f"{i}" for i in range(132, 140)]
    assert items.filter("is_validation_new").get_column("item_id").to_list() == ["128", "129", "130", "131"]
    held_back = items.filter(~pl.col("trainable") & ~pl.col("is_new") & ~pl.col("is_validation_new"))
    assert held_back.get_column("item_id").to_list() == ["105"]
    trained = pl.read_parquet(out / "train" / "search.parquet")
    assert trained.join(items.filter(~pl.col("trainable")), on="item_id", how="semi").is_empty()
    assert (trained.get_column("grade") >= 2.0).all()


def test_low_grades_of_what_may_be_trained_on_are_kept_apart(
    write_tables: Write, undated: dict[str, pl.DataFrame]
) -> None:
    """For a teacher: the positives and the judgements below them, none of them held out."""
    out = run(write_tables(**undated), UNDATED)
    graded = pl.read_parquet(out / "graded/search.parquet")
    positives = pl.read_parquet(out / "train/search.parquet")
    assert set(graded.get_column("grade")) == {1.0, 3.0}
    assert graded.filter(pl.col("grade") >= 2.0).equals(positives)
    items = pl.read_parquet(out / "items.parquet").filter(~pl.col("trainable"))
    assert graded.join(items, on="item_id", how="semi").is_empty()
    alone, taught = trained_on(out), trained_on(out, taught=True)
    assert set(taught[1]) == set(alone[1]) | set(graded.get_column("item_id")) > set(alone[1])
    held_out = {request.request_id for part in ("validation", "test")
                for request in read_judged(out, part, "judge")["search"].requests}  # fmt: skip
    assert not held_out & set(graded.get_column("query").str.to_lowercase())


def test_numeric_ids_are_ordered_as_numbers(write_tables: Write, undated: dict[str, pl.DataFrame]) -> None:
    """Item 1000 is newer than item 999."""
    renamed = {
        name: frame.with_columns(item_id=(pl.col("item_id").cast(pl.Int64) + 870).cast(pl.String))
        for name, frame in undated.items()
    }
    items = pl.read_parquet(run(write_tables(**renamed), UNDATED) / "items.parquet")
    assert set(items.filter("is_new").get_column("item_id")) == {f"{i}" for i in range(1002, 1010)}


def test_queries_are_held_out_whole_and_validation_never_sees_a_new_item(
    write_tables: Write, undated: dict[str, pl.DataFrame]
) -> None:
    """Train, validation and test share no normalised query."""
    out = run(write_tables(**undated), UNDATED)
    trained, _ = trained_on(out)
    validation = read_judged(out, "validation", "training")["search"]
    test = read_judged(out, "test", "judge")["search"]
    new = set(pl.read_parquet(out / "items.parquet").filter("is_new").get_column("item_id"))
    assert not set(trained) & (set(validation.judged) | set(test.judged))
    assert not set(validation.judged) & set(test.judged)
    assert not new & {item for items in validation.judged.values() for item in items}
    assert test.has_nonrelevant and all(test.relevant[request.request_id] for request in test.requests)


def test_a_shops_own_split_column_is_followed(write_tables: Write, undated: dict[str, pl.DataFrame]) -> None:
    """Queries marked test and validation are those, and no others."""
    parts = {"Query 1": "test", "Query 2": "validation", "Query 3": "test"}
    part = pl.col("query").replace_strict(parts, default=None)
    judgements = undated["judgements"].with_columns(split=part)
    judgements = judgements.with_columns(grade=pl.lit(3.0))
    marked = pl.DataFrame({"query": ["Query 1"], "item_id": ["135"], "grade": [3.0], "split": ["test"]})
    folder = write_tables(items=undated["items"], judgements=pl.concat([judgements, marked]))
    assert [r.text for r in read_judged(run(folder, UNDATED), "test", "judge")["search"].requests] == [
        "Query 1",
        "Query 3",
    ]


def test_only_the_judge_reads_test_rows(write_tables: Write, undated: dict[str, pl.DataFrame]) -> None:
    """Any other reader is stopped, and told what to use."""
    out = run(write_tables(**undated), UNDATED)
    with pytest.raises(LeakageError, match="only the judge"):
        read_judged(out, "test", "training")


def test_judgements_alone_know_no_purchases(write_tables: Write, undated: dict[str, pl.DataFrame]) -> None:
    assert read_purchases(run(write_tables(**undated), UNDATED), "statistics") is None


def test_one_query_is_too_few_to_split(write_tables: Write, undated: dict[str, pl.DataFrame]) -> None:
    """A single judged query cannot be both tested and validated on."""
    judgements = undated["judgements"].filter(query="Query 1")
    with pytest.raises(DataError, match="1 test and 0 validation"):
        run(write_tables(items=undated["items"], judgements=judgements), UNDATED)


def test_no_training_query_is_judged_once_others_are_added(
    write_tables: Write, undated: dict[str, pl.DataFrame]
) -> None:
    """Else the champion would know what its next challenger is judged by, and no verdict could be given.
    Shuffled, as a published split may be, they do change sides."""

    def queries(part: str, judgements: pl.DataFrame, settings: SplitSettings) -> set[str]:
        judged = run(write_tables(items=undated["items"], judgements=judgements), settings)
        path = judged / ("train/search.parquet" if part == "train" else f"{part}/requests.parquet")
        frame = pl.read_parquet(path)
        shutil.rmtree(judged)
        return {text.lower() for text in frame.get_column("query" if part == "train" else "text")}

    before = undated["judgements"]
    more = [before.with_columns(query=pl.lit(f"later {n} ") + pl.col("query")) for n in range(3)]
    for order, kept in (("hashed", True), ("shuffled", False)):
        settings = UNDATED.model_copy(update={"query_order": order})
        trained = queries("train", before, settings)
        judged = queries("test", pl.concat([before, *more]), settings)
        assert trained.isdisjoint(judged) == kept


def test_a_second_training_on_validation_rows_is_refused_for_judgements(
    write_tables: Write, undated: dict[str, pl.DataFrame]
) -> None:
    """They have no window that comes later; said before anything is trained."""
    settings = UNDATED.model_copy(update={"refit_on_validation": True})
    with pytest.raises(ConfigError, match=r"split\.refit_on_validation"):
        run(write_tables(**undated), settings)


@pytest.mark.real_data
def test_home_depot_is_split_as_its_readme_fixes(real_data: Path, write_tables: Write) -> None:
    """10,934 new items, 2,466 test queries, 608 of them with a relevant new item."""
    import gzip
    import io

    text = gzip.decompress((real_data / "home_depot" / "train.csv.gz").read_bytes()).decode("latin-1")
    rows = pl.read_csv(io.StringIO(text), schema_overrides={"product_uid": pl.String})
    items = rows.group_by(item_id="product_uid").agg(title=pl.col("product_title").first())
    judgements = rows.select(query="search_term", item_id="product_uid", grade="relevance")
    settings = SplitSettings(relevant_grade=2.67, positive_grade=2.33, query_order="shuffled")
    out = run(write_tables(items=items, judgements=judgements), settings)
    counts = json.loads((out / "split.json").read_text())["counts"]
    assert counts["new_items"] == 10_934
    assert counts["test_search_requests"] == 2_466
    assert counts["requests_with_new"] == 608


def test_undated_reviews_are_kept_of_items_that_are_trained_on(
    write_tables: Write, undated: dict[str, pl.DataFrame]
) -> None:
    """By item nothing is dated: reviews of held-out items and their duplicates are left out, events too."""
    ids = undated["items"].get_column("item_id").to_list()
    reviews = pl.DataFrame({"item_id": ids, "text": ["x"] * len(ids), "rating": [4.0] * len(ids)})
    out = run(write_tables(**undated, reviews=reviews), UNDATED)
    items = pl.read_parquet(out / "items.parquet")
    assert sorted(read_reviews(out).get_column("item_id")) == sorted(items.filter("trainable")["item_id"])
    assert read_traffic(out) is None
