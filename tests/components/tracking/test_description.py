from dataclasses import replace

from components.contract.operations import OpinionSettings
from components.contract.records import OwnJudgements, RetrievalPlan
from components.contract.task import Task
from components.data.configuration import load_task
from components.tracking.description import DESCRIPTION_CHARACTERS, NeededBase, describe, version_tags

TASKS = (
    *("category", "category_path", "brand", "price", "sentiment", "answer"),
    *("query_category", "query_brand", "query_price", "query_attribute"),
)


def test_reviewer_can_decide_from_it(make_card, make_gate):
    """Verdict, both primaries with intervals, guardrails, harmed slices, open bounds, data, D, loading and
    limits are on the page."""
    gates = (
        make_gate("primary", "new/recall@10", "unsure"),
        make_gate("primary", "new_only/recall@10"),
        make_gate("guardrail", "established/recall@10"),
        make_gate("slice", "category:Tools", "fail", "Category Tools: shown harmed."),
        make_gate("slice", "category:Lamps", "not judged"),
        make_gate("bound", "size_mb", "fail", "size_mb 3000, must be at most 2000 – out of bounds."),
        make_gate("bound", "p95_latency_ms"),
    )
    text = describe(make_card(verdict="INCONCLUSIVE", gates=gates), "7")
    for part in (
        "**INCONCLUSIVE** – New items are found more often.",
        "1,200 judged requests",
        "`cccccccccccc`",
        "- unsure: new/recall@10: 0.400 → 0.500 [+0.050, +0.150].",
        "- pass: new_only/recall@10",
        "- pass: established/recall@10",
        "- fail: Category Tools: shown harmed.",
        "- fail: size_mb 3000",
        "2 slices, 1 of them too small to judge; 2 bounds and checks.",
        "cut-off 2026-01-01T00:00:00",
        "items 5, new_items 2",
        "rows in quarantine: 3 of items",
        "d" * 64,
        'load_model("models:/demo/7")',
        'set_tracking_uri("sqlite:///mlflow.db")',
        "Known limits",
    ):
        assert part in text
    assert "p95_latency_ms" not in text


def test_peoples_own_labels_stand_beside_the_verdict(make_card):
    """A reviewer weighs them; where there are none nothing is said."""
    card = make_card()
    report = card.report.model_copy(update={"own_judgements": OwnJudgements(imported=120, judged=80)})
    told = describe(replace(card, report=report), "7").split("\n\n")[0]
    assert told.endswith("debut label import: 120, of which 80 are of this test's requests.")
    assert "label import" not in describe(card, "7")


def test_baseline_is_called_one(make_card):
    """Version 0 has no report; the page says what it is and shows its figures."""
    text = describe(make_card(verdict=None, cutoff=None), "1")
    assert text.startswith("**BASELINE** – version 0")
    assert "- new: recall@10 0.500 over 608 requests" in text
    assert "established" not in text
    assert "undated" in text
    assert describe(make_card(verdict=None, summary={}), "1").count("not judged") == 1


def test_the_cost_is_told_with_what_is_estimated(make_card, cost):
    """Per figure training, judging and per point gained; and when a cached training was measured."""
    text = describe(make_card(cost=cost), "7")
    assert "- energy (estimate): training 24.00 Wh, judging 24.00 Wh, together 24.00 Wh, per point" in text
    assert "- Energy: estimated from CPU-hours × 12 W per core." in text
    assert "- Training came from the cache" in text
    assert "**Cost**" not in describe(make_card(), "7")


