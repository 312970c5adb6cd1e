"""The command line: parse, build, run, print. Each command imports the heavy libraries that it needs."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from components.contract.acting import actor
from components.contract.errors import DebutError
from components.contract.files import is_full_disk
from flows import console
from flows.cli_labels import label
from flows.cli_operations import chat, decisions, deploy, monitor, review
from flows.cli_options import Config, Json, Reason, RequirePromote, Root, Workspace, opened
from flows.cli_pretrain import pretrain
from flows.cli_service import keys, release, serve
from flows.cli_tune import tune
from flows.embedded import keep_prefect_in, prepare_environment
from flows.shop import Shop
from flows.termination import end_by_signals, signal_behind

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Retrain, judge and release the text model behind a shop's search.\n\n"
    "Any command takes --debug, which shows tracebacks and the libraries' logs.",
)
quarantine = typer.Typer(no_args_is_help=True, help="Bad rows: list them, correct them, take them back in.")
app.command()(serve)
app.command()(deploy)
app.command()(monitor)
app.command()(chat)
app.command()(pretrain)
app.command()(tune)
app.add_typer(review, name="review")
app.add_typer(decisions, name="decisions")
app.add_typer(keys, name="keys")
app.add_typer(release, name="release")
app.add_typer(quarantine, name="quarantine")
app.add_typer(label, name="label")

EXIT_CODES = {"PROMOTE": 0, "REJECT": 3, "INCONCLUSIVE": 4}
_DEBUG = "--debug"
_FULL_DISK = (
    "No space is left on the disk of the workspace or of the temporary files (TMPDIR); what was begun is not "
    "kept. Free space there, then run again."
)


@app.command()
def demo(workspace: Workspace = None, as_json: Json = False, require_promote: RequirePromote = False) -> None:
    """The whole loop on a generated shop: from its files to a release, a rejection and a rollback."""
    shop = opened("demo", None, workspace, as_json)
    keep_prefect_in(shop.workspace)
    from flows.server import PrefectServer

    server = PrefectServer()
    from flows.demo import run_demo

    result = run_demo(shop, server)
    _finish(result, as_json, require_promote)


@app.command()
def retrain(
    config: Config = "debut.yaml",
    root: Root = None,
    workspace: Workspace = None,
    as_json: Json = False,
    require_promote: RequirePromote = False,
    force: Annotated[bool, typer.Option("--force", help="Run even where nothing changed.")] = False,
) -> None:
    """Fine-tune on the shop's data, judge against the champion, promote or refuse."""
    shop = opened(config, root, workspace, as_json)
    from flows.fingerprint import last_result, run_fingerprint

    known = None if force else last_result(shop, run_fingerprint(shop))
    if known is not None:
        console.nothing_new(known)
    else:
        keep_prefect_in(shop.workspace)
        from flows.server import PrefectServer

        server = PrefectServer()
        from flows.retrain import retrain as retrain_flow

        with server.ready():
            known = retrain_flow(config, root, workspace, force=force)
        console.summary(known)
        console.next_steps(_next_steps(shop, known))
    _finish(known, as_json, require_promote)


@app.command()
def check(config: Config = "debut.yaml", root: Root = None, workspace: Workspace = None) -> None:
    """Load the data and check its quality; trains nothing."""
    shop = opened(config, root, workspace)
    shop.source_digests()  # a missing source is told before the server is started
    keep_prefect_in(shop.workspace)
    from flows.server import PrefectServer

    server = PrefectServer()
    from flows.check import check as check_flow

    with server.ready():
        found = check_flow(config, root, workspace)
    console.quality(found)
    console.next_steps({"report": found["report"]})


@app.command()
def promote(
    digest: Annotated[str, typer.Argument(help="D of a candidate, or its first characters.")],
    config: Config = "debut.yaml",
    workspace: Workspace = None,
    override: Annotated[bool, typer.Option("--override", help="Promote against the verdict.")] = False,
    reason: Reason = "",
    role: Annotated[str, typer.Option(help="Role of who decides; needed with --override.")] = "",
) -> None:
    """Promote a judged candidate; its gate report must say PROMOTE and nobody have refused it since (with
    `promotion: review`: see `debut review`), or --override give reason and role."""
    shop = opened(config, None, workspace)
    from flows.acts import promote_by_hand

    record = promote_by_hand(shop, digest, actor(), override=override, reason=reason, role=role)
    console.decision(record)


@app.command()
def rollback(
    config: Config = "debut.yaml",
    workspace: Workspace = None,
    to: Annotated[str | None, typer.Option(help="D of an earlier champion; else the one before.")] = None,
    reason: Reason = "",
) -> None:
    """Make an earlier champion the champion again; within ten minutes of another rollback name it by --to."""
    shop = opened(config, None, workspace)
    from flows.acts import roll_back

    console.decision(roll_back(shop, actor(), to=to, reason=reason))


