"""What a reviewer reads on a model version's page: enough to decide without opening anything else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from components.contract.digests import sha256_json
from components.contract.operations import OpinionSettings
from components.contract.records import Candidate, GateReport, PreparedData, RetrievalPlan
from components.contract.task import Task
from components.cost.summary import HEADER, Cost, cost_notes, cost_rows
from components.tracking.judged_sections import Summary, answers, gate_sections, measured_tasks
from components.tracking.sections import Section, page

DESCRIPTION_CHARACTERS = 5_000
"""MLflow's registry column; Postgres refuses more."""


@dataclass(frozen=True)
class NeededBase:
    """The base of an encoder that is an adapter alone (docs/decisions/0025)."""

    name: str
    revision: str | None
    weights: str
    """SHA-256 of its model.safetensors."""
    local: bool
    """A folder in DEBUT_BASES, not the hub's."""


@dataclass(frozen=True)
class VersionCard:
    """All that a model version says about itself."""

    shop: str
    candidate: Candidate
    prepared: PreparedData
    summary: Summary
    """Of the candidate's own scorecard, primary entrance."""
    report: GateReport | None
    """None: version 0, which is judged against nothing."""
    encoder: str
    """Name of the base encoder."""
    quarantined: Mapping[str, int]
    """Bad rows per table that were left out."""
    tracking: str
    """The tracking URI without secrets, for the loading instruction."""
    cost: Cost | None = None
    """None: version 0, or a run that trained nothing."""
    plan: RetrievalPlan | None = None
    """How it ranks."""
    tasks: Sequence[Task] = ()
    task_figures: Mapping[str, Summary] = field(default_factory=dict)
    """Per task that it answers {population: {metric: value, …, "rows": n}} on the test."""
    baseline_figures: Mapping[str, Summary] = field(default_factory=dict)
    """The same of TF-IDF with a linear model; of version 0 none."""
    opinions: OpinionSettings | None = None
    """None: none of its heads tells negative reviews from positive ones."""
    base: NeededBase | None = None
    """None: the encoder is whole. `register` reads it from the candidate."""
    pretrained: str | None = None
    """The version of `<shop>-pretrained` that the base encoder is, as `register` finds it; None: none."""

    @property
    def verdict(self) -> str:
        return self.report.verdict if self.report else "BASELINE"


def version_tags(card: VersionCard) -> dict[str, str]:
    """Tags to filter by; a figure that does not exist has no tag."""
    candidate, figures = card.candidate, card.summary
    tags: dict[str, str | float | int | None] = {
        "shop": card.shop,
        "verdict": card.verdict,
        "digest": candidate.digest,
        "digest_short": candidate.digest[:12],
        "encoder_digest": candidate.encoder_digest,
        "data_digest": candidate.data_digest,
        "cutoff": _cutoff(card),
        "baseline": str(candidate.baseline).lower(),
        "primary_entrance": card.prepared.entrances[0],
        "new_recall_at_10": _figure(figures, "new"),
        "new_only_recall_at_10": _figure(figures, "new_only"),
        "established_recall_at_10": _figure(figures, "established"),
        "champion_digest": card.report.champion_digest if card.report else None,
        "gate_report_digest": sha256_json(card.report.model_dump(mode="json")) if card.report else None,
    }
    return {
        name: f"{value:.4f}" if isinstance(value, float) else str(value)
        for name, value in tags.items()
        if value is not None
    }


def describe(card: VersionCard, version: str) -> str:
    """Markdown of at most 5,000 characters for the version of that number. Where gates and tasks' figures are
    many, some of their lines are left out; all that only this page says stays."""
    gates = gate_sections(card.report.gates) if card.report else [_figures(card.summary)]
    parts: list[Section | str] = [
        _verdict(card),
        *gates,
        measured_tasks(card.tasks, card.task_figures, card.baseline_figures),
        answers(card.tasks, card.task_figures),
        _ranking(card.plan, judged=card.report is not None) if card.plan else "",
        _opinions(card.opinions) if card.opinions else "",
        _cost(card.cost) if card.cost else "",
        _data(card),
        _loading(card, version),
        _limits(card),
    ]
    return page(parts, DESCRIPTION_CHARACTERS)


def _verdict(card: VersionCard) -> str:
    if card.report is None:
        encoder = "as it was downloaded, without training on this shop"
        if card.pretrained:
            encoder = "as it was pretrained on this shop's text, without fine-tuning"
        waiting = "It serves until a trained candidate is promoted."
        return f"**BASELINE** – version 0: the encoder {encoder}. {waiting}"
    needed = card.report.queries_needed
    more = f" About {needed:,} judged requests would settle it." if needed else ""
    against = f" Judged against champion `{(card.report.champion_digest or 'none')[:12]}`."
    own = f" {card.report.own_judgements.sentence}" if card.report.own_judgements else ""
    return f"**{card.report.verdict}** – {card.report.sentence}{more}{against}{own}"


