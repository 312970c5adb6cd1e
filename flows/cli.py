"""The command line: parse, build, run, print. Each command imports the heavy libraries that it needs."""

import json
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from components.contract.errors import DebutError
from flows import console
from flows.embedded import keep_prefect_in, prepare_environment
from flows.shop import Shop, actor, open_shop

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Retrain, judge and release the text model behind a shop's search.\n\n"
    "Any command takes --debug, which shows tracebacks and the libraries' logs.",
)
decisions = typer.Typer(no_args_is_help=True, help="The decision log.")
quarantine = typer.Typer(no_args_is_help=True, help="Bad rows: list them, correct them, take them back in.")
keys = typer.Typer(no_args_is_help=True, help="API keys of the service, and the key pair of signatures.")
release = typer.Typer(no_args_is_help=True, help="The files of a release.")
app.add_typer(decisions, name="decisions")
app.add_typer(keys, name="keys")
app.add_typer(release, name="release")
app.add_typer(quarantine, name="quarantine")

Config = Annotated[str, typer.Option(help="debut.yaml, or the name of an example configuration.")]
Root = Annotated[str | None, typer.Option(help="Folder that the sources' paths are relative to.")]
Workspace = Annotated[str | None, typer.Option(help="Folder for runs, candidates and decisions.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of stdout.")]
RequirePromote = Annotated[
    bool, typer.Option("--require-promote", help="Exit with 3 on REJECT and 4 on INCONCLUSIVE.")
]
Reason = Annotated[str, typer.Option(help="Why; it is recorded in the decision log.")]
EXIT_CODES = {"PROMOTE": 0, "REJECT": 3, "INCONCLUSIVE": 4}
_DEBUG = "--debug"


@app.command()
def demo(workspace: Workspace = None, as_json: Json = False, require_promote: RequirePromote = False) -> None:
    """The whole loop on a generated shop: from its files to a release, a rejection and a rollback."""
    shop = _open("demo", None, workspace, as_json)
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
    shop = _open(config, root, workspace, as_json)
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
            known = retrain_flow(config, root, workspace)
        console.summary(known)
        console.next_steps(_next_steps(shop, known))
    _finish(known, as_json, require_promote)


@app.command()
def check(config: Config = "debut.yaml", root: Root = None, workspace: Workspace = None) -> None:
    """Load the data and check its quality; trains nothing."""
    keep_prefect_in(_open(config, root, workspace).workspace)
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
    """Promote a judged candidate; its gate report must say PROMOTE, or --override give reason and role."""
    shop = _open(config, None, workspace)
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
    """Make an earlier champion the champion again."""
    shop = _open(config, None, workspace)
    from flows.acts import roll_back

    console.decision(roll_back(shop, actor(), to=to, reason=reason))


@app.command()
def status(config: Config = "debut.yaml", workspace: Workspace = None, as_json: Json = False) -> None:
    """Which release serves, since when, and what was decided last."""
    shop = _open(config, None, workspace, as_json)
    from components.release.promotion import status as status_of

    found = status_of(shop.decision_log())
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
    shop = _open(config, None, workspace, as_json)
    from flows.undiscoverable import undiscoverable_items

    report, folder = undiscoverable_items(shop)
    console.undiscoverable(report)
    if csv is not None:
        report.write_csv(csv)
    console.next_steps({"list": str(csv or folder / "undiscoverable.csv")})
    if as_json:
        console.json_line(json.dumps(report.as_json()))


@app.command()
def serve(
    config: Config = "debut.yaml",
    workspace: Workspace = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0: a free one.")] = 8_000,
    anonymous_read: Annotated[
        bool | None,
        typer.Option(help="Searches need no key. Not given: only where the address is this machine's own."),
    ] = None,
) -> None:
    """Serve the champion: search, recommendation, live items and the page."""
    shop = _open(config, None, workspace)
    from flows.serving import LOOPBACK
    from flows.serving import serve as serve_shop

    reads = host in LOOPBACK if anonymous_read is None else anonymous_read
    console.serving(host, port, reads)
    serve_shop(shop, host, port, anonymous_read=reads)


@keys.command("add")
def add_key(
    name: Annotated[str, typer.Argument(help="Who uses it.")],
    role: Annotated[str, typer.Option(help="read, write (and read) or operate (and both).")] = "read",
    config: Config = "debut.yaml",
    workspace: Workspace = None,
) -> None:
    """Make an API key; it is shown this once."""
    shop = _open(config, None, workspace)
    from flows.serving import shop_keys

    console.say(shop_keys(shop).add(name, role))  # type: ignore[arg-type]  # `add` refuses other roles


