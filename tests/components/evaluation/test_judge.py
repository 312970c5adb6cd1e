"""The judge as a whole: names, populations, what a bonus for new items does, and what it refuses."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.contract.errors import JudgeError
from components.contract.judging import JudgeSettings
from components.evaluation.judge import judge
from components.evaluation.scorecard import Scorecard
from components.split.judged import JUDGE, JudgedSet, read_judged
from tests.components.evaluation.conftest import judged_of


def run(shop, retriever=None, **arguments) -> Scorecard:
    defaults = {"primary": shop.judged.entrance, "digest": "d" * 64, "trained": shop.trained, "size_mb": 1.0}
    settings = arguments.pop("settings", JudgeSettings())
    return judge(
        retriever or shop.retriever(),
        {shop.judged.entrance: shop.judged},
        shop.catalogue,
        settings,
        **(defaults | arguments),
    )


def with_bonus(shop, bonus: float):
    new = shop.catalogue.get_column("is_new").to_numpy()
    return shop.retriever("bonus", {name: scores + bonus * new for name, scores in shop.scores.items()})


def slow_recall(shop, retriever, k: int, wanted: set[str], among=None) -> np.ndarray:
    """The definition, in sets."""
    ids = shop.catalogue.get_column("item_id").to_list()
    rows = retriever.search(shop.judged.requests, k, among).rows
    values = []
    for request, line in zip(shop.judged.requests, rows, strict=True):
        relevant = shop.judged.relevant[request.request_id] & wanted
        shown = {ids[row] for row in line if row >= 0}
        values.append(len(shown & relevant) / len(relevant) if relevant else np.nan)
    return np.array(values)


@pytest.mark.parametrize("seed", range(3))
def test_recall_of_every_population_is_the_definition(make_shop, seed):
    """Full-catalogue ranking for all slices; new items as the only candidates for new-only."""
    shop = make_shop(seed=seed)
    retriever, scores = shop.retriever(), run(shop).entrances["search"].measures
    ids, new = shop.catalogue.get_column("item_id").to_list(), shop.catalogue.get_column("is_new").to_numpy()
    fresh = {item_id for item_id, is_new in zip(ids, new, strict=True) if is_new}
    old = set(ids) - fresh
    populations = {
        "new": fresh,
        "established": old,
        "established_trained": old & shop.trained,
        "established_untrained": old - shop.trained,
        "all": set(ids),
    }
    for name, wanted in populations.items():
        for k in (10, 50, 100):
            expected = slow_recall(shop, retriever, k, wanted)
            np.testing.assert_allclose(scores[f"{name}/recall@{k}"], expected)
    np.testing.assert_allclose(scores["new_only/recall@10"], slow_recall(shop, retriever, 10, fresh, new))


def test_every_slice_is_there_with_its_count_even_when_empty(make_shop, until):
    """Categories, ages, query lengths and frequencies; an empty slice has 0 requests and no mean."""
    shop = make_shop()
    judged_late = shop.catalogue.with_columns(pl.col("first_seen") - pl.duration(days=2))
    shop = replace(shop, catalogue=judged_late)
    summary = run(shop, judged_until=until).summary()
    assert [name for name in summary if ":" not in name] == [
        *("new", "new_only", "established", "established_trained", "established_untrained", "all"),
        "new_condensed",
    ]
    kinds = {name.split(":")[0] for name in summary if ":" in name}
    assert kinds == {"category", "age", "query_length", "query_frequency"}
    assert summary["age:0-1"] == {"requests": 0} | dict.fromkeys(
        ["recall@10", "recall@50", "recall@100", "ndcg@10", "mrr", "judged@10"]
    )
    assert summary["all"]["requests"] == 60
    assert sum(summary[f"query_length:{n}"]["requests"] for n in ("1", "2", "3", "4-5", "6+")) == 60
    assert 0 < summary["new"]["requests"] < 60


def test_a_slice_of_requests_has_the_values_of_all_for_its_requests(make_shop):
    shop = make_shop()
    scores = run(shop).entrances["search"].measures
    unseen = [shop.judged.frequency[r.request_id] == 0 for r in shop.judged.requests]
    expected = np.where(unseen, scores["all/ndcg@10"], np.nan)
    np.testing.assert_array_equal(scores["query_frequency:unseen/ndcg@10"], expected)


@given(seed=st.integers(0, 1_000), bonus=st.sampled_from([1.0, 5.0, 30.0, 1_000.0]))
@settings(max_examples=15, deadline=None)
def test_a_constant_bonus_for_new_items_lifts_new_recall_but_not_new_only(make_shop, seed, bonus):
    """New-only recall is blind to it, new recall never falls, established recall never rises."""
    shop = make_shop(items=120, requests=25, seed=seed)
    plain = run(shop).entrances["search"].measures
    lifted = run(shop, with_bonus(shop, bonus)).entrances["search"].measures
    np.testing.assert_array_equal(plain["new_only/recall@10"], lifted["new_only/recall@10"])
    some = ~np.isnan(plain["new/recall@10"])
    assert (lifted["new/recall@10"][some] >= plain["new/recall@10"][some]).all()
    some = ~np.isnan(plain["established/recall@10"])
    assert (lifted["established/recall@10"][some] <= plain["established/recall@10"][some]).all()


def test_a_bonus_large_enough_shows_in_new_recall_and_in_exposure(make_shop):
    """The two figures a bonus cannot hide from: new recall rises alone, and new items fill the places."""
    shop = make_shop()
    plain, lifted = run(shop), run(shop, with_bonus(shop, 1_000.0))
    assert lifted.mean("search", "new/recall@10") > plain.mean("search", "new/recall@10")
    assert lifted.mean("search", "new/recall@10") == lifted.mean("search", "new_only/recall@10")
    assert lifted.bounds["exposure_new_item_share_ratio"] == pytest.approx(5.0)  # 20 % of items, all places


@pytest.mark.parametrize("entrance", ["search", "recommendation"])
def test_a_second_stages_exposure_is_that_of_its_worst_entrance(make_shop, entrance):
    """A ranker that fills one entrance's places with new items shows, whichever is primary; and the change is
    the other way round where it takes them away."""
    shop = make_shop()
    users = judged_of(shop.catalogue["item_id"].to_list(), 60, np.random.default_rng(0), recommendation=True)
    both = {"search": shop.judged, "recommendation": users}

    class OneEntrance(type(shop.retriever())):
        def search(self, requests, k, among=None):
            lifted = (requests[0].text is not None) == (entrance == "search")
            return (with_bonus(shop, self.bonus) if lifted else shop.retriever()).search(requests, k, among)

    def change(bonus):
        retriever = OneEntrance("staged", shop.catalogue["item_id"].to_list(), shop.scores)
        retriever.bonus = bonus
        arguments = {"primary": "search", "digest": None, "trained": shop.trained}
        card = judge(
            retriever, both, shop.catalogue, JudgeSettings(), **arguments, first_stage=shop.retriever()
        )
        return card.bounds["ranker_new_item_share_change"]

    assert change(1_000.0) > 0.5 and change(-1_000.0) < -0.1 and change(0.0) == 0.0


def test_new_only_recall_is_at_least_new_recall(make_shop):
    """With fewer competitors a new item never ranks lower."""
    scores = run(make_shop(seed=9)).entrances["search"].measures
    some = ~np.isnan(scores["new/recall@10"])
    assert (scores["new_only/recall@10"][some] >= scores["new/recall@10"][some]).all()


def test_condensed_lists_only_where_non_relevant_items_are_judged(make_shop):
    """Clicks and purchases name no non-relevant item: removing the unjudged would leave only hits."""
    shop = make_shop()
    positives_only = replace(shop, judged=replace(shop.judged, has_nonrelevant=False))
    assert "new_condensed/recall@10" in run(shop).entrances["search"].measures
    assert "new_condensed/recall@10" not in run(positives_only).entrances["search"].measures


def test_condensed_lists_that_hold_every_judged_item_among_the_first_k_are_no_test(make_shop):
    """Of few new items each is retrieved, so that any system has them all: one judgement of grade 0 would
    leave the gate open for ever."""
    shop = make_shop()
    assert "new_only_condensed/recall@10" not in run(shop).entrances["search"].measures
    new = shop.catalogue.filter("is_new").get_column("item_id")
    first = shop.judged.requests[0].request_id
    grades = shop.judged.judged | {first: dict.fromkeys(new, 0.0) | shop.judged.judged[first]}
    measures = run(replace(shop, judged=replace(shop.judged, judged=grades))).entrances["search"].measures
    lists = shop.retriever().search(shop.judged.requests[:1], 100, shop.catalogue["is_new"].to_numpy()).rows
    relevant = shop.judged.relevant[first] & set(new)
    found = relevant & {shop.catalogue["item_id"][row] for row in lists[0, :10].tolist()}
    assert relevant and measures["new_only_condensed/recall@10"][0] == len(found) / len(relevant)


def test_condensed_recall_is_that_of_the_list_without_unjudged_items(make_shop):
    shop = make_shop(seed=4)
    values = run(shop).entrances["search"].measures["new_condensed/recall@10"]
    ids = np.array(shop.catalogue.get_column("item_id").to_list())
    new = set(ids[shop.catalogue.get_column("is_new").to_numpy()])
    rows = shop.retriever().search(shop.judged.requests, 100).rows
    for request, line, value in zip(shop.judged.requests, rows, values, strict=True):
        judged, relevant = (
            shop.judged.judged[request.request_id],
            shop.judged.relevant[request.request_id] & new,
        )
        top = [item for item in ids[line] if item in judged][:10]
        if relevant:
            assert value == pytest.approx(len(relevant & set(top)) / len(relevant))
        else:
            assert np.isnan(value)


def test_another_k_names_its_own_measures(make_shop):
    """judge.k = 20: the gate's measures are recall@20, the fixed cut-offs stay beside them."""
    shop = make_shop()
    scorecard = run(shop, settings=JudgeSettings(k=20))
    assert scorecard.k == 20
    recalls = ("new/recall@20", "new_only/recall@20", "new_condensed/recall@20", "new/recall@10")
    for name in (*recalls, "new_only/recall@10"):  # recall@10 is what --json, tables and MLflow's tags show
        assert scorecard.mean("search", name) is not None


