"""What `debut pretrain` prints."""

from pathlib import Path
from typing import Any

from rich.table import Table

from components.pretraining.corpus import Corpus
from flows.console import chapter, counted, fact, say, show, verbatim

_ROWS = {
    "before": "encoder as it was",
    "after": "pretrained",
    "fine_tuned_before": "fine-tuned from the encoder as it was",
    "fine_tuned_after": "fine-tuned from the pretrained one",
}
_SLICES = ("new", "new_only", "established")


def corpus(found: Corpus) -> None:
    kinds = ", ".join(f"{count:,} of kind {kind}" for kind, count in found.texts.items())
    fact("training-side text", f"{kinds}; {found.held_out:,} of them held out")
    fact("titles with description", f"{found.pairs:,}")


def yaml_lines(encoder: Path) -> str:
    """What makes later retrains begin with it, wherever debut.yaml lies and whoever runs them."""
    return f"encoder:\n  name: {encoder.absolute()}"


def result(found: dict[str, Any]) -> None:
    chapter("Before and after")
    perplexity, accuracy = found["perplexity"], found["matching_accuracy"]
    note = f" (its new head trained for {found['head_steps']} steps first)" if found["head_steps"] else ""
    fact("perplexity", f"{perplexity['before']:.1f} → {perplexity['after']:.1f} on held-out text{note}")
    if accuracy["after"] is not None:
        fact("title finds description", f"{accuracy['before']:.1%} → {accuracy['after']:.1%} of a batch's")
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("validation recall@10, vectors alone")
    for name in _SLICES:
        table.add_column(name.replace("_", " "), justify="right")
    for name, recall in found["recall"].items():
        cells = ("–" if recall[of] is None else f"{recall[of]:.4f}" for of in _SLICES)
        table.add_row(_ROWS[name], *cells)
    show(table)
    fact("kept", f"{found['encoder']}; in MLflow version {found['version']} of {found['shop']}-pretrained")
    fact("how good it is", "the next retrain's gate finds on the test part, which nothing here read")
    trained = counted(found["texts"], "text")
    fact("took", f"{found['training_seconds']:.0f} s for {found['steps']} steps over {trained}")
    say("\nLines for debut.yaml, where it pays:\n")
    verbatim(found["yaml"])
