"""`debut pretrain`."""

import json
from typing import Annotated

import typer

from flows import console
from flows.cli_options import Config, Json, Root, Workspace, opened
from flows.embedded import keep_prefect_in


def pretrain(
    config: Config = "debut.yaml",
    root: Root = None,
    workspace: Workspace = None,
    downstream: Annotated[
        bool,
        typer.Option(help="Also fine-tune from the encoder before and after, to compare their recall."),
    ] = True,
    as_json: Json = False,
) -> None:
    """Pretrain the encoder on the shop's own text (section pretraining); later retrains can begin with it."""
    shop = opened(config, root, workspace, as_json)
    shop.source_digests()  # a missing source is told before the server is started
    keep_prefect_in(shop.workspace)
    from flows.server import PrefectServer

    server = PrefectServer()
    from components.tracking.run import browse_command
    from flows import console_pretrain
    from flows.pretrain import pretrain as pretrain_flow

    with server.ready():
        found = pretrain_flow(config, root, workspace, downstream)
    console_pretrain.result(found)
    console.next_steps({"MLflow": browse_command(shop.settings, shop.workspace)})
    if as_json:
        console.json_line(json.dumps(found))
