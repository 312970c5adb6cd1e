"""Pairs: what is trained on, what is known of its owner, and what must not be there."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from components.contract.errors import DataError, LeakageError
from components.contract.learning import TrainingSettings
from components.training.pairs import RECOMMENDATION, SEARCH, read_pairs, trainable

DAY = datetime(2025, 1, 1)


def _split(
    folder: Path, items: int = 10, held_out: tuple[int, ...] = (9,), **parts: list[tuple[Any, ...]]
) -> Path:
    ids = [f"i{number}" for number in range(items)]
    frame = pl.DataFrame({"item_id": ids, "title": ids, "group": ids})
    marks = pl.Series([number not in held_out for number in range(items)])
    frame.with_columns(trainable=marks, refit_trainable=pl.lit(True)).write_parquet(folder / "items.parquet")
    columns = {"search": ["query", "item_id"], "purchases": ["user_id", "item_id", "at"]}
    for name, rows in parts.items():
        part, kind = name.split("_")
        (folder / part).mkdir(exist_ok=True)
        pl.DataFrame(rows, schema=columns[kind], orient="row").write_parquet(
            folder / part / f"{kind}.parquet"
        )
    return folder


def _bought(user: str, *baskets: str) -> list[tuple[str, str, datetime]]:
    """`_bought("u", "12", "3")`: items 1 and 2 on the first day, 3 on the next."""
    return [(user, f"i{n}", DAY + timedelta(days=day)) for day, basket in enumerate(baskets) for n in basket]


def test_every_judged_positive_of_a_query_is_known(tmp_path: Path) -> None:
    """A pair per (query, item), once, and all items of a query are its known positives."""
    rows = [("b", "i3"), ("a", "i1"), ("a", "i2"), ("a", "i1")]
    pairs = read_pairs(_split(tmp_path, train_search=rows), "train", TrainingSettings())
    found = [
        (pairs.queries[anchor], int(item))
        for anchor, item in zip(pairs.anchors, pairs.positives, strict=True)
    ]
    assert found == [("a", 1), ("a", 2), ("b", 3)]
    assert [known.tolist() for known in pairs.known] == [[1, 2], [3]]
    assert set(pairs.kinds) == {SEARCH}


def test_a_pair_has_its_best_grade(tmp_path: Path) -> None:
    """Purchases have none, nor have searches in a file without grades."""
    folder = _split(tmp_path, train_search=[("a", "i1")], train_purchases=_bought("u", "12", "3"))
    assert np.isnan(read_pairs(folder, "train", TrainingSettings()).grades).all()
    rows = [("b", "i3", 2.0), ("a", "i1", 1.0), ("a", "i1", 3.0), ("a", "i2", None)]
    graded = pl.DataFrame(rows, schema=["query", "item_id", "grade"], orient="row")
    graded.write_parquet(folder / "train/search.parquet")
    pairs = read_pairs(folder, "train", TrainingSettings())
    assert pairs.positives.tolist() == [1, 2, 3, 3]
    assert pairs.grades.tolist() == pytest.approx([3.0, np.nan, 2.0, np.nan], nan_ok=True)


def test_a_history_lies_strictly_before_its_target(tmp_path: Path) -> None:
    """Items of one basket are no past of each other; a first basket has no history and gives no pair."""
    rows = [*_bought("u", "12", "34", "5"), *_bought("v", "6")]
    pairs = read_pairs(_split(tmp_path, train_purchases=rows), "train", TrainingSettings())
    found = {
        int(item): set(pairs.histories[anchor].tolist())
        for anchor, item in zip(pairs.anchors, pairs.positives, strict=True)
    }
    assert found == {3: {1, 2}, 4: {1, 2}, 5: {1, 2, 3, 4}}
    assert set(pairs.kinds) == {RECOMMENDATION}


def test_all_that_a_user_bought_is_known(tmp_path: Path) -> None:
    """Later purchases and the history's own items are no negatives either."""
    rows = [*_bought("u", "1", "2", "3"), *_bought("v", "4", "5")]
    pairs = read_pairs(_split(tmp_path, train_purchases=rows), "train", TrainingSettings())
    known = [set(pairs.known[pairs.owners[anchor]].tolist()) for anchor in pairs.anchors]
    assert known == [{1, 2, 3}, {1, 2, 3}, {4, 5}]


