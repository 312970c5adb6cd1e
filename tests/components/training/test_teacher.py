"""A teacher learns what judges think, and the encoder what the teacher thinks of pairs that nobody judged."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from components.augment.negatives import NONE
from components.contract.errors import DataError, LeakageError, TrainingError
from components.contract.learning import AugmentSettings, DistillationSettings, TrainingSettings
from components.encoder.cross_encoder import CrossEncoder
from components.encoder.texts import item_texts
from components.encoder.transformer import TransformerEncoder
from components.training.attempts import begin_attempt
from components.training.examples import read_examples
from components.training.fit import run_rank
from components.training.pairs import SEARCH, read_pairs
from components.training.prepare import prepare_examples
from components.training.taught import SCORES, read_taught, score_candidates
from components.training.teacher import train_teacher

JUDGED, UNJUDGED = ("chair", "table", "lamp"), ("mug", "towel", "hammer")
SETTINGS = DistillationSettings(weight=5.0, candidates=8, epochs=15, batch_size=16, learning_rate=3e-3)
TRAINING = TrainingSettings(batch_size=16, precision="fp32", learning_rate=1e-3, distillation=SETTINGS)
AUGMENT = AugmentSettings(hard_negatives=0, typo_share=0, attribute_dropout=0, mining_depth=40)


@pytest.fixture(scope="module")
def split(shop: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop's split, whose judges like oak and not glass; they saw chairs, tables and lamps."""
    folder = tmp_path_factory.mktemp("graded") / "split"
    shutil.copytree(shop.split, folder)
    items = pl.read_parquet(folder / "items.parquet").filter("trainable")
    rows = [
        (f"{thing} {place}".strip(), item_id, {"oak": 3.0, "glass": 1.0}.get(title.split()[0], 2.0))
        for item_id, title in items.select("item_id", "title").iter_rows()
        for thing in JUDGED
        for place in ("", "for the garden", "for the kitchen")
        if thing == title.split()[1]
    ]
    (folder / "graded").mkdir()
    pl.DataFrame(rows, schema=["query", "item_id", "grade"], orient="row").write_parquet(
        folder / "graded/search.parquet"
    )
    return folder


@pytest.fixture(scope="module")
def teacher(split: Path, shop: Any) -> CrossEncoder:
    return train_teacher(split, "train", shop.base, shop.encoder, SETTINGS)


