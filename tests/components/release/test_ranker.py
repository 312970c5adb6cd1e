"""The second stage, fitted on a split's validation part and released, for people who buy what is cheap."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from components.contract.errors import DataError, PromotionError
from components.contract.judging import JudgeSettings
from components.contract.learning import EncoderSettings
from components.contract.records import PreparedData, RetrievalPlan
from components.contract.retrieving import RankingSettings, RetrievalSettings
from components.contract.serving import ServingRankingSettings, ServingSettings
from components.contract.settings import Settings, SplitSettings
from components.contract.tables import TABLES
from components.encoder.transformer import TransformerEncoder
from components.evaluation.scorecard import Scorecard
from components.gate.ranking import ranking_gates
from components.index.retrieval import RANKER, open_candidate, read_plan
from components.index.signals import SIGNALS_FILE
from components.index.vectors import encode_catalogue
from components.ranking.features import FEATURES
from components.ranking.model import Growth, Lists
from components.ranking.observations import observed
from components.ranking.ranker_files import REPORT_FILE
from components.release.candidate import build, verify
from components.release.judging import judge_candidate
from components.release.ranker import Proposals, choose_rankers, fitted, new_share, recalls
from components.split.leakage import check_leakage
from components.split.purchases import read_purchases
from components.split.split import cutoff_of, split
from components.split.statistics import read_reviews, read_traffic
from flows.building import NOT_IN_A_RELEASE

START, DAYS, USERS, ITEMS = datetime(2026, 1, 1), 100, 160, 140
CUTOFF = START + timedelta(days=80)
COLOURS = ("red", "blue", "green", "steel", "oak", "pine", "grey", "black", "white", "pink")
THINGS = (
    "chair",
    "table",
    "lamp",
    "mug",
    "towel",
    "shelf",
    "clock",
    "vase",
    "bowl",
    "rug",
    "box",
    "pan",
    "jar",
    "bin",
)


def tables(folder: Path) -> Path:
    """Items listed over time, the price drawn; users buy one of eight listed items, mostly a cheap one."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    price = rng.permutation(ITEMS) + 1.0
    listed = [
        START - timedelta(days=10) if n < 90 else START + timedelta(days=40 + n - 90) for n in range(ITEMS)
    ]
    items = pl.DataFrame(
        {
            "item_id": [f"{100 + n}" for n in range(ITEMS)],
            "title": [f"{COLOURS[n % 10]} {THINGS[n // 10]}" for n in range(ITEMS)],
            "price": price,
            "listed_at": listed,
        }
    )
    events = []
    for day in range(DAYS):
        at = START + timedelta(days=day)
        live = [n for n in range(ITEMS) if listed[n] <= at]
        for user in rng.permutation(USERS)[:60]:
            seen = rng.choice(live, 8, replace=False)
            bought = seen[np.argmin(price[seen] * rng.uniform(0.5, 2.0, 8))]
            events.append((at + timedelta(minutes=int(user)), "purchase", f"{100 + bought}", f"u{user}"))
    log = pl.DataFrame(events, schema=["at", "kind", "item_id", "user_id"], orient="row")
    reviews = pl.DataFrame(
        {"at": [at for at, *_ in events[:300]], "item_id": [item for _, _, item, _ in events[:300]]}
    ).with_columns(text=pl.lit("fine"), rating=pl.lit(4.0))
    for name, frame in (("items", items), ("events", log), ("reviews", reviews)):
        kinds = {"text": pl.String, "number": pl.Float64, "integer": pl.Int64, "timestamp": pl.Datetime("us")}
        whole = frame.with_columns(
            pl.lit(None, kinds[kind]).alias(column)
            for column, kind in TABLES[name].columns.items()
            if column not in frame.columns
        )
        whole.with_columns(pl.col(pl.Datetime).cast(pl.Datetime("us"))).write_parquet(
            folder / f"{name}.parquet"
        )
    return folder


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PreparedData]:
    folder = tmp_path_factory.mktemp("ranked")
    out, checked = folder / "split", tables(folder / "checked")
    out.mkdir()
    prepared = split(
        checked, SplitSettings(cutoff=CUTOFF, judge_window_days=19, validation_window_days=20), out
    )
    check_leakage(out, checked)
    return out, prepared


