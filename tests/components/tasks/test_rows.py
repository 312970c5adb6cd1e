"""Which part a task's rows belong to, and what its SELECT may be."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from components.contract.errors import ConfigError, DataError, LeakageError
from components.contract.task import Task
from components.data.configuration import load_task
from components.split.judged import JUDGE
from components.tasks.rows import cut, read_rows, read_unlabelled, trained_items, trained_queries, write_rows

CUTOFF = datetime(2026, 3, 1)
WINDOW = timedelta(days=7)


def task(**changes: Any) -> Task:
    given = {
        "name": "kind",
        "says": "Kind of an item",
        "rows": "SELECT item_id, title, brand AS target FROM items",
        "text": ("title",),
        "head": "classification",
    }
    return Task(**given | changes)


def catalogue(count: int = 200) -> pl.DataFrame:
    """The last 20 are new, the 20 before them new in validation; i000 is a duplicate of the new i199."""
    ids = [f"i{number:03d}" for number in range(count)]
    return pl.DataFrame(
        {
            "item_id": ids,
            "title": [f"thing {number}" for number in range(count)],
            "brand": ["oak" if number % 2 else "steel" for number in range(count)],
            "price": [float(number + 1) for number in range(count)],
            "listed_at": pl.Series([None] * count, dtype=pl.Datetime("us")),
            "group_id": ["twins" if number in (0, count - 1) else None for number in range(count)],
            "group": ["i000" if name == f"i{count - 1:03d}" else name for name in ids],
            "is_new": [number >= count - 20 for number in range(count)],
            "is_validation_new": [count - 40 <= number < count - 20 for number in range(count)],
        }
    )


@pytest.fixture
def shop(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Folders of checked tables and of a split."""

    def make(dated: bool = False, **tables: pl.DataFrame) -> tuple[Path, Path]:
        checked, split = tmp_path / "checked", tmp_path / "split"
        for folder in (checked, split):
            folder.mkdir()
        items = catalogue()
        for name, table in {"items": items, **tables}.items():
            table.write_parquet(checked / f"{name}.parquet")
        items.write_parquet(split / "items.parquet")
        moments = (CUTOFF - WINDOW, CUTOFF, CUTOFF + WINDOW) if dated else (None, None, None)
        names = ("validation_cutoff", "cutoff", "judged_until")
        told = {name: m.isoformat() if m else None for name, m in zip(names, moments, strict=True)}
        (split / "split.json").write_text(json.dumps(told))
        return checked, split

    return make


def parts(tmp_path: Path, one: Task) -> dict[str, set[str]]:
    return {
        part: set(read_rows(tmp_path / "rows", one, part, "judge").get_column("item_id"))
        for part in ("train", "validation", "test")
    }


def test_new_items_are_judged_and_never_learned(
    shop: Callable[..., tuple[Path, Path]], tmp_path: Path
) -> None:
    """All new items are in the test, all validation-new ones in validation, and a tenth of the established
    each; nobody's duplicate of a held-out item is trained on."""
    data = write_rows([task()], *shop(), tmp_path / "rows")
    found = parts(tmp_path, task())
    assert {f"i{n:03d}" for n in range(180, 200)} <= found["test"]
    assert {f"i{n:03d}" for n in range(160, 180)} <= found["validation"]
    assert "i000" not in found["train"]
    assert not found["train"] & found["test"] and not found["train"] & found["validation"]
    established = found["test"] - {f"i{n:03d}" for n in range(180, 200)}
    assert 5 <= len(established) <= 35
    counts = data.counts["kind"]
    assert counts["test_new"] == 20 and counts["train"] == len(found["train"])
    assert trained_items(tmp_path / "rows") == sorted(found["train"])


