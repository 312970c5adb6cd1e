"""Why a new item is not found, and what a merchandiser can try."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from components.contract.ports import Vectors
from components.encoder.word_pieces import Pieces
from components.evaluation.catalogue_words import CatalogueWords, is_number, word_count
from components.evaluation.likely_queries import MOST_WORDS
from components.evaluation.undiscoverable_report import DEPTH, Reason
from components.index.postings import tokens

Filtered = Callable[[str], str | None]
"""item_id → why the shop's default filters hide it ("not in stock"); None: they do not."""

LEAST_TITLE_WORDS = 2
UNKNOWN_PIECES = 4
"""A word of so many pieces was hardly seen when the tokenizer was made."""
NEAR_COSINE = 0.95
NEAR_SHARED_WORDS = 0.8
"""Shared words ÷ words of both (Jaccard), numbers left out: one word of ten may differ."""
LEADERS = 3
MISSING_WORDS = 3
SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class Attempt:
    """The best that the likely queries of a catalogue row gave."""

    row: int
    query: str | None
    place: int | None
    """From 1; None beyond the depth that was searched."""
    top: tuple[int, ...]
    """Rows that hold the first k places of `query`, best first."""


@dataclass(frozen=True)
class Explanation:
    reason: Reason
    fix: str
    crowding: tuple[int, ...]
    """Rows that stand before the item; see UndiscoverableItem.crowding."""


class Explainer:
    """Gives an undiscoverable item the first reason that holds, in the order of REASONS.

    unknown_words, filtered: without them these reasons are not looked for. vectors: (items, d) unit vectors
    of the catalogue; without them near-duplicates are told by their duplicate group and words alone.
    """

    def __init__(
        self,
        items: pl.DataFrame,
        fields: Sequence[str],
        *,
        vectors: Vectors | None = None,
        unknown_words: Pieces | None = None,
        filtered: Filtered | None = None,
    ) -> None:
        self._ids = items.get_column("item_id").to_list()
        self._groups = items.get_column("group").to_list() if "group" in items.columns else None
        self._words = CatalogueWords(items, fields)
        self._vectors, self._unknown_words, self._filtered = vectors, unknown_words, filtered

    def explain(self, attempt: Attempt) -> Explanation:
        found = (
            self._no_title(attempt)
            or self._unknown(attempt)
            or self._hidden(attempt)
            or self._near_duplicates(attempt)
            or self._outranked(attempt)
        )
        why = self._filtered(self._ids[attempt.row]) if self._filtered else None
        if why is None or found.reason == "filtered":
            return found
        return Explanation(found.reason, f"{found.fix} It is hidden as well: {why}.", found.crowding)

    def _no_title(self, attempt: Attempt) -> Explanation | None:
        count = word_count(self._words.titles[attempt.row])
        if count >= LEAST_TITLE_WORDS:
            return None
        has = "1 word" if count else "no word that search can use"
        fix = f"Title has {has}: add brand, kind of product and a distinguishing property."
        return Explanation("no title", fix, attempt.top[:LEADERS])

    def _unknown(self, attempt: Attempt) -> Explanation | None:
        """Most of the title's telling words are unknown to the tokenizer."""
        if self._unknown_words is None:
            return None
        telling = self._words.most_telling(self._words.titles[attempt.row], MOST_WORDS)
        words = list(dict.fromkeys(w for text in telling for w in tokens(text) if not is_number(w)))
        pieces = {word: self._unknown_words(word) for word in words}
        unknown = [word for word, count in pieces.items() if count == 0 or count >= UNKNOWN_PIECES]
        if 2 * len(unknown) <= len(words):
            return None
        fix = (
            f"The search model hardly knows {_listed(unknown)}: add plain words for the kind of product, its "
            "material and its use to the title."
        )
        return Explanation("unknown words", fix, attempt.top[:LEADERS])

    def _hidden(self, attempt: Attempt) -> Explanation | None:
        why = self._filtered(self._ids[attempt.row]) if self._filtered else None
        if why is None:
            return None
        fix = f"Hidden where results are filtered ({why}): change that first; words help where it is shown."
        return Explanation("filtered", fix, attempt.top[:LEADERS])

    def _near_duplicates(self, attempt: Attempt) -> Explanation | None:
        """Half of the places or more are held by items that are nearly this one."""
        near = tuple(row for row in attempt.top if self._nearly_equal(attempt.row, row))
        if not near or 2 * len(near) < len(attempt.top):
            return None
        fix = (
            f"{len(near)} of the first {len(attempt.top)} places for {_quoted(attempt.query or '')} are held "
            f"by near-copies ({self._named(near[:LEADERS])}): say in the title what only this item has "
            "(size, colour, pack), or list them as variants of one product."
        )
        return Explanation("near-duplicates", fix, near)

    def _nearly_equal(self, row: int, other: int) -> bool:
        if self._groups is not None and self._groups[row] == self._groups[other]:
            return True
        if self._vectors is not None and float(self._vectors[row] @ self._vectors[other]) > NEAR_COSINE:
            return True
        left, right = self._plain_words(row), self._plain_words(other)
        return len(left & right) >= NEAR_SHARED_WORDS * len(left | right) > 0

    def _plain_words(self, row: int) -> frozenset[str]:
        """The words of an item's text without numbers (with them where there is nothing else): two sizes of
        one product are near-copies."""
        words = self._words.words_of(row)
        return frozenset(word for word in words if not is_number(word)) or words

    def _outranked(self, attempt: Attempt) -> Explanation:
        leaders = attempt.top[:LEADERS]
        if attempt.query is None or not leaders:
            fix = "Its queries find nothing at all: check that the item is in the index, words and all."
            return Explanation("outranked", fix, ())
        place = f"in place {attempt.place}" if attempt.place else f"not in the first {DEPTH} places"
        missing = self._missing_words(attempt.row, attempt.query, leaders)
        advice = (
            f"Their titles say {_listed(missing)}, this item nowhere: add what is true of it."
            if missing
            else "Add to the title what these do not offer: size, material, use, what it fits."
        )
        fix = f"For {_quoted(attempt.query)} it is {place}, led by {self._named(leaders)}. {advice}"
        return Explanation("outranked", fix, leaders)

    def _missing_words(self, row: int, query: str, leaders: Sequence[int]) -> list[str]:
        """Up to three words that most of the leaders' titles hold and the item does not: those of the query
        first, then those that more items hold, because the rare ones are names of other brands and series."""
        titles = [set(tokens(self._words.titles[leader])) for leader in leaders]
        asked = set(tokens(query))
        common = {
            word
            for word in set().union(*titles) - self._words.words_of(row)
            if not is_number(word) and 2 * sum(word in title for title in titles) > len(titles) > 1
        }
        order = {word: (word not in asked, -self._words.items_holding(word), word) for word in common}
        return sorted(common, key=lambda word: order[word])[:MISSING_WORDS]

    def _named(self, rows: Sequence[int]) -> str:
        return ", ".join(f"{_quoted(self._words.titles[row])} ({self._ids[row]})" for row in rows)


def _quoted(text: str) -> str:
    shown = text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1].rstrip() + "…"
    return f"“{shown}”"


def _listed(words: Sequence[str]) -> str:
    """ "“a”, “b” and “c”"."""
    quoted = [_quoted(word) for word in words]
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)