def test_recommendation_is_judged_by_the_same_measures(make_shop):
    """No query lengths and no typing errors; the rest is there."""
    scorecard = run(make_shop(recommendation=True), typos=lambda text, rng: text)
    assert scorecard.primary == "recommendation"
    assert "misspell" in scorecard.not_applicable["typo_recall_loss"]
    names = scorecard.summary()
    assert not any(name.startswith("query_length") for name in names)
    assert any(name.startswith("query_frequency") for name in names)


def test_both_entrances_are_scored_and_the_primary_decides_the_bounds(make_shop):
    shop, users = make_shop(), make_shop(recommendation=True)
    scorecard = judge(
        shop.retriever(),
        {"search": shop.judged, "recommendation": users.judged},
        shop.catalogue,
        JudgeSettings(),
        primary="recommendation",
        digest=None,
        trained=shop.trained,
    )
    assert set(scorecard.entrances) == {"search", "recommendation"}
    assert scorecard.summary() == scorecard.summary("recommendation")


def test_age_slices_need_dates_and_the_report_says_so(make_shop, until):
    dated, undated = make_shop(), make_shop(dated=False)
    assert "age_slices" not in run(dated, judged_until=until).not_applicable
    assert "undated" in run(undated, judged_until=until).not_applicable["age_slices"]


