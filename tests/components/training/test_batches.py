"""Batches: order is a pure function of (seed, epoch, step), shards are equal, masks and texts are right."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.contract.learning import AugmentSettings, TrainingSettings
from components.training.batches import (
    Batch,
    Step,
    _tokens,
    epoch_noise,
    epoch_plan,
    log_expected,
    rank_batch,
    steps_per_epoch,
)
from components.training.data import PairLoader
from components.training.examples import Examples
from components.training.ragged import Ragged


def _tokenize(texts: Sequence[str]) -> list[list[int]]:
    """A token per letter; distinct texts have distinct tokens."""
    return [[ord(letter) for letter in text] for text in texts]


def _examples(seed: int = 0, searches: int = 23, histories: int = 17) -> Examples:
    """12 items in 10 duplicate groups, 6 queries, 4 users; up to 2 negatives a pair, some absent."""
    rng = np.random.default_rng(seed)
    items, queries = 12, [f"query {letter}" for letter in "abcdef"]
    pairs = searches + histories
    groups = np.asarray([*range(10), 0, 1])
    positives = rng.integers(0, items, pairs)
    anchors = np.concatenate([rng.integers(0, 6, searches), 6 + np.arange(histories)])
    owners = np.concatenate([np.arange(6), 6 + rng.integers(0, 4, histories)])
    known = [
        np.unique(np.concatenate([groups[positives[owners[anchors] == owner]], rng.integers(0, 10, 1)]))
        for owner in range(10)
    ]
    return Examples(
        kinds=np.repeat([0, 1], [searches, histories]),
        anchors=anchors,
        positives=positives,
        negatives=rng.integers(-1, items, (pairs, 2)),
        owners=owners,
        weights=rng.random(pairs).astype(np.float32),
        candidates=rng.integers(-1, items, (pairs, 3)),
        taught=rng.standard_normal((pairs, 4)).astype(np.float32),
        groups=groups,
        item_tokens=Ragged.of([[100 + item, 7] for item in range(items)]),
        short_tokens=Ragged.of([[100 + item] for item in range(items)]),
        query_tokens=Ragged.of(_tokenize(queries)),
        histories=Ragged.of([rng.choice(items, rng.integers(1, 4), replace=False) for _ in range(histories)]),
        known_groups=Ragged.of(known),
        queries=tuple(queries),
        variants=tuple((f"{query} one", f"{query} two") for query in queries),
    )


def _settings(**changes: Any) -> TrainingSettings:
    return TrainingSettings(**{"batch_size": 8} | changes)


def _loader(epochs: int = 2, rank: int = 0, ranks: int = 1, **changes: Any) -> PairLoader:
    augment = AugmentSettings(typo_share=0.5, attribute_dropout=0.5)
    return PairLoader(
        _examples(), _settings(**changes), augment, _tokenize, epochs=epochs, rank=rank, ranks=ranks
    )


def _same(left: Batch, right: Batch) -> bool:
    return all(
        np.array_equal(getattr(left, name), getattr(right, name))
        if isinstance(getattr(left, name), np.ndarray)
        else getattr(left, name) == getattr(right, name)
        for name in Batch.__dataclass_fields__
    )


@given(
    searches=st.integers(0, 60),
    histories=st.integers(0, 60),
    size=st.integers(2, 20),
    ranks=st.integers(1, 3),
)
@settings(deadline=None)
def test_an_epoch_takes_every_pair_once_in_equal_shards(
    searches: int, histories: int, size: int, ranks: int
) -> None:
    """Steps are of one kind and divide by the ranks; fewer than `ranks` pairs of a kind are left out."""
    examples = _examples(1, searches, histories)
    chosen = _settings(batch_size=size)
    plan = epoch_plan(examples, chosen, 0, ranks)
    taken = np.concatenate([*plan, np.empty(0, dtype=np.int64)])
    assert len(plan) == steps_per_epoch(examples, chosen, ranks)
    assert len(np.unique(taken)) == len(taken)
    for kind, available in enumerate((searches, histories)):
        assert 0 <= available - (examples.kinds[taken] == kind).sum() < ranks
    for step in plan:
        assert len(step) % ranks == 0
        assert 0 < len(step) <= max(size, ranks)
        assert len(set(examples.kinds[step])) == 1


def test_order_depends_on_seed_and_epoch_alone() -> None:
    """The same epoch is planned alike twice; another epoch or seed is planned otherwise."""
    examples = _examples()
    plans = [
        np.concatenate(epoch_plan(examples, _settings(seed=seed), epoch, 1)).tolist()
        for seed, epoch in ((0, 1), (0, 1), (0, 2), (1, 1))
    ]
    assert plans[0] == plans[1]
    assert plans[0] not in plans[2:]


def test_a_loader_continues_where_its_state_was_taken() -> None:
    """Every step after a restored position equals the uninterrupted one, noise included, across epochs."""
    whole = list(_loader())
    for position in (3, len(whole) // 2, len(whole) - 1):
        resumed = _loader()
        resumed.load_state_dict({"position": position})
        rest = list(resumed)
        assert len(rest) == len(whole) - position
        assert all(_same(left, right) for left, right in zip(rest, whole[position:], strict=True))


def test_a_loader_counts_what_it_handed_out() -> None:
    """After k batches the state says k, and the length is that of the whole run."""
    loader = _loader()
    batches = iter(loader)
    for _ in range(4):
        next(batches)
    assert loader.state_dict() == {"position": 4}
    assert len(loader) == len(list(_loader()))


def test_shards_of_two_ranks_make_up_the_step_of_one() -> None:
    """Texts, masks and corrections of two ranks, one below the other, are those of a single rank."""
    examples = _examples(0, 24, 16)  # whole steps of eight, so that no rank changes their sizes
    noise = epoch_noise(examples, AugmentSettings(typo_share=0.5, attribute_dropout=0.5), 0, 0)
    share = log_expected(examples, 0, 1e-6)
    for number, pairs in enumerate(epoch_plan(examples, _settings(), 0, 2)):
        step = Step(number, 0, pairs)
        whole, first, second = (
            rank_batch(examples, step, noise, share, _tokenize, seed=0, rank=rank, ranks=ranks)
            for rank, ranks in ((0, 1), (0, 2), (1, 2))
        )
        for name in ("anchors", "positives", "negatives", "candidates"):
            halves = [text for half in (first, second) for text in _texts(half, getattr(half, name))]
            assert halves == _texts(whole, getattr(whole, name))
        for name in ("weights", "taught"):
            assert np.array_equal(
                np.concatenate([getattr(first, name), getattr(second, name)]), getattr(whole, name)
            )
        assert whole.weights.mean() == pytest.approx(1, rel=1e-5)
        for name in ("not_negatives", "not_anchors"):
            assert np.array_equal(
                np.vstack([getattr(first, name), getattr(second, name)]), getattr(whole, name)
            )
        assert whole.log_expected is not None
        assert np.array_equal(whole.log_expected, second.log_expected)
        assert (first.first, second.first) == (0, len(pairs) // 2)
        assert sorted(pairs) == sorted(epoch_plan(examples, _settings(), 0, 1)[number])


def test_ranks_have_about_as_many_tokens() -> None:
    """A step of eight pairs, whose items have from 1 to 59 tokens; dealt by their number alone, shards of a
    step differ more."""
    rng = np.random.default_rng(1)
    examples = replace(
        _examples(0, 80, 0),
        item_tokens=Ragged.of([list(range(length)) for length in rng.integers(1, 60, 12)]),
        negatives=np.empty((80, 0), dtype=np.int64),
        candidates=np.empty((80, 0), dtype=np.int64),
    )
    lengths = examples.item_tokens.lengths[examples.positives]
    lengths = lengths + examples.query_tokens.lengths[examples.anchors]

    def differences(plan: list[Any]) -> float:
        shards = np.asarray([lengths[pairs].reshape(2, -1).sum(axis=1) for pairs in plan])
        return float(np.abs(shards[:, 0] - shards[:, 1]).mean())

    dealt = differences(epoch_plan(examples, _settings(), 0, 2))
    assert dealt < differences(epoch_plan(examples, _settings(), 0, 1)) / 3


def test_all_that_a_pair_has_encoded_is_counted() -> None:
    """Queries, or the items of a history; positives, and hard negatives and the teacher's candidates that are
    there."""
    examples = replace(_examples(), item_tokens=Ragged.of([[7] * (item + 1) for item in range(12)]))
    queries = len(examples.query_tokens)
    for pairs in epoch_plan(examples, _settings(), 0, 2):
        for pair, tokens in zip(pairs, _tokens(examples, pairs), strict=True):
            anchor = examples.anchors[pair]
            items = [examples.positives[pair], *examples.negatives[pair], *examples.candidates[pair]]
            asked = 0
            if anchor < queries:
                asked = len(examples.query_tokens[anchor])
            else:
                items += examples.histories[anchor - queries].tolist()
            assert tokens == asked + sum(item + 1 for item in items if item >= 0)


def test_candidates_stand_beside_their_scores() -> None:
    """An absent one is read as the pair's positive, which its score takes out again."""
    examples = _examples()
    noise = epoch_noise(examples, AugmentSettings(attribute_dropout=0), 0, 0)
    for number, pairs in enumerate(epoch_plan(examples, _settings(), 0, 1)):
        batch = rank_batch(examples, Step(number, 0, pairs), noise, None, _tokenize, seed=0, rank=0, ranks=1)
        assert np.array_equal(batch.taught, examples.taught[pairs])
        for line, pair in enumerate(pairs):
            wanted = [item if item >= 0 else examples.positives[pair] for item in examples.candidates[pair]]
            found = [batch.texts[place] for place in batch.candidates[line]]
            assert found == [[100 + item, 7] for item in wanted]


