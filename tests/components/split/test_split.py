"""Splits: what is held out, what is judged, and what of it lands in which file."""

import json
from datetime import datetime

import polars as pl
import pytest

from components.contract.errors import DataError, JudgeError
from components.contract.settings import SplitSettings
from components.split.judged import read_judged
from components.split.leakage import check_leakage
from components.split.purchases import read_purchases
from components.split.split import split
from components.split.statistics import read_reviews, read_traffic
from components.split.trained_on import trained_on
from tests.components.split.conftest import Write, run

DATED = SplitSettings(cutoff=datetime(2026, 3, 1), judge_window_days=60, validation_window_days=20)


def test_dated_training_ends_before_the_validation_window_and_refit_before_the_cutoff(
    write_tables: Write, dated: dict[str, pl.DataFrame]
) -> None:
    """Rows are cut at T - 20 days and at T; an item first seen from T on is new."""
    out = run(write_tables(**dated), DATED.model_copy(update={"refit_on_validation": True}))
    description = json.loads((out / "split.json").read_text())
    for folder, until in (("train", "validation_cutoff"), ("refit", "cutoff")):
        for name in ("search", "purchases"):
            latest = pl.read_parquet(out / folder / f"{name}.parquet").get_column("at").max()
            assert latest < datetime.fromisoformat(description[until])
    items = pl.read_parquet(out / "items.parquet")
    new = items.filter("is_new")
    assert (new.get_column("first_seen") >= datetime(2026, 3, 1)).all() and len(new) == 41
    assert items.filter("is_validation_new").get_column("first_seen").min() >= datetime(2026, 2, 9)


def test_a_users_judged_items_are_first_acts_after_the_cutoff(
    write_tables: Write, dated: dict[str, pl.DataFrame]
) -> None:
    """What a user had before T is his history, is excluded, and is never relevant."""
    out = run(write_tables(**dated), DATED)
    judged = read_judged(out, "test", "judge")["recommendation"]
    assert judged.requests
    for request in judged.requests:
        assert set(request.history) == set(request.exclude)
        assert not judged.relevant[request.request_id] & request.exclude
        assert judged.frequency[request.request_id] == len(request.history)


def test_listed_at_decides_before_the_first_event(
    write_tables: Write, dated: dict[str, pl.DataFrame]
) -> None:
    """An item listed long ago and first sold after T is established."""
    listed = pl.when(pl.col("item_id") == "i080").then(datetime(2025, 5, 5)).otherwise(None)
    items = dated["items"].with_columns(listed_at=listed)
    out = run(write_tables(items=items, events=dated["events"]), DATED)
    split_items = pl.read_parquet(out / "items.parquet")
    assert not split_items.filter(item_id="i080").get_column("is_new").item()


def test_an_item_with_events_before_it_was_listed_is_new_and_not_trained_on(
    write_tables: Write, dated: dict[str, pl.DataFrame]
) -> None:
    """Pre-orders of an item listed after T stay out of training."""
    listed = pl.when(pl.col("item_id") == "i010").then(datetime(2026, 3, 5)).otherwise(None)
    items = dated["items"].with_columns(listed_at=listed)
    settings = DATED.model_copy(update={"refit_on_validation": True})
    out = run(write_tables(items=items, events=dated["events"]), settings)
    assert pl.read_parquet(out / "items.parquet").filter(item_id="i010").get_column("is_new").item()
    assert "i010" not in trained_on(out)[1]


def test_an_item_that_is_new_in_the_test_is_not_judged_on_validation(
    write_tables: Write, dated: dict[str, pl.DataFrame]
) -> None:
    """Neither as an answer nor in a user's past: settings and the second stage's trees are chosen there."""
    window = dated["events"].filter(pl.col("at").is_between(datetime(2026, 2, 9), datetime(2026, 2, 28)))
    early = window.get_column("item_id").unique().sort().head(3)
    listed = pl.when(pl.col("item_id").is_in(early.implode())).then(datetime(2026, 3, 5)).otherwise(None)
    items = dated["items"].with_columns(listed_at=listed)
    out = run(write_tables(items=items, events=dated["events"]), DATED)
    check_leakage(out, out.parent / "checked")
    judged = pl.read_parquet(out / "validation" / "judgements.parquet").get_column("item_id")
    past = pl.read_parquet(out / "validation" / "requests.parquet").get_column("history").explode()
    assert len(judged) and not set(early) & {*judged, *past}


def test_a_cutoff_with_a_zone_is_converted() -> None:
    given = SplitSettings.model_validate({"cutoff": "2026-03-01T00:00:00+09:00"})
    assert given.cutoff == datetime(2026, 2, 28, 15)


@pytest.mark.parametrize("refit", [True, False])
def test_statistics_know_the_purchases_before_the_cutoff_and_no_other(
    write_tables: Write, dated: dict[str, pl.DataFrame], refit: bool
) -> None:
    """Of the validation window too, of no new item; a purchase at T or later changes not one byte."""
    settings = DATED.model_copy(update={"refit_on_validation": refit})
    out = run(write_tables(**dated), settings)
    counted = read_purchases(out, "statistics")
    acts = dated["events"].filter((pl.col("kind") == "purchase") & (pl.col("at") < datetime(2026, 3, 1)))
    first = acts.group_by("user_id", "item_id").agg(pl.col("at").min())
    assert counted is not None
    assert counted.sort("user_id", "item_id").equals(first.select(counted.columns).sort("user_id", "item_id"))
    assert counted.get_column("at").max() > read_purchases(out, "train").get_column("at").max()
    before = (out / "statistics" / "purchases.parquet").read_bytes()
    later = pl.DataFrame(
        {"at": [datetime(2026, 3, 1)], "kind": "purchase", "item_id": "i001", "user_id": "u3"}
    )
    out.rename(out.with_name("first"))
    again = run(
        write_tables(items=dated["items"], events=pl.concat([dated["events"], later], how="diagonal")),
        settings,
    )
    assert (again / "statistics" / "purchases.parquet").read_bytes() == before


