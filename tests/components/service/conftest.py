"""A whole service over small candidates: everything is real but the shop behind the port `Releases`."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.testclient import TestClient

from components.contract.errors import FencedError, PromotionError
from components.contract.knowledge import KnowledgeSettings
from components.contract.learning import EncoderSettings
from components.contract.records import Decision, RetrievalPlan
from components.contract.serving import ServingSettings
from components.contract.tables import TABLES
from components.index.items_table import ItemsTable
from components.index.vectors import encode_catalogue
from components.profiles.behaviour import Behaviour
from components.ranking.observations import Observed
from components.release.candidate import build, verify
from components.release.decision_log import ANY_CHAMPION, Unfenced, champion_of
from components.release.fingerprint import Fingerprint
from components.service.app import Parts, create_app
from components.service.auth import Gatekeeper
from components.service.keys import Keys, Role
from components.service.limits import RateLimit
from components.service.metrics import Metrics
from components.service.privacy import SECRET_BYTES, LogPrivacy
from components.service.releases import Releases
from components.service.serving import Serving
from components.service.traffic import TrafficLog

POLL_SECONDS = 0.05
ROLES: tuple[Role, ...] = ("read", "write", "operate")


class FakeReleases(Releases):
    """Candidates in a folder, decisions in a list; `promote` and `roll_back` change the champion."""

    def __init__(self, candidates: Path) -> None:
        self.candidates = candidates
        self.decisions: list[Decision] = []
        self.histories: dict[str, list[str]] = {}
        self.known: Behaviour | None = None
        self.measured: dict[str, dict[str, Any]] = {}
        self.files: dict[str, Path] = {}
        """"report" and "undiscoverable", of every release."""
        self.loaded: list[str] = []
        self.while_loading: Callable[[str], None] = lambda digest: None
        """Runs, with D, in the thread that loads a release, before its files are read."""
        self.verifying = True
        """False: as if a file was damaged after it was verified."""

    def promote(self, digest: str) -> None:
        self._decide("promotion", digest, actor="tests", reason="judged")

    def champion(self) -> str | None:
        return champion_of(self.decisions)

    def folder(self, digest: str) -> Path:
        self.while_loading(digest)
        if self.verifying:
            verify(self.candidates / digest)
        self.loaded.append(digest)
        return self.candidates / digest

    def history(self) -> Sequence[Decision]:
        return self.decisions

    def report(self, digest: str) -> Path | None:
        return self.files.get("report")

    def figures(self, digest: str) -> dict[str, Any]:
        return self.measured.get(digest, {})

    def roll_back(
        self,
        *,
        to: str | None,
        reason: str,
        actor: str,
        expected_champion: str | Unfenced = ANY_CHAMPION,
    ) -> Decision:
        if expected_champion not in (ANY_CHAMPION, self.champion()):
            raise FencedError("The champion is now another one.")
        earlier = [one.release for one in self.decisions if one.release != self.champion()]
        if to not in (None, *earlier) or not earlier:
            raise PromotionError("There is no such earlier champion.")
        return self._decide("rollback", to or earlier[-1], actor=actor, reason=reason)

    def undiscoverable(self, digest: str) -> Path | None:
        return self.files.get("undiscoverable")

    def history_of(self, user_id: str) -> Sequence[str]:
        return self.histories.get(user_id, ())

    def behaviour(self) -> Behaviour | None:
        return self.known

    def _decide(self, kind: str, digest: str | None, *, actor: str, reason: str) -> Decision:
        decision = Decision(
            number=len(self.decisions) + 1,
            kind=kind,
            release=digest,
            predecessor=self.champion(),
            at=datetime.now(UTC),
            actor=actor,
            reason=reason,
            previous_hash=None,
        )
        self.decisions.append(decision)
        return decision


@dataclass
class Service:
    """A running service. `client` sends no key unless a request's headers say so: `headers=keys["write"]`."""

    app: FastAPI
    parts: Parts
    client: Any
    """httpx's interface: in-process, or over a socket where the service was started with `socket=True`."""
    secrets: dict[Role, str]
    folder: Path
    """Holds live/, traffic/ and keys.json."""
    url: str = ""
    """Where it listens, with `socket=True`."""
    keys: dict[Role, dict[str, str]] = field(init=False)
    """Per role the headers that carry its key."""

    def __post_init__(self) -> None:
        self.keys = {role: {"Authorization": f"Bearer {secret}"} for role, secret in self.secrets.items()}

    @property
    def serving(self) -> Serving:
        return self.parts.serving

    def put(self, *items: dict[str, Any], client: Any = None) -> Any:
        """PUT /items; `items` are dicts in the contract's columns."""
        return (client or self.client).put("/items", json=list(items), headers=self.keys["write"])

    def delete(self, *item_ids: str) -> Any:
        return self.client.delete("/items", params={"item_id": list(item_ids)}, headers=self.keys["write"])

    def found(self, query: str, **params: Any) -> list[str]:
        """item_ids of an answer to a query."""
        answer = self.client.get("/search", params={"q": query, **params})
        assert answer.status_code == 200, answer.text
        return [hit["item_id"] for hit in answer.json()["results"]]

    def traffic(self, kind: str = "requests") -> pl.DataFrame:
        """What the traffic log holds so far."""
        self.parts.log.flush()
        files = sorted((self.folder / "traffic" / kind).glob("*.parquet"))
        return pl.concat([pl.read_parquet(file) for file in files]) if files else pl.DataFrame()


