"""Prepared examples: tokens, renumbered items, mined negatives."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl
import pytest

from components.contract.digests import sha256_json
from components.contract.errors import TrainingError
from components.contract.knowledge import KnowledgeSettings
from components.contract.learning import AugmentSettings, TrainingSettings
from components.contract.settings import Settings, changed, section_of
from components.contract.tuning import WHOLE, Parameter
from components.encoder.texts import item_texts
from components.training.examples import Examples, read_examples
from components.training.pairs import RECOMMENDATION, read_pairs
from components.training.prepare import SEARCHED, grade_weights, prepare_examples
from components.training.spec import TrainingSpec, read_spec, write_spec


def _prepare(
    shop: Any,
    out: Path,
    *,
    champion: Any = None,
    vectors: Any = None,
    knowledge: KnowledgeSettings | None = None,
    **augment: Any,
) -> Examples:
    prepare_examples(
        shop.split,
        out,
        base=shop.load(),
        training=TrainingSettings(),
        augment=AugmentSettings(**augment),
        champion=champion,
        item_vectors=vectors,
        knowledge=knowledge,
    )
    return read_examples(out)


def test_examples_hold_the_tokens_of_their_texts(shop: Any, tmp_path: Path) -> None:
    """Whatever the new numbering, each pair leads to the tokens of its query or history and of its item."""
    examples = _prepare(shop, tmp_path / "examples")
    pairs = read_pairs(shop.split, "train", TrainingSettings())
    items, encoder = pl.read_parquet(shop.split / "items.parquet"), shop.load()
    full = encoder.tokenize(item_texts(items, shop.encoder.item_fields), "item")
    short = encoder.tokenize(item_texts(items, ["title"]), "item")
    queries = encoder.tokenize(pairs.queries, "query")
    for number in range(len(pairs)):
        item, row = examples.positives[number], pairs.positives[number]
        assert examples.item_tokens[item].tolist() == full[row]
        assert examples.short_tokens[item].tolist() == short[row]
        anchor = int(examples.anchors[number])
        if pairs.kinds[number] == RECOMMENDATION:
            history = examples.histories[anchor - len(queries)]
            past = pairs.histories[anchor - len(queries)]
            assert [examples.item_tokens[i].tolist() for i in history] == [full[row] for row in past]
        else:
            assert examples.query_tokens[anchor].tolist() == queries[anchor]


def test_queries_keep_their_other_words(shop: Any, tmp_path: Path) -> None:
    """Those that the shop's synonyms give; none without any."""
    plain = _prepare(shop, tmp_path / "plain")
    assert set(plain.variants) == {()} and len(plain.variants) == len(plain.queries)
    word = plain.queries[0].split()[0]
    known = KnowledgeSettings.model_validate({"synonyms": [[word, "other word"]]})
    examples = _prepare(shop, tmp_path / "known", knowledge=known)
    assert examples.variants[0] == (examples.queries[0].replace(word, "other word", 1),)
    assert sum(map(bool, examples.variants)) < len(examples.queries)


def test_other_words_never_make_a_judged_query(shop: Any, tmp_path: Path) -> None:
    """It would be learned with its answer, whatever its spelling."""
    plain = _prepare(shop, tmp_path / "plain")
    word = plain.queries[0].split()[0]
    known = KnowledgeSettings.model_validate({"synonyms": [[word, "other word", "third"]]})
    split = shutil.copytree(shop.split, tmp_path / "split")
    judged = plain.queries[0].replace(word, "other word", 1)
    path = split / "test" / "requests.parquet"
    requests = pl.read_parquet(path)
    one = requests.head(1).with_columns(request_id=pl.lit(judged), text=pl.lit(judged.upper()))
    pl.concat([requests, one]).write_parquet(path)
    examples = _prepare(replace(shop, split=split), tmp_path / "known", knowledge=known)
    assert examples.variants[0] == (examples.queries[0].replace(word, "third", 1),)


def test_a_low_grade_weighs_less() -> None:
    """Linear from the lowest to the highest grade there is; what has no grade weighs 1; one grade, no
    difference."""
    grades = np.asarray([2.0, 3.0, 2.5, np.nan])
    assert grade_weights(grades, 0.2).tolist() == pytest.approx([0.2, 1.0, 0.6, 1.0])
    assert grade_weights(grades, 1.0).tolist() == [1.0] * 4
    for alike in (np.full(3, 2.0), np.full(3, np.nan), np.empty(0)):
        assert grade_weights(alike, 0.2).tolist() == [1.0] * len(alike)


