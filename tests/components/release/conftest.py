"""A candidate made of small files, and a log in memory: nothing here needs torch or a network."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

from components.contract.errors import StorageError
from components.contract.learning import EncoderSettings
from components.contract.records import Candidate, Gate, GateReport, PreparedData, RetrievalPlan
from components.contract.settings import SplitSettings
from components.contract.tables import TABLES
from components.encoder.transformer import TransformerEncoder
from components.index.lexical import LexicalSnapshot
from components.index.vectors import SNAPSHOT_COLUMNS, encode_catalogue, write_vectors
from components.release.candidate import build
from components.release.decision_log import DecisionLog
from components.release.fingerprint import Fingerprint
from components.release.promotion import promote, promote_baseline
from components.split.split import split

COLOURS, THINGS = ("red", "blue", "green", "steel"), ("chair", "table", "lamp", "mug", "towel")


class MemoryStore:
    """An ObjectStore in a dict. `before_create` runs between a writer's read and its create."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.before_create: Callable[[], None] = lambda: None

    def create(self, key: str, data: bytes) -> bool:
        self.before_create()
        if key in self.files:
            return False
        self.files[key] = data
        return True

    def read(self, key: str) -> bytes:
        if key not in self.files:
            raise StorageError(f"{key}: no such key.")
        return self.files[key]

    def keys(self, prefix: str = "") -> list[str]:
        return sorted(key for key in self.files if key.startswith(prefix))


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def log(store: MemoryStore) -> DecisionLog:
    """A log whose clock moves one minute per record."""
    times = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=n) for n in range(10_000))
    return DecisionLog(store, clock=lambda: next(times))


@pytest.fixture
def encoder_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "saved_encoder"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    save_file({"weight": np.ones((4, 4), np.float32)}, folder / "model.safetensors")
    return folder


@pytest.fixture
def index_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "vectors-stage"
    folder.mkdir()
    items = pl.DataFrame({name: ["a", "b"] for name in SNAPSHOT_COLUMNS})
    write_vectors(items, np.eye(2, 3, dtype=np.float32), folder)
    LexicalSnapshot.build(["red chair", "blue table"], "english").save(folder)
    (folder / "notes.csv").write_text("of no concern to a release")
    return folder


@pytest.fixture
def fingerprint() -> Fingerprint:
    return Fingerprint(
        data_digest="d" * 64,
        encoder_digest="e" * 64,
        base_digest="b" * 64,
        lock_digest="1" * 64,
        code_digest="c" * 64,
        cutoff=datetime(2026, 1, 1),
        settings={"shop": "demo"},
    )


@pytest.fixture
def candidates(tmp_path: Path) -> Path:
    return tmp_path / "candidates"


@pytest.fixture
def make_candidate(
    candidates: Path, encoder_folder: Path, index_folder: Path, fingerprint: Fingerprint
) -> Callable[..., Candidate]:
    """Builds a candidate whose digest depends on `seed`."""

    def make(seed: int = 0, baseline: bool = False, **changed: Any) -> Candidate:
        arguments: dict[str, Any] = {
            "encoder": encoder_folder,
            "index": index_folder,
            "plan": RetrievalPlan(),
            "fingerprint": fingerprint.model_copy(update={"settings": {"seed": seed}, "baseline": baseline}),
        }
        return build(candidates, **(arguments | changed))

    return make


@pytest.fixture
def make_report() -> Callable[..., GateReport]:
    """A report about `challenger` judged against `champion`, with one primary gate."""

    def make(
        challenger: str, champion: str | None, verdict: str = "PROMOTE", outcome: str = "pass"
    ) -> GateReport:
        gate = Gate(
            name="new/recall@10",
            kind="primary",
            champion=0.4,
            challenger=0.5,
            difference=0.1,
            low=0.05,
            high=0.15,
            margin=None,
            requests=100,
            outcome=outcome,
            sentence="New items are found more often.",
        )
        return GateReport(
            challenger_digest=challenger,
            champion_digest=champion,
            verdict=verdict,
            sentence=f"{verdict}: as the gates say.",
            gates=(gate,),
            queries_needed=None,
            policy={},
        )

    return make