def test_the_cutoff_rolls_with_the_latest_event(write_tables: Write, dated: dict[str, pl.DataFrame]) -> None:
    """Without split.cutoff, T is the latest event minus the judge window."""
    out = run(write_tables(**dated), SplitSettings(judge_window_days=10))
    latest = dated["events"].get_column("at").max()
    cutoff = datetime.fromisoformat(json.loads((out / "split.json").read_text())["cutoff"])
    assert (latest - cutoff).days == 10


def test_sampled_requests_keep_whole_requests(write_tables: Write, dated: dict[str, pl.DataFrame]) -> None:
    """max_test_requests draws requests per entrance, and all rows of those drawn stay."""
    out = run(write_tables(**dated), DATED.model_copy(update={"max_test_requests": 3}))
    judged = read_judged(out, "test", "judge")
    assert all(len(entrance.requests) == 3 for entrance in judged.values())


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"cutoff": datetime(2030, 1, 1)}, DataError, "nothing is left"),
        ({"validation_window_days": 5}, JudgeError, "none is new"),
        ({"method": "by_item"}, JudgeError, "no judgements"),
    ],
)
def test_a_split_that_cannot_be_judged_says_why(
    write_tables: Write,
    dated: dict[str, pl.DataFrame],
    changes: dict[str, object],
    error: type[Exception],
    says: str,
) -> None:
    """No new items, a cut-off past the data, no judgements: one sentence each."""
    items = dated["items"].with_columns(listed_at=datetime(2025, 1, 1))
    frames = {"items": items, "events": dated["events"]} if error is JudgeError else dated
    with pytest.raises(error, match=says):
        run(write_tables(**frames), DATED.model_copy(update=changes))


def test_events_that_name_nobody_and_no_query_are_told_to_be_mapped(
    write_tables: Write, dated: dict[str, pl.DataFrame]
) -> None:
    """No window is wide enough to judge by them."""
    events = dated["events"].with_columns(query=pl.lit(None), user_id=pl.lit(None))
    with pytest.raises(JudgeError, match=r"Map query and user_id in tables\.events") as told:
        run(write_tables(items=dated["items"], events=events), DATED)
    assert "2026-03-01" in str(told.value) and "judge_window_days" not in str(told.value)


def test_a_table_without_a_row_is_told_apart_from_one_without_a_select(
    write_tables: Write, dated: dict[str, pl.DataFrame]
) -> None:
    """Its SELECT stands in debut.yaml; so it is not to be added."""
    folder = write_tables(items=dated["items"], events=dated["events"].clear())
    with pytest.raises(JudgeError, match=r"tables\.events gives no row that passes the checks") as told:
        run(folder, DATED)
    assert "Add a SELECT" not in str(told.value)


def test_one_judged_query_is_refused_before_anything_is_trained(
    write_tables: Write, dated: dict[str, pl.DataFrame]
) -> None:
    """Events that all come from one search; users do not count where the queries are primary."""
    events = dated["events"].with_columns(query=pl.col("query").replace_strict({}, default="lamp"))
    with pytest.raises(JudgeError, match="A single search request is judged"):
        run(write_tables(items=dated["items"], events=events), DATED)


def test_the_primary_entrance_can_be_named(write_tables: Write, dated: dict[str, pl.DataFrame]) -> None:
    """Search is primary where there are judged queries, unless the configuration says otherwise."""
    folder = write_tables(**dated)
    for primary, first in (("auto", "search"), ("recommendation", "recommendation")):
        out = folder.parent / primary
        out.mkdir()
        assert split(folder, DATED, out, primary).entrances[0] == first


def test_statistics_hold_what_was_before_the_cut_off_of_items_that_are_not_new(
    write_tables: Write, dated: dict[str, pl.DataFrame]
) -> None:
    """Events with their queries normalised, and dated reviews; a shop without reviews has no file of them."""
    days = [datetime(2026, 2, 1), datetime(2026, 3, 1), None]
    reviews = pl.DataFrame(
        {"at": days, "item_id": ["i001", "i002", "i003"], "text": ["x"] * 3, "rating": [5.0, 4.0, 3.0]}
    )
    events = dated["events"].with_columns(query=pl.col("query").str.to_uppercase())
    out = run(write_tables(items=dated["items"], events=events, reviews=reviews), DATED)
    traffic, items = read_traffic(out), pl.read_parquet(out / "items.parquet")
    assert traffic is not None and traffic.get_column("at").max() < datetime(2026, 3, 1)
    kept = events.filter(pl.col("at") < datetime(2026, 3, 1)).join(
        items.filter(~pl.col("is_new")), on="item_id", how="semi"
    )
    assert len(traffic) == len(kept)
    assert traffic.get_column("query").drop_nulls().str.starts_with("find ").all()
    assert read_reviews(out).get_column("item_id").to_list() == ["i001"]
