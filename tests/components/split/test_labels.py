"""People's own judgements: what may come in, and who reads them."""

from pathlib import Path

import polars as pl
import pytest

from components.contract.errors import DataError
from components.contract.records import OwnJudgements
from components.contract.settings import QualitySettings
from components.split.judged import JUDGE, read_judged
from components.split.labels import Labels, own_judgements, read_answers, read_test, store, stored

HEAD = "query,item_id,grade\n"


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """Two test queries, "oak lamp" with i1 relevant and i2 not, "blue mug" with i3 relevant; four items."""
    folder = tmp_path / "split"
    (folder / "test").mkdir(parents=True)
    pl.DataFrame({"item_id": ["i1", "i2", "i3", "i4"]}).write_parquet(folder / "items.parquet")
    pl.DataFrame(
        {
            "entrance": "search",
            "request_id": ["oak lamp", "blue mug"],
            "text": ["Oak lamp", "blue mug"],
            "history": [[], []],
            "exclude": [[], []],
            "frequency": [0, 0],
        },
        schema_overrides={"history": pl.List(pl.String), "exclude": pl.List(pl.String)},
    ).write_parquet(folder / "test" / "requests.parquet")
    rows = [("oak lamp", "i1", 3.0, True), ("oak lamp", "i2", 0.0, False), ("blue mug", "i3", 2.0, True)]
    judgements = pl.DataFrame(rows, ["request_id", "item_id", "grade", "relevant"], orient="row")
    judgements.with_columns(entrance=pl.lit("search")).write_parquet(folder / "test" / "judgements.parquet")
    return folder


