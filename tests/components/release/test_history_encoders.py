"""Learned encoders of histories as a release takes them."""

from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

from components.contract.errors import DataError
from components.contract.learning import EncoderSettings, TrainingSettings
from components.contract.retrieving import RetrievalSettings
from components.contract.settings import Settings
from components.index.histories import centred
from components.index.vectors import ITEMS_FILE, VECTORS_FILE
from components.release.history_encoders import SUMMARY, fit_for_release, fit_on_validation, read_fitted
from components.release.history_mix import best_mix, scored_users
from components.release.plan import OF_TEXTS, validation_snapshot
from components.training.validation import read_validation

ITEMS, GROUPS, DIMENSIONS = 80, 8, 24
IDS = [f"i{number:02}" for number in range(ITEMS)]
GROUP = np.arange(ITEMS) % GROUPS
SETTINGS = Settings(
    shop="shop",
    tables={"items": "SELECT 1"},
    encoder=EncoderSettings(name="x", item_fields=("title",)),
    training=TrainingSettings(seed=1),
    retrieval=RetrievalSettings(history_encoders=("gru", "attention")),
)


def buying(users: int, seed: int) -> list[tuple[str, list[int]]]:
    """Of one group, then of the next: which texts do not tell."""
    rng = np.random.default_rng(seed)
    return [
        (f"{seed}{n:03}", [rng.choice(np.flatnonzero((first + step) % GROUPS == GROUP)) for step in (0, 1)])
        for n in range(users)
        for first in [rng.integers(GROUPS)]
    ]


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """400 users to learn from, 80 to judge; the last ten items are new on validation."""
    folder = tmp_path / "split"
    for part in ("train", "statistics", "validation"):
        (folder / part).mkdir(parents=True)
    titles = [f"thing {number}" for number in range(ITEMS)]
    new = [number >= ITEMS - 10 for number in range(ITEMS)]
    empty = dict.fromkeys(("brand", "category", "attributes", "description"), pl.lit(None, pl.String))
    items = pl.DataFrame({"item_id": IDS, "title": titles, "is_validation_new": new, "is_new": False})
    items.with_columns(**empty).write_parquet(folder / "items.parquet")
    rows = [
        (user, IDS[item], datetime(2026, 1, 1 + step))
        for user, bought in buying(400, 1)
        for step, item in enumerate(bought)
    ]
    purchases = pl.DataFrame(rows, schema=["user_id", "item_id", "at"], orient="row")
    purchases.filter(~pl.col("item_id").is_in(IDS[-10:])).write_parquet(folder / "train/purchases.parquet")
    purchases.write_parquet(folder / "statistics/purchases.parquet")
    judged = buying(80, 2)
    asked = {
        "entrance": "recommendation",
        "request_id": [user for user, _ in judged],
        "text": pl.Series([None] * len(judged), dtype=pl.String),
        "history": [[IDS[first]] for _, (first, _) in judged],
        "exclude": [[IDS[first]] for _, (first, _) in judged],
        "frequency": 1,
    }
    pl.DataFrame(asked).write_parquet(folder / "validation/requests.parquet")
    relevant = {
        "entrance": "recommendation",
        "request_id": asked["request_id"],
        "item_id": [IDS[then] for _, (_, then) in judged],
        "grade": 3.0,
        "relevant": True,
    }
    pl.DataFrame(relevant).write_parquet(folder / "validation/judgements.parquet")
    return folder


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    folder, rng = tmp_path / "vectors", np.random.default_rng(0)
    folder.mkdir()
    plain = np.eye(DIMENSIONS)[GROUP] + 0.1 * rng.standard_normal((ITEMS, DIMENSIONS))
    plain /= np.linalg.norm(plain, axis=1, keepdims=True)
    pl.DataFrame({"item_id": IDS}).write_parquet(folder / ITEMS_FILE)
    save_file({"vectors": plain.astype(np.float32)}, folder / VECTORS_FILE)
    return folder


def test_a_learned_encoder_is_chosen_where_it_finds_more(split: Path, vectors: Path, tmp_path: Path) -> None:
    """Both kinds are trained on what was bought before the window, stopped on validation, and one of them
    beats every scoring of texts."""
    out = tmp_path / "out"
    fit_on_validation(vectors, split, SETTINGS, out)
    learned = read_fitted(out)
    assert set(learned) == {"gru", "attention"}
    assert all(of.epochs == of.recalls.index(max(of.recalls)) + 1 for of in learned.values())
    validation = read_validation(split, SETTINGS.encoder, SETTINGS.training)
    snapshot = validation_snapshot(validation, split, vectors, SETTINGS.encoder)
    encoders = {kind: of.encoder for kind, of in learned.items()}
    scorings = (*OF_TEXTS, *learned)
    users = scored_users(validation.judged["recommendation"], validation.new, snapshot, scorings, encoders)
    assert best_mix(users, scorings, (0.0,)).scoring in learned


def test_a_release_learns_from_everything_before_the_cut_off(
    split: Path, vectors: Path, tmp_path: Path
) -> None:
    """For the epochs that validation chose; without a user who bought twice it says so."""
    from components.index.history_encoder import HistoryEncoder
    from components.index.vectors import read_vectors

    fit_for_release("attention", 8, vectors, split, 0, tmp_path / "out")
    encoder = HistoryEncoder.load(tmp_path / "out", "attention")
    wide = read_vectors(vectors)[1].astype(np.float64)
    wide = centred(wide, wide.mean(axis=0))
    following = [np.argmax(wide @ encoder.encode(wide[[row]])) % GROUPS for row in range(ITEMS)]
    assert (np.asarray(following) == (GROUP + 1) % GROUPS).mean() > 0.8
    (split / "statistics/purchases.parquet").unlink()
    with pytest.raises(DataError, match="bought twice"):
        fit_for_release("attention", 1, vectors, split, 0, tmp_path / "out")


def test_a_shop_without_judged_users_has_none(split: Path, vectors: Path, tmp_path: Path) -> None:
    """Nor one without purchases."""
    (split / "train/purchases.parquet").unlink()
    fit_on_validation(vectors, split, SETTINGS, tmp_path / "out")
    assert (tmp_path / "out" / SUMMARY).is_file() and read_fitted(tmp_path / "out") == {}