def test_rows_without_a_target_are_kept_for_self_training(
    shop: Callable[..., tuple[Path, Path]], tmp_path: Path
) -> None:
    """Those of the training part alone: none that is new, held out by its group, or a held-out item's
    duplicate; nor one whose text has a target elsewhere. A task that does not train itself has none. What a
    new item says without a target takes no labelled row away."""
    select = """
    SELECT item_id, title, CASE WHEN ascii(item_id[3]) % 2 = 0 THEN brand END AS target FROM items
    UNION ALL SELECT 'i013', 'thing 2', NULL
    UNION ALL SELECT max(item_id), 'thing 4', NULL FROM items
    """
    plain, own = task(rows=select), task(name="own", rows=select, self_training=0.9)
    every = task(name="every", rows="SELECT item_id, title, brand AS target FROM items")
    data = write_rows([plain, own, every], *shop(), tmp_path / "rows")
    labelled, also = parts(tmp_path, plain), parts(tmp_path, own)
    assert labelled == also and all(int(name[2]) % 2 == 0 for of in also.values() for name in of)
    kept = read_unlabelled(tmp_path / "rows", own)
    train = parts(tmp_path, every)["train"]
    assert data.counts["own"]["unlabelled"] == len(kept) > 20
    assert {text.removeprefix("thing ") for text in kept} == {
        str(int(name[1:])) for name in train if int(name[2]) % 2
    }
    assert read_unlabelled(tmp_path / "rows", plain) == [] and "unlabelled" not in data.counts["kind"]
    assert trained_items(tmp_path / "rows") == sorted(train)


def test_dated_rows_follow_the_cut_off(shop: Callable[..., tuple[Path, Path]], tmp_path: Path) -> None:
    """Reviews before the validation window are learned, those in it calibrate, those from T on are judged,
    those after the judge window are left out; a new item's are judged whatever their date."""
    days = {"i050": -30, "i051": -3, "i052": 2, "i053": 9, "i190": -30, "i060": -31, "i061": -2}
    reviews = pl.DataFrame(
        {
            "item_id": list(days),
            "text": [f"about {item}" for item in days],
            "rating": [1.0, 5.0] * 3 + [5.0],
            "at": [CUTOFF + timedelta(days=day) for day in days.values()],
        }
    )
    sentiment = task(
        name="mood",
        rows='SELECT item_id, text, "at", CAST(rating AS VARCHAR) AS target FROM reviews',
        text=("text",),
    )
    write_rows([sentiment], *shop(dated=True, reviews=reviews), tmp_path / "rows")
    found = parts(tmp_path, sentiment)
    assert found == {"train": {"i050", "i060"}, "validation": {"i051", "i061"}, "test": {"i052", "i190"}}


DATED = {
    "events": pl.DataFrame(
        {
            "item_id": [f"i{number:03d}" for number in range(100)] * 2,
            "query": [f"query {number}" for number in range(200)],
            "kind": ["purchase"] * 200,
            "at": [CUTOFF + timedelta(days=number % 40 - 30) for number in range(200)],
        }
    ),
    "reviews": pl.DataFrame(
        {
            "item_id": [f"i{number:03d}" for number in range(100)],
            "text": [f"about {number}" for number in range(100)],
            "rating": [1.0, 5.0] * 50,
            "at": [CUTOFF + timedelta(days=number % 40 - 30) for number in range(99)] + [None],
        }
    ),
    "dialogues": pl.DataFrame(
        {
            "question": [f"question {number}" for number in range(100)],
            "answer": ["yes", "no"] * 50,
            "at": [CUTOFF + timedelta(days=number % 40 - 30) for number in range(100)],
        }
    ),
}
OF_REVIEWS = "SELECT item_id, text AS title, CAST(rating AS VARCHAR) AS target FROM reviews"
OF_EVENTS = (
    "SELECT item_id, title, CAST(count(*) AS VARCHAR) AS target FROM items JOIN events USING (item_id)"
)


@pytest.mark.parametrize(
    ("rows", "table"),
    [
        (OF_REVIEWS, "reviews"),
        (f"{OF_EVENTS} GROUP BY ALL", "events"),
        (f"WITH counted AS ({OF_EVENTS} GROUP BY ALL) SELECT * FROM counted", "events"),
        ("SELECT question AS title, answer AS target FROM Dialogues", "dialogues"),
        ('SELECT question AS title, answer AS target, NULL AS "at" FROM dialogues', "dialogues"),
        ("SELECT item_id, title, brand AS target FROM items JOIN relevant USING (item_id)", "relevant"),
        (
            "SELECT item_id, title, (SELECT max(kind) FROM events WHERE item_id = i.item_id) AS target"
            " FROM items i",
            "events",
        ),
    ],
)
def test_rows_of_dated_tables_need_their_dates(
    shop: Callable[..., tuple[Path, Path]], tmp_path: Path, rows: str, table: str
) -> None:
    """Nothing else tells which of them are of after the cut-off: by a hash nine in ten would be learned."""
    with pytest.raises(ConfigError, match=f"reads {table}, whose rows are dated") as raised:
        write_rows([task(rows=rows)], *shop(dated=True, **DATED), tmp_path / "rows")
    assert str(raised.value).startswith("task kind:") and 'as the column "at"' in str(raised.value)


