"""`debut serve`, `keys`, `undiscoverable` and `release` on a shop after one retrain."""

import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from components.contract.errors import ConfigError, PromotionError
from components.service.releases import Challenger
from flows.serving import ShopReleases, set_up_logging, take_address
from flows.shop import open_shop

ENVIRONMENT = os.environ | {"COLUMNS": "120"}


@pytest.fixture
def served(retrained: Any) -> Iterator[tuple[Any, str]]:
    """The shop and the address of its service, a process of its own."""
    command = [sys.executable, "-c", "from flows.cli import main; main()", "serve", *retrained.arguments]
    process = subprocess.Popen(
        [*command, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT
    )
    try:
        yield retrained, _ready(process, _address(process))
    finally:
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=60)
        assert process.returncode in (0, -signal.SIGTERM, 128 + signal.SIGTERM), told.decode()


def _address(process: "subprocess.Popen[bytes]") -> str:
    """What the command prints: with --port 0, the port that it got."""
    assert process.stdout is not None
    told = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline().decode())
    assert told is not None and not told[0].endswith(":0")
    return told[0]


def _ready(process: "subprocess.Popen[bytes]", url: str) -> str:
    for _ in range(720):
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        try:
            with urllib.request.urlopen(f"{url}/readyz"):
                return url
        except OSError:
            time.sleep(0.25)
    raise AssertionError("the service was not ready within three minutes")


def _ask(url: str, method: str = "GET", body: Any = None, key: str = "") -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def _until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_shop_is_served_items_are_listed_and_a_rollback_swaps(
    served: tuple[Any, str], debut: Any, finished: Any
) -> None:
    """The champion answers; a PUT with a key made on the command line is found; an override by hand and the
    rollback swap the release while the service runs, and the item is found after each."""
    shop, url = served
    champion, challenger = (finished[1].json[f"{role}_digest"] for role in ("champion", "challenger"))
    assert _ask(f"{url}/healthz")[1]["release"] == champion
    found = _ask(f"{url}/search?q=red+lamp&k=3")[1]
    assert found["release"] == champion and len(found["results"]) == 3
    item = {"item_id": "live-1", "title": "turquoise gramophone"}
    assert _ask(f"{url}/items", "PUT", item)[0] == 401
    key = debut("keys", "add", "till", "--role", "write", *shop.arguments).out.strip()
    assert _ask(f"{url}/items", "PUT", item, key)[1]["searchable"] is True
    reason = ["--reason", "a test", *shop.arguments]
    for act, wanted in (
        (["promote", challenger[:8], "--override", "--role", "lead"], challenger),
        (["rollback"], champion),
    ):
        assert debut(*act, *reason).code == 0
        _until(lambda wanted=wanted: _ask(f"{url}/healthz")[1]["release"] == wanted)
        found = _ask(f"{url}/search?q=turquoise+gramophone&k=1")[1]
        assert (found["release"], found["results"][0]["item_id"]) == (wanted, "live-1")
    assert [line["kind"] for line in _ask(f"{url}/release")[1]["history"]][:2] == ["rollback", "override"]


def test_an_address_that_is_taken_is_one_clear_sentence(retrained: Any, debut_process: Any) -> None:
    """Exit code 1, and no address is printed as if it were served."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = debut_process("serve", "--port", str(port), *retrained.arguments)
    assert (refused.code, refused.out) == (1, "")
    assert f"cannot listen on 127.0.0.1, port {port}: Address already in use." in refused.sentence


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("203.0.113.7", "port 0: Cannot assign requested address"),
        ("2001:db8::7", "port 0: Cannot assign requested address"),
        ("no-such-host.invalid", "port 0: No such host is known"),
        ("ü" * 64, "no name that a host can have"),
    ],
)
def test_an_address_that_is_not_this_machine_s_is_refused(host: str, reason: str) -> None:
    """Another machine's, and names that nobody has or can have."""
    with pytest.raises(ConfigError, match=reason):
        take_address(host, 0)


def test_an_address_is_free_again_after_its_server_ended() -> None:
    """Old connections that are not quite over do not hold it, and a second server does not share it."""
    first = take_address("127.0.0.1", 0)
    port = first.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)):
        accepted, _ = first.accept()
        accepted.close()
        first.close()
    with take_address("127.0.0.1", port), pytest.raises(ConfigError):
        take_address("127.0.0.1", port)


