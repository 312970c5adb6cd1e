"""What a retrain prints of the second stage."""

import json
from pathlib import Path

from components.ranking.ranker_files import REPORT_FILE
from flows.console import fact


def second_stage(model: str, folder: Path) -> None:
    """Per entrance what validation said, and loudly where no ranker is carried."""
    described = json.loads((folder / REPORT_FILE).read_bytes())["validation"]
    for entrance, found in described.items():
        without = _figures(found["without"])
        if found["trees"]:
            by_trees = _figures(found["by_trees"][str(found["trees"])])
            told = f"{found['trees']} trees: {by_trees} on validation, without {without}"
        elif found["by_trees"]:
            told = (
                f"[yellow]none carried[/]: no number of trees finds no less anywhere than without ({without})"
            )
        else:
            told = "[yellow]none carried[/]: too few validation requests"
        fact(f"ranker, {entrance}", f"{told} [dim]({model})[/]")


def _figures(recalls: dict[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in recalls.items())
