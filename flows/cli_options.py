"""Options that the commands share, and how each opens its shop."""

from typing import Annotated

import typer

from flows import console
from flows.shop import Shop, open_shop

Config = Annotated[str, typer.Option(help="debut.yaml, or the name of an example configuration.")]
Root = Annotated[str | None, typer.Option(help="Folder that the sources' paths are relative to.")]
Workspace = Annotated[str | None, typer.Option(help="Folder for runs, candidates and decisions.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of stdout.")]
RequirePromote = Annotated[
    bool, typer.Option("--require-promote", help="Exit with 3 on REJECT and 4 on INCONCLUSIVE.")
]
Reason = Annotated[str, typer.Option(help="Why; it is recorded in the decision log.")]


def opened(config: str, root: str | None, workspace: str | None, as_json: bool = False) -> Shop:
    console.open_terminal(as_json)
    return open_shop(config, root, workspace)