def test_a_long_history_is_a_seeded_draw_in_order_of_time(tmp_path: Path) -> None:
    """At most `history_length` past items, other ones for another target, the same again by seed."""
    split = _split(tmp_path, train_purchases=_bought("u", *"87654321"))
    settings = TrainingSettings(history_length=3)
    first, again = (read_pairs(split, "train", settings) for _ in range(2))
    assert [history.tolist() for history in first.histories] == [
        history.tolist() for history in again.histories
    ]
    assert [len(history) for history in first.histories] == [1, 2, 3, 3, 3, 3, 3]
    assert all((np.diff(history) < 0).all() for history in first.histories)  # bought from 8 down to 1
    assert len({tuple(history) for history in first.histories[3:]}) > 1
    assert len({item for history in first.histories[3:] for item in history.tolist()}) > 3


def test_pairs_of_both_kinds_are_drawn_together(tmp_path: Path) -> None:
    """`max_pairs` limits the sum; known positives still come from all rows."""
    search = [("q", f"i{number}") for number in range(9)]
    split = _split(tmp_path, train_search=search, train_purchases=_bought("u", *"12345678"))
    pairs = read_pairs(split, "train", TrainingSettings(max_pairs=8))
    assert (len(pairs), pairs.available) == (8, 16)
    assert set(pairs.kinds) == {SEARCH, RECOMMENDATION}
    assert len(pairs.known[0]) == 9
    assert (
        pairs.positives.tolist()
        == read_pairs(split, "train", TrainingSettings(max_pairs=8)).positives.tolist()
    )
    other = read_pairs(split, "train", TrainingSettings(max_pairs=8, seed=1))
    assert pairs.positives.tolist() != other.positives.tolist()


@pytest.mark.parametrize(
    "rows", [{"train_search": [("q", "i9")]}, {"train_purchases": _bought("u", "1", "9")}]
)
def test_a_held_out_item_stops_the_run(tmp_path: Path, rows: dict[str, Any]) -> None:
    """An item that may not be trained on is a leak, named with its file."""
    with pytest.raises(LeakageError, match=r"train/(search|purchases).parquet: 1 rows .* 'i9'"):
        read_pairs(_split(tmp_path, **rows), "train", TrainingSettings())


def test_an_unknown_item_stops_the_run(tmp_path: Path) -> None:
    """A row whose item the catalogue does not have is refused, too."""
    with pytest.raises(LeakageError, match="'i77'"):
        read_pairs(_split(tmp_path, train_search=[("q", "i77")]), "train", TrainingSettings())


def test_refit_reads_its_own_rows_and_marks(tmp_path: Path) -> None:
    """What was new in validation may be trained on in the refit."""
    split = _split(tmp_path, refit_search=[("q", "i9")])
    pairs = read_pairs(split, "refit", TrainingSettings())
    assert pairs.positives.tolist() == [9]
    items = pl.read_parquet(split / "items.parquet")
    assert trainable(items, "refit").all()
    assert not trainable(items, "train").all()
    assert not trainable(items.drop("refit_trainable"), "refit").all()


@pytest.mark.parametrize("rows", [{}, {"train_purchases": _bought("u", "123")}, {"train_search": []}])
def test_no_pair_is_a_clear_error(tmp_path: Path, rows: dict[str, Any]) -> None:
    """No file, one basket, no row: nothing can be trained, and the sentence says what to do."""
    split = _split(tmp_path)
    for name, values in rows.items():
        if values:
            _split(tmp_path, **{name: values})
    with pytest.raises(DataError, match=r"no training pair.*split\.cutoff"):
        read_pairs(split, "train", TrainingSettings())