@pytest.fixture(scope="module")
def taught(split: Path, shop: Any, teacher: CrossEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("taught")
    encoder, items = shop.load(), pl.read_parquet(split / "items.parquet")
    vectors = encoder.encode_items(item_texts(items, shop.encoder.item_fields))
    fields = encoder.settings.item_fields
    counts = score_candidates(
        split, "train", TRAINING, AUGMENT, teacher, encoder, vectors, out, fields=fields
    )
    assert counts["candidates"] == counts["queries"] * 8
    return out


def _preference(scores: Any, things: tuple[str, ...]) -> list[bool]:
    """Per thing whether it is better of oak than of glass, by `scores(queries, texts)`."""
    oak, glass = (
        scores([*things], [f"{colour} {thing} steel hammer" for thing in things])
        for colour in ("oak", "glass")
    )
    return list(oak > glass)


def test_it_learns_the_grades_and_says_them_of_what_nobody_judged(teacher: CrossEncoder) -> None:
    assert all(_preference(teacher.score, JUDGED + UNJUDGED))


def test_the_encoder_learns_what_the_teacher_knows(
    split: Path, shop: Any, taught: Path, make_spec: Any, tmp_path: Path
) -> None:
    """Of mugs, towels and hammers the judges saw none: that oak ones are better it has from the teacher."""
    margins = []
    for name, folder in (("plain", None), ("taught", taught)):
        settings = (
            TRAINING if folder else TRAINING.model_copy(update={"distillation": DistillationSettings()})
        )
        prepared = prepare_examples(
            split, tmp_path / name, base=shop.load(), training=settings, augment=AUGMENT, taught=folder
        )
        spec = make_spec(epochs=3).model_copy(
            update={
                "training": settings,
                "augment": AUGMENT,
                "examples": str(tmp_path / name),
                "examples_digest": prepared.digest,
            }
        )
        attempt = begin_attempt(tmp_path / f"work-{name}", spec)
        run_rank(attempt.folder)
        encoder = TransformerEncoder.load_saved(attempt.model)

        def cosine(queries: list[str], texts: list[str], encoder: Any = encoder) -> Any:
            return (encoder.encode_queries(queries) * encoder.encode_items(texts)).sum(axis=1)

        oak, glass = (
            cosine([*UNJUDGED], [f"{colour} {thing} steel hammer" for thing in UNJUDGED])
            for colour in ("oak", "glass")
        )
        margins.append(float((oak - glass).mean()))
    assert margins[1] > margins[0] + 0.05, margins


def test_candidates_may_be_trained_on_and_are_no_known_positives(
    split: Path, shop: Any, taught: Path, tmp_path: Path
) -> None:
    """Each pair has the teacher's score of its positive and of its query's candidates; a history has none."""
    pairs, items = read_pairs(split, "train", TRAINING), pl.read_parquet(split / "items.parquet")
    found = read_taught(taught, pairs, items, "train", 8)
    trainable = items.get_column("trainable").to_numpy()
    of_search = pairs.kinds == SEARCH
    assert (found.candidates[~of_search] == NONE).all() and np.isneginf(found.scores[~of_search, 1:]).all()
    assert np.isfinite(found.scores[of_search]).all()
    for pair in np.flatnonzero(of_search):
        known = set(pairs.known[pairs.owners[pairs.anchors[pair]]].tolist())
        candidates = found.candidates[pair].tolist()
        assert trainable[candidates].all() and not known & set(candidates)
        assert len(set(candidates)) == 8
    fewer = read_taught(taught, pairs, items, "train", 3)
    assert np.array_equal(fewer.candidates, found.candidates[:, :3])
    prepare_examples(
        split, tmp_path / "out", base=shop.load(), training=TRAINING, augment=AUGMENT, taught=taught
    )
    examples, tokens = read_examples(tmp_path / "out"), shop.load().tokenize
    texts = item_texts(items, shop.encoder.item_fields)
    assert np.array_equal(examples.taught, found.scores)
    for pair in (0, 17):
        wanted = tokens([texts[row] for row in found.candidates[pair]], "item")
        assert [examples.item_tokens[item].tolist() for item in examples.candidates[pair]] == wanted


def test_the_same_arguments_give_the_same_weights(split: Path, shop: Any) -> None:
    short = SETTINGS.model_copy(update={"epochs": 1, "judgements": 20})
    first, second = (train_teacher(split, "train", shop.base, shop.encoder, short) for _ in range(2))
    for name, weight in first.model.state_dict().items():
        assert weight.equal(second.model.state_dict()[name]), name


def test_searches_of_one_grade_teach_nothing(shop: Any) -> None:
    """The shop's own: every search has grade 3."""
    with pytest.raises(DataError, match=r"one grade only, .*; set training.distillation.weight to 0"):
        train_teacher(shop.split, "train", shop.base, shop.encoder, SETTINGS)


def test_without_searches_there_is_no_teacher(shop: Any, tmp_path: Path) -> None:
    shutil.copytree(shop.split, tmp_path / "split")
    (tmp_path / "split/train/search.parquet").unlink()
    with pytest.raises(DataError, match="there is no graded search"):
        train_teacher(tmp_path / "split", "train", shop.base, shop.encoder, SETTINGS)


def test_a_judgement_of_a_held_out_item_stops_the_teacher(split: Path, shop: Any, tmp_path: Path) -> None:
    shutil.copytree(split, tmp_path / "split")
    held_out = pl.read_parquet(split / "items.parquet").filter(~pl.col("trainable")).item(0, "item_id")
    rows = {"query": ["drill", "lamp"], "item_id": [held_out, "i00"], "grade": [3.0, 1.0]}
    pl.DataFrame(rows).write_parquet(tmp_path / "split/graded/search.parquet")
    with pytest.raises(LeakageError, match="items that may not be trained on"):
        train_teacher(tmp_path / "split", "train", shop.base, shop.encoder, SETTINGS)


def test_scores_of_other_pairs_are_refused(split: Path, taught: Path, tmp_path: Path) -> None:
    """Missing, of other queries, or of a held-out item."""
    pairs, items = read_pairs(split, "train", TRAINING), pl.read_parquet(split / "items.parquet")
    with pytest.raises(TrainingError, match=r"scores\.parquet is missing"):
        read_taught(tmp_path, pairs, items, "train", 8)
    scores = pl.read_parquet(taught / SCORES)
    scores.filter("candidate").write_parquet(tmp_path / SCORES)
    with pytest.raises(TrainingError, match="no score of"):
        read_taught(tmp_path, pairs, items, "train", 8)
    held_out = items.filter(~pl.col("trainable")).item(0, "item_id")
    scores.with_columns(item_id=pl.lit(held_out)).write_parquet(tmp_path / SCORES)
    with pytest.raises(LeakageError, match="items that may not be trained on"):
        read_taught(tmp_path, pairs, items, "train", 8)