def test_the_page_names_the_shop_in_its_commands(served: tuple[Any, str]) -> None:
    """The retrain's list of the release that serves is shown, with the command that looks again."""
    shop, url = served
    with urllib.request.urlopen(f"{url}/undiscoverable") as answer:
        html = answer.read().decode()
    assert f"debut undiscoverable --config {shop.config} --workspace {shop.workspace.parent}" in html
    assert "Nobody has looked" not in html


def test_a_release_whose_files_were_changed_is_not_loaded(retrained: Any, finished: Any) -> None:
    """The service gets its folder only after every file was held against D."""
    shop = open_shop(str(retrained.config), None, str(retrained.workspace.parent))
    champion = finished[1].json["champion_digest"]
    releases = ShopReleases(shop)
    folder = releases.folder(champion)
    assert folder == shop.candidates / champion
    weights = folder / "encoder" / "model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0\0")
    with pytest.raises(PromotionError, match=r"model\.safetensors"):
        releases.folder(champion)


def test_reading_without_a_key_is_for_this_machine_s_names(served: tuple[Any, str]) -> None:
    """Where nothing else was asked for; localhost is one of them, another site's name is none."""
    _, url = served
    for host, status in (("localhost:1", 200), ("rebound.example", 401)):
        assert httpx.get(f"{url}/release", headers={"Host": host}).status_code == status


def test_the_log_has_no_addresses_of_requests_sent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """JSON lines; of httpx, which says where each request goes, warnings alone."""
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(logging.root, "level", logging.WARNING)
    httpx_logger = logging.getLogger("httpx")
    monkeypatch.setattr(httpx_logger, "level", logging.NOTSET)
    set_up_logging()
    logging.getLogger(f"{__name__}.of_this_test").info("kept")  # no library that set up logging knows it
    httpx_logger.info("HTTP Request: POST http://h/v1")
    httpx_logger.warning("kept, too")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["message"] for line in lines] == ["kept", "kept, too"]


def test_a_known_user_gets_recommendations(served: tuple[Any, str]) -> None:
    """By what the user bought in the checked events, none of which comes back; a stranger is a 404."""
    shop, url = served
    events = pl.read_parquet(shop.folder / "events.parquet")
    own = events.filter(pl.col("customer") == "u01", pl.col("action") == "purchase")
    past = set(own.get_column("sku"))
    status, found = _ask(f"{url}/recommend", "POST", {"user_id": "u01", "k": 5})
    assert status == 200 and len(found["results"]) == 5
    assert not past & {hit["item_id"] for hit in found["results"]}
    assert _ask(f"{url}/recommend", "POST", {"user_id": "nobody"})[0] == 404


@pytest.mark.parametrize("kind", ["rejection", "inconclusive"])
def test_a_refused_challenger_stands_by_its_verdict(tmp_path: Path, kind: Any) -> None:
    """Rejected is not the same as not settled."""
    shop = open_shop("demo", None, str(tmp_path))
    log = shop.decision_log()
    log.append("promotion", release="a" * 64, actor="ci", reason="baseline", expected_champion=None)
    log.append(kind, release="b" * 64, actor="ci", reason="no gain")
    assert ShopReleases(shop).challenger() == Challenger("b" * 64, kind)


