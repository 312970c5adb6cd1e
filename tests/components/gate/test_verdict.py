"""The verdict: what promotes, what rejects, what stays open."""

from dataclasses import replace

import numpy as np
import pytest

from components.contract.judging import Bound, Bounds, GatePolicy
from components.contract.records import Gate, GateReport
from components.gate.verdict import decide


def gate(report: GateReport, name: str) -> Gate:
    return next(g for g in report.gates if g.name == name)


# What each outcome leads to


def test_a_clear_gain_promotes(cards, policy):
    """All gates pass: PROMOTE, and no number of queries is asked for."""
    report = decide(*cards.promoted(), policy)
    assert report.verdict == "PROMOTE"
    assert report.queries_needed is None
    assert report.challenger_digest == "digest of challenger"
    assert {g.outcome for g in report.gates} <= {"pass", "not applicable"}


def test_a_sentence_says_what_was_found(cards, policy):
    """A primary's sentence has both values, the difference, the interval and the finding."""
    report = decide(*cards.promoted(), policy)
    found = gate(report, "new/recall@10")
    assert found.sentence == (
        f"New items: recall@10 {found.challenger:.3f} against {found.champion:.3f}, {found.difference:+.3f} "
        f"[{found.low:+.3f}, {found.high:+.3f}] – shown better."
    )


def test_a_clear_loss_rejects(cards, policy):
    """A primary whose interval lies at or below 0 fails."""
    challenger, champion = cards.promoted()
    report = decide(champion, challenger, policy)
    assert report.verdict == "REJECT"
    assert gate(report, "new/recall@10").outcome == "fail"
    assert report.queries_needed is None
    assert "new/recall@10 (shown no better)" in report.sentence


@pytest.mark.parametrize(
    ("left", "lost", "verdict", "outcome"),
    [
        (0.0, 0.0, "PROMOTE", "pass"),
        (0.0, 0.2, "REJECT", "fail"),
        (0.019, 0.0, "PROMOTE", "pass"),
        (0.021, 0.0, "REJECT", "fail"),
    ],
)
def test_where_a_champion_finds_all_new_items_among_themselves_no_gain_is_asked_for(
    cards, policy, change, left, lost, verdict, outcome
):
    """Of at most k new items every model finds all: the other primary decides, and here nothing may be lost.
    Where two points are left to gain, a challenger that gains none is rejected as ever."""
    challenger, champion = cards.promoted()
    found = np.full(120, 1.0 - left)
    champion = change(champion, "new_only/recall@10", found)
    challenger = change(challenger, "new_only/recall@10", found - lost)
    for name in ("new_only_condensed/recall@10",):
        champion, challenger = change(champion, name, None), change(challenger, name, None)
    report = decide(challenger, champion, policy)
    assert (report.verdict, gate(report, "new_only/recall@10").outcome) == (verdict, outcome)
    if left < policy.min_gain:
        assert "leaves less than 2 points to gain" in gate(report, "new_only/recall@10").sentence
    if verdict == "PROMOTE":
        assert report.sentence.startswith("Passed: new/recall@10 is shown better")


def test_a_champion_that_finds_all_new_items_is_not_replaced_for_that(cards, policy, change):
    """Among all items too: nothing is shown better."""
    card = cards.make("champion", np.ones(120))
    report = decide(replace(card, name="copy", digest="copy"), card, policy, floor=replace(card, name="BM25"))
    assert report.verdict == "REJECT"
    assert gate(report, "new/recall@10").outcome == "fail"
    assert gate(report, "BM25 new_only/recall@10").outcome == "not applicable"


def test_an_identical_model_is_rejected(cards, policy):
    """No difference on any request: the upper bound is 0, which shows that nothing was gained."""
    _, champion = cards.promoted()
    report = decide(replace(champion, name="copy", digest="copy"), champion, policy)
    assert report.verdict == "REJECT"
    assert {g.outcome for g in report.gates if g.kind == "guardrail"} == {"pass"}