def test_pairs_that_all_weigh_nothing_stay_so() -> None:
    """Of a step whose pairs all have the lowest grade, at a weight of 0, nothing is learnt: no NaN."""
    examples = replace(_examples(), weights=np.zeros(40, dtype=np.float32))
    noise = epoch_noise(examples, AugmentSettings(), 0, 0)
    step = Step(0, 0, epoch_plan(examples, _settings(), 0, 1)[0])
    batch = rank_batch(examples, step, noise, None, _tokenize, seed=0, rank=0, ranks=1)
    assert not batch.weights.any()


def _texts(batch: Batch, places: Any) -> list[list[int]]:
    return [batch.texts[place] for place in places.ravel() if place >= 0]


@pytest.mark.parametrize("seed", range(5))
def test_masks_equal_a_slow_reference(seed: int) -> None:
    """A candidate is no negative when it is absent or its group holds a known positive of the anchor's
    owner; the own positive always counts."""
    examples = _examples(seed)
    noise = epoch_noise(examples, AugmentSettings(), 0, 0)
    for number, pairs in enumerate(epoch_plan(examples, _settings(), 0, 1)):
        batch = rank_batch(examples, Step(number, 0, pairs), noise, None, _tokenize, seed=0, rank=0, ranks=1)
        candidates = [*examples.positives[pairs], *examples.negatives[pairs].ravel()]
        for i, pair in enumerate(pairs):
            known = set(examples.known_groups[examples.owners[examples.anchors[pair]]].tolist())
            for j, item in enumerate(candidates):
                masked = j != i and (item < 0 or int(examples.groups[item]) in known)
                assert batch.not_negatives[i, j] == masked
            own_group = int(examples.groups[examples.positives[pair]])
            for j, other in enumerate(pairs):
                liked = examples.known_groups[examples.owners[examples.anchors[other]]].tolist()
                assert batch.not_anchors[i, j] == (j != i and own_group in liked)