@app.command()
def status(config: Config = "debut.yaml", workspace: Workspace = None, as_json: Json = False) -> None:
    """Which release serves, since when, and what was decided last."""
    shop = opened(config, None, workspace, as_json)
    from components.release.promotion import status as status_of

    waiting = shop.reviews().waiting()
    found = status_of(shop.decision_log(), waiting.release if waiting else None)
    found |= {"workspace": str(shop.workspace)}
    console.status(found)
    if as_json:
        console.json_line(json.dumps(found))


@app.command()
def undiscoverable(
    config: Config = "debut.yaml",
    workspace: Workspace = None,
    csv: Annotated[Path | None, typer.Option(help="Write the list to this file.")] = None,
    as_json: Json = False,
) -> None:
    """New items that none of their own likely queries finds, with the reason and the fix to try."""
    shop = opened(config, None, workspace, as_json)
    from flows.undiscoverable import undiscoverable_items

    report, folder = undiscoverable_items(shop)
    console.undiscoverable(report)
    if csv is not None:
        report.write_csv(csv)
    console.next_steps({"list": str(csv or folder / "undiscoverable.csv")})
    if as_json:
        console.json_line(json.dumps(report.as_json()))


@app.command()
def predict(
    task: Annotated[str, typer.Argument(help="A task of the champion: category, price, …")],
    text: Annotated[str, typer.Argument(help="What it reads.")],
    config: Config = "debut.yaml",
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """What a task of the champion answers about a text."""
    shop = opened(config, None, workspace, as_json)
    from flows.predict import predict as answer_of

    answer = answer_of(shop, task, text)
    console.prediction(answer.model_dump())
    if as_json:
        console.json_line(answer.model_dump_json())


@app.command()
def profile(
    user: Annotated[str, typer.Argument(help="A user_id of the shop's events.")],
    config: Config = "debut.yaml",
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """A user's tastes, activity and brands to recommend, by the newest data and the champion."""
    shop = opened(config, None, workspace, as_json)
    from flows import console_profile
    from flows.profile import profile as profile_of

    found = profile_of(shop, user)
    console_profile.profile(found)
    if as_json:
        console.json_line(found.model_dump_json())


@quarantine.command("list")
def list_quarantine(
    config: Config = "debut.yaml",
    workspace: Workspace = None,
    table: Annotated[str | None, typer.Option(help="Only this table.")] = None,
    export: Annotated[Path | None, typer.Option(help="Write the rows to a .csv or .parquet file.")] = None,
) -> None:
    """The bad rows of the newest check, with the expectation each broke."""
    shop = opened(config, None, workspace)
    from flows import console_quarantine
    from flows.quarantine import export_rows, newest_rows

    rows = newest_rows(shop, table)
    console_quarantine.quarantined(rows)
    if export is not None:
        written = console.counted(export_rows(rows, export), "row")
        console.say(f"{written} written to {export}; correct them, then `replay`.")


@quarantine.command("replay")
def replay_quarantine(
    fixed: Annotated[Path, typer.Argument(help="The exported file with corrected cells.")],
    config: Config = "debut.yaml",
    workspace: Workspace = None,
) -> None:
    """Check corrected rows again; those that pass are part of the data from the next run on."""
    shop = opened(config, None, workspace)
    from flows import console_quarantine
    from flows.quarantine import replay_rows

    console_quarantine.replayed(replay_rows(shop, fixed, actor()))


def main() -> None:
    """Runs a command; a DebutError, or a full disk, is one sentence on stderr and exit code 1; a signal, the
    shell's exit code for it."""
    debug = _DEBUG in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != _DEBUG]
    prepare_environment(debug)
    end_by_signals()
    try:
        app(args=arguments, prog_name="debut")
    except BaseException as error:  # Prefect's signals are no Exception
        ended_by = signal_behind(error)
        if ended_by is not None:
            _let_go(error)
            sys.exit(128 + ended_by)
        if debug or not (isinstance(error, DebutError) or is_full_disk(error)):
            raise
        console.problem(str(error) if isinstance(error, DebutError) else _FULL_DISK)
        _let_go(error)
        sys.exit(1)


def _let_go(error: BaseException | None) -> None:
    """Frees what the failed frames hold: DuckDB writes a page to stderr about objects that outlive it."""
    seen: set[int] = set()  # an error that is told in place of the one it led to stands twice in its chain
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _next_steps(shop: Shop, result: dict[str, Any]) -> dict[str, str]:
    from components.tracking.run import browse_command

    waits = {"approve or reject": f"debut review approve {result['run_id']} {shop.options}"}
    bad_rows = {"bad rows": str(shop.newest_check() / "quality.html")}
    return {
        **(waits if result["decision"] is None else {}),
        "gate report": str(shop.runs / result["run_id"] / "gate_report.html"),
        **(bad_rows if any(result["quarantined"].values()) else {}),
        "MLflow": browse_command(shop.settings, shop.workspace),
    }


def _finish(result: dict[str, Any], as_json: bool, require_promote: bool) -> None:
    if as_json:
        console.json_line(json.dumps(result))
    if require_promote:
        sys.exit(EXIT_CODES[result["verdict"]])