def test_noise_is_inconclusive_and_says_how_many_requests_it_needs(cards, policy):
    """An interval around 0: INCONCLUSIVE with the requests for 80 % power from the spread alone."""
    spread = np.where(np.arange(120) % 2 == 0, 0.3, 0.7)
    report = decide(cards.make("challenger", spread), cards.make("champion", 1.0 - spread), policy)
    assert report.verdict == "INCONCLUSIVE"
    assert report.queries_needed == pytest.approx((2.8016 * 0.40168 / 0.02) ** 2, rel=0.001)
    assert f"{report.queries_needed:,} requests with a relevant new item are needed; 120" in report.sentence
    assert "a true gain of 1 / 2 / 4 points" in gate(report, "new/recall@10").sentence


def test_enough_requests_are_said_to_be_enough(cards, policy):
    """With more requests than 2 points need, the sentence says so and does not ask for more."""
    small = np.where(np.arange(120) % 2 == 0, 0.50, 0.52)
    report = decide(cards.make("challenger", small), cards.make("champion", 1.02 - small), policy)
    assert report.verdict == "INCONCLUSIVE"
    assert report.queries_needed == policy.min_queries
    assert "50 suffice" in report.sentence


def test_primaries_of_few_requests_settle_nothing(cards, policy):
    """Ten requests, all better: a bootstrap of so few is not trusted, in either direction."""
    better, worse = np.full(10, 0.9), np.full(10, 0.1)
    for ours, theirs in ((better, worse), (worse, better)):
        report = decide(cards.make("challenger", ours), cards.make("champion", theirs), policy)
        assert report.verdict == "INCONCLUSIVE"
        assert "10 requests, fewer than 50" in gate(report, "new/recall@10").sentence
        assert gate(report, "established/recall@10").outcome == "unsure"
        assert gate(report, "established_trained/recall@10").outcome == "not judged"
        assert report.queries_needed is None
        assert "would settle it cannot be told from 10, fewer than 50." in report.sentence


def test_no_number_is_planned_from_few_requests_or_without_spread(cards, policy):
    """A standard deviation of 13 requests, or one of 0, plans nothing: the sentence says so, not "50"."""
    spread = np.where(np.arange(40) % 2 == 0, 0.3, 0.7)
    report = decide(cards.make("challenger", spread), cards.make("champion", 1.0 - spread), policy)
    assert (report.verdict, report.queries_needed) == ("INCONCLUSIVE", None)
    assert "cannot be told from 40, fewer than 50." in report.sentence

    noise = np.tile(spread, 3)
    challenger = cards.make("challenger", noise, new=np.full(120, 0.6))
    report = decide(challenger, cards.make("champion", 1.0 - noise, new=np.full(120, 0.4)), policy)
    assert (report.verdict, report.queries_needed) == ("INCONCLUSIVE", None)
    assert "cannot be told from 120, which on one primary all differ alike." in report.sentence


@pytest.mark.parametrize(
    "name", ["established", "all", "established_trained", "established_untrained", "recommendation"]
)
def test_a_guardrail_blocks(cards, policy, name):
    """New items better and one guardrail 6 % worse: REJECT, for each guardrail."""
    rng = np.random.default_rng(0)
    champion = rng.integers(4, 9, 120) / 10
    challenger = cards.make("challenger", champion + 0.1, **{name: champion * 0.94})
    report = decide(challenger, cards.make("champion", champion), policy)
    line = gate(report, "recommendation all/recall@10" if name == "recommendation" else f"{name}/recall@10")
    assert (report.verdict, line.outcome) == ("REJECT", "fail")
    assert line.margin == pytest.approx(0.05 * champion.mean())
    assert line.high < -line.margin


def test_a_loss_inside_the_margin_passes(cards, policy):
    """4 % worse on every request is within the 5 % that are allowed."""
    champion = np.random.default_rng(0).integers(4, 9, 120) / 10
    challenger = cards.make("challenger", champion + 0.1, established=champion * 0.96)
    report = decide(challenger, cards.make("champion", champion), policy)
    assert report.verdict == "PROMOTE"
    assert gate(report, "established/recall@10").difference < 0


