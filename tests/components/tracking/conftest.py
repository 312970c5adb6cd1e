"""A workspace with a real SQLite store, and a candidate with a tiny real encoder."""

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from components.contract.learning import EncoderSettings
from components.contract.records import Candidate, Gate, GateReport, PreparedData, RetrievalPlan
from components.contract.settings import Settings
from components.tracking.description import VersionCard

TITLES = ["red steel chair", "blue glass lamp", "green cotton towel", "small oak table", "garden hammer"]


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's SQLite file with its tables, which take seconds to make."""
    from components.tracking.client import connect

    folder = tmp_path_factory.mktemp("store")
    settings = Settings.model_validate({"shop": "demo", "tables": {"items": "SELECT 1"}})
    connect(settings, folder).client.search_experiments()
    return folder / "mlflow.db"


@pytest.fixture
def workspace(tmp_path: Path, empty_store: Path) -> Path:
    """A workspace with an empty store, whose path needs quoting."""
    folder = tmp_path / "my shop" / ".debut"
    folder.mkdir(parents=True)
    shutil.copyfile(empty_store, folder / "mlflow.db")
    return folder


@pytest.fixture
def make_settings() -> Callable[..., Settings]:
    def make(uri: str | None = None, system_metrics: bool = False, shop: str = "demo") -> Settings:
        return Settings.model_validate(
            {
                "shop": shop,
                "tables": {"items": "SELECT * FROM goods"},
                "sources": {"goods": {"path": "s3://key:secret@bucket/goods.csv?token=hidden"}},
                "tracking": {"uri": uri, "system_metrics": system_metrics},
            }
        )

    return make


@pytest.fixture(scope="session")
def candidate_folder(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder laid out as a candidate, with vectors of a tiny encoder."""
    from components.encoder.transformer import TransformerEncoder
    from components.index.vectors import SNAPSHOT_COLUMNS, encode_catalogue

    folder = tmp_path_factory.mktemp("candidates") / ("d" * 64)
    encoder = TransformerEncoder.load(tiny_encoder, EncoderSettings(name="tiny", item_fields=("title",)))
    encoder.save(folder / "encoder")
    (folder / "index").mkdir()
    items = pl.DataFrame(dict.fromkeys(SNAPSHOT_COLUMNS, TITLES) | {"item_id": list("abcde")})
    unknown = [pl.lit(None, dtype=pl.Float64).alias("price")]
    unknown += [pl.lit(None, dtype=pl.Datetime("us")).alias(name) for name in ("listed_at", "first_seen")]
    encode_catalogue(items.with_columns(unknown), encoder.encode_items, ("title",), folder / "index")
    (folder / "retrieval.json").write_text(RetrievalPlan().model_dump_json())
    return folder


def gate(kind: str, name: str, outcome: str = "pass", sentence: str | None = None) -> Gate:
    return Gate(
        name=name,
        kind=kind,
        champion=0.4,
        challenger=0.5,
        difference=0.1,
        low=0.05,
        high=0.15,
        margin=None,
        requests=608,
        outcome=outcome,
        sentence=sentence or f"{name}: 0.400 → 0.500 [+0.050, +0.150].",
    )


@pytest.fixture
def make_gate() -> Callable[..., Gate]:
    return gate


@pytest.fixture
def make_card() -> Callable[..., VersionCard]:
    def make(
        digest: str = "d" * 64,
        verdict: str | None = "PROMOTE",
        gates: tuple[Gate, ...] | None = None,
        cutoff: datetime | None = datetime(2026, 1, 1),
        **changed: object,
    ) -> VersionCard:
        gates = gates or (gate("primary", "new/recall@10"), gate("primary", "new_only/recall@10"))
        report = GateReport(
            challenger_digest=digest,
            champion_digest="c" * 64,
            verdict=verdict or "PROMOTE",
            sentence="New items are found more often.",
            gates=gates,
            queries_needed=1_200 if verdict == "INCONCLUSIVE" else None,
            policy={},
        )
        fields: dict[str, object] = {
            "shop": "demo",
            "candidate": Candidate(
                path=f"candidates/{digest}",
                digest=digest,
                encoder_digest="e" * 64,
                data_digest="a" * 64,
                baseline=verdict is None,
            ),
            "prepared": PreparedData(
                path="split",
                digest="f" * 64,
                counts={"items": 5, "new_items": 2},
                entrances=("search",),
                cutoff=cutoff,
                judged_until=None,
            ),
            "summary": {
                "new": {"recall@10": 0.5, "requests": 608},
                "new_only": {"recall@10": 0.75, "requests": 608},
                "established": {"recall@10": None, "requests": 0},
            },
            "report": report if verdict else None,
            "encoder": "tiny",
            "quarantined": {"items": 3, "events": 0},
            "tracking": "sqlite:///mlflow.db",
        }
        return VersionCard(**(fields | changed))

    return make