def until(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Waits for a condition and returns its value; fails where it does not come true in time."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "the condition did not come true in time"
        time.sleep(0.01)
    return value


@pytest.fixture(name="until", scope="session")
def _until() -> Callable[..., Any]:
    """`until(condition, seconds=10)` waits for a condition, and fails where it does not come true."""
    return until


@contextmanager
def listening(app: FastAPI) -> Iterator[str]:
    """A real server in a thread, on a free port of this machine; its address."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started or not thread.is_alive(), 30)
    host, port = server.servers[0].sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join()


def catalogue(rows: Sequence[str | dict[str, Any]]) -> pl.DataFrame:
    """Items in the contract's columns; a title alone gets the next id from 100 on."""
    given = [
        {"item_id": str(number), "title": row} if isinstance(row, str) else {"item_id": str(number)} | row
        for number, row in enumerate(rows, start=100)
    ]
    types = {"text": pl.String(), "number": pl.Float64(), "timestamp": pl.Datetime("us")}
    schema = {name: types[kind] for name, kind in TABLES["items"].columns.items()}
    return pl.DataFrame(given, schema={**schema, "first_seen": pl.Datetime("us")}).sort("item_id")


@pytest.fixture(scope="session")
def candidates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all candidates; a test that damages one gives it titles of its own."""
    return tmp_path_factory.mktemp("candidates")


@pytest.fixture(scope="session")
def exported(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Exports the tiny encoder with 8-bit weights when it is first asked for."""

    @cache
    def export() -> Path:
        from components.encoder.onnx_export import export_onnx, quantise
        from components.encoder.transformer import TransformerEncoder

        folder = tmp_path_factory.mktemp("onnx")
        settings = EncoderSettings(name="tiny", max_length=16, item_fields=("title",))
        export_onnx(TransformerEncoder.load(tiny_encoder, settings), folder / "fp32.onnx")
        quantise(folder / "fp32.onnx", folder / "encoder.onnx")
        return folder / "encoder.onnx"

    return export


@pytest.fixture(scope="session")
def make_candidate(
    tiny_encoder: Path,
    exported: Callable[[], Path],
    candidates: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., str]:
    """Builds a candidate of these titles (or rows: dicts in the contract's columns); returns its D.

    pooling: another one gives another encoder, whose vectors do not fit the first one's.
    """
    from components.encoder.transformer import TransformerEncoder
    from components.index.retrieval import open_encoder

    def make(
        titles: Sequence[str | dict[str, Any]],
        plan: RetrievalPlan | None = None,
        *,
        pooling: str = "mean",
        cutoff: datetime | None = None,
        purchases: pl.DataFrame | None = None,
        heads: Path | None = None,
        knowledge: KnowledgeSettings | None = None,
        observed: Observed | None = None,
        rankers: Path | None = None,
        histories: Path | None = None,
    ) -> str:
        plan, folder = plan or RetrievalPlan(), tmp_path_factory.mktemp("parts")
        settings = EncoderSettings(name="tiny", pooling=pooling, max_length=16, item_fields=("title",))
        digest = TransformerEncoder.load(tiny_encoder, settings).save(folder / "encoder")
        graph = exported() if plan.inference == "onnx-int8" else None
        encoder = open_encoder(folder / "encoder", graph or folder, plan)
        (folder / "index").mkdir()
        items, index = catalogue(titles), folder / "index"
        encode_catalogue(
            items, encoder.encode_items, ("title",), index, purchases=purchases, observed=observed
        )
        fingerprint = Fingerprint(
            data_digest="d",
            encoder_digest=digest,
            base_digest="b",
            lock_digest="l",
            code_digest="c",
            cutoff=cutoff,
            settings={},
        )
        return build(
            candidates,
            encoder=folder / "encoder",
            index=folder / "index",
            plan=plan,
            rankers=rankers,
            fingerprint=fingerprint,
            graph=graph,
            heads=heads,
            knowledge=knowledge,
            histories=histories,
        ).digest

    return make


@pytest.fixture(scope="session")
def make_releases(candidates: Path) -> Callable[[], FakeReleases]:
    """Makes a shop without a champion."""
    return lambda: FakeReleases(candidates)


@pytest.fixture
def releases(make_releases: Callable[[], FakeReleases]) -> FakeReleases:
    return make_releases()


def _parts(
    releases: Releases,
    folder: Path,
    anonymous_read: bool,
    limit: RateLimit | None,
    table: ItemsTable | None,
    settings: ServingSettings,
    options: str,
) -> Parts:
    metrics = Metrics()
    items = table or ItemsTable.open(str(folder / "live"))
    return Parts(
        serving=Serving(releases, items, settings, metrics),
        settings=settings,
        gatekeeper=Gatekeeper(
            Keys.open(folder / "keys.json"),
            RateLimit(1e9, 1_000_000) if limit is None else limit,  # an unused one has the length 0
            anonymous_read,
        ),
        privacy=LogPrivacy(b"s" * SECRET_BYTES, settings.query_texts),
        log=TrafficLog(folder / "traffic"),
        metrics=metrics,
        version="0",
        options=options,
        shop="corner-shop",
    )


@contextmanager
def _running(
    releases: Releases,
    folder: Path,
    *,
    anonymous_read: bool = True,
    socket: bool = False,
    limit: RateLimit | None = None,
    table: ItemsTable | None = None,
    options: str = "",
    **settings: Any,
) -> Iterator[Service]:
    serving_settings = ServingSettings(**{"poll_seconds": POLL_SECONDS, **settings})
    parts = _parts(releases, folder, anonymous_read, limit, table, serving_settings, options)
    app = create_app(parts)
    with ExitStack() as running:
        if socket:
            url = running.enter_context(listening(app))
            client: Any = running.enter_context(httpx.Client(base_url=url, timeout=30))
        else:
            url, client = "", running.enter_context(TestClient(app, raise_server_exceptions=False))
        secrets = {role: parts.gatekeeper.keys.add(role, role) for role in ROLES}
        yield Service(app, parts, client, secrets, folder, url)


@pytest.fixture(scope="session")
def running_service() -> Callable[..., AbstractContextManager[Service]]:
    """`running_service(releases, folder, ...)`: a service for as long as the block, for fixtures of a module.
    For the arguments see `service`."""
    return _running


@pytest.fixture
def service(
    releases: FakeReleases,
    tmp_path: Path,
    running_service: Callable[..., AbstractContextManager[Service]],
) -> Iterator[Callable[..., Service]]:
    """Starts a service of `releases` in tmp_path / "serving"; all of a test's are ended after it.

    socket: listen on a port, for tests of concurrency. folder: of live items, keys and log; two services on
    one folder are replicas. table: in place of the one in the folder. limit: of requests, none by default.
    options: that name the shop on the command line.
    All others are ServingSettings.
    """
    with ExitStack() as stack:

        def start(folder: Path = tmp_path / "serving", **options: Any) -> Service:
            return stack.enter_context(running_service(releases, folder, **options))

        yield start
