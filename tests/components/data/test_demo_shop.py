"""The generated demo shop: the same bytes again, and the truth that its module says is planted."""

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from components.contract.errors import StorageError
from components.contract.tables import EVENT_GRADES, TABLES
from components.data.configuration import load_settings
from components.data.demo import sizes
from components.data.demo.departments import DEPARTMENTS, KINDS
from components.data.demo.vocabulary import BRANDS, COLOURS, DRIFT_WORDS, FEATURES, STYLES
from components.data.demo_shop import generate
from components.data.sources import load

FILES = ("dialogues.json", "events.parquet", "items.jsonl.gz", "reviews.csv", "truth.json")
SMALL = {"USERS": 120, "SEARCHES_PER_WEEK": 40, "BROWSED_PURCHASES_PER_WEEK": 20, "REVIEWS": 60}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo shop at its full size, seed 0."""
    folder = tmp_path_factory.mktemp("shop")
    generate(folder)
    return folder


@pytest.fixture(scope="module")
def tables(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.DataFrame]:
    """The shop as the real loader reads it by the example configuration."""
    workspace = tmp_path_factory.mktemp("workspace")
    settings, _ = load_settings("demo")
    loaded = load(settings, shop, workspace, workspace / "load")
    return {table: pl.read_parquet(workspace / "load" / f"{table}.parquet") for table in loaded.rows}


@pytest.fixture(scope="module")
def good(tables: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Items and events without the planted bad rows."""
    items = tables["items"].filter(~pl.col("item_id").str.starts_with("B")).unique("item_id", keep="first")
    events = tables["events"].filter(
        pl.col("item_id").is_in(items.get_column("item_id").implode()),
        pl.col("kind").is_in(["impression", "search_click", "view", "cart", "purchase"]),
        pl.col("at") < datetime(2090, 1, 1),
    )
    return {"items": items.sort("item_id"), "events": events}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[str, int], Path]]:
    """Generates a small shop of a seed in a folder of that name."""
    for name, size in SMALL.items():
        monkeypatch.setattr(sizes, name, size)

    def make(name: str, seed: int) -> Path:
        generate(tmp_path / name, seed)
        return tmp_path / name

    yield make


def _truth(shop: Path) -> dict[str, Any]:
    truth: dict[str, Any] = json.loads((shop / "truth.json").read_text())
    return truth


def _cutoff(events: pl.DataFrame) -> datetime:
    latest = events.get_column("at").max()
    assert isinstance(latest, datetime)
    return latest - timedelta(days=14)


def test_one_seed_gives_the_same_bytes_again(small: Callable[[str, int], Path]) -> None:
    """Two runs with one seed write equal files, byte for byte."""
    first, second = small("first", 7), small("second", 7)
    assert sorted(path.name for path in first.iterdir()) == list(FILES)
    assert [(first / name).read_bytes() for name in FILES] == [(second / name).read_bytes() for name in FILES]


def test_another_seed_gives_another_shop(small: Callable[[str, int], Path]) -> None:
    """Items and events differ between two seeds."""
    first, second = small("first", 7), small("second", 8)
    for name in ("items.jsonl.gz", "events.parquet"):
        assert (first / name).read_bytes() != (second / name).read_bytes()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """Where a file stands in the way, StorageError names it and says what to do."""
    taken = tmp_path / "taken"
    taken.write_text("a file")
    with pytest.raises(StorageError, match="taken"):
        generate(taken / "shop")


def test_the_example_loads_every_table_by_the_contract(tables: dict[str, pl.DataFrame]) -> None:
    """The real loader reads all four sources; every optional column that the shop has is filled."""
    assert set(tables) == {"items", "events", "reviews", "dialogues"}
    for name, table in tables.items():
        assert set(TABLES[name].columns) <= set(table.columns)  # type: ignore[index]
    filled = tables["items"].drop("image")
    assert all(filled.get_column(name).null_count() < len(filled) for name in filled.columns)
    assert tables["events"].get_column("propensity").drop_nulls().is_between(0.0, 1.0).all()


