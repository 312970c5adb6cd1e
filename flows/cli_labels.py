"""The commands by which people add judgements: which pairs next, and their answers."""

import json
from pathlib import Path
from typing import Annotated

import typer

from components.contract.acting import actor
from flows import console
from flows.cli_options import Config, Json, Workspace, opened

label = typer.Typer(
    no_args_is_help=True, help="People's judgements of test queries: which next, and answers."
)


@label.command("next")
def next_pairs(
    config: Config = "debut.yaml",
    workspace: Workspace = None,
    count: Annotated[int, typer.Option(min=1, help="So many pairs.")] = 50,
    export: Annotated[Path | None, typer.Option(help="Write them to this CSV, to be graded.")] = None,
    as_json: Json = False,
) -> None:
    """The unjudged query–item pairs whose judgement would narrow the gate's interval most."""
    shop = opened(config, None, workspace, as_json)
    from flows import console_labels, labels

    found, report = labels.next_labels(shop, count)
    console_labels.labelling(found, report)
    if export is not None:
        written = console.counted(labels.export_pairs(found.pairs, export), "pair")
        console.say(f"{written} written to {export}; fill in grade, then `debut label import {export}`.")
    if as_json:
        console.json_line(json.dumps(labels.as_json(found, report)))


@label.command("import")
def import_answers(
    answers: Annotated[Path, typer.Argument(help="A CSV with query, item_id and grade.")],
    config: Config = "debut.yaml",
    workspace: Workspace = None,
) -> None:
    """Take graded pairs in, all or none; the next retrain judges with them and trains on none."""
    shop = opened(config, None, workspace)
    from flows import console_labels, labels

    console_labels.imported(labels.import_answers(shop, answers, actor()))