@pytest.fixture
def baseline(log: DecisionLog, candidates: Path, make_candidate: Callable[..., Candidate]) -> str:
    """D of version 0, promoted."""
    digest = make_candidate(seed=0, baseline=True).digest
    promote_baseline(log, candidates / digest, actor="flow", run_id="run-0")
    return digest


@pytest.fixture
def release(
    log: DecisionLog,
    candidates: Path,
    make_candidate: Callable[..., Candidate],
    make_report: Callable[..., GateReport],
) -> Callable[..., str]:
    """Builds candidate `seed` and promotes it over the present champion."""

    def act(seed: int, run_id: str | None = None) -> str:
        digest, over = make_candidate(seed=seed).digest, log.champion()
        report = make_report(digest, over)
        promote(log, candidates / digest, report, expected_champion=over, actor="flow", run_id=run_id)
        return digest

    return act


def _tables(folder: Path, brand: str | None) -> None:
    titles = [f"{colour} {thing}" for thing in THINGS for colour in COLOURS]
    items = pl.DataFrame({"item_id": [f"{100 + n}" for n in range(len(titles))], "title": titles})
    empty = [
        pl.lit(None, dtype=pl.Datetime("us") if kind == "timestamp" else pl.String).alias(name)
        for name, kind in TABLES["items"].optional.items()
        if name != "brand"
    ]
    items = items.with_columns(*empty, brand=pl.lit(brand, dtype=pl.String))
    items.with_columns(price=pl.lit(None, dtype=pl.Float64)).write_parquet(folder / "items.parquet")
    judged = [(title, f"{100 + n}", 3.0) for n, title in enumerate(titles)]
    judged += [(title, f"{100 + (n + 5) % len(titles)}", 1.0) for n, title in enumerate(titles)]
    rows = pl.DataFrame(judged, schema=["query", "item_id", "grade"], orient="row")
    rows.with_columns(split=pl.lit(None, dtype=pl.String)).write_parquet(folder / "judgements.parquet")


@pytest.fixture
def shop(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Path, PreparedData]:
    checked, out = tmp_path / "checked", tmp_path / "split"
    checked.mkdir()
    out.mkdir()
    _tables(checked, getattr(request, "param", None))
    settings = SplitSettings(
        test_queries=14, validation_queries=4, new_item_share=0.4, relevant_grade=2.0, positive_grade=2.0
    )
    return out, split(checked, settings, out)


@pytest.fixture
def tiny_candidate(tmp_path: Path, tiny_encoder: Path) -> Callable[[Path], tuple[Path, Path]]:
    """A candidate with a tiny encoder over a split's catalogue: its folder and the vectors' folder."""
    return lambda split_folder: _candidate(tmp_path, tiny_encoder, split_folder)


def _candidate(tmp_path: Path, tiny_encoder: Path, split_folder: Path) -> tuple[Path, Path]:
    settings = EncoderSettings(name=str(tiny_encoder), max_length=16, item_fields=("title", "brand"))
    encoder = TransformerEncoder.load(tiny_encoder, settings)
    digest = encoder.save(tmp_path / "encoder")
    vectors = tmp_path / "vectors"
    vectors.mkdir()
    items = pl.read_parquet(split_folder / "items.parquet")
    encode_catalogue(items, encoder.encode_items, settings.item_fields, vectors)
    fingerprint = Fingerprint(
        data_digest="d",
        encoder_digest=digest,
        base_digest="b",
        lock_digest="l",
        code_digest="c",
        cutoff=None,
        settings={},
    )
    candidate = build(
        tmp_path / "candidates",
        encoder=tmp_path / "encoder",
        index=vectors,
        plan=RetrievalPlan(),
        fingerprint=fingerprint,
    )
    return tmp_path / "candidates" / candidate.digest, vectors