def test_bad_rows_are_as_many_as_planted(shop: Path, tables: dict[str, pl.DataFrame]) -> None:
    """Every kind of bad row is there as often as truth.json says, and all of them are about 1 %."""
    planted = _truth(shop)["bad_rows"]
    items, events, reviews = tables["items"], tables["events"], tables["reviews"]
    far = datetime(2090, 1, 1)
    known = items.filter(~pl.col("item_id").str.starts_with("B")).get_column("item_id").implode()
    assert planted["items"] == {
        "duplicate_id": len(items) - items.get_column("item_id").n_unique(),
        "blank_title": items.get_column("title").null_count(),
        "negative_price": items.filter(pl.col("price") <= 0).height,
        "nan_price": items.get_column("price").is_nan().sum(),
        "future_listing": items.filter(pl.col("listed_at") > far).height,
    }
    assert planted["events"] == {
        "unknown_item": events.filter(~pl.col("item_id").is_in(known)).height,
        "unknown_kind": events.filter(pl.col("kind").is_in(["wishlist", "refund", "share"])).height,
        "future_date": events.filter(pl.col("at") > far).height,
        "missing_item": events.get_column("item_id").null_count(),
    }
    assert planted["reviews"] == {
        "rating_out_of_range": reviews.filter(~pl.col("rating").is_between(0, 10)).height,
        "blank_text": reviews.get_column("text").null_count(),
        "unknown_item": reviews.filter(~pl.col("item_id").is_in(known)).height,
    }
    for name in ("items", "events", "reviews"):
        assert 0.003 < sum(planted[name].values()) / len(tables[name]) < 0.02


def test_new_items_are_listed_every_monday(good: dict[str, pl.DataFrame]) -> None:
    """Each week of the log has one launch of equal size; the last two fall into the judge window."""
    listed = good["items"].get_column("listed_at").to_list()
    launches = Counter(at for at in listed if at >= sizes.FIRST_MONDAY)
    assert len(launches) == sizes.WEEKS
    assert set(launches.values()) == {sizes.LAUNCH_ITEMS}
    assert all(at.weekday() == 0 for at in launches)
    assert sum(at >= _cutoff(good["events"]) for at in listed) == 2 * sizes.LAUNCH_ITEMS


def test_nothing_happens_to_an_item_before_it_is_listed(good: dict[str, pl.DataFrame]) -> None:
    """No event is dated before the listing of its item."""
    joined = good["events"].join(good["items"].select("item_id", "listed_at"), on="item_id")
    assert joined.filter(pl.col("at") < pl.col("listed_at")).is_empty()


def test_titles_are_unique_and_launches_say_trade_words(good: dict[str, pl.DataFrame]) -> None:
    """No two products share a title; launched titles mostly hold a trade word, old ones seldom."""
    items = good["items"]
    assert items.get_column("title").str.to_lowercase().is_unique().all()
    trade = {feature.trade for feature in FEATURES} | {style.trade[0] for style in STYLES}
    says = pl.Series([bool(trade & set(title.split())) for title in items.get_column("title")])
    launched = items.get_column("listed_at") >= sizes.FIRST_MONDAY + timedelta(
        weeks=sizes.LAST_TRADE_WORD_WEEK
    )
    old = items.get_column("listed_at") < sizes.FIRST_MONDAY
    assert says.filter(launched).mean() > 0.8  # type: ignore[operator]
    assert says.filter(old).mean() < 0.2  # type: ignore[operator]