def answers(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "answers.csv"
    path.write_text(text)
    return path


def test_the_judge_reads_labels_beside_the_shops_judgements(tmp_path: Path, split: Path) -> None:
    """From the relevant grade on relevant; queries as people write them are the split's normalised ones."""
    file = answers(tmp_path, HEAD + "OAK  lamp,i4,2\nblue mug,i4,1\n")
    labels = Labels(tmp_path / "labels.parquet", relevant_grade=2.0)
    assert store(read_answers(file, split, QualitySettings()), labels.path) == 2
    found = read_test(split, labels)["search"]
    assert found.judged["oak lamp"] == {"i1": 3.0, "i2": 0.0, "i4": 2.0}
    assert found.relevant == {"oak lamp": {"i1", "i4"}, "blue mug": {"i3"}}
    assert found.judged["blue mug"]["i4"] == 1.0
    without = read_judged(split, "test", reader=JUDGE)["search"]
    assert read_test(split)["search"] == without
    assert "i4" not in without.judged["oak lamp"]


def test_a_label_makes_no_lists_that_can_be_condensed(tmp_path: Path, split: Path) -> None:
    """Of a shop that is judged on clicks: one pair that somebody called not relevant says nothing of all
    others' unjudged ones."""
    file = split / "test" / "judgements.parquet"
    pl.read_parquet(file).filter("relevant").write_parquet(file)
    path = answers(tmp_path, HEAD + "oak lamp,i4,0\n")
    labels = Labels(tmp_path / "labels.parquet", relevant_grade=1.0)
    store(read_answers(path, split, QualitySettings()), labels.path)
    found = read_test(split, labels)["search"]
    assert found.judged["oak lamp"]["i4"] == 0.0 and not found.has_nonrelevant


def test_a_label_never_replaces_the_shops_judgement_nor_names_what_is_gone(
    tmp_path: Path, split: Path
) -> None:
    """The shop may have judged a pair, or dropped an item or a query, since the label was given."""
    labels = Labels(tmp_path / "labels.parquet", relevant_grade=1.0)
    rows = [("oak lamp", "i2", 3.0), ("oak lamp", "gone", 3.0), ("not asked now", "i1", 3.0)]
    pl.DataFrame(rows, ["request_id", "item_id", "grade"], orient="row").write_parquet(labels.path)
    assert read_test(split, labels)["search"] == read_test(split)["search"]


def test_only_labels_that_the_judge_reads_count_as_judged(tmp_path: Path, split: Path) -> None:
    """One about a pair of the shop's own, an item or a query that is gone is imported and no more."""
    labels = Labels(tmp_path / "labels.parquet", relevant_grade=1.0)
    assert own_judgements(split, labels) is None and own_judgements(split, None) is None
    rows = [("oak lamp", "i4", 0.0), ("blue mug", "i4", 3.0)]
    rows += [("oak lamp", "i2", 3.0), ("oak lamp", "gone", 3.0), ("not asked now", "i1", 3.0)]
    pl.DataFrame(rows, ["request_id", "item_id", "grade"], orient="row").write_parquet(labels.path)
    assert own_judgements(split, labels) == OwnJudgements(imported=5, judged=2)


def test_a_newer_answer_replaces_an_older_one(tmp_path: Path, split: Path) -> None:
    path = tmp_path / "labels" / "judgements.parquet"
    assert stored(path).is_empty()
    for grade, count in ((0, 1), (3, 1)):
        file = answers(tmp_path, HEAD + f"oak lamp,i4,{grade}\n")
        assert store(read_answers(file, split, QualitySettings()), path) == count
    assert stored(path).rows() == [("oak lamp", "i4", 3.0)]


def test_rows_without_a_grade_are_left_out_and_other_columns_ignored(tmp_path: Path, split: Path) -> None:
    file = answers(tmp_path, "﻿query,title,item_id,grade,p\noak lamp,x,i3,,0.5\noak lamp,y,i4, 1 ,0.5\n")
    found = read_answers(file, split, QualitySettings())
    assert found.blank == 1
    assert found.rows.rows() == [("oak lamp", "i4", 1.0)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("query,item_id\noak lamp,i4\n", "the column grade is missing"),
        (HEAD + "oak lamp,i4,1\nred hat,i4,1\n", "row 3: 'red hat' is no judged test query"),
        (HEAD + "oak lamp,i9,1\n", "row 2: there is no item 'i9' in the catalogue"),
        (HEAD + "oak lamp,i4,good\n", "row 2: the grade is 'good'; give a number from 0 to 10"),
        (HEAD + "oak lamp,i4,11\n", "row 2: the grade is '11'"),
        (HEAD + "oak lamp,i4,nan\n", "row 2: the grade is 'nan'"),
        (HEAD + "oak lamp,i4,-1\n", "row 2: the grade is '-1'"),
        (HEAD + "oak lamp,i1,0\n", "row 2: the shop's own judgements grade 'i1'"),
        (HEAD + "oak lamp,i4,0\noak lamp,i4,1\n", "row 3: 'i4' for 'oak lamp' has another grade further up"),
        ("", "is no CSV in UTF-8 with commas"),
    ],
)
def test_a_bad_file_is_refused_whole_with_its_row(tmp_path: Path, split: Path, text: str, told: str) -> None:
    file = answers(tmp_path, text)
    with pytest.raises(DataError) as refused:
        read_answers(file, split, QualitySettings())
    assert str(refused.value).startswith(str(file)) and told in str(refused.value)


def test_files_that_cannot_be_read_and_shops_without_queries(tmp_path: Path, split: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_answers(tmp_path / "none.csv", split, QualitySettings())
    (tmp_path / "latin.csv").write_bytes(HEAD.encode() + "lampe à poser,i4,1\n".encode("latin-1"))
    with pytest.raises(DataError, match="is no CSV in UTF-8"):
        read_answers(tmp_path / "latin.csv", split, QualitySettings())
    requests = pl.read_parquet(split / "test" / "requests.parquet")
    users = requests.with_columns(entrance=pl.lit("recommendation"))
    users.write_parquet(split / "test" / "requests.parquet")
    with pytest.raises(DataError, match="no search query of this shop is judged"):
        read_answers(answers(tmp_path, HEAD + "oak lamp,i4,1\n"), split, QualitySettings())
    labels = Labels(tmp_path / "labels.parquet", relevant_grade=1.0)
    assert set(read_test(split, labels)) == {"recommendation"}