def test_answers_and_opinions_have_sections(make_card):
    """Of a task that abstains how often and how well it answers, that a nearest holds people's texts, and how
    opinions are watched; nothing of either where the release has neither."""
    answer = Task(
        name="answer", says="Answer", rows="SELECT 1", text=("question",), head="nearest", precision=0.8
    )
    kind = Task(name="kind", says="Kind", rows="SELECT 1", text=("title",), head="classification")
    sure = {"rows": 240, "answered_share": 0.62, "answered_accuracy": 0.84}
    nobody = {"rows": 0, "answered_share": None, "answered_accuracy": None}
    figures = {"answer": {"all": sure, "new": nobody}, "kind": {"all": {"rows": 9, "accuracy": 0.5}}}
    opinions = OpinionSettings(topics=12, false_alarms_per_year=2)
    card = make_card(tasks=(answer, kind), task_figures=figures, opinions=opinions)
    text = describe(card, "7")
    assert "- answer, all rows: 62% of 240 answered, 84% of these rightly, where 80% were asked for" in text
    assert (
        "- answer holds the training texts" in text and "- kind, all" not in text and "new rows" not in text
    )
    assert "**Opinions**\n- 12 topics" in text and "2 a year without cause" in text
    for without in (make_card(), make_card(tasks=(answer, kind), task_figures={"kind": figures["kind"]})):
        assert "**Answers**" not in describe(without, "7") and "**Opinions**" not in describe(without, "7")


def test_each_task_has_all_its_figures(make_card):
    """Calibration and an interval's coverage, too, new items apart; also of version 0, which has no gate."""
    price = Task(name="price", says="Price", rows="SELECT 1", text=("title",), head="regression")
    figures = {
        "all": {"rows": 1200, "absolute_error": 0.48, "interval_coverage": 0.93},
        "new": {"rows": 271, "absolute_error": 0.584, "interval_coverage": None},
    }
    for card in (
        make_card(tasks=(price,), task_figures={"price": figures}),
        make_card(verdict=None, tasks=(price,), task_figures={"price": figures}),
    ):
        line = "- price, 1,200 rows (271 new): absolute error 0.480 (0.584), interval coverage 0.930\n"
        assert f"in brackets)\n{line}" in describe(card, "7")
    simple = {"price": {"all": {"rows": 1200, "absolute_error": 0.5}, "new": {"rows": 271}}}
    beside = make_card(tasks=(price,), task_figures={"price": figures}, baseline_figures=simple)
    assert "absolute error 0.480 (0.584), of TF-IDF 0.500, interval" in describe(beside, "7")
    nobody = {"price": {"all": {"rows": 0, "absolute_error": None}, "new": {"rows": 0}}}
    assert "**Tasks, measured**" not in describe(make_card(tasks=(price,), task_figures=nobody), "7")


def test_all_tasks_of_the_library_have_room(make_card, make_gate, cost):
    """Each with its figures beside TF-IDF's, how to load and the limits, in a report of usual length; of 40
    comparisons those that are open."""
    tasks = tuple(load_task(name) for name in TASKS)
    figures = {
        task.name: {
            "all": {"rows": 1468, **dict.fromkeys(task.measured, 0.989), "risk_coverage_area": 0.008},
            "new": {"rows": 352, **dict.fromkeys(task.measured, 0.994), "risk_coverage_area": 0.006},
        }
        for task in tasks
    }
    long = (
        "Established items: recall@10 0.509 against 0.488, +0.021, at least +0.002 with 95 % confidence; a "
    )
    gates = [make_gate("guardrail", f"g{n}", sentence=long + "loss of 0.024 is allowed.") for n in range(7)]
    outcomes = ["pass", "not applicable"] * 19 + ["fail", "unsure"]
    gates += [make_gate("task", f"t{n}", outcome, f"Comparison {n}.") for n, outcome in enumerate(outcomes)]
    card = make_card(
        gates=tuple(gates), tasks=tasks, task_figures=figures, baseline_figures=figures, cost=cost,
        plan=RetrievalPlan(implied_weights={"category": 0.2}, rankers=("search",)),
        opinions=OpinionSettings(),
    )  # fmt: skip
    text = describe(card, "7")
    for task in tasks:
        assert f"- {task.name}, 1,468 rows (352 new)" in text
    assert text.count("of TF-IDF 0.989 (0.994)") == len(tasks)
    assert "**Tasks that did not pass**\n- fail: Comparison 38.\n- unsure: Comparison 39.\n" in text
    assert "40 comparisons of tasks, 2 of them open" in text and "Comparison 0" not in text
    assert 'load_model("models:/demo/7")' in text and "Known limits" in text
    assert len(text) <= DESCRIPTION_CHARACTERS