def test_new_words_recur_from_earlier_launches(shop: Path, good: dict[str, pl.DataFrame]) -> None:
    """All trade words of the last two launches but the late ones stand in titles of at least two earlier
    launches; the late ones in none."""
    items, cutoff = good["items"], _cutoff(good["events"])
    words = {name: fact["week"] for name, fact in _truth(shop)["trade_words"].items()}
    titles = items.select(
        "listed_at", word=pl.concat_str("title", "attributes", separator=" ").str.split(" ")
    )
    used = titles.explode("word").filter(pl.col("word").is_in(list(words)))
    new = set(used.filter(pl.col("listed_at") >= cutoff).get_column("word"))
    before = used.filter(pl.col("listed_at") < cutoff).group_by("word").agg(pl.col("listed_at").n_unique())
    launches = dict(before.iter_rows())
    late = {name for name, week in words.items() if week > sizes.WEEKS - 2}
    assert len(late) == sizes.LATE_WORDS
    assert late.isdisjoint(launches)
    assert len(new - late) > 0.8 * len(words)
    assert all(launches.get(name, 0) >= 2 for name in new - late)


def test_clicks_before_the_cutoff_teach_what_trade_words_mean(good: dict[str, pl.DataFrame]) -> None:
    """Of the clicks of people who ask for a feature in plain words on titles with some feature's trade
    word, most are on titles with that feature's word."""
    clicks = good["events"].filter(pl.col("kind") == "search_click", pl.col("at") < _cutoff(good["events"]))
    titled = clicks.join(good["items"].select("item_id", "title"), on="item_id")
    trade = {feature.trade for feature in FEATURES}
    for feature in (FEATURES[0], FEATURES[2]):
        asked = titled.filter(pl.col("query").str.contains_any(list(feature.plain[:1])))
        said = [trade & set(title.split()) for title in asked.get_column("title")]
        said = [words for words in said if words]
        assert len(said) > 30
        assert sum(feature.trade in words for words in said) / len(said) > 0.6


def test_clicks_fall_with_the_position_and_the_propensity_is_logged(good: dict[str, pl.DataFrame]) -> None:
    """The logged propensity is position ** -POSITION_BIAS, and shown items are clicked less further down."""
    shown = good["events"].filter(pl.col("kind") == "impression")
    assert ((shown["position"] ** -sizes.POSITION_BIAS - shown["propensity"]).abs() < 1e-5).all()
    clicked = (
        good["events"]
        .filter(pl.col("kind") == "search_click")
        .select("request_id", "item_id", hit=pl.lit(1))
        .unique()
    )
    rates = shown.join(clicked, on=["request_id", "item_id"], how="left").with_columns(
        place=pl.when(pl.col("position") <= 2).then(0).otherwise(1), hit=pl.col("hit").fill_null(0)
    )
    top, below = rates.group_by("place").agg(pl.col("hit").mean()).sort("place").get_column("hit")
    assert top > 1.5 * below > 0


def test_the_drift_comes_in_the_last_weeks_only(shop: Path, good: dict[str, pl.DataFrame]) -> None:
    """The new words are typed from the planted week on, by about the planted share, and never before."""
    start = datetime.fromisoformat(_truth(shop)["drift"]["from"])
    queries = good["events"].filter(pl.col("kind") == "search_click").select("at", query="query")
    new = [word for word in DRIFT_WORDS.values() if not any(word in look.plain for look in STYLES)]
    has_new = queries.with_columns(drifted=pl.col("query").str.contains_any(new))
    assert not has_new.filter(pl.col("at") < start).get_column("drifted").any()
    drifted = has_new.filter(pl.col("at") >= start, pl.col("drifted")).height
    kept = has_new.filter(pl.col("at") >= start, pl.col("query").str.contains_any(list(DRIFT_WORDS))).height
    assert 0.15 < drifted / (drifted + kept) < sizes.DRIFT_SHARE + 0.1