def test_a_newer_check_brings_newer_histories(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without a restart of the service; and where there is no check, nobody is known. Where its folder was
    deleted, what was read of it still is, and the log says so once."""
    shop = open_shop("demo", None, str(tmp_path))
    releases = ShopReleases(shop)
    assert releases.history_of("u") == ()
    for number, items in enumerate((["a", "b", "a"], ["c", "a", "b", "a"])):
        check = shop.workspace / "stages" / f"check-{number}"
        check.mkdir(parents=True)
        at = [datetime(2026, 1, day) for day in range(1, len(items) + 1)]
        acts = pl.DataFrame({"user_id": "u", "item_id": items, "at": at, "kind": "view"})
        acts.write_parquet(check / "events.parquet")
        of_items = {"item_id": ["a"], "brand": ["x"], "category": [None], "price": [1.0]}
        pl.DataFrame(of_items, schema_overrides={"category": pl.String()}).write_parquet(
            check / "items.parquet"
        )
        shop.remember_check(check, passed=True)
        assert list(releases.history_of("u")) == list(dict.fromkeys(items))
    assert not releases.history_of("nobody")
    shutil.rmtree(shop.workspace / "stages")
    caplog.clear()
    for _ in range(2):
        assert list(releases.history_of("u")) == ["c", "a", "b"]
    [told] = caplog.messages
    assert "check-1, the newest check of the data, is gone: run `debut check`" in told
    assert ShopReleases(shop).history_of("u") == ()


def test_a_refused_check_of_an_earlier_version_is_nobodys_history(tmp_path: Path) -> None:
    """It noted no other; the service answers as where there is none."""
    shop = open_shop("demo", None, str(tmp_path))
    (shop.workspace / "stages" / "check-x").mkdir(parents=True)
    table = {"table": "items", "rows": 10, "quarantined": 9, "clean": 1, "expectations": []}
    shop.remember_check(shop.workspace / "stages" / "check-x")
    (shop.workspace / "stages" / "check-x" / "quality.json").write_text(json.dumps({"tables": [table]}))
    assert ShopReleases(shop).history_of("u") == ()


def test_what_the_tolerance_refused_is_not_served(retrained: Any, debut: Any, connected: Any) -> None:
    """The rows that stopped the run are listed, and users keep their histories."""
    shop = open_shop(str(retrained.config), None, str(retrained.workspace.parent))
    events = pl.read_parquet(retrained.folder / "events.parquet")
    buyer = events.drop_nulls("customer").get_column("customer")[0]
    before = ShopReleases(shop).history_of(buyer)
    broken = pl.when(pl.int_range(pl.len()) % 10 > 0).then(pl.lit("nowhere")).otherwise("sku")
    events.with_columns(sku=broken).write_parquet(retrained.folder / "events.parquet")
    outcome = connected("check", *retrained.arguments)
    assert outcome.code == 1 and "events" in outcome.sentence
    assert len(before) > 1 and ShopReleases(shop).history_of(buyer) == before
    assert "nowhere" in debut("quarantine", "list", *retrained.arguments).out


def test_keys_are_listed_without_secrets_and_revoked(retrained: Any, debut: Any) -> None:
    secret = debut("keys", "add", "page", "--role", "operate", *retrained.arguments).out.strip()
    listed = debut("keys", "list", *retrained.arguments).out
    key_id = secret.split("_")[1]
    assert key_id in listed and "operate" in listed and secret not in listed
    assert debut("keys", "revoke", key_id, *retrained.arguments).code == 0
    assert "revoked" in debut("keys", "list", *retrained.arguments).out
    assert debut("keys", "add", "x", "--role", "king", *retrained.arguments).code == 1


def test_undiscoverable_items_are_listed_and_exported(retrained: Any, debut: Any, tmp_path: Path) -> None:
    """The command's figures are its CSV's; a retrain leaves the challenger's list in its run's folder, with
    the champion's beside it."""
    out = tmp_path / "list.csv"
    found = debut("undiscoverable", "--csv", out, "--json", *retrained.arguments)
    assert found.code == 0, found.err
    assert found.json["undiscoverable"] == len(pl.read_csv(out, infer_schema=False))
    [run] = [path.parent for path in retrained.workspace.glob("runs/*/result.json")]
    counts = json.loads((run / "result.json").read_text())["undiscoverable_items"]
    for role, name in (("challenger", "undiscoverable.csv"), ("champion", "champion_undiscoverable.csv")):
        assert counts[role] == len(pl.read_csv(run / name, infer_schema=False))
        assert json.loads((run / name).with_suffix(".json").read_text())["undiscoverable"] == counts[role]


def test_a_release_is_verified_and_a_changed_byte_named(
    retrained: Any, debut: Any, finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By D alone; with a public key configured, an unsigned release is refused too."""
    champion = finished[1].json["champion_digest"]
    assert "every file is as it was built" in debut("release", "verify", *retrained.arguments).out
    keys = retrained.folder / "team"
    monkeypatch.chdir(retrained.folder)
    made = debut("keys", "signing", "team")
    assert made.code == 0 and f"  public_key: {keys / 'signing.pub'}\n" in made.out
    assert (keys / "signing.key").stat().st_mode & 0o777 == 0o600
    retrained.configure(signing={"public_key": str(keys / "signing.pub")})
    assert champion[:12] in debut("release", "verify", *retrained.arguments).sentence
    retrained.configure(signing={})
    weights = retrained.workspace / "candidates" / champion / "encoder" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.chmod(0o644)
    weights.write_bytes(data)
    refused = debut("release", "verify", *retrained.arguments)
    assert refused.code == 1 and "model.safetensors was changed" in refused.sentence
