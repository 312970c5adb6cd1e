"""Answers to test rows: the heads' through an encoder, and the baselines' beside them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from components.contract.ports import Vectors
from components.contract.task import Task
from components.tasks.fit import fit_heads
from components.tasks.heads import open_heads
from components.tasks.judging import judge_baselines, judge_heads

KIND = Task(name="kind", says="Kind", rows="SELECT 1", text=("title",), head="classification")
WISH = Task(name="kind", says="Wish", rows="SELECT 3", text=("query",), head="classification")
PRICE = Task(name="price", says="Price", rows="SELECT 2", text=("title",), head="regression", log_scale=True)


class Letters:
    """Counts of letters as unit vectors."""

    digest = "letters"

    def encode_items(self, texts: Sequence[str]) -> Vectors:
        counts = [[text.count(letter) for letter in "abcdefgh"] for text in texts]
        found = np.asarray(counts, dtype=np.float32).reshape(-1, 8) + 1e-3
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    encode_queries = encode_items


def write(folder: Path) -> None:
    """Kind: "a" or "b", by the text's first letter; price 10 or 40 by the same."""
    for task in (KIND, PRICE):
        for part, count in {"train": 40, "validation": 30, "test": 21}.items():
            first = ["aaa" if number % 2 else "bbb" for number in range(count)]
            frame = pl.DataFrame(
                {
                    "item_id": [f"{part}{number}" for number in range(count)],
                    "group": [f"{part}{number}" for number in range(count)],
                    "text": [f"{word} {'cdefgh'[number % 6]}" for number, word in enumerate(first)],
                    "target": [word[0] if task is KIND else 10.0 + 30.0 * (word[0] == "b") for word in first],
                    "is_new": [number < 10 for number in range(count)],
                }
            )
            (folder / task.name).mkdir(parents=True, exist_ok=True)
            frame.write_parquet(folder / task.name / f"{part}.parquet")


def test_heads_and_baselines_answer_the_same_rows(tmp_path: Path) -> None:
    """Both learn what the letters say; the constant answer is the majority, the median."""
    write(tmp_path / "rows")
    fit_heads([KIND, PRICE], tmp_path / "rows", Letters(), Letters(), tmp_path / "heads")
    heads = open_heads(tmp_path / "heads")
    ours = judge_heads([KIND, PRICE], tmp_path / "rows", Letters(), heads)
    theirs = judge_baselines([KIND, PRICE], tmp_path / "rows")
    for name in ("kind", "price"):
        assert ours[name].select("item_id", "target").equals(theirs[name].select("item_id", "target"))
    assert (ours["kind"]["answer"] == ours["kind"]["target"]).all()
    assert (theirs["kind"]["answer"] == theirs["kind"]["target"]).all()
    assert theirs["kind"]["constant"].unique().to_list() == ["a"]
    for answers in (ours["price"], theirs["price"]):
        error = np.log(answers["answer"].to_numpy() / answers["target"].to_numpy())
        assert np.abs(error).mean() < 0.1


def test_queries_are_read_as_search_reads_them(tmp_path: Path) -> None:
    """Fitted, calibrated and judged on the vectors of queries; an encoder for which an item's text says
    nothing shows it, and a task of items beside it reads those."""

    class Mute(Letters):
        """Tells items' texts from each other by nothing."""

        def encode_items(self, texts: Sequence[str]) -> Vectors:
            return Letters().encode_items(["a"] * len(texts))

    write(tmp_path / "rows")
    price = PRICE.model_copy(update={"rows": "SELECT 4"})
    fit_heads([WISH, price], tmp_path / "rows", Mute(), Mute(), tmp_path / "heads")
    found = judge_heads([WISH, price], tmp_path / "rows", Mute(), open_heads(tmp_path / "heads"))
    assert (found["kind"]["answer"] == found["kind"]["target"]).all()
    assert found["price"]["answer"].n_unique() == 1


def test_a_head_of_another_question_gives_no_answers(tmp_path: Path) -> None:
    """A champion whose head was fitted to other rows is not compared."""
    write(tmp_path / "rows")
    fit_heads([KIND], tmp_path / "rows", Letters(), Letters(), tmp_path / "heads")
    asked = KIND.model_copy(update={"rows": "SELECT 3"})
    assert judge_heads([asked], tmp_path / "rows", Letters(), open_heads(tmp_path / "heads")) == {}