def test_a_warm_start_takes_what_is_new_and_replays_some_of_the_rest(tmp_path: Path) -> None:
    """Of 8 purchases with a past, 2 are dated at or after the moment until which the encoder was trained:
    both are taken, and as many older ones (a share of one half); without replay none. What a user is known
    to have bought stays all of it, so that no old purchase becomes a negative."""
    rows = _bought("u", "0", "12", "34", "56", "7", "8")
    split = _split(tmp_path, train_purchases=rows)
    until = DAY + timedelta(days=4)
    for share, replayed in ((0.5, 2), (0.0, 0), (0.99, 6)):
        pairs = read_pairs(split, "train", TrainingSettings(replay_share=share), until)
        assert {7, 8} <= set(pairs.positives.tolist())
        assert len(pairs) == 2 + replayed
        assert pairs.known[0].tolist() == list(range(9))
    assert len(read_pairs(split, "train", TrainingSettings(), None)) == 8
    assert (
        len(read_pairs(split, "train", TrainingSettings(), DAY + timedelta(days=99))) == 8
    )  # nothing is new


def test_of_a_warm_start_too_at_most_max_pairs_are_taken(tmp_path: Path) -> None:
    split = _split(tmp_path, train_purchases=_bought("u", "0", "12", "34", "56", "7", "8"))
    settings = TrainingSettings(max_pairs=3)
    assert len(read_pairs(split, "train", settings, DAY + timedelta(days=3))) == 3


def test_undated_judgements_are_all_new_to_a_warm_start(tmp_path: Path) -> None:
    split = _split(tmp_path, train_search=[("a", "i1"), ("b", "i2")])
    assert len(read_pairs(split, "train", TrainingSettings(replay_share=0.0), DAY)) == 2


def _written(folder: Path, count: int) -> Path:
    """`count` queries, each written for an item that nobody asked for by these words."""
    rows = [(f"written {number}", f"i{number % 9}") for number in range(count)]
    folder.mkdir()
    pl.DataFrame(rows, schema=["query", "item_id"], orient="row").write_parquet(folder / "search.parquet")
    return folder


@pytest.mark.parametrize(
    ("changes", "own"),
    [
        ({}, 8),
        ({"max_pairs": 5}, 5),
        ({"max_pairs": 10}, 8),
        ({"replay_share": 0.0}, 2),
        ({"replay_share": 0.5}, 4),
        ({"replay_share": 0.5, "max_pairs": 3}, 3),
    ],
)
def test_written_queries_change_nothing_in_the_draw_of_the_shops_own_pairs(
    tmp_path: Path, changes: dict[str, Any], own: int
) -> None:
    """They have no date, which would make them all new to a warm start, and there can be many: so they are
    no more than the shop's own, nor than these leave of `max_pairs`."""
    split = _split(tmp_path, train_purchases=_bought("u", "0", "12", "34", "56", "7", "8"))
    written = _written(tmp_path / "written", 50)
    settings = TrainingSettings(**changes)
    until = DAY + timedelta(days=4) if "replay_share" in changes else None
    without = read_pairs(split, "train", settings, until)
    pairs = read_pairs(split, "train", settings, until, written)
    bought = pairs.kinds == RECOMMENDATION
    assert pairs.positives[bought].tolist() == without.positives.tolist()
    assert len(without) == own
    assert int((~bought).sum()) == min(own, (settings.max_pairs or 100) - own)
    again = read_pairs(split, "train", settings, until, written)
    assert again.positives.tolist() == pairs.positives.tolist()


def test_a_query_that_was_asked_of_an_item_is_not_a_written_one(tmp_path: Path) -> None:
    """Also where it was written for the same item; a shop that knows no pair trains on the written ones."""
    written = _written(tmp_path / "written", 3)
    split = _split(tmp_path, train_search=[("written 1", "i1"), ("asked", "i2")])
    pairs = read_pairs(split, "train", TrainingSettings(max_pairs=2), written=written)
    assert {pairs.queries[anchor] for anchor in pairs.anchors} == {"written 1", "asked"}
    (split / "train/search.parquet").unlink()
    assert len(read_pairs(split, "train", TrainingSettings(), written=written)) == 3


def test_searches_alone_are_drawn_from_searches(tmp_path: Path) -> None:
    split = _split(
        tmp_path,
        train_search=[(f"q{number}", f"i{number}") for number in range(6)],
        train_purchases=_bought("u", "0", "12", "34", "56", "7", "8"),
    )
    pairs = read_pairs(split, "train", TrainingSettings(max_pairs=6), searches_only=True)
    assert set(pairs.kinds) == {SEARCH} and len(pairs) == pairs.available == 6
