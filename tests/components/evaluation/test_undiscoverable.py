"""New items that none of their own likely queries finds."""

import csv
import gzip
import html
import io
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.contract.errors import JudgeError, StorageError
from components.contract.ports import Ranking, Request, Retriever
from components.evaluation.likely_queries import LikelyQuery, likely_queries
from components.evaluation.undiscoverable import check_split, find_undiscoverable, sampled_rows
from components.index.bm25 import BM25Index


class Ordered(Retriever):
    """Ranks by a function of the query's text: catalogue rows, best first. Keeps what it was asked."""

    def __init__(self, item_ids: Sequence[str], order: Callable[[str], Sequence[int]]) -> None:
        self.name, self._item_ids, self._order = "ordered", tuple(item_ids), order
        self.asked: list[Request] = []
        self.masks: list[object] = []

    @property
    def item_ids(self) -> Sequence[str]:
        return self._item_ids

    def search(self, requests: Sequence[Request], k: int, among: np.ndarray | None = None) -> Ranking:
        self.asked += requests
        self.masks.append(among)
        rows = np.full((len(requests), k), -1, dtype=np.int64)
        for line, request in enumerate(requests):
            best = list(self._order(str(request.text)))[:k]
            rows[line, : len(best)] = best
        return Ranking(rows, np.zeros(rows.shape, dtype=np.float32))


def catalogue(titles: Sequence[str], new: int = 1) -> pl.DataFrame:
    """The last `new` items are new."""
    count = len(titles)
    return pl.DataFrame(
        {
            "item_id": [f"i{n:03d}" for n in range(count)],
            "title": list(titles),
            "is_new": [n >= count - new for n in range(count)],
        }
    )


def bm25(items: pl.DataFrame) -> BM25Index:
    return BM25Index("BM25", items["item_id"].to_list(), items["title"].to_list())


def check(retriever: Retriever, items: pl.DataFrame, training: pl.DataFrame | None = None, **given: object):
    new = items["is_new"].to_numpy()
    queries = likely_queries(items, np.flatnonzero(new).tolist(), ["title"], training, new=new)
    return find_undiscoverable(retriever, items, new=new, queries=queries, **given)  # type: ignore[arg-type]


COPIES = [f"Oak table lamp {size}" for size in range(100, 112)]
PLAIN = ["Garden hose green", "Brass desk fan", "Pine shelf wide"]


def test_an_item_behind_ten_copies_is_listed_and_a_findable_one_is_not():
    """BM25 gives all "Oak table lamp" the same score and takes them by id: the new one comes thirteenth."""
    items = catalogue([*COPIES, *PLAIN, "Oak table lamp 30", "Copper kettle whistling"], new=2)
    found = check(bm25(items), items)
    (one,) = found.items
    assert (one.item_id, one.reason, one.best_query, one.best_place) == (
        "i015",
        "near-duplicates",
        "oak table lamp",
        13,
    )
    assert one.crowding == tuple(f"i{n:03d}" for n in range(10))
    assert (found.new_items, found.checked, found.count, found.share) == (2, 2, 1, 0.5)


def test_one_query_that_finds_it_in_the_top_k_is_enough():
    """Its own words put it thirteenth; what was asked for a like item puts it first."""
    items = catalogue([*COPIES, *PLAIN, "Oak table lamp zeta"])
    new_row = len(items) - 1
    retriever = Ordered(
        items["item_id"].to_list(), lambda text: [new_row] if text == "lamp oak" else range(new_row)
    )
    assert check(retriever, items).count == 1
    assert check(retriever, items, pl.DataFrame({"query": ["lamp oak"], "item_id": ["i000"]})).count == 0


@pytest.mark.parametrize(("k", "count"), [(12, 1), (13, 0)])
def test_place_k_is_in_and_place_k_plus_1_is_out(k, count):
    items = catalogue([*COPIES, *PLAIN, "Oak table lamp 30"])
    assert check(bm25(items), items, k=k).count == count


def test_the_best_query_is_the_one_that_puts_it_highest():
    items = catalogue(["filler"] * 130 + ["Oak lamp"])
    places = {"oak lamp": 60, "lamp shade": 20, "lamp bulb": 40}
    others = list(range(130))
    retriever = Ordered(
        items["item_id"].to_list(),
        lambda text: [*others[: places[text] - 1], 130, *others[places[text] - 1 :]],
    )
    new, row = items["is_new"].to_numpy(), 130
    queries = {row: tuple(LikelyQuery(text, "own words") for text in places)}
    (one,) = find_undiscoverable(retriever, items, new=new, queries=queries).items
    assert (one.best_query, one.best_place) == ("lamp shade", 20)
    assert one.crowding == ("i000", "i001", "i002")
    places |= dict.fromkeys(places, 101)
    (one,) = find_undiscoverable(retriever, items, new=new, queries=queries).items
    assert (one.best_query, one.best_place) == ("oak lamp", None)