def test_rows_of_undated_tables_need_none(shop: Callable[..., tuple[Path, Path]], tmp_path: Path) -> None:
    """Reviews without any date; items, beside whatever is dated; and whatever an undated split cuts."""
    undated = DATED["reviews"].with_columns(at=pl.lit(None, dtype=pl.Datetime("us")))
    given = {**DATED, "reviews": undated}
    data = write_rows(
        [task(), task(name="mood", rows=OF_REVIEWS)], *shop(dated=True, **given), tmp_path / "rows"
    )
    assert data.counts["mood"]["train"] > 50
    others = tmp_path / "other"
    others.mkdir()
    split = {"validation_cutoff": None, "cutoff": None, "judged_until": None}
    (tmp_path / "split" / "split.json").write_text(json.dumps(split))
    by_events = task(rows=f"{OF_EVENTS} GROUP BY ALL HAVING count(*) > 0 UNION ALL {OF_REVIEWS}")
    assert write_rows([by_events], tmp_path / "checked", tmp_path / "split", others).counts["kind"]["train"]


def test_a_row_made_of_several_is_as_old_as_its_latest(
    shop: Callable[..., tuple[Path, Path]], tmp_path: Path
) -> None:
    """With max("at") no training row counts what happened in the validation window or later."""
    counted = task(
        rows="""
        SELECT item_id, title, brand || count(*) AS target, max("at") AS "at"
        FROM items JOIN events USING (item_id) GROUP BY item_id, title, brand
        """
    )
    write_rows([counted], *shop(dated=True, **DATED), tmp_path / "rows")
    train = read_rows(tmp_path / "rows", counted, "train", "fit")
    assert len(train) > 5 and train.get_column("at").max() < CUTOFF - WINDOW


def test_a_text_in_another_case_is_the_same_text() -> None:
    """Undated questions in several spellings: each is on one side, as an uncased encoder reads them alike."""
    spellings = [f"is lamp {n} dimmable?" for n in range(200)]
    spellings += [text.upper() for text in spellings] + [f" {text.title()}" for text in spellings]
    rows = pl.DataFrame({"item_id": pl.Series([None] * 600, dtype=pl.String), "text": spellings})
    rows = rows.with_columns(target=pl.lit("yes"), at=pl.lit(None, dtype=pl.Datetime("us")))
    found = {
        part: set(frame.get_column("text").str.to_lowercase().str.strip_chars())
        for part, frame in cut(rows, catalogue(), (None, None, None)).items()
    }
    assert all(found.values()) and sum(len(of) for of in found.values()) == 200


def test_a_held_out_text_is_not_learned_in_another_case(
    shop: Callable[..., tuple[Path, Path]], tmp_path: Path
) -> None:
    """Neither with a target, about another item, nor without one; and without one each is kept once."""
    own = task(
        rows="SELECT item_id, CASE WHEN item_id < 'i100' THEN 'Same  Words' ELSE 'same words' END AS title,"
        " brand AS target FROM items UNION ALL SELECT item_id, title, brand FROM items"
        " UNION ALL SELECT item_id, upper(title), NULL FROM items"
        " UNION ALL SELECT NULL, 'OTHER ' || range, NULL FROM range(40)"
        " UNION ALL SELECT NULL, 'other ' || range, NULL FROM range(40)",
        self_training=0.9,
    )
    write_rows([own], *shop(), tmp_path / "rows")
    train = read_rows(tmp_path / "rows", own, "train", "fit").get_column("text").str.to_lowercase()
    assert "same words" not in train.str.replace_all("  ", " ").to_list()
    kept = [text.lower() for text in read_unlabelled(tmp_path / "rows", own)]
    assert len(kept) == len(set(kept)) > 20 and all(text.startswith("other ") for text in kept)


def test_a_text_that_is_held_out_is_not_learned(
    shop: Callable[..., tuple[Path, Path]], tmp_path: Path
) -> None:
    """Two items of one text would tell the head the answer to a test row."""
    rows = "SELECT item_id, 'one text' AS title, brand AS target FROM items"
    same = task(rows=f"{rows} UNION ALL SELECT item_id, title, brand FROM items")
    write_rows([same], *shop(), tmp_path / "rows")
    learned = read_rows(tmp_path / "rows", same, "train", "fit").get_column("text")
    assert "one text" not in learned.to_list()