def test_an_open_guardrail_keeps_from_promotion(cards, policy):
    """A guardrail whose bound straddles the margin: INCONCLUSIVE, and the sentence names it."""
    champion = np.full(120, 0.5)
    noisy = np.where(np.arange(120) % 2 == 0, 0.1, 0.88)
    challenger = cards.make("challenger", champion + 0.1, established=noisy)
    report = decide(challenger, cards.make("champion", champion), policy)
    line = gate(report, "established/recall@10")
    assert (report.verdict, line.outcome) == ("INCONCLUSIVE", "unsure")
    assert "established/recall@10 (not shown to stay within the margin)" in report.sentence
    assert "The primaries are shown better" in report.sentence
    assert "requests are needed to show it" in line.sentence


def test_a_harmed_slice_blocks_and_a_small_one_does_not(cards, policy, change):
    """Holm-adjusted harm rejects; under 50 requests the same loss reads "not judged"."""
    challenger, champion = cards.promoted()
    harmed = np.zeros(120)
    report = decide(change(challenger, "category:Tools/recall@10", harmed), champion, policy)
    line = gate(report, "category:Tools/recall@10")
    assert (report.verdict, line.outcome, line.p_value) == ("REJECT", "fail", 0.0)
    assert line.sentence.endswith(f"adjusted p 0.000 – shown to lose more than {line.margin:.3f}.")
    few = np.where(np.arange(120) < 49, harmed, np.nan)
    theirs = np.where(np.isnan(few), np.nan, 0.5)
    pair = [
        change(card, "category:Tools/recall@10", values)
        for card, values in ((challenger, few), (champion, theirs))
    ]
    report = decide(*pair, policy)
    line = gate(report, "category:Tools/recall@10")
    assert (report.verdict, line.outcome, line.requests) == ("PROMOTE", "not judged", 49)
    assert (line.champion, line.challenger) == (pytest.approx(0.5), 0.0)


def test_a_slice_in_doubt_does_not_block(cards, policy, change):
    """A slice that is worse, but not shown to be by more than the margin, passes: it is a harm test."""
    challenger, champion = cards.promoted()
    noisy = np.where(np.arange(120) % 2 == 0, 0.0, 0.76)
    pair = (
        change(challenger, "category:Tools/recall@10", noisy),
        change(champion, "category:Tools/recall@10", np.full(120, 0.43)),
    )
    line = gate(decide(*pair, policy), "category:Tools/recall@10")
    assert line.outcome == "pass"
    assert 0.05 < line.p_value < 1.0
    assert line.sentence.endswith(
        f"adjusted p {line.p_value:.3f} – not shown to lose more than {line.margin:.3f}."
    )


def test_an_empty_slice_or_sub_slice_is_not_judged(cards, policy, change):
    """All NaN on both sides: nothing to judge, nothing to block."""
    pair = cards.promoted()
    for name in ("category:Tools/recall@10", "established_trained/recall@10"):
        pair = tuple(change(card, name, np.full(120, np.nan)) for card in pair)
    report = decide(*pair, policy)
    assert report.verdict == "PROMOTE"
    assert gate(report, "established_trained/recall@10").outcome == "not judged"
    assert gate(report, "category:Tools/recall@10").outcome == "not judged"


@pytest.mark.parametrize("name", ["new", "new_only", "established", "all"])
def test_an_empty_population_is_missing(cards, policy, change, name):
    """No request with a relevant item in a required population: never PROMOTE."""
    pair = tuple(change(card, f"{name}/recall@10", np.full(120, np.nan)) for card in cards.promoted())
    report = decide(*pair, policy)
    assert gate(report, f"{name}/recall@10").outcome == "missing"
    assert report.verdict == "INCONCLUSIVE"
    if name.startswith("new"):
        assert report.queries_needed is None
        assert "cannot be told" in report.sentence


# Bounds, baseline, checks


def test_an_exceeded_bound_rejects(cards, policy):
    """A latency above its bound rejects, with both values in the sentence."""
    challenger, champion = cards.promoted()
    slow = replace(challenger, bounds=challenger.bounds | {"p95_latency_ms": 900.0})
    report = decide(slow, champion, policy)
    assert report.verdict == "REJECT"
    assert gate(report, "p95_latency_ms").sentence == (
        "p95_latency_ms: 900 (champion 12), must be at most 250 – out of bounds."
    )