def test_an_item_without_a_word_is_listed_without_a_query():
    items = catalogue([*PLAIN, ""])
    (one,) = check(bm25(items), items).items
    assert (one.reason, one.best_query, one.best_place, one.queries) == ("no title", None, None, ())


def test_each_reason_is_found_where_it_was_planted():
    """A retriever that shows established items alone; the explanations that need a callable get one."""
    new_titles = ["Kettle", "Zorblax quuxen", "Blue bucket", "Oak table lamp 200", "Red wheelbarrow"]
    items = catalogue([*COPIES, *PLAIN, *new_titles], new=5)
    lamps, rest = list(range(12)), [12, 13, 14]
    retriever = Ordered(items["item_id"].to_list(), lambda text: lamps if "lamp" in text else rest)
    found = check(
        retriever,
        items,
        unknown_words=lambda word: 0 if word in ("zorblax", "quuxen") else 1,
        filtered=lambda item_id: "not in stock" if item_id == "i017" else None,
    )
    assert [(item.title, item.reason) for item in found.items] == [
        ("Kettle", "no title"),
        ("Zorblax quuxen", "unknown words"),
        ("Blue bucket", "filtered"),
        ("Oak table lamp 200", "near-duplicates"),
        ("Red wheelbarrow", "outranked"),
    ]
    assert set(found.by_reason.values()) == {1}
    assert all(item.fix for item in found.items)


def test_a_filter_explains_but_does_not_decide():
    """The retriever is the path that shoppers use: what it shows is not hidden."""
    items = catalogue([*PLAIN, "Copper kettle"])
    assert check(bm25(items), items, filtered=lambda item_id: "not in stock").count == 0


WORD = st.sampled_from(
    ["oak", "Lamp", "the", "12", "3/4", "zinc-plated", "Größe", "it", "&amp;", "灯具", "(x)", "!"]
)


@given(
    st.lists(WORD, min_size=1, max_size=9).map(" ".join),
    st.lists(WORD.map(lambda w: f"{w} lamp"), max_size=8),
)
def test_an_item_that_its_own_title_words_put_first_is_never_listed(title, others):
    items = catalogue([*others, title])
    row = len(items) - 1
    own = html.unescape(title).lower()

    def order(text: str) -> list[int]:
        rest = list(range(row))
        return [row, *rest] if all(w in own or w in title.lower() for w in text.split()) else rest

    assert check(Ordered(items["item_id"].to_list(), order), items, k=1).count == 0


@pytest.mark.parametrize("seed", range(5))
def test_listed_are_exactly_the_items_that_no_query_finds_when_it_is_searched_alone(seed):
    rng = np.random.default_rng(seed)
    words = ["oak", "pine", "lamp", "desk", "red", "blue", "wide", "tall", "kit", "set"]
    items = catalogue([" ".join(rng.choice(words, rng.integers(0, 5))) for _ in range(120)], new=40)
    asked = pl.DataFrame(
        {
            "query": [" ".join(rng.choice(words, 2)) for _ in range(60)],
            "item_id": [f"i{n:03d}" for n in rng.integers(0, 80, 60)],
        }
    )
    new, retriever = items["is_new"].to_numpy(), bm25(items)
    queries = likely_queries(items, np.flatnonzero(new).tolist(), ["title"], asked, new=new)
    hidden = {
        f"i{row:03d}"
        for row, tried in queries.items()
        if not any(row in retriever.search([Request("q", text=q.text)], 5).rows for q in tried)
    }
    found = find_undiscoverable(retriever, items, new=new, queries=queries, k=5)
    assert {item.item_id for item in found.items} == hidden
    assert 0 < len(hidden) < 40
    again = check(retriever, items, asked.sample(fraction=1.0, shuffle=True, seed=seed), k=5)
    assert again.as_json() == found.as_json()


def test_nothing_that_is_searched_tells_which_items_are_new_and_each_text_is_searched_once():
    items = catalogue([*COPIES, *PLAIN, "Oak table lamp", "oak TABLE lamp"], new=2)
    retriever = Ordered(items["item_id"].to_list(), lambda text: [])
    check(retriever, items)
    assert retriever.masks == [None]
    assert [request.text for request in retriever.asked] == ["oak table", "oak table lamp"]
    assert all(not request.history and not request.exclude for request in retriever.asked)


def test_a_retriever_of_another_catalogue_is_refused():
    items = catalogue([*PLAIN, "Copper kettle"])
    with pytest.raises(JudgeError, match="ranks 3 items, which are not the 4"):
        check(bm25(items.head(3)), items)


def test_wrong_arguments_are_refused():
    items = catalogue([*PLAIN, "Copper kettle"])
    new, query = items["is_new"].to_numpy(), (LikelyQuery("hose", "own words"),)
    with pytest.raises(ValueError, match="row 0, which is not new"):
        find_undiscoverable(bm25(items), items, new=new, queries={0: query})
    with pytest.raises(ValueError, match="shape"):
        find_undiscoverable(bm25(items), items, new=new[:2], queries={})
    with pytest.raises(ValueError, match="k must be"):
        find_undiscoverable(bm25(items), items, new=new, queries={}, k=0)


