"""A retrain with a second stage."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from components.contract.settings import Settings
from components.index.retrieval import PLAN_FILE, RANKER
from components.index.signals import Signals
from flows.run import Run
from flows.second_stage import asked
from flows.shop import Shop
from tests.flows.conftest import BAD_ITEMS, COLOURS, START, event_rows, item_rows

REVIEWS_SQL = """
SELECT sku AS item_id, review AS text, stars AS rating, posted AS at, source_file, source_row FROM opinions
"""
SAID = {"negative": (1.0, "broke after a day"), "positive": (5.0, "lovely and sturdy")}


def reviews() -> pl.DataFrame:
    """Of half of the items, five each: reds are liked, greens are not, and every fifth has no stars."""
    rows = []
    for number, item in enumerate(item_rows()[:60]):
        for nth in range(5):
            mood = "negative" if item["name"].startswith(COLOURS[2]) else "positive"
            stars, words = SAID[mood]
            rows.append(
                {
                    "sku": item["sku"],
                    "review": f"{words}, the {item['name']} {nth}",
                    "stars": None if nth == 4 else stars,
                    "posted": START + timedelta(days=(number + nth) % 30, hours=nth),
                }
            )
    return pl.DataFrame(rows)


def test_what_is_decided_meanwhile_changes_nothing_in_a_run(tmp_path: Path) -> None:
    """Else the catalogue would be encoded again, or the champion it began with miss what its ranker reads."""
    shop = Shop(Settings(shop="tiny", tables={"items": "SELECT 1"}), tmp_path, tmp_path)
    with_ranker, without = "a" * 64, "b" * 64
    (shop.candidates / with_ranker / RANKER).mkdir(parents=True)
    log, act = shop.decision_log(), {"actor": "x", "reason": "y"}
    log.append("promotion", release=with_ranker, expected_champion=None, **act)
    run = Run(shop, "run", {})
    assert asked(run)
    log.append("promotion", release=without, expected_champion=with_ranker, **act)
    assert asked(run) and not asked(Run(shop, "next", {}))


def test_where_no_second_stage_asks_nothing_is_observed(retrained: Any) -> None:
    assert not list(retrained.workspace.glob("stages/vectors-*/signals.safetensors"))


def test_what_reviews_say_is_known_of_items_where_a_second_stage_reads_it(
    tiny_shop: Any, connected: Any
) -> None:
    """Also of reviews without stars."""
    reviews().write_parquet(tiny_shop.folder / "opinions.parquet")
    settings = yaml.safe_load(tiny_shop.config.read_text())
    tiny_shop.configure(
        sources=settings["sources"] | {"opinions": {"path": "opinions.parquet"}},
        tables=settings["tables"] | {"reviews": REVIEWS_SQL},
        tasks=["sentiment"],
        ranking={"learner": "lambdarank"},
    )
    outcome = connected("retrain", *tiny_shop.arguments, "--json")
    assert outcome.code == 0, outcome.err
    stages = tiny_shop.workspace / "stages"
    [read] = stages.glob("opinions-*")
    of = pl.read_parquet(read / "reviews.parquet")
    assert of.filter(pl.col("rating").is_null()).get_column("sentiment").is_not_null().all()
    agreed = of.drop_nulls("rating").select((pl.col("rating") / 5).round() == pl.col("sentiment"))
    assert agreed.to_series().mean() == pytest.approx(1.0, abs=0.1)
    observed = [Signals.load(path.parent) for path in stages.glob("vectors-*/signals.safetensors")]
    assert len(observed) == 2  # for the champion and the challenger, alike
    exposures = [signals.kinds["sentiment"].exposure for signals in observed if signals is not None]
    assert exposures[0].sum() == len(of) and (exposures[0] == exposures[1]).all()


def test_a_second_stage_that_pays_is_carried_judged_and_served(
    tiny_shop: Any, connected: Any, served_and_taken_back: Any
) -> None:
    """In a shop where only what is cheap is bought, whatever its words: by champion and challenger alike."""
    cheap = [row for row in item_rows()[:-BAD_ITEMS] if float(row["price"]) < 20]
    bought = event_rows(cheap)
    crowds = [bought.with_columns(customer=pl.concat_str(pl.lit(crowd), "customer")) for crowd in "abcde"]
    pl.concat(crowds).write_parquet(tiny_shop.folder / "events.parquet")
    tiny_shop.configure(ranking={"learner": "lambdarank"})
    outcome = connected("retrain", *tiny_shop.arguments, "--json")
    assert outcome.code == 0, outcome.err
    for candidate in tiny_shop.workspace.glob("candidates/*"):
        plan = json.loads((candidate / PLAN_FILE).read_bytes())
        files = json.loads((candidate / "manifest.json").read_bytes())["files"]
        assert plan["rankers"], "it pays, so it is carried"
        assert {f"{RANKER}/{entrance}.txt" for entrance in plan["rankers"]} <= set(files)
    served_and_taken_back(tiny_shop, outcome.json)
