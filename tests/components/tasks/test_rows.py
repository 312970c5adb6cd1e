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