def test_duplicates_share_a_group(shop: Any, tmp_path: Path) -> None:
    """The catalogue's twin items have one group number, and it is among the known ones of their queries."""
    examples = _prepare(shop, tmp_path / "examples")
    assert len(np.unique(examples.groups)) == len(examples.groups) - 1
    for anchor, item in zip(examples.anchors, examples.positives, strict=True):
        assert examples.groups[item] in examples.known_groups[examples.owners[anchor]]


def test_mined_negatives_are_trainable_and_no_positives(shop: Any, tmp_path: Path) -> None:
    """Every mined item may be trained on and lies in no group that the anchor's owner likes."""
    prepared = _prepare(shop, tmp_path / "examples", champion=shop.load(), hard_negatives=2, mining_depth=40)
    assert prepared.negatives.shape == (len(prepared), 2)
    assert (prepared.negatives >= 0).any()
    for anchor, negatives in zip(prepared.anchors, prepared.negatives, strict=True):
        liked = set(prepared.known_groups[prepared.owners[anchor]].tolist())
        assert not liked & {int(prepared.groups[item]) for item in negatives if item >= 0}


def test_vectors_at_hand_give_the_same_negatives(shop: Any, tmp_path: Path) -> None:
    """The champion's vectors of the whole catalogue replace encoding it here."""
    encoder = shop.load()
    texts = item_texts(pl.read_parquet(shop.split / "items.parquet"), shop.encoder.item_fields)
    vectors = encoder.encode_items(texts)
    here = _prepare(shop, tmp_path / "here", champion=encoder)
    given = _prepare(shop, tmp_path / "given", champion=encoder, vectors=vectors)
    assert np.array_equal(here.negatives, given.negatives)
    with pytest.raises(ValueError, match="3 rows for 50 items"):
        _prepare(shop, tmp_path / "wrong", champion=encoder, vectors=vectors[:3])


def test_preparing_twice_gives_the_same_bytes(shop: Any, tmp_path: Path) -> None:
    """The digest names the examples: equal settings, equal digest; another seed, another digest."""
    encoder = shop.load()
    digests = [
        prepare_examples(
            shop.split,
            tmp_path / name,
            base=encoder,
            training=TrainingSettings(seed=seed, max_pairs=60),
            augment=AugmentSettings(),
            champion=encoder,
        ).digest
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_counts_tell_kinds_and_filters(shop: Any, tmp_path: Path) -> None:
    """The record says how many pairs of each kind there are and what the filters dropped."""
    prepared = prepare_examples(
        shop.split,
        tmp_path / "examples",
        base=shop.load(),
        training=TrainingSettings(),
        augment=AugmentSettings(),
        champion=shop.load(),
    )
    examples = read_examples(tmp_path / "examples")
    assert prepared.pairs == {"search": 94, "recommendation": 48}
    assert sum(prepared.pairs.values()) == prepared.available_pairs == len(examples)
    assert prepared.mined["known_positive"] > 0
    assert prepared.mined["duplicate_of_positive"] > 0


def test_missing_examples_are_named(tmp_path: Path) -> None:
    """A folder without examples is a clear error."""
    with pytest.raises(TrainingError, match=r"examples\.safetensors is missing"):
        read_examples(tmp_path)


def test_a_specification_survives_its_file(make_spec: Any, tmp_path: Path) -> None:
    """What is written is what is read; a damaged file is a clear error."""
    spec = make_spec()
    path = write_spec(tmp_path / "spec.json", spec)
    assert read_spec(path, TrainingSpec) == spec
    path.write_text('{"base": 1}')
    with pytest.raises(TrainingError, match="is no training specification"):
        read_spec(path, TrainingSpec)


def test_trials_that_differ_in_other_parameters_share_their_examples(shop: Any, tmp_path: Path) -> None:
    """Every searched parameter that is not in SEARCHED, doubled or halved, gives the same bytes."""
    settings = Settings.model_validate({"shop": "demo", "tables": {"items": "SELECT 1"}})
    encoder = shop.load()

    def digest(found: Settings) -> str:
        return prepare_examples(
            shop.split,
            tmp_path / sha256_json(found.model_dump(mode="json")),
            base=encoder,
            training=found.training,
            augment=found.augment,
            champion=encoder,
        ).digest

    known = digest(settings)
    for name in get_args(Parameter):
        value = getattr(getattr(settings, section_of(name)), name) or 0.1
        other = value // 2 if name in WHOLE and value > 1 else 2 if name in WHOLE else value / 2
        if name not in SEARCHED:
            assert digest(changed(settings, {name: other})) == known, name
    assert digest(changed(settings, {"hard_negatives": 2})) != known
