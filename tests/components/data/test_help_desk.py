"""The generated help desk: its files are what the example reads, and what is said of them holds."""

import json
from pathlib import Path

import polars as pl
import pytest

from components.data.configuration import load_settings
from components.data.help_desk import FAULTS, MADE, START, WEEKS, generate
from components.data.sources import load
from components.quality.checks import check
from components.split.leakage import check_leakage
from components.split.split import split


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("help_desk")
    generate(folder)
    return folder


def test_one_seed_gives_the_same_bytes_and_another_one_others(files: Path, tmp_path: Path) -> None:
    generate(tmp_path / "again")
    generate(tmp_path / "other", seed=1)
    for name in ("articles.jsonl", "tickets.parquet"):
        assert (tmp_path / "again" / name).read_bytes() == (files / name).read_bytes()
        assert (tmp_path / "other" / name).read_bytes() != (files / name).read_bytes()
    assert json.loads((files / MADE).read_text())["seed"] == 0


def test_tickets_say_it_in_other_words_and_name_articles_that_are_online(files: Path) -> None:
    """The article's own words for a fault are in no ticket; no ticket comes before its article."""
    tickets = pl.read_parquet(files / "tickets.parquet")
    articles = pl.read_ndjson(files / "articles.jsonl").with_columns(pl.col("online").str.to_datetime())
    joined = tickets.join(articles, left_on="solved_by", right_on="article")
    assert len(joined) == len(tickets)
    assert (joined["opened"] >= joined["online"]).all()
    for _, says, _, _ in FAULTS:
        assert not tickets["problem"].str.contains(says, literal=True).any()
    assert (
        articles["online"].max()
        == START.replace(day=START.day) + (WEEKS - 1) * pl.select(pl.duration(weeks=1)).item()
    )


def test_the_example_takes_it_through_checks_and_split(files: Path, tmp_path: Path) -> None:
    """By its SQL alone: no row is bad, the newest articles are new, and searches are judged on them."""
    settings, _ = load_settings("help_desk")
    load(settings, files, tmp_path, tmp_path / "loaded")
    checked = check(tmp_path / "loaded", settings.quality, tmp_path / "checked")
    assert set(checked.quarantined.values()) == {0}
    out = tmp_path / "split"
    out.mkdir()
    prepared = split(tmp_path / "checked", settings.split, out, settings.judge.primary)
    check_leakage(out, tmp_path / "checked")
    assert prepared.entrances == ("search",)
    assert prepared.counts["new_items"] > 30
    assert prepared.counts["requests_with_new"] > settings.gate.min_queries