def _figures(summary: Summary) -> str:
    names = ("new", "new_only", "established", "all")
    lines = [
        f"- {name}: recall@10 {value:.3f} over {summary[name]['requests']:,} requests"
        for name in names
        if (value := _figure(summary, name)) is not None
    ]
    return "\n".join(["**Figures**", *(lines or ["- not judged"])])


def _data(card: VersionCard) -> str:
    counts = ", ".join(f"{name} {count:,}" for name, count in sorted(card.prepared.counts.items()))
    left_out = ", ".join(
        f"{count:,} of {table}" for table, count in sorted(card.quarantined.items()) if count
    )
    origin = f", pretrained: version {card.pretrained} of {card.shop}-pretrained" if card.pretrained else ""
    return "\n".join(
        [
            "**Data**",
            f"- shop {card.shop}, cut-off {_cutoff(card)}, data `{card.candidate.data_digest[:12]}`",
            f"- {counts}",
            f"- rows in quarantine: {left_out or 'none'}",
            f"- base encoder {card.encoder}{origin}; candidate `{card.candidate.digest}`",
        ]
    )


def _ranking(plan: RetrievalPlan, *, judged: bool) -> str:
    scoring = f"- a history by {plan.history_scoring}"
    if plan.history_encoder_epochs:
        scoring += (
            f", an encoder trained for {plan.history_encoder_epochs} epochs on what users bought before the "
            "cut-off: it holds no user, and repeats what they tended to buy"
        )
    lines = [
        f"- queries by {plan.inference}, words weighing {plan.lexical_weight:g}",
        f"{scoring}; co-purchases weighing {plan.co_purchase_weight:g}",
    ]
    implied = ", ".join(f"{facet} {weight:g}" for facet, weight in plan.implied_weights.items() if weight)
    if implied:
        lines.append(f"- what a query implies weighs: {implied}")
    if plan.rankers:
        lines.append(_second_stage(plan, judged))
    return "\n".join(["**Ranking** (chosen on validation, or by debut.yaml)", *lines])


def _second_stage(plan: RetrievalPlan, judged: bool) -> str:
    """With its price, which the recall of all items together hides."""
    bounded = "its own gates bound that" if judged else "no gate has judged that, validation alone let it in"
    return (
        f"- a second stage for {', '.join(plan.rankers)}: LightGBM's LambdaRank scores the proposals again. "
        f"What it gains on established items may cost new ones; {bounded}"
    )


def _opinions(opinions: OpinionSettings) -> str:
    return "\n".join(
        [
            "**Opinions**",
            f"- {opinions.topics} topics are learnt from the reviews before the cut-off, once it serves and "
            "`debut monitor` reads them; each review is of one topic, negative or not by the task for it",
            f"- an alarm where the odds of negatives of a topic rise {opinions.odds:g}-fold, by simulation "
            f"{opinions.false_alarms_per_year:g} a year without cause; undated reviews are counted alone",
        ]
    )


def _cost(cost: Cost) -> str:
    """A line per figure: preparing, training, judging, all of them, and per point gained."""
    lines = []
    for label, *values in cost_rows(cost):
        known = [pair for pair in zip(HEADER[1:], values, strict=True) if pair[1] not in ("", "–")]
        lines.append(f"- {label}: {', '.join(f'{name} {value}' for name, value in known)}")
    return "\n".join(["**Cost**", *lines, *(f"- {note}" for note in cost_notes(cost))])


def _loading(card: VersionCard, version: str) -> str:
    package = "debut[ranking]" if card.plan and card.plan.rankers else "debut"
    base = f" and the base encoder {_needed(card.base)}" if card.base else ""
    return (
        f"**How to load** (needs the `{package}` package installed{base})\n"
        "```python\n"
        "import mlflow\n"
        f'mlflow.set_tracking_uri("{card.tracking}")\n'
        f'model = mlflow.pyfunc.load_model("models:/{card.shop}/{version}")\n'
        'model.predict(["your query"])  # per query the best items: item_id, title, score\n'
        "```"
    )


def _needed(base: NeededBase) -> str:
    """Which weights, and where a machine looks for them."""
    revision = f" at revision `{base.revision}`" if base.revision else ""
    found = (
        "as the folder of that name in DEBUT_BASES" if base.local else f"as encoder.name finds it{revision}"
    )
    return f"`{base.name}`, {found}, weights of SHA-256 `{base.weights[:12]}`"


def _limits(card: VersionCard) -> str:
    limits = ["Figures are offline: recall of known relevant items, not clicks or sales."]
    if card.prepared.cutoff is None:
        limits.append("The data is undated: new items are held out by id; there is no figure by age.")
    limits.append("It answers from the catalogue it was judged on; items added later are not in it.")
    if card.base:
        limits.append(
            "Its encoder is an adapter alone: without that base, or with other weights, it does not load."
        )
    return "\n".join(["**Known limits**", *(f"- {limit}" for limit in limits)])


def _cutoff(card: VersionCard) -> str:
    return card.prepared.cutoff.isoformat() if card.prepared.cutoff else "undated"


def _figure(summary: Summary, name: str) -> float | None:
    value = summary.get(name, {}).get("recall@10")
    return None if value is None else float(value)
