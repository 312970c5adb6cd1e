"""Launching: a run leaves an encoder; failures, kills and rivals end in a clear state."""

from pathlib import Path
from typing import Any

from components.encoder.transformer import TransformerEncoder
from components.training.launch import train


def test_a_run_leaves_an_encoder_and_its_metrics(make_spec: Any, tmp_path: Path) -> None:
    """One rank trains two epochs on queries and histories; the attempts are gone, recall has risen."""
    lines: list[dict[str, Any]] = []
    spec = make_spec(epochs=2, validation=True, patience=2)
    model = train(spec, tmp_path / "work", tmp_path / "out", lines.append)
    encoder = TransformerEncoder.load_saved(tmp_path / "out/encoder")
    print(lines, model)
    assert encoder.digest == model.encoder_digest
