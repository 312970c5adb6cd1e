"""The commands of the service: serve, keys, release."""

from pathlib import Path
from typing import Annotated

import typer

from components.contract.acting import actor
from flows import console
from flows.cli_options import Config, Workspace, opened
from flows.shop import Shop

keys = typer.Typer(no_args_is_help=True, help="API keys of the service, and the key pair of signatures.")
release = typer.Typer(no_args_is_help=True, help="The files of a release.")


def serve(
    config: Config = "debut.yaml",
    workspace: Workspace = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0: a free one.")] = 8_000,
    anonymous_read: Annotated[
        bool | None,
        typer.Option(help="Searches need no key. Not given: only at this machine's own address and names."),
    ] = None,
) -> None:
    """Serve the champion: search, recommendation, live items and the page."""
    shop = opened(config, None, workspace)
    from flows.serving import LOOPBACK, take_address
    from flows.serving import serve as serve_shop

    reads, names = (host in LOOPBACK, LOOPBACK) if anonymous_read is None else (anonymous_read, None)
    with take_address(host, port) as listening:
        name = f"[{host}]" if ":" in host else host
        console.serving(name, listening.getsockname()[1], reads, names)
        serve_shop(shop, listening, anonymous_read=reads, anonymous_names=names)


@keys.command("add")
def add_key(
    name: Annotated[str, typer.Argument(help="Who uses it.")],
    role: Annotated[str, typer.Option(help="read, write (and read) or operate (and both).")] = "read",
    config: Config = "debut.yaml",
    workspace: Workspace = None,
) -> None:
    """Make an API key; it is shown this once."""
    shop = opened(config, None, workspace)
    from flows.serving import shop_keys

    secret = shop_keys(shop).add(name, role)  # type: ignore[arg-type]  # `add` refuses other roles
    _record(shop, f"API key for {name}, role {role}, was made")
    console.note(f"The key of {name}, role {role}, is shown this once:")
    console.say(secret)


@keys.command("list")
def list_keys(config: Config = "debut.yaml", workspace: Workspace = None) -> None:
    """Ids, names and roles of all keys."""
    shop = opened(config, None, workspace)
    from flows.serving import shop_keys

    console.keys(shop_keys(shop).list())


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="Its id, from `debut keys list`.")],
    config: Config = "debut.yaml",
    workspace: Workspace = None,
) -> None:
    """End a key; running servers refuse it from the next request on."""
    shop = opened(config, None, workspace)
    from flows.serving import shop_keys

    shop_keys(shop).revoke(key_id)
    _record(shop, f"API key {key_id} was revoked")
    console.say(f"{key_id} is revoked.")


@keys.command("signing")
def signing_keys(
    folder: Annotated[Path, typer.Argument(help="Folder for signing.key (keep it secret) and signing.pub.")],
) -> None:
    """Make a key pair that signs releases; the password is taken from DEBUT_SIGNING_PASSWORD."""
    console.open_terminal(False)
    from components.release.signature import make_keys
    from flows.signing import password

    private, public = make_keys(folder.absolute(), password())
    console.say("In debut.yaml:")
    console.verbatim(f"signing:\n  private_key: {private}\n  public_key: {public}")


@release.command("verify")
def verify_release_files(
    digest: Annotated[
        str | None, typer.Argument(help="D or its first characters; else the champion.")
    ] = None,
    config: Config = "debut.yaml",
    workspace: Workspace = None,
) -> None:
    """Check every file of a release against D, and its signature where a public key is configured."""
    shop = opened(config, None, workspace)
    from flows.acts import verify_by_hand

    folder = verify_by_hand(shop, digest)
    signed = "signed" if shop.settings.signing.public_key else "no signing.public_key is configured"
    console.say(f"{folder.name[:12]}: every file is as it was built; {signed}.")


def _record(shop: Shop, change: str) -> None:
    shop.decision_log().append("key_change", release=None, actor=actor(), reason=change)