def test_each_distinct_text_is_encoded_once() -> None:
    """A batch lists no token list twice, and every position leads to the right text."""
    examples = _examples()
    silent = AugmentSettings(typo_share=0, attribute_dropout=0, synonym_share=0)
    noise = epoch_noise(examples, silent, 0, 0)
    for number, pairs in enumerate(epoch_plan(examples, _settings(), 0, 1)):
        batch = rank_batch(examples, Step(number, 0, pairs), noise, None, _tokenize, seed=0, rank=0, ranks=1)
        assert len({tuple(text) for text in batch.texts}) == len(batch.texts)
        assert _texts(batch, batch.positives) == [[100 + item, 7] for item in examples.positives[pairs]]
        for i, pair in enumerate(pairs):
            anchor = examples.anchors[pair]
            own = [batch.texts[place] for place in batch.anchors[i] if place >= 0]
            if anchor < 6:
                assert own == _tokenize([examples.queries[anchor]])
            else:
                assert own == [[100 + item, 7] for item in examples.histories[anchor - 6]]


def test_noise_depends_on_epoch_and_number_alone() -> None:
    """Typing errors and dropped attributes are repeated by (seed, epoch), at about the configured share."""
    examples = _examples(0, 2_000, 0)
    augment = AugmentSettings(typo_share=0.25, attribute_dropout=0.5)
    first, again, other = (epoch_noise(examples, augment, 5, epoch) for epoch in (0, 0, 1))
    assert np.array_equal(first.typos, again.typos)
    assert np.array_equal(first.short, again.short)
    assert not np.array_equal(first.typos, other.typos)
    assert first.typos.mean() == pytest.approx(0.25, abs=0.04)
    assert np.array_equal(first.synonyms, again.synonyms) and not np.array_equal(
        first.synonyms, other.synonyms
    )
    assert first.synonyms.mean() == pytest.approx(0.1, abs=0.03)