def test_a_ranking_tells_what_a_query_implies_where_it_weighs(make_card):
    plan = RetrievalPlan(implied_weights={"category": 0.1, "brand": 0.0})
    assert "- what a query implies weighs: category 0.1\n" in describe(make_card(plan=plan), "7")


def test_a_second_stage_is_told_with_its_price(make_card):
    """Which entrances have it, what it may cost, and who watches that: of version 0 no gate. It also asks for
    more than the package to load; a release without one says nothing of it."""
    plan = RetrievalPlan(rankers=("search", "recommendation"))
    for verdict, watched in (("PROMOTE", "its own gates bound that\n"), (None, "no gate has judged that")):
        text = describe(make_card(verdict=verdict, plan=plan), "7")
        assert "- a second stage for search, recommendation: LightGBM's LambdaRank" in text
        assert f"What it gains on established items may cost new ones; {watched}" in text
        assert "(needs the `debut[ranking]` package installed)" in text
    without = describe(make_card(plan=RetrievalPlan()), "7")
    assert "second stage" not in without and "(needs the `debut` package installed)" in without


def test_an_adapter_alone_names_the_base_that_it_needs(make_card):
    """Which weights, and where they are looked for: a local base in DEBUT_BASES, another by its name."""
    local = NeededBase("tiny", None, "ab" * 32, local=True)
    text = describe(make_card(base=local), "7")
    assert (
        "(needs the `debut` package installed and the base encoder `tiny`, as the folder of that name in "
        "DEBUT_BASES, weights of SHA-256 `abababababab`)" in text
    )
    assert text.endswith(
        "- Its encoder is an adapter alone: without that base, or with other weights, it does not load."
    )
    hub = describe(make_card(base=NeededBase("owner/model", "c" * 40, "ab" * 32, local=False)), "7")
    assert f"`owner/model`, as encoder.name finds it at revision `{'c' * 40}`, weights" in hub
    assert "DEBUT_BASES" not in hub
    assert "adapter" not in describe(make_card(), "7") and "base encoder `" not in describe(make_card(), "7")


def test_a_pretrained_base_is_called_one(make_card):
    """Also of version 0, which then is not the encoder as it was downloaded."""
    told = "base encoder tiny, pretrained: version 3 of demo-pretrained; candidate"
    assert told in describe(make_card(pretrained="3"), "7")
    first = describe(make_card(verdict=None, pretrained="3"), "1")
    assert told in first and "as it was pretrained on this shop's text" in first and "downloaded" not in first
    assert "as it was downloaded" in describe(make_card(verdict=None), "1")


def test_long_reports_are_shortened(make_card, make_gate):
    """However many slices were harmed, the text fits MLflow's column and says that there is more, and where:
    gates that passed make room for one that did not."""
    few = tuple(make_gate("slice", f"category:{n}", "fail") for n in range(12))
    assert "- and 2 more in the gate report: 2 fail" in describe(make_card(gates=few), "1")
    many = tuple(make_gate("guardrail", f"g{n}", sentence=f"{n} long " * 125) for n in range(9))
    unsure = make_gate("guardrail", "last", "unsure", "Not shown.")
    text = describe(make_card(gates=(*many, unsure)), "1")
    assert DESCRIPTION_CHARACTERS - 1000 < len(text) <= DESCRIPTION_CHARACTERS
    assert "- unsure: Not shown.\n- and 5 more in the gate report: 5 pass\n" in text
    assert 'load_model("models:/demo/1")' in text and "Known limits" in text
    failing = tuple(gate.model_copy(update={"outcome": "fail"}) for gate in many)
    text = describe(make_card(gates=(make_gate("primary", "new/recall@10"), *failing)), "1")
    assert "- pass: new/recall@10" in text and "more in the gate report: 5 fail\n" in text