def test_a_sample_is_of_new_items_and_one_more_item_changes_it_by_at_most_one():
    ids = [f"i{n:04d}" for n in range(1_000)]
    new = np.arange(1_000) >= 300
    sample = sampled_rows(ids, new, 100, seed=0)
    assert len(sample) == 100
    assert sample == sorted(set(sample))
    assert min(sample) >= 300
    assert sample != sampled_rows(ids, new, 100, seed=1)
    assert sampled_rows(ids, new, None, 0) == sampled_rows(ids, new, 700, 0) == list(range(300, 1_000))
    new[299] = True
    assert len(set(sample) - set(sampled_rows(ids, new, 100, seed=0))) <= 1


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """A split folder without validation and test parts: 30 copies, of which 15 are new."""
    items = catalogue(["Oak table lamp"] * 30 + ["Copper kettle"], new=16).with_columns(
        first_seen=pl.Series([datetime(2024, 6, 1)] * 30 + [datetime(2024, 7, 1)])
    )
    items.write_parquet(tmp_path / "items.parquet")
    (tmp_path / "train").mkdir()
    search = {"query": ["bedside lamp"], "item_id": ["i000"], "grade": [3.0]}
    pl.DataFrame(search).write_parquet(tmp_path / "train" / "search.parquet")
    (tmp_path / "split.json").write_text(json.dumps({"judged_until": "2024-06-15T00:00:00"}))
    return tmp_path


def test_a_split_folder_is_checked_without_its_judged_parts(split: Path):
    items = pl.read_parquet(split / "items.parquet")
    found = check_split(bm25(items), split, fields=["title"])
    assert (found.new_items, found.checked, found.count) == (16, 16, 15)
    assert {item.age_days for item in found.items} == {14.0}
    assert [query.text for query in found.items[0].queries] == ["oak table lamp", "bedside lamp", "oak table"]


def test_an_item_that_was_first_seen_later_has_no_age(split: Path):
    items = pl.read_parquet(split / "items.parquet")
    retriever = Ordered(items["item_id"].to_list(), lambda text: [0])
    ages = {item.item_id: item.age_days for item in check_split(retriever, split, fields=["title"]).items}
    assert (ages["i015"], ages["i030"]) == (14.0, None)


def test_more_new_items_than_max_items_are_sampled_and_the_report_says_so(split: Path):
    items = pl.read_parquet(split / "items.parquet")
    found = check_split(bm25(items), split, fields=["title"], max_items=4)
    assert (found.new_items, found.checked) == (16, 4)
    assert "4 new items (a fixed sample of 16)" in found.sentence
    assert found == check_split(bm25(items), split, fields=["title"], max_items=4)


def test_a_split_without_search_rows_or_dates_is_checked_by_own_words(split: Path):
    (split / "train" / "search.parquet").unlink()
    (split / "split.json").write_text(json.dumps({"judged_until": None}))
    found = check_split(bm25(pl.read_parquet(split / "items.parquet")), split, fields=["title"])
    assert {query.source for item in found.items for query in item.queries} == {"own words"}
    assert {item.age_days for item in found.items} == {None}


def test_a_missing_split_is_a_storage_error(tmp_path: Path):
    with pytest.raises(StorageError, match="gone"):
        check_split(bm25(catalogue(PLAIN)), tmp_path / "gone", fields=["title"])


@pytest.mark.real_data
def test_home_depot_titles_with_bm25(real_data: Path):
    """The first 5,000 titles, the last fifth of them new: few items are lost, and those that are listed are
    in no top 3 of theirs."""
    text = gzip.decompress((real_data / "home_depot" / "train.csv.gz").read_bytes()).decode("latin-1")
    rows = list(csv.DictReader(io.StringIO(text)))
    titles: dict[str, str] = {}
    for row in rows:
        titles.setdefault(row["product_uid"], row["product_title"])
    ids = sorted(titles)[:5_000]
    items = pl.DataFrame({"item_id": ids, "title": [titles[i] for i in ids]}).with_columns(
        is_new=pl.int_range(5_000) >= 4_000
    )
    positive = [row for row in rows if float(row["relevance"]) >= 2.33]
    training = pl.DataFrame(
        {
            "query": [row["search_term"] for row in positive],
            "item_id": [row["product_uid"] for row in positive],
        }
    )
    retriever = bm25(items)
    found = check(retriever, items, training, k=3)
    assert found.checked == 1_000
    assert 0 < found.count < 50
    assert check(retriever, items, training, k=10).count < found.count
    for item in found.items:
        requests = [Request(query.text, text=query.text) for query in item.queries]
        assert items["item_id"].to_list().index(item.item_id) not in retriever.search(requests, 3).rows
        assert 2 <= len(item.queries) <= 6
        assert item.crowding and set(item.crowding) <= set(ids)