def test_short_items_and_mistyped_queries_reach_the_batch() -> None:
    """With shares of one every item is read without attributes and every query has one error."""
    examples = _examples(0, 16, 0)
    everything = AugmentSettings(typo_share=1, attribute_dropout=1, synonym_share=0)
    noise = epoch_noise(examples, everything, 0, 0)
    (pairs, *_) = epoch_plan(examples, _settings(), 0, 1)
    batch = rank_batch(examples, Step(0, 0, pairs), noise, None, _tokenize, seed=0, rank=0, ranks=1)
    assert _texts(batch, batch.positives) == [[100 + item] for item in examples.positives[pairs]]
    clean = _tokenize([examples.queries[anchor] for anchor in examples.anchors[pairs]])
    assert all(text != query for text, query in zip(_texts(batch, batch.anchors), clean, strict=True))


def test_queries_are_said_in_other_words() -> None:
    """With a share of one all of them, by one of their variants each, another in another epoch; a query that
    the shop knows no other words for stays."""
    examples = replace(_examples(0, 200, 0), variants=((), *_examples().variants[1:]))
    settings = AugmentSettings(typo_share=0, attribute_dropout=0, synonym_share=1)
    heard = []
    for epoch in (0, 1):
        noise, drawn = epoch_noise(examples, settings, 0, epoch), np.arange(200)
        step = Step(0, epoch, drawn)
        batch = rank_batch(examples, step, noise, None, _tokenize, seed=0, rank=0, ranks=1)
        heard.append(_texts(batch, batch.anchors))
    for anchor, *said in zip(examples.anchors, *heard, strict=True):
        known = examples.variants[anchor] or (examples.queries[anchor],)
        assert all(tokens in _tokenize(known) for tokens in said)
    assert heard[0] != heard[1]


def test_expected_shares_count_positives_and_negatives_of_a_kind() -> None:
    """The share is an item's part of all candidates of its kind; unseen items get the floor."""
    examples = _examples()
    own = examples.kinds == 0
    seen = [*examples.positives[own], *(item for item in examples.negatives[own].ravel() if item >= 0)]
    shares = np.exp(log_expected(examples, 0, 1e-6))
    for item in range(12):
        assert shares[item] == pytest.approx(max(seen.count(item) / len(seen), 1e-6), rel=1e-5)
    floored = np.exp(log_expected(examples, 0, 0.5))
    assert floored == pytest.approx(np.maximum(shares, 0.5), rel=1e-5)