def test_a_text_without_sections_is_cut(make_card):
    text = describe(make_card(tracking="x" * DESCRIPTION_CHARACTERS), "1")
    assert len(text) == DESCRIPTION_CHARACTERS and text.endswith("(the gate report in the run has the rest)")


def test_what_only_this_page_says_stays_where_tasks_are_many(make_card, make_gate, cost):
    """Eight tasks and a second stage: Answers with what a person has to decide, Ranking, Opinions and Cost
    are whole; what gives way says how many lines and where they are. No sentence stands twice."""
    tasks = tuple(load_task(name) for name in TASKS[:8])
    few = {"rows": 49, "answered_share": 0.62, "answered_accuracy": 0.84}
    figures = {
        task.name: {"all": {"rows": 1468, **dict.fromkeys(task.measured, 0.989)}, "new": few}
        for task in tasks
    }
    told = "recall@10 0.509 against 0.488, +0.021, at least +0.002 with 95 % confidence; a loss of 0.024"
    gates = [make_gate("primary", "new/recall@10", sentence=f"New items: {told} is allowed.")]
    for kind, number in (("guardrail", 6), ("ranking", 4)):
        gates += [make_gate(kind, str(n), sentence=f"{kind} {n}: {told} is allowed.") for n in range(number)]
    for task in tasks:
        sentence = f"{task.says}, new items: 49 different test rows, fewer than 50 – not judged."
        gates += 2 * [make_gate("task", task.name, "not judged", sentence)]
    gates.append(make_gate("task", "price", "fail", "Price: shown to lose more than 0.050."))
    card = make_card(
        gates=tuple(gates), tasks=tasks, task_figures=figures, baseline_figures=figures, cost=cost,
        plan=RetrievalPlan(rankers=("search", "recommendation")), opinions=OpinionSettings(),
    )  # fmt: skip
    text = describe(card, "7")
    assert len(text) <= DESCRIPTION_CHARACTERS
    for heading in (
        *("Primary figures", "Guardrails", "Second stage", "Tasks that did not pass", "Tasks, measured"),
        *("Answers", "Ranking", "Opinions", "Cost", "Data", "How to load", "Known limits"),
    ):
        assert f"**{heading}**" in text
    assert "- answer holds the training texts as people wrote them: fit to be shown?" in text
    for part in ("LambdaRank scores the proposals again", "10 topics are learnt", "- energy (estimate)"):
        assert part in text
    assert "- fail: Price: shown to lose more than 0.050.\n" in text
    assert "in the gate report: " in text and "New items: recall@10" in text
    lines = text.splitlines()
    assert all(lines.count(line) == 1 for line in lines if line.startswith("- not judged"))


def test_tags_filter(make_card):
    """Tags hold verdict, digests, cut-off and figures; a figure that does not exist has none."""
    tags = version_tags(make_card())
    assert (
        tags
        | {
            "verdict": "PROMOTE",
            "digest": "d" * 64,
            "digest_short": "d" * 12,
            "data_digest": "a" * 64,
            "shop": "demo",
            "cutoff": "2026-01-01T00:00:00",
            "baseline": "false",
            "new_recall_at_10": "0.5000",
            "new_only_recall_at_10": "0.7500",
            "champion_digest": "c" * 64,
        }
        == tags
    )
    assert "established_recall_at_10" not in tags
    assert len(tags["gate_report_digest"]) == 64
    baseline = version_tags(make_card(verdict=None, cutoff=None))
    assert (baseline["verdict"], baseline["baseline"], baseline["cutoff"]) == ("BASELINE", "true", "undated")
    assert "gate_report_digest" not in baseline
