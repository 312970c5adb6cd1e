"""The demo shop's people: their tastes, what they look for, and the words they type."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from components.data.demo import sizes
from components.data.demo.catalogue import KIND_FEATURES, Catalogue, Words
from components.data.demo.departments import KINDS
from components.data.demo.vocabulary import BRANDS, COLOURS, DRIFT_WORDS, FEATURES, STYLES, Look, pick

ANY = -1
"""An intent that does not care."""


@dataclass(frozen=True)
class Tastes:
    """What every user likes: weights that add to the utility of an item."""

    kind: NDArray[np.float64]
    """(users, kinds)"""
    feature: NDArray[np.float64]
    style: NDArray[np.float64]
    colour: NDArray[np.float64]
    brand: NDArray[np.float64]

    def utility(self, user: int, shop: Catalogue) -> NDArray[np.float64]:
        """(items,): how much the user likes each item."""
        looks = self.style[user, shop.style] + self.colour[user, shop.colour] + self.brand[user, shop.brand]
        needs = (shop.feature * self.feature[user]).max(axis=1)
        utility: NDArray[np.float64] = self.kind[user, shop.kind] + needs + looks
        return utility


@dataclass(frozen=True)
class Intent:
    """What a person wants: a kind of product and perhaps a feature, a style, a colour (row numbers; ANY)."""

    kind: int
    feature: int
    style: int
    colour: int


def draw_tastes(rng: Generator) -> Tastes:
    """For each user LIKED_KINDS kinds of product, two features that serve a need of theirs (a small flat:
    foldable; a household with an infant: washable), a style, two colours, a brand."""
    kind, feature = np.zeros((sizes.USERS, len(KINDS))), np.zeros((sizes.USERS, len(FEATURES)))
    for user in range(sizes.USERS):
        liked = rng.choice(len(KINDS), sizes.LIKED_KINDS, replace=False)
        kind[user, liked] = sizes.KIND_TASTE
        on_offer = np.unique(np.concatenate([KIND_FEATURES[row] for row in liked]))
        feature[user, rng.choice(on_offer, 2, replace=False)] = sizes.FEATURE_TASTE
    return Tastes(
        kind=kind,
        feature=feature,
        style=_likes(len(STYLES), (sizes.STYLE_TASTE,), rng),
        colour=_likes(len(COLOURS), (0.5, 0.5), rng),
        brand=_likes(len(BRANDS), (1.0,), rng),
    )


def _likes(choices: int, weights: tuple[float, ...], rng: Generator) -> NDArray[np.float64]:
    """(users, choices): each user gives the weights to so many choices, drawn at random; 0 to the others."""
    order = rng.permuted(np.tile(np.arange(choices), (sizes.USERS, 1)), axis=1)
    table = np.zeros((sizes.USERS, choices))
    np.put_along_axis(table, order[:, : len(weights)], np.array(weights), axis=1)
    return table


def draw_intent(user: int, tastes: Tastes, rng: Generator) -> Intent:
    """A wish for a kind of product, one in two for a liked one; style and colour by the user's taste."""
    kind = int(rng.integers(len(KINDS)))
    if rng.random() < 0.5:
        kind = int(rng.choice(np.argsort(-tastes.kind[user], kind="stable")[: sizes.LIKED_KINDS]))
    feature, style, colour = ANY, ANY, ANY
    if rng.random() < sizes.FEATURE_SHARE:
        feature = int(rng.choice(KIND_FEATURES[kind]))
    if rng.random() < sizes.STYLE_SHARE:
        style = _by_taste(tastes.style[user], rng)
    if rng.random() < sizes.COLOUR_SHARE:
        colour = _by_taste(tastes.colour[user], rng)
    return Intent(kind, feature, style, colour)


def intent_like(item: int, shop: Catalogue, rng: Generator) -> Intent:
    """A wish that this item fulfils."""
    feature, style, colour = ANY, ANY, ANY
    if rng.random() < sizes.FEATURE_SHARE:
        feature = int(rng.choice(np.flatnonzero(shop.feature[item])))
    if rng.random() < sizes.STYLE_SHARE:
        style = int(shop.style[item])
    if rng.random() < sizes.COLOUR_SHARE:
        colour = int(shop.colour[item])
    return Intent(int(shop.kind[item]), feature, style, colour)


def word_query(intent: Intent, week: int, words: Words, rng: Generator) -> str:
    """The intent in one person's words: synonyms, word order, drift, typing errors."""
    kind = KINDS[intent.kind]
    noun = pick(kind.asked + kind.nouns[:1], rng)
    if intent.feature == ANY and intent.style == ANY and intent.colour == ANY:
        noun = pick(kind.asked, rng)
    before: list[str] = []
    after: list[str] = []
    if intent.colour != ANY:
        introduced = int(words.colour_week[intent.colour]) <= week
        before.append(_look_word(COLOURS[intent.colour], introduced, rng))
    if intent.style != ANY:
        introduced = int(words.style_week[intent.style]) <= week
        before.append(_look_word(STYLES[intent.style], introduced, rng))
    if intent.feature != ANY:
        word, goes_after = _feature_word(intent.feature, week, words, rng)
        (after if goes_after else before).append(word)
    rng.shuffle(before)
    query = " ".join([*before, noun, *after])
    if before and not after and rng.random() < 0.2:
        query = " ".join([noun, *before])
    return _typed(_drifted(query, week, rng), rng)


def _by_taste(weights: NDArray[np.float64], rng: Generator) -> int:
    weights = weights + 0.05
    return int(rng.choice(len(weights), p=weights / weights.sum()))


def _look_word(look: Look, introduced: bool, rng: Generator) -> str:
    trade = introduced and rng.random() < sizes.TRADE_QUERY_SHARE
    return pick(look.trade if trade else look.plain, rng).lower()


def _feature_word(row: int, week: int, words: Words, rng: Generator) -> tuple[str, bool]:
    """A word for the feature, and whether it goes after the noun."""
    feature = FEATURES[row]
    if words.feature_week[row] <= week and rng.random() < sizes.TRADE_QUERY_SHARE:
        return feature.trade.lower(), bool(rng.random() < 0.5)
    if rng.random() < 0.35:
        return pick(feature.said, rng), True
    return pick(feature.plain, rng), False


def _drifted(query: str, week: int, rng: Generator) -> str:
    """From DRIFT_FROM_WEEK on some queries say the new word."""
    if week < sizes.DRIFT_FROM_WEEK or rng.random() >= sizes.DRIFT_SHARE:
        return query
    return " ".join(DRIFT_WORDS.get(word, word) for word in query.split(" "))


def _typed(query: str, rng: Generator) -> str:
    """With TYPO_SHARE one letter of a longer word is dropped, doubled or swapped with the next."""
    if rng.random() >= sizes.TYPO_SHARE:
        return query
    words = query.split(" ")
    place = max(range(len(words)), key=lambda row: len(words[row]))
    word = words[place]
    if len(word) < 4:
        return query
    at = int(rng.integers(1, len(word) - 1))
    slips = (word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:], _swapped(word, at))
    words[place] = slips[int(rng.integers(3))]
    return " ".join(words)


def _swapped(word: str, at: int) -> str:
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