def test_judging_twice_gives_the_same_values(make_shop):
    """Everything but the measured latency is equal, the typing errors too."""

    def swap_first_two(text: str, rng: np.random.Generator) -> str:
        at = int(rng.integers(0, max(1, len(text) - 1)))
        return text[:at] + text[at + 1 :]

    first, second = (run(make_shop(), typos=swap_first_two) for _ in range(2))
    for name, values in first.entrances["search"].measures.items():
        np.testing.assert_array_equal(values, second.entrances["search"].measures[name])
    first.bounds.pop("p95_latency_ms"), second.bounds.pop("p95_latency_ms")
    assert first.bounds == second.bounds


def test_the_gains_of_ndcg_are_in_words(make_shop):
    assert run(make_shop()).gains == "gain = grade (0, 1, 2, 3), discount 1/log2(place + 1)"


def test_many_different_grades_are_abbreviated(make_shop):
    shop = make_shop(requests=40)
    grades = {
        request: {item: grade + n / 50 for item, grade in grades.items()}
        for n, (request, grades) in enumerate(shop.judged.judged.items())
    }
    gains = run(replace(shop, judged=replace(shop.judged, judged=grades))).gains
    assert gains == "gain = grade (0, 0.02, 0.04, …, 3.78), discount 1/log2(place + 1)"


def test_no_judged_requests_is_an_error_that_says_what_to_add(make_shop):
    shop = make_shop()
    empty = replace(shop, judged=JudgedSet("search", (), {}, {}, False, {}))
    with pytest.raises(JudgeError, match="no judged search requests: add judgements"):
        run(empty)
    with pytest.raises(JudgeError, match="no judged recommendation requests"):
        run(shop, primary="recommendation")


def test_no_new_relevant_item_is_an_error_that_counts_the_new_items(make_shop):
    """The sentence says how many items are new and which settings change that."""
    shop = make_shop()
    old = set(shop.catalogue.filter(~pl.col("is_new")).get_column("item_id"))
    relevant = {name: items & old or frozenset({min(old)}) for name, items in shop.judged.relevant.items()}
    none = replace(shop, judged=replace(shop.judged, relevant=relevant))
    with pytest.raises(JudgeError, match=r"60 of 300 items are new.*60 judged search.*split\.cutoff"):
        run(none)