@keys.command("list")
def list_keys(config: Config = "debut.yaml", workspace: Workspace = None) -> None:
    """Ids, names and roles of all keys."""
    shop = _open(config, None, workspace)
    from flows.serving import shop_keys

    console.keys(shop_keys(shop).list())


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="Its id, from `debut keys list`.")],
    config: Config = "debut.yaml",
    workspace: Workspace = None,
) -> None:
    """End a key; running servers refuse it from the next request on."""
    shop = _open(config, None, workspace)
    from flows.serving import shop_keys

    shop_keys(shop).revoke(key_id)
    console.say(f"{key_id} is revoked.")


@keys.command("signing")
def signing_keys(
    folder: Annotated[Path, typer.Argument(help="Folder for signing.key (keep it secret) and signing.pub.")],
) -> None:
    """Make a key pair that signs releases; the password is taken from DEBUT_SIGNING_PASSWORD."""
    console.open_terminal(False)
    from components.release.signature import make_keys
    from flows.signing import password

    private, public = make_keys(folder, password())
    console.say(f"In debut.yaml:\nsigning:\n  private_key: {private}\n  public_key: {public}")


@release.command("verify")
def verify_release_files(
    digest: Annotated[
        str | None, typer.Argument(help="D or its first characters; else the champion.")
    ] = None,
    config: Config = "debut.yaml",
    workspace: Workspace = None,
) -> None:
    """Check every file of a release against D, and its signature where a public key is configured."""
    shop = _open(config, None, workspace)
    from flows.acts import verify_by_hand

    folder = verify_by_hand(shop, digest)
    signed = "signed" if shop.settings.signing.public_key else "no signing.public_key is configured"
    console.say(f"{folder.name[:12]}: every file is as it was built; {signed}.")


@decisions.command("verify")
def verify_decisions(config: Config = "debut.yaml", workspace: Workspace = None) -> None:
    """Check every record of the decision log against its predecessor."""
    shop = _open(config, None, workspace)
    console.verified(shop.decision_log().verify(), shop.decisions)


@quarantine.command("list")
def list_quarantine(
    config: Config = "debut.yaml",
    workspace: Workspace = None,
    table: Annotated[str | None, typer.Option(help="Only this table.")] = None,
    export: Annotated[Path | None, typer.Option(help="Write the rows to a .csv or .parquet file.")] = None,
) -> None:
    """The bad rows of the newest check, with the expectation each broke."""
    shop = _open(config, None, workspace)
    from flows.quarantine import export_rows, newest_rows

    rows = newest_rows(shop, table)
    console.quarantined(rows)
    if export is not None:
        console.say(f"{export_rows(rows, export)} rows written to {export}; correct them, then `replay`.")


@quarantine.command("replay")
def replay_quarantine(
    fixed: Annotated[Path, typer.Argument(help="The exported file with corrected cells.")],
    config: Config = "debut.yaml",
    workspace: Workspace = None,
) -> None:
    """Check corrected rows again; those that pass are part of the data from the next run on."""
    shop = _open(config, None, workspace)
    from flows.quarantine import replay_rows

    console.replayed(replay_rows(shop, fixed, actor()))


def main() -> None:
    """Runs a command; a DebutError is one sentence on stderr and exit code 1."""
    debug = _DEBUG in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != _DEBUG]
    prepare_environment(debug)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        app(args=arguments, prog_name="debut")
    except DebutError as error:
        if debug:
            raise
        console.problem(str(error))
        _let_go(error)
        sys.exit(1)


def _terminate(number: int, _frame: object) -> NoReturn:
    """SIGTERM ends us by way of `finally` and atexit, or the ranks and Prefect's server would live on."""
    sys.exit(128 + number)


def _let_go(error: BaseException | None) -> None:
    """Frees what the failed frames hold: DuckDB writes a page to stderr about objects that outlive it."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _open(config: str, root: str | None, workspace: str | None, as_json: bool = False) -> Shop:
    console.open_terminal(as_json)
    return open_shop(config, root, workspace)


def _next_steps(shop: Shop, result: dict[str, Any]) -> dict[str, str]:
    from components.tracking.run import browse_command

    return {
        "gate report": str(shop.runs / result["run_id"] / "gate_report.html"),
        "MLflow": browse_command(shop.settings, shop.workspace),
    }


def _finish(result: dict[str, Any], as_json: bool, require_promote: bool) -> None:
    if as_json:
        console.json_line(json.dumps(result))
    if require_promote:
        sys.exit(EXIT_CODES[result["verdict"]])