def test_rows_may_be_about_no_item(shop: Callable[..., tuple[Path, Path]], tmp_path: Path) -> None:
    """Questions of customers: cut by date, and where they have none by a hash of their words."""
    days = [-30, -29, -3, -2, 2, 3, None, None]
    dialogues = pl.DataFrame(
        {
            "question": [f"question {number}" for number in range(len(days))],
            "answer": ["yes", "no"] * 4,
            "at": [None if day is None else CUTOFF + timedelta(days=day) for day in days],
        }
    )
    answer = task(
        name="answer",
        rows='SELECT question, answer AS target, "at" FROM dialogues',
        text=("question",),
        head="nearest",
    )
    data = write_rows([answer], *shop(dated=True, dialogues=dialogues), tmp_path / "rows")
    counts = data.counts["answer"]
    assert counts["test_new"] == 0 and trained_items(tmp_path / "rows") == []
    assert sum(counts[part] for part in ("train", "validation", "test")) == 8
    train = read_rows(tmp_path / "rows", answer, "train", "fit")["text"].to_list()
    assert {"question 0", "question 1"} <= set(train)


def test_a_question_that_is_asked_again_was_learned_before(
    shop: Callable[..., tuple[Path, Path]], tmp_path: Path
) -> None:
    """Dated rows about no item: what customers will ask after the cut-off decides nothing before it."""
    days = [*range(-40, -10), -3, -2, 2, 3]
    dialogues = pl.DataFrame(
        {
            "question": ["where is it?" if day % 2 else f"question {day}" for day in days],
            "answer": ["yes" if day % 2 else "no" for day in days],
            "at": [CUTOFF + timedelta(days=day) for day in days],
        }
    )
    answer = task(
        name="answer",
        rows='SELECT question, answer AS target, "at" FROM dialogues',
        text=("question",),
        head="nearest",
    )
    write_rows([answer], *shop(dated=True, dialogues=dialogues), tmp_path / "rows")
    asked = {
        part: read_rows(tmp_path / "rows", answer, part, JUDGE)["text"].to_list().count("where is it?")
        for part in ("train", "validation", "test")
    }
    assert asked == {"train": 15, "validation": 1, "test": 1}
    test = read_rows(tmp_path / "rows", answer, "test", JUDGE)
    assert dict(test.select("text", "asked_again").rows()) == {"where is it?": True, "question 2": False}


def test_only_the_judge_reads_test_rows(shop: Callable[..., tuple[Path, Path]], tmp_path: Path) -> None:
    """Whoever else asks is refused."""
    write_rows([task()], *shop(), tmp_path / "rows")
    with pytest.raises(LeakageError, match="only the judge"):
        read_rows(tmp_path / "rows", task(), "test", "fit")


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"rows": "SELECT item_id, title FROM items"}, ConfigError, "gives no column target"),
        ({"rows": "SELECT item_id, title, stars AS target FROM reviews"}, ConfigError, "tables are: items"),
        ({"rows": "SELECT 1; SELECT 2"}, ConfigError, "one SELECT"),
        ({"rows": "SELECT * FROM read_csv('/etc/passwd')"}, ConfigError, "Correct its SELECT"),
        ({"rows": "DROP TABLE items"}, ConfigError, "one SELECT"),
        ({"rows": "SELECT item_id, title, 'x' AS target FROM items"}, DataError, "a single class"),
        ({"rows": "SELECT item_id, title, NULL AS target FROM items"}, DataError, "too few to fit"),
        (
            {"rows": "SELECT item_id, title AS text, brand AS target FROM items", "text": ("text",),
             "opinions": True},
            DataError,
            "needs training rows of the targets negative and positive; there are",
        ),
        ({"head": "regression"}, DataError, "a target is no number"),
        (
            {"head": "regression", "log_scale": True,
             "rows": "SELECT item_id, title, price - 1 AS target FROM items"},
            DataError,
            "has no logarithm",
        ),
        ({"rows": "SELECT item_id, title, CAST(title AS INT) AS target FROM items"}, DataError, "TRY_CAST"),
        (
            {"head": "regression", "rows": "SELECT item_id, title, 'inf'::DOUBLE AS target FROM items"},
            DataError,
            "NaN or infinite",
        ),
        (
            {"rows": """SELECT item_id, title, brand AS target, 'soon' AS "at" FROM items"""},
            DataError,
            "no date",
        ),
    ],
)  # fmt: skip
def test_a_bad_task_ends_in_one_sentence(
    shop: Callable[..., tuple[Path, Path]],
    tmp_path: Path,
    changes: dict[str, Any],
    error: type[Exception],
    told: str,
) -> None:
    """The sentence names the task and what to do."""
    with pytest.raises(error, match=told) as raised:
        write_rows([task(**changes)], *shop(), tmp_path / "rows")
    assert str(raised.value).startswith("task kind:")


