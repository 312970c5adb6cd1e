"""The command that searches better training settings."""

import json
from typing import Annotated

import typer

from flows import console
from flows.cli_options import Config, Json, Root, Workspace, opened
from flows.embedded import keep_prefect_in
from flows.shop import Shop


def tune(
    minutes: Annotated[
        float,
        typer.Option(
            help="Budget of this call; what runs then goes on with the next. Preparing data and examples "
            "counts, but is not cut short."
        ),
    ],
    config: Config = "debut.yaml",
    root: Root = None,
    workspace: Workspace = None,
    trials: Annotated[
        int | None, typer.Option(help="End at so many finished trials, earlier calls' included.")
    ] = None,
    parallel: Annotated[int, typer.Option(help="Trials at a time; they share this machine's cores.")] = 1,
    as_json: Json = False,
) -> None:
    """Search better training settings on the validation part: prints lines for debut.yaml, changes none."""
    from components.tuning.limits import limits_of

    limits_of(minutes, trials, parallel)  # nonsense is told before anything is started
    shop = opened(config, root, workspace, as_json)
    shop.source_digests()
    keep_prefect_in(shop.workspace)
    from flows.server import PrefectServer

    server = PrefectServer()
    from flows import console_tune
    from flows.tune import tune as tune_flow

    with server.ready():
        found = tune_flow(config, root, workspace, minutes, trials, parallel)
    console_tune.result(found)
    console.next_steps(_next_steps(shop))
    if as_json:
        console.json_line(json.dumps(found))


def _next_steps(shop: Shop) -> dict[str, str]:
    from components.tracking.run import browse_command

    return {"trials and plot": browse_command(shop.settings, shop.workspace)}