@pytest.mark.parametrize(("loss", "verdict"), [(-0.1, "PROMOTE"), (0.02, "PROMOTE"), (0.0201, "REJECT")])
def test_a_fast_path_may_lose_a_fiftieth_of_the_exact_ones_recall(cards, policy, loss, verdict):
    """The default bound."""
    challenger, champion = cards.promoted()
    challenger = replace(challenger, bounds=challenger.bounds | {"fast_path_recall_loss": loss})
    assert decide(challenger, champion, policy).verdict == verdict


def test_a_fast_paths_loss_on_few_requests_is_chance(cards, policy):
    """One item in 49 requests is more than the bound: "not judged", as for the other losses of recall."""
    values = np.linspace(0.4, 0.6, 49)
    challenger, champion = cards.make("challenger", values), cards.make("champion", values)
    challenger = replace(challenger, bounds=challenger.bounds | {"fast_path_recall_loss": 0.04})
    line = gate(decide(challenger, champion, policy), "fast_path_recall_loss")
    assert line.outcome == "not judged"
    assert "49 requests" in line.sentence


def test_a_bound_from_below_rejects(cards):
    """`at_least` works as `at_most` does, and both limits are named."""
    policy = GatePolicy(resamples=100, bounds={"size_mb": Bound(at_least=100, at_most=200)})
    line = gate(decide(*cards.promoted(), policy), "size_mb")
    assert line.outcome == "fail"
    assert "must be at least 100" in line.sentence or "at most 200 and at least 100" in line.sentence


def test_a_shops_bound_leaves_the_others(cards):
    """One relaxed bound: each of the other nine is still judged, and a too slow challenger rejected."""
    challenger, champion = cards.promoted()
    slow = replace(challenger, bounds=challenger.bounds | {"p95_latency_ms": 900.0})
    report = decide(slow, champion, GatePolicy(resamples=100, bounds={"size_mb": {"at_most": 500}}))
    assert report.verdict == "REJECT"
    assert [one.name for one in report.gates if one.kind == "bound"] == sorted(Bounds.model_fields)
    assert "must be at most 500" in gate(report, "size_mb").sentence


def test_a_bound_that_is_switched_off_says_so(cards):
    """null: its measure rejects nothing, and the report tells why."""
    challenger, champion = cards.promoted()
    slow = replace(challenger, bounds=challenger.bounds | {"p95_latency_ms": 900.0})
    report = decide(slow, champion, GatePolicy(resamples=100, bounds={"p95_latency_ms": None}))
    assert report.verdict == "PROMOTE"
    assert gate(report, "p95_latency_ms").outcome == "not applicable"
    assert "switched off" in gate(report, "p95_latency_ms").sentence


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_an_unmeasured_bound_never_promotes(cards, policy, value):
    """None, NaN and infinity are missing numbers; the judge's reason is in the sentence."""
    challenger, champion = cards.promoted()
    challenger = replace(
        challenger, bounds=challenger.bounds | {"size_mb": value}, missing={"size_mb": "disk went away"}
    )
    report = decide(challenger, champion, policy)
    assert report.verdict == "INCONCLUSIVE"
    assert gate(report, "size_mb").outcome == "missing"
    assert "disk went away" in gate(report, "size_mb").sentence


def test_a_bound_that_does_not_apply_needs_a_reason(cards, policy):
    """With a reason a bound does not block; without one it is missing."""
    challenger, champion = cards.promoted()
    assert gate(decide(challenger, champion, policy), "attribute_dropout_recall_loss").outcome == (
        "not applicable"
    )
    report = decide(replace(challenger, not_applicable={}), champion, policy)
    assert gate(report, "attribute_dropout_recall_loss").outcome == "missing"
    assert report.verdict == "INCONCLUSIVE"


def test_a_first_release_must_beat_the_baseline(cards, policy):
    """Above BM25 on both primaries: promoted. At or below it on one: rejected."""
    challenger, champion = cards.promoted()
    values = challenger.entrances["search"].measures["new/recall@10"]
    below = cards.make("BM25", values * 0.9)
    level = cards.make("BM25", values, new_only=values * 0.5)
    report = decide(challenger, champion, policy, floor=replace(below, digest=None))
    assert report.verdict == "PROMOTE"
    assert gate(report, "BM25 new/recall@10").outcome == "pass"
    assert "against BM25 " in gate(report, "BM25 new/recall@10").sentence
    report = decide(challenger, champion, policy, floor=level)
    assert report.verdict == "REJECT"
    assert gate(report, "BM25 new/recall@10").outcome == "fail"
    assert gate(report, "BM25 new_only/recall@10").outcome == "pass"