def test_a_retriever_over_another_catalogue_is_refused(make_shop):
    shop, smaller = make_shop(), make_shop(items=200)
    with pytest.raises(JudgeError, match=r"ranks 200 items.*not the 300"):
        run(shop, smaller.retriever())


def test_an_entrance_without_requests_beside_the_primary_is_no_error(make_shop):
    shop = make_shop()
    nobody = JudgedSet("recommendation", (), {}, {}, False, {})
    scorecard = judge(
        shop.retriever(),
        {"search": shop.judged, "recommendation": nobody},
        shop.catalogue,
        JudgeSettings(),
        primary="search",
        digest=None,
        trained=shop.trained,
    )
    assert scorecard.mean("recommendation", "all/recall@10") is None
    assert scorecard.summary("recommendation")["new"]["requests"] == 0


def test_what_the_split_wrote_is_what_is_judged(make_shop, tmp_path):
    """From the split's files, read as the judge: the same scorecard as from memory."""
    shop = make_shop()
    requests = [
        {"entrance": "search", "request_id": r.request_id, "text": r.text, "history": [], "exclude": []}
        | {"frequency": shop.judged.frequency[r.request_id]}
        for r in shop.judged.requests
    ]
    judgements = [
        {"entrance": "search", "request_id": name, "item_id": item, "grade": grade}
        | {"relevant": item in shop.judged.relevant[name]}
        for name, grades in shop.judged.judged.items()
        for item, grade in grades.items()
    ]
    (tmp_path / "test").mkdir()
    empty = pl.List(pl.String)
    pl.DataFrame(requests, schema_overrides={"history": empty, "exclude": empty}).write_parquet(
        tmp_path / "test" / "requests.parquet"
    )
    pl.DataFrame(judgements).write_parquet(tmp_path / "test" / "judgements.parquet")
    from_disk = replace(shop, judged=read_judged(tmp_path, "test", reader=JUDGE)["search"])
    ours, theirs = run(shop).entrances["search"], run(from_disk).entrances["search"]
    assert ours.request_ids == theirs.request_ids
    for name, values in ours.measures.items():
        np.testing.assert_array_equal(values, theirs.measures[name])


def noisy(shop, seed=1):
    rng = np.random.default_rng(seed)
    scores = {name: values + rng.normal(0, 30, len(values)) for name, values in shop.scores.items()}
    return shop.retriever("fast", scores)


@pytest.mark.parametrize("recommendation", [False, True])
def test_the_fast_paths_loss_is_of_the_exact_paths_new_item_recall(make_shop, recommendation):
    """1 − its recall ÷ the exact one's, on the primary entrance; the exact path beside itself loses nothing,
    and one that is better shows as a loss below 0."""
    shop = make_shop(recommendation=recommendation)
    entrance, exact, fast = shop.judged.entrance, shop.retriever(), noisy(shop)
    means = [run(shop, one).mean(entrance, "new/recall@10") for one in (fast, exact)]
    assert means[0] < means[1]
    lost = run(shop, fast, exact=exact)
    assert lost.bounds["fast_path_recall_loss"] == pytest.approx(1 - means[0] / means[1])
    assert run(shop, exact, exact=exact).bounds["fast_path_recall_loss"] == pytest.approx(0)
    gained = run(shop, exact, exact=fast).bounds["fast_path_recall_loss"]
    assert gained == pytest.approx(1 - means[1] / means[0])
    assert gained < 0


def test_without_an_exact_path_there_is_no_loss_of_the_fast_one(make_shop):
    scorecard = run(make_shop())
    assert scorecard.bounds["fast_path_recall_loss"] is None
    assert "exact" in scorecard.not_applicable["fast_path_recall_loss"]
    assert "fast_path_recall_loss" not in scorecard.missing


def test_a_fast_path_that_finds_nothing_new_loses_everything(make_shop):
    """And where the exact one finds nothing, the loss is missing, so that the gate does not pass it."""
    shop = make_shop()
    new = shop.catalogue.get_column("is_new").to_numpy()
    blind = shop.retriever("blind", {n: scores - 1e6 * new for n, scores in shop.scores.items()})
    assert run(shop, blind, exact=shop.retriever()).bounds["fast_path_recall_loss"] == 1.0
    both = run(shop, blind, exact=blind)
    assert both.bounds["fast_path_recall_loss"] is None
    assert "finds no new item" in both.missing["fast_path_recall_loss"]