def test_debuts_own_query_tasks_read_whatever_says_what_answers_a_query(
    shop: Callable[..., tuple[Path, Path]], tmp_path: Path
) -> None:
    """Judgements from the shop's relevant grade on, and clicks; the judged queries stay out of training."""
    judgements = {f"q{n}": (f"i{n:03d}", 3.0 if n % 3 else 1.0) for n in range(60)}
    clicks = {f"c{n}": (f"i{n:03d}", -30 if n < 50 else -3) for n in range(60)}
    checked, split = shop(
        dated=True,
        judgements=pl.DataFrame(
            [(query, item, grade) for query, (item, grade) in judgements.items()],
            schema=["query", "item_id", "grade"],
            orient="row",
        ),
        events=pl.DataFrame(
            [
                (query, item, "purchase", CUTOFF + timedelta(days=day))
                for query, (item, day) in clicks.items()
            ],
            schema=["query", "item_id", "kind", "at"],
            orient="row",
        ),
    )
    for part, query in (("validation", "Q1"), ("test", "q2")):
        (split / part).mkdir()
        requests = pl.DataFrame({"entrance": ["search"], "text": [query]})
        requests.write_parquet(split / part / "requests.parquet")
    own = load_task("query_brand")
    data = write_rows([own], checked, split, tmp_path / "rows", relevant_grade=3.0)
    train = read_rows(tmp_path / "rows", own, "train", "fit")
    answered = {query for query, (_, grade) in judgements.items() if grade == 3.0}
    learned = {query for query, (_, day) in clicks.items() if day == -30} | answered - {"q1", "q2"}
    assert set(train.get_column("text")) == learned == set(trained_queries(tmp_path / "rows", [own]))
    assert data.counts["query_brand"]["test"] == 1 and data.counts["query_brand"]["validation"] == 11
    by_query = dict(train.select("text", "target").rows())
    assert (by_query["c1"], by_query["c2"]) == ("oak", "steel")


def test_a_shop_whose_queries_all_recur_has_rows_to_learn(
    shop: Callable[..., tuple[Path, Path]], tmp_path: Path
) -> None:
    """What is asked again in the judged windows was learned before, and the judged rows say so."""
    clicks = [(query, day) for query in range(8) for day in (-30, -3, 2)] + [(8, 2)]
    events = pl.DataFrame(
        {
            "query": [f"Query {query}" if day == 2 else f"query {query}" for query, day in clicks],
            "item_id": [f"i{query:03d}" for query, _ in clicks],
            "kind": ["purchase"] * len(clicks),
            "at": [CUTOFF + timedelta(days=day) for _, day in clicks],
        }
    )
    checked, split = shop(dated=True, events=events)
    for part in ("validation", "test"):
        (split / part).mkdir()
        texts = [f"query {query}" for query in range(8 if part == "validation" else 9)]
        pl.DataFrame({"text": texts}).with_columns(entrance=pl.lit("search")).write_parquet(
            split / part / "requests.parquet"
        )
    own = load_task("query_brand")
    counts = write_rows([own], checked, split, tmp_path / "rows").counts["query_brand"]
    assert counts == {"train": 8, "validation": 8, "test": 9, "test_new": 0, "test_asked_again": 8}
    assert trained_queries(tmp_path / "rows", [own]) == [f"query {query}" for query in range(8)]


def test_a_new_item_s_duplicate_does_not_calibrate() -> None:
    """An established item that validation would have is in no part where a new item lists it again."""
    items = catalogue().with_columns(group=pl.col("item_id"), is_new=pl.lit(False))
    rows = items.select("item_id", text="title", target="brand", at=pl.lit(None, dtype=pl.Datetime))
    established = items.filter(~pl.col("is_validation_new")).get_column("item_id")
    held = cut(rows, items, (None, None, None))["validation"].get_column("item_id")
    old = held.filter(held.is_in(established.implode()))[0]
    again = items.with_columns(
        group=pl.when(pl.col("item_id") == "i199").then(pl.lit(old)).otherwise("group"),
        is_new=pl.col("item_id") == "i199",
    )
    parts = cut(rows, again, (None, None, None))
    assert [name for name, part in parts.items() if old in part.get_column("item_id")] == []