def test_a_baseline_not_beaten_on_few_requests_is_left_open(cards, policy):
    """A small shop's first run, where BM25 finds all of the few new items: nothing is shown, so no REJECT."""
    few = replace(cards, requests=policy.min_queries - 1)
    challenger, champion = few.promoted()
    floor = few.make("BM25", np.ones(few.requests))
    report = decide(challenger, champion, policy, floor=floor)
    assert report.verdict == "INCONCLUSIVE"
    line = gate(report, "BM25 new_only/recall@10")
    assert line.outcome == "unsure"
    assert line.sentence.endswith("not above BM25; not settled by 49 requests, fewer than 50.")
    enough = replace(cards, requests=policy.min_queries)
    challenger, champion = enough.promoted()
    floor = enough.make("BM25", np.ones(enough.requests))
    assert decide(challenger, champion, policy, floor=floor).verdict == "REJECT"


def test_a_baseline_without_figures_never_promotes(cards, policy, change):
    """A baseline that lacks a primary is missing, not passed."""
    challenger, champion = cards.promoted()
    floor = change(cards.make("BM25", np.zeros(120)), "new_only/recall@10", None)
    report = decide(challenger, champion, policy, floor=floor)
    assert report.verdict == "INCONCLUSIVE"
    assert gate(report, "BM25 new_only/recall@10").outcome == "missing"


def test_condensed_lists_that_disagree_leave_it_open(cards, policy, change):
    """A gain that turns into a loss once unjudged items are removed: INCONCLUSIVE."""
    challenger, champion = cards.promoted()
    values = champion.entrances["search"].measures["new/recall@10"]
    report = decide(change(challenger, "new_condensed/recall@10", values * 0.9), champion, policy)
    assert report.verdict == "INCONCLUSIVE"
    assert gate(report, "new_condensed/recall@10").outcome == "unsure"
    assert "label the unjudged pairs" in gate(report, "new_condensed/recall@10").sentence


def test_a_condensed_list_that_neither_scorecard_has_is_not_missed(cards, policy, change):
    """Where all new items are retrieved it would be no test; the other list still is one."""
    without = [change(card, "new_only_condensed/recall@10", None) for card in cards.promoted()]
    report = decide(*without, policy)
    assert report.verdict == "PROMOTE"
    assert gate(report, "new_condensed/recall@10").outcome == "pass"
    assert not [one for one in report.gates if one.name == "new_only_condensed/recall@10"]


def test_without_condensed_lists_the_check_does_not_apply(cards, policy, change):
    """Judgements without non-relevant grades have no condensed lists."""
    pair = cards.promoted()
    for name in ("new_condensed", "new_only_condensed"):
        pair = tuple(change(card, f"{name}/recall@10", None) for card in pair)
    report = decide(*pair, policy)
    assert report.verdict == "PROMOTE"
    assert gate(report, "condensed lists").outcome == "not applicable"


@pytest.mark.parametrize("sentence", ["12 judged queries were trained on.", ""])
def test_an_overlap_of_training_and_judging_leaves_it_open(cards, policy, sentence):
    """A champion that was trained on judged rows cannot be compared with."""
    report = decide(*cards.promoted(), policy, overlap=sentence)
    assert report.verdict == "INCONCLUSIVE"
    assert "trained on" in gate(report, "training overlap").sentence


def test_undated_items_have_no_age_slices_and_the_report_says_why(cards, policy, change):
    """The reason of the judge stands in the report; with age slices the line is gone."""
    pair = cards.promoted()
    assert gate(decide(*pair, policy), "age").sentence == "Item age: no slices, the items are undated."
    dated = tuple(change(card, "age:1-7/recall@10", np.full(120, 0.5)) for card in pair)
    report = decide(*dated, policy)
    assert "Items 1-7 days old" in gate(report, "age:1-7/recall@10").sentence
    assert not [g for g in report.gates if g.name == "age"]