@pytest.fixture(scope="module")
def vectors(shop, tiny_exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out, encoder = (
        tmp_path_factory.mktemp("vectors"),
        TransformerEncoder.load_saved(tiny_exported / "encoder"),
    )
    items = pl.read_parquet(shop[0] / "items.parquet")
    known = observed(items, read_traffic(shop[0]), read_reviews(shop[0]), cutoff_of(shop[0]))
    purchases = read_purchases(shop[0], "statistics")
    encode_catalogue(items, encoder.encode_items, ("title",), out, "english", purchases, known)
    return out


def settings(**ranking) -> Settings:
    return Settings(
        shop="shop",
        tables={"items": "SELECT 1"},
        encoder=EncoderSettings(name="x", max_length=16, item_fields=("title",)),
        retrieval=RetrievalSettings(inference="torch"),
        ranking=RankingSettings(learner="lambdarank", trees=(10, 40), fewest_in_leaf=20, **ranking),
    )


@pytest.fixture(scope="module")
def chosen(shop, vectors, tiny_exported: Path, tmp_path_factory) -> tuple[RetrievalPlan, Path]:
    out, plan = (
        tmp_path_factory.mktemp("rankers"),
        RetrievalPlan(history_scoring="top3", co_purchase_weight=0.5),
    )
    encoder = tiny_exported / "encoder"
    return choose_rankers(plan, encoder, None, vectors, shop[0], None, settings(), out), out


@pytest.fixture
def build_with(tiny_exported: Path, vectors, fingerprint, tmp_path) -> Callable[..., Path]:
    def make(plan: RetrievalPlan, rankers: Path | None) -> Path:
        built = build(
            tmp_path / "candidates", encoder=tiny_exported / "encoder", index=vectors, plan=plan,
            fingerprint=fingerprint, rankers=rankers,
        )  # fmt: skip
        return tmp_path / "candidates" / built.digest

    return make


def test_it_is_carried_where_validation_says_that_nothing_is_lost(chosen) -> None:
    plan, out = chosen
    told = json.loads((out / REPORT_FILE).read_bytes())["validation"]["recommendation"]
    assert plan.rankers == ("recommendation",)
    kept = told["by_trees"][str(told["trees"])]
    assert all(kept[name] >= told["without"][name] for name in ("new", "established", "new_only"))
    assert kept["established"] > told["without"]["established"]
    assert max(told["importance"], key=told["importance"].get) in ("price", "price_fit", "demand")


def test_it_is_the_same_again_to_the_last_byte(chosen, shop, vectors, tiny_exported, tmp_path) -> None:
    plan, out = chosen
    without = plan.model_copy(update={"rankers": ()})
    choose_rankers(without, tiny_exported / "encoder", None, vectors, shop[0], None, settings(), tmp_path)
    assert {f.name: f.read_bytes() for f in tmp_path.iterdir()} == {
        f.name: f.read_bytes() for f in out.iterdir()
    }


def test_the_release_holds_it_under_its_digest(chosen, build_with) -> None:
    folder = build_with(*chosen)
    assert (folder / RANKER / "recommendation.txt").is_file() and (folder / "index" / SIGNALS_FILE).is_file()
    plain = build_with(chosen[0].model_copy(update={"rankers": ()}), None)
    assert not (plain / RANKER).exists() and not (plain / "index" / SIGNALS_FILE).exists()
    assert read_plan(folder).rankers == ("recommendation",)
    (folder / RANKER / "recommendation.txt").chmod(0o644)
    (folder / RANKER / "recommendation.txt").write_text("another")
    with pytest.raises(PromotionError, match="was changed"):
        verify(folder)
    with pytest.raises(DataError, match="cannot be read"):
        open_candidate(folder, "x")


def test_a_plan_without_its_rankers_is_refused(chosen, build_with) -> None:
    with pytest.raises(DataError, match="not the rankers that the plan names"):
        open_candidate(build_with(chosen[0], None), "x")


def test_it_is_judged_beside_the_same_release_without(chosen, build_with, shop, vectors, tmp_path) -> None:
    out = tmp_path / "judged"
    out.mkdir()
    card = judge_candidate(
        build_with(*chosen), vectors, shop[0], shop[1], JudgeSettings(), name="challenger", out=out
    )
    assert card.first_stage is not None
    measure = "established/recall@10"
    assert card.mean("recommendation", measure) > card.first_stage.mean("recommendation", measure)
    changes = [value for name, value in card.bounds.items() if name.startswith("ranker_")]
    assert len(changes) == 2 and all(isinstance(value, float) for value in changes)
    again = Scorecard.read(out)
    assert again.first_stage is not None
    np.testing.assert_equal(again.first_stage.summary(), card.first_stage.summary())
    gates = ranking_gates(again, settings().gate)
    assert [gate.name for gate in gates] == ["second stage new/recall@10", "second stage new_only/recall@10"]
    assert all(gate.requests > 0 for gate in gates)


def test_no_judged_ranking_has_the_dial(chosen, build_with, shop, vectors, tmp_path) -> None:
    """Whatever the shop adds when it serves: the same release is built, and the judge ranks as before."""
    turned_up = ServingSettings(ranking=ServingRankingSettings(freshness=5.0))
    cards = []
    for serving in (ServingSettings(), turned_up):
        asked = settings().model_copy(update={"serving": serving})
        out = tmp_path / f"judged-{serving.ranking.freshness}"
        out.mkdir()
        kept = asked.model_dump(mode="json", exclude=NOT_IN_A_RELEASE)
        assert "serving" not in kept
        cards.append(
            judge_candidate(build_with(*chosen), vectors, shop[0], shop[1], asked.judge, name="x", out=out)
        )
    assert cards[0].digest == cards[1].digest
    np.testing.assert_equal(cards[0].summary(), cards[1].summary())


def made(gain_by: str, requests: int = 120, seed: int = 0) -> list[Proposals]:
    """Lists in which the items with most of one feature are relevant; a third of all items are new."""
    rng = np.random.default_rng(seed)
    parts = []
    for only in (False, True):
        values = rng.random((requests * 20, len(FEATURES))).astype(np.float32)
        new = np.ones(len(values), bool) if only else rng.random(len(values)) < 1 / 3
        wanted = values[:, FEATURES.index(gain_by)].reshape(-1, 20)
        hits = (wanted >= np.sort(wanted, axis=1)[:, -4:-3]).ravel()
        counts = {
            name: (hits & mask, (hits & mask).reshape(-1, 20).sum(axis=1))
            for name, mask in (("new", new), ("established", ~new))
        }
        relevant = {"new_only": counts["new"]} if only else counts
        lists = Lists(values, hits.astype(float), np.full(requests, 20))
        parts.append(Proposals(lists, relevant, np.arange(requests), new))
    return parts


GROWTH = Growth(fewest_in_leaf=20)


def test_recall_counts_per_population_what_is_among_the_first_ten() -> None:
    parts = made("demand")
    scores = parts[0].lists.features[:, FEATURES.index("demand")]
    assert recalls(parts[0], scores) == {"new": 1.0, "established": 1.0}
    assert recalls(parts[0], -scores) == {"new": 0.0, "established": 0.0}
    assert new_share(parts[1], scores) == 1.0


def test_where_the_first_stage_has_it_right_nothing_is_carried() -> None:
    """Its score decides alone: trees can only cost."""
    found = fitted(made("score"), GROWTH, (10, 20))
    assert (found.trees, found.ranker) == (0, None)
    assert found.without == {"new": 1.0, "established": 1.0, "new_only": 1.0}


def test_a_loss_of_new_items_among_themselves_refuses_what_gains_elsewhere() -> None:
    parts = made("demand")
    assert fitted(parts, GROWTH, (20,)).trees == 20
    assert fitted([parts[0], made("score")[1]], GROWTH, (20,)).trees == 0


def test_too_few_requests_give_no_ranker(shop, vectors, tiny_exported, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("components.release.ranker.FEWEST_REQUESTS", 10_000)
    plan = choose_rankers(
        RetrievalPlan(), tiny_exported / "encoder", None, vectors, shop[0], None, settings(), tmp_path
    )
    assert plan.rankers == ()
    assert [file.name for file in tmp_path.iterdir()] == [REPORT_FILE]
