"""Pretrained encoders as versions of a registered model of their own, `<shop>-pretrained`."""

from collections.abc import Mapping
from pathlib import Path

from components.pretraining.spec import Pretrained, read_pretrained
from components.tracking.client import mlflow_errors
from components.tracking.description import DESCRIPTION_CHARACTERS
from components.tracking.registry import ensure_model, find_version, pretrained_model
from components.tracking.run import Tracker

ARTIFACTS = "pretrained"
MEASURED = ("perplexity/", "matching_accuracy/", "recall/")

Figures = Mapping[str, float]
"""{"perplexity/before": …, "matching_accuracy/after": …, "recall/fine_tuned_before/new": …}; what was not
measured is left out."""


def register_pretrained(tracker: Tracker, encoder: Path, shop: str, digest: str, figures: Figures) -> str:
    """Copies the encoder's folder into the run and makes it a version; returns its number.

    A digest that is registered already keeps its version; its figures and description are renewed by what was
    measured since, and what was not measured again stays. Raises TrackingError.
    """
    client, name = tracker.connection.client, pretrained_model(shop)
    with mlflow_errors(tracker.connection.uri):
        ensure_model(tracker.connection, name)
        number = find_version(tracker.connection, name, digest) or _create(tracker, encoder, name, digest)
        version = client.get_model_version(name, number)
        known = {tag: float(value) for tag, value in version.tags.items() if tag.startswith(MEASURED)}
        figures = known | dict(figures)
        for tag, value in figures.items():
            client.set_model_version_tag(name, number, tag, f"{value:g}")
        description = describe_pretrained(encoder, shop, figures, version.run_id)
        client.update_model_version(name, number, description=description)
    return number


def _create(tracker: Tracker, encoder: Path, name: str, digest: str) -> str:
    client = tracker.connection.client
    client.log_artifacts(tracker.run_id, str(encoder), ARTIFACTS)
    artifacts = client.get_run(tracker.run_id).info.artifact_uri
    source = f"{artifacts}/{ARTIFACTS}"
    made = client.create_model_version(name, source=source, run_id=tracker.run_id, tags={"digest": digest})
    return str(made.version)


def describe_pretrained(encoder: Path, shop: str, figures: Figures, run_id: str) -> str:
    """Markdown of at most 5,000 characters: whether to begin with it, and how.

    encoder: the kept folder; run_id: of the MLflow run that holds a copy of it.
    """
    told = read_pretrained(encoder)
    parts = [
        f"**Pretrained** – on {shop}'s text, to begin fine-tuning with. No gate judged it.",
        _figures(figures, told.head_steps if told else 0),
        _read(told) if told else "",
        _use(encoder, run_id),
        _limits(),
    ]
    return "\n\n".join(part for part in parts if part)[:DESCRIPTION_CHARACTERS]


def _figures(figures: Figures, head_steps: int) -> str:
    lines = []
    if perplexity := _change(figures, "perplexity/before", "perplexity/after", ",.1f"):
        head = f"; before: its new prediction head trained alone for {head_steps} steps" if head_steps else ""
        lines.append(f"- perplexity of held-out text: {perplexity} (less is better{head})")
    if accuracy := _change(figures, "matching_accuracy/before", "matching_accuracy/after", ".1%"):
        lines.append(f"- a title finds its own description in a batch: {accuracy}")
    # "Before" is encoder.name's, also of a pretraining from scratch.
    lines += _recalls(figures, "validation recall@10 of encoder.name and of this, by vectors alone", "")
    lines += _recalls(figures, "the same of both fine-tuned on the same pairs", "fine_tuned_")
    return "\n".join(["**Figures** (before → after)", *(lines or ["- none"])])


def _recalls(figures: Figures, what: str, model: str) -> list[str]:
    """One line of all populations; none where nothing was measured."""
    changes = {
        name: _change(figures, f"recall/{model}before/{key}", f"recall/{model}after/{key}", ".3f")
        for name, key in (
            ("new items", "new"),
            ("new among themselves", "new_only"),
            ("established", "established"),
        )
    }
    known = ", ".join(f"{name} {change}" for name, change in changes.items() if change)
    return [f"- {what}: {known}"] if known else []


def _change(figures: Figures, before: str, after: str, form: str) -> str:
    """Like "0.670 → 0.272"; empty where one of them is missing."""
    if before not in figures or after not in figures:
        return ""
    return f"{figures[before]:{form}} → {figures[after]:{form}}"


def _read(told: Pretrained) -> str:
    queries = "an unknown number of" if told.queries is None else f"{len(told.queries):,}"
    start = "random weights" if told.start == "scratch" else f"{told.start} `{told.start_digest[:12]}`"
    return "\n".join(
        [
            "**What was read**",
            f"- text, descriptions and reviews of {len(told.items):,} items, and {queries} queries, all of "
            "the training side, also by an earlier pretraining that it began with",
            f"- epochs: {told.settings.epochs}, beginning with {start}",
        ]
    )


def _use(encoder: Path, run_id: str) -> str:
    """The folder's name is under a release's D, so it must stay on every machine."""
    return (
        "**How to use** (in debut.yaml, for the next retrain)\n"
        "```yaml\n"
        "encoder:\n"
        f"  name: {encoder.absolute()}\n"
        "```\n"
        f"Elsewhere: download `runs:/{run_id}/{ARTIFACTS}` into a folder `{encoder.name}` and name that."
    )


def _limits() -> str:
    limits = [
        "Its figures are of held-out text and of validation; what is fine-tuned from it is judged on the "
        "test part, which nothing here read, by the next retrain's gate.",
        "It read training-side text only; a retrain whose split holds out an item that it read refuses it.",
        "Perplexities compare under one tokenizer only.",
    ]
    return "\n".join(["**Known limits**", *(f"- {limit}" for limit in limits)])