def test_enough_is_judged_for_verdicts_to_be_earned(good: dict[str, pl.DataFrame]) -> None:
    """In the last 14 days a few hundred distinct queries lead to a new item and to established ones, most
    of them not asked before, and 600 users with a past buy again."""
    items, cutoff = good["items"], _cutoff(good["events"])
    acts = good["events"].filter(pl.col("kind").is_in(list(EVENT_GRADES)))
    acts = acts.join(items.select("item_id", new=pl.col("listed_at") >= cutoff), on="item_id")
    judged = acts.filter(pl.col("at") >= cutoff, pl.col("query").is_not_null())
    asked_before = acts.filter(pl.col("at") < cutoff).get_column("query").unique()
    queries = judged.get_column("query").unique()
    assert 280 <= judged.filter("new").get_column("query").n_unique() <= 500
    assert judged.filter(~pl.col("new")).get_column("query").n_unique() >= 600
    assert 0.1 < queries.is_in(asked_before.implode()).mean() < 0.5  # type: ignore[operator]
    bought = acts.filter(pl.col("kind") == "purchase")
    past = bought.filter(pl.col("at") < cutoff).get_column("user_id").unique()
    assert (
        bought.filter(pl.col("at") >= cutoff, pl.col("user_id").is_in(past.implode()))["user_id"].n_unique()
        >= 600
    )


def test_reviews_are_warmer_with_more_stars_and_keep_awkward_text(tables: dict[str, pl.DataFrame]) -> None:
    """Complaints go with few stars, praise with many; a quotation and a line break survive the CSV."""
    reviews = tables["reviews"].filter(pl.col("rating").is_between(1, 5))
    returned = reviews.filter(pl.col("text").str.contains("I sent it back"))
    joyful = reviews.filter(pl.col("text").str.contains("A joy to use"))
    assert returned.get_column("rating").mean() < 3.5 < joyful.get_column("rating").mean()  # type: ignore[operator]
    assert reviews.get_column("text").str.contains('"the good one"', literal=True).any()
    assert reviews.get_column("text").str.contains("\n", literal=True).any()


def test_dialogues_answer_and_explain_some_trade_words(tables: dict[str, pl.DataFrame]) -> None:
    """Every dialogue has a question and an answer, and many answers name a trade word."""
    dialogues = tables["dialogues"]
    assert len(dialogues) == sizes.DIALOGUES
    assert dialogues.select("question", "answer", "at").null_count().sum_horizontal().item() == 0
    named = dialogues.get_column("answer").str.contains_any([feature.trade for feature in FEATURES])
    assert named.mean() > 0.25  # type: ignore[operator]


def test_the_last_questions_are_asked_in_other_words_and_some_have_no_earlier_answer(
    tables: dict[str, pl.DataFrame],
) -> None:
    """So that an answer must be found by meaning, and abstaining is right at times."""
    dialogues = tables["dialogues"].sort("at")
    earlier, last = dialogues.head(-150), dialogues.tail(150)
    assert 0.3 < (~last.get_column("question").is_in(earlier.get_column("question").implode())).mean() < 0.9
    assert 0.05 < (~last.get_column("answer").is_in(earlier.get_column("answer").implode())).mean() < 0.2


def test_the_feed_is_json_lines_with_text_prices(shop: Path) -> None:
    """The feed is what the loader is tested on: nested lists, prices as text, NaN as a word."""
    lines = gzip.decompress((shop / "items.jsonl.gz").read_bytes()).decode().splitlines()
    rows = [json.loads(line) for line in lines]
    assert {type(row["price"]) for row in rows} == {str}
    assert sum(row["price"] == "NaN" for row in rows) == sizes.BAD_ITEMS["nan_price"]
    assert {row["shelf"][0] for row in rows} == set(DEPARTMENTS)


def test_the_vocabulary_is_consistent() -> None:
    """Kinds name known features, once each; trade words are unique and no plain word of anything."""
    names = {feature.name for feature in FEATURES}
    for kind in KINDS:
        assert set(kind.features) <= names, kind
        assert len(set(kind.features)) == len(kind.features) >= 2, kind
    trade = [feature.trade for feature in FEATURES] + [look.trade[0] for look in (*STYLES, *COLOURS)]
    assert len({word.lower() for word in [*trade, *BRANDS]}) == len(trade) + len(BRANDS)
    plain = {word for each in (*FEATURES, *STYLES, *COLOURS) for word in " ".join(each.plain).split()}
    assert plain.isdisjoint(word.lower() for word in trade)
    assert set(DRIFT_WORDS) <= plain
