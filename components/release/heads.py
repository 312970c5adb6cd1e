"""The heads of a candidate: fitted on its encoder, calibrated through the inference that its plan names."""

from collections.abc import Sequence
from pathlib import Path

from components.contract.records import RetrievalPlan
from components.contract.task import Task
from components.encoder.transformer import TransformerEncoder
from components.index.retrieval import open_encoder
from components.tasks.fit import fit_heads


def fit_release_heads(
    tasks: Sequence[Task], rows: Path, encoder: Path, graph: Path | None, plan: RetrievalPlan, out: Path
) -> None:
    """encoder: folder of the saved encoder; graph: what the plan's inference runs; out: see tasks.heads."""
    learn = TransformerEncoder.load_saved(encoder)
    serve = learn if graph is None else open_encoder(encoder, graph, plan)
    fit_heads(tasks, rows, learn, serve, out)
