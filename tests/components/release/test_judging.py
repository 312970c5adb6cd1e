"""Judging a candidate end to end on a small split, with a real (tiny) encoder."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from components.contract.records import Candidate, PreparedData, RetrievalPlan
from components.contract.settings import EncoderSettings, JudgeSettings, SplitSettings
from components.contract.tables import TABLES
from components.encoder.transformer import TransformerEncoder
from components.evaluation.scorecard import Scorecard
from components.index.vectors import encode_catalogue
from components.release.candidate import build
from components.release.fingerprint import Fingerprint
from components.release.judging import judge_bm25, judge_candidate
from components.split.split import split

COLOURS, THINGS = ("red", "blue", "green", "steel"), ("chair", "table", "lamp", "mug", "towel")


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


def _candidate(tmp_path: Path, tiny_encoder: Path, split_folder: Path) -> tuple[Candidate, Path]:
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
    return candidate, vectors


@pytest.mark.parametrize("shop", [None, "oak"], indirect=True)
def test_a_candidate_is_judged_through_its_own_files(
    tmp_path: Path,
    tiny_encoder: Path,
    shop: tuple[Path, PreparedData],
    request: pytest.FixtureRequest,
) -> None:
    """Queries that are titles find their item; bounds are measured; D is on the card that is left on disk."""
    split_folder, prepared = shop
    candidate, vectors = _candidate(tmp_path, tiny_encoder, split_folder)
    out = tmp_path / "judged"
    out.mkdir()
    card = judge_candidate(
        tmp_path / "candidates" / candidate.digest,
        vectors,
        split_folder,
        prepared,
        JudgeSettings(),
        name="challenger",
        out=out,
    )
    assert card.digest == candidate.digest
    assert (card.mean("search", "new/recall@10") or 0) > 0.5
    assert card.bounds["size_mb"] and card.bounds["p95_latency_ms"]
    has_brand = request.node.callspec.params["shop"] is not None
    assert ("attribute_dropout_recall_loss" in card.not_applicable) is not has_brand
    again = Scorecard.read(out)
    np.testing.assert_equal(again.summary(), card.summary())


def test_bm25_is_judged_on_the_same_requests(tmp_path: Path, shop: tuple[Path, PreparedData]) -> None:
    """Its scorecard has no digest, and every title is found by its own words."""
    split_folder, prepared = shop
    card = judge_bm25(split_folder, prepared, JudgeSettings(), ("title",), tmp_path)
    assert card.digest is None
    assert card.mean("search", "new_only/recall@10") == 1.0
