"""The commands of a team that operates the loop: deploy, monitor, review, chat, decisions."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from components.contract.acting import actor
from components.contract.errors import ConfigError, DebutError, PromotionError
from flows import console, console_operations
from flows.cli_options import Config, Json, Reason, Root, Workspace, opened

decisions = typer.Typer(no_args_is_help=True, help="The decision log.")
review = typer.Typer(no_args_is_help=True, help="Challengers that wait for a person.")


@decisions.command("verify")
def verify_decisions(config: Config = "debut.yaml", workspace: Workspace = None) -> None:
    """Check every record of the decision log against its predecessor, and its end against MLflow's note."""
    shop = opened(config, None, workspace)
    records = shop.decision_log().verify()
    if not records:
        raise PromotionError(
            f"{shop.decisions} holds no decision, so there is nothing to verify; check --config and "
            f"--workspace, or run `debut retrain` first."
        )
    from flows.log_mirror import compare_end

    end = compare_end(shop)
    console.verified(records, shop.decisions)
    console.fact("its end", escape(end))


@decisions.command("show")
def show_decisions(
    config: Config = "debut.yaml",
    workspace: Workspace = None,
    last: Annotated[int, typer.Option(min=1, help="So many of the newest records.")] = 20,
    as_json: Json = False,
) -> None:
    """Who decided what, when and why; newest last."""
    shop = opened(config, None, workspace, as_json)
    records = shop.decision_log().records()[-last:]
    console_operations.decisions(records)
    if as_json:
        console.json_line(json.dumps([record.model_dump(mode="json") for record in records]))


@review.command("list")
def list_reviews(config: Config = "debut.yaml", workspace: Workspace = None) -> None:
    """All reviews and what became of them; one whose time is up is recorded as rejected."""
    shop = opened(config, None, workspace)
    from flows.reviews import record_expired

    record_expired(shop)
    reviews = shop.reviews()
    console_operations.reviews([(case, reviews.state(case)) for case in reviews.cases()])


@review.command("approve")
def approve(
    run_id: Annotated[str, typer.Argument(help="The run whose challenger waits.")],
    config: Config = "debut.yaml",
    workspace: Workspace = None,
) -> None:
    """Promote the challenger of a run, by the same checks as any promotion."""
    shop = opened(config, None, workspace)
    from flows.reviews import settle

    console.decision(settle(shop, run_id, approve=True, actor=actor()))


@review.command("reject")
def reject(
    run_id: Annotated[str, typer.Argument(help="The run whose challenger waits.")],
    reason: Reason,
    config: Config = "debut.yaml",
    workspace: Workspace = None,
) -> None:
    """Refuse the challenger of a run."""
    shop = opened(config, None, workspace)
    from flows.reviews import settle

    console.decision(settle(shop, run_id, approve=False, actor=actor(), reason=reason))


def deploy(
    config: Config = "debut.yaml",
    root: Root = None,
    workspace: Workspace = None,
    infra: Annotated[Path, typer.Option(help="Folder of prefect.yaml, pools, automations.")] = Path("infra"),
    pool: Annotated[str, typer.Option(help="Kind of work pool: process, docker or kubernetes.")] = "process",
) -> None:
    """Put the shop's jobs, schedules, work pool and automations on the Prefect server; a second time changes
    only what differs."""
    shop = opened(config, root, workspace)
    from flows.deploy import deploy_shop

    console_operations.deployed(deploy_shop(shop, config, root, infra, pool))


def monitor(config: Config = "debut.yaml", workspace: Workspace = None, as_json: Json = False) -> None:
    """Judge the newest window of traffic and catalogue against what the champion was judged on. It is shown
    only: the deployed monitor tells of drift, by windows that do not overlap."""
    shop = opened(config, None, workspace, as_json)
    from flows import opinions
    from flows.monitor import watch

    read = None
    try:
        read = opinions.watch(shop)
        console_operations.opinions(read)  # first: they need no traffic
    except DebutError as error:
        console.problem(f"Reviews are not read: {error}")
    report = watch(shop)
    console_operations.drift(report)
    if as_json:
        console.json_line(json.dumps(report | {"opinions": read and read.model_dump(mode="json")}))


def chat(
    command: Annotated[str, typer.Argument(help='What follows /debut, e.g. "status".')],
    config: Config = "debut.yaml",
    workspace: Workspace = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Needed: posts to a double of Slack.")] = False,
) -> None:
    """What chat would answer and post. Nothing is changed: a command that would says what it would do."""
    shop = opened(config, None, workspace)
    if not dry_run:
        raise ConfigError("Chat lives in the service (`debut serve`); here only --dry-run is possible.")
    from components.chatops.dry_run import dry_run as posts_of
    from flows.chat import ShopBoard

    for post in posts_of(command, ShopBoard(shop), shop.settings.chat):
        console.json_line(json.dumps(post, indent=2))
