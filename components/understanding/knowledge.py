"""The shop's own knowledge at query time: synonyms, the category tree, rules, and what goes with what."""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Generic, Self, TypeVar

import polars as pl

from components.contract.errors import ConfigError
from components.contract.knowledge import Accessory, KnowledgeSettings, Rule
from components.contract.task import Facet
from components.understanding.implied import Implication, Source, labels_of, plain, plain_path

MOST_VARIANTS = 8
"""Of a query by synonyms; each costs a lexical search."""
KNOWLEDGE_FILE = "knowledge.json"
T = TypeVar("T")
_WORD = re.compile(r"\w+")
Analyze = Callable[[str], Sequence[str]]
"""A word → its terms, as the lexical side cuts it; none of a stop word."""


@dataclass(frozen=True)
class _Word:
    key: tuple[str, ...]
    start: int
    end: int
    """Characters of the text."""


class Phrases(Generic[T]):
    """What phrases mean, found in a text whatever their words' endings."""

    def __init__(self, analyze: Analyze) -> None:
        self._analyze = analyze
        self._meanings: dict[tuple[tuple[str, ...], ...], list[T]] = {}
        self._longest = 0

    def add(self, phrase: str, meaning: T) -> None:
        key = tuple(word.key for word in self._words(phrase))
        if key:
            self._meanings.setdefault(key, []).append(meaning)
            self._longest = max(self._longest, len(key))

    def found(self, text: str) -> Iterator[tuple[int, int, T]]:
        """First and last character (exclusive) and the meanings of every phrase, from left to right."""
        words = self._words(text) if self._meanings else []
        for first in range(len(words)):
            for last in range(first, min(len(words), first + self._longest)):
                key = tuple(word.key for word in words[first : last + 1])
                for meaning in self._meanings.get(key, ()):
                    yield words[first].start, words[last].end, meaning

    def _words(self, text: str) -> list[_Word]:
        cut = (_Word(self._key(one.group()), *one.span()) for one in _WORD.finditer(text))
        return [word for word in cut if word.key]

    def _key(self, word: str) -> tuple[str, ...]:
        """Stemmed twice: Snowball makes "len" of lens, but "lens" of lenses."""
        return tuple(term for stem in self._analyze(word) for term in self._analyze(stem))


@dataclass(frozen=True)
class _Accessory:
    category: str
    others: tuple[str, ...]

    @classmethod
    def of(cls, given: Accessory) -> Self:
        return cls(plain_path(given.category), tuple(map(plain_path, given.of)))

    def given_up(self, told: Sequence[Implication]) -> list[Implication]:
        """What the query says of the others, where its words name the accessory and – by other words – one of
        these: "case" may be a name on both sides."""
        own = {one.because for one in told if one.source != "learned" and _is_in(_path(one), self.category)}
        of_others = [one for one in told if self._is_for(_path(one)) and one.because not in own]
        return of_others if own and any(one.source != "learned" for one in of_others) else []

    def _is_for(self, path: str) -> bool:
        """The accessory's own category may lie within another that it goes with."""
        return not _is_in(path, self.category) and any(_is_in(path, other) for other in self.others)


class Knowledge:
    """Not for use by two threads at once, as `analyze` is not."""

    def __init__(
        self, settings: KnowledgeSettings, categories: Iterable[str | None], analyze: Analyze
    ) -> None:
        """categories: of the catalogue's items."""
        self._synonyms: Phrases[tuple[str, ...]] = Phrases(analyze)
        for group in settings.synonyms:
            for phrase in group:
                self._synonyms.add(phrase, tuple(other for other in group if other != phrase))
        self._accessories = [_Accessory.of(one) for one in settings.accessories]
        self._said: Phrases[Implication] = Phrases(analyze)
        for rule in settings.rules:
            for phrase in rule.words:
                for implication in _of_rule(rule, phrase):
                    self._said.add(phrase, implication)
        if settings.tree:
            paths = {path for category in categories for path in labels_of("category", category)}
            for path in sorted(paths):
                name = path.rsplit(" > ", 1)[-1]
                self._said.add(name, Implication("category", 1.0, "tree", name, path))

    def variants(self, query: str) -> list[str]:
        """The query with one phrase replaced by a synonym, at most MOST_VARIANTS of them."""
        return [variant for variant, _ in self._replaced(query)]

    def implies(self, query: str) -> list[Implication]:
        told = [implication for _, _, implication in self._said.found(query)]
        for variant, because in self._replaced(query):
            for _, _, one in self._said.found(variant):
                if all(known.value != one.value or known.facet != one.facet for known in told):
                    told.append(_by(one, "synonym", because))
        return told

    def after_accessories(self, told: Sequence[Implication]) -> list[Implication]:
        """Without the categories that a query names only to say what an accessory is for, whoever implies
        them: "lens for a camera" is after a lens."""
        given_up = {one for accessory in self._accessories for one in accessory.given_up(told)}
        return [one for one in told if one not in given_up]

    def _replaced(self, query: str) -> Iterator[tuple[str, str]]:
        """Variants, and what was replaced: "sofa for couch"."""
        found = (
            (f"{query[:start]}{other}{query[end:]}", f"{other} for {query[start:end]}")
            for start, end, others in self._synonyms.found(query)
            for other in others
        )
        return islice(found, MOST_VARIANTS)


def check_knowledge(settings: KnowledgeSettings, items: pl.DataFrame) -> None:
    """Raises ConfigError for a rule, or an accessory, that names what no item of the catalogue has."""
    for number, rule in enumerate(settings.rules, start=1):
        for facet, value in _labels(rule):
            _require(items, facet, value, f"rule {number} ({rule.words[0]!r}) implies")
    for number, accessory in enumerate(settings.accessories, start=1):
        for category in (accessory.category, *accessory.of):
            _require(items, "category", plain_path(category), f"accessory {number} names")
    goes_with = {
        (one.category, other) for one in map(_Accessory.of, settings.accessories) for other in one.others
    }
    for category, other in sorted(goes_with):
        if (other, category) in goes_with:
            told = f"{category!r} is an accessory of {other!r}, and the other way round"
            raise ConfigError(f"knowledge: {told}; keep one of the two.")


def _require(items: pl.DataFrame, facet: Facet, value: str, who: str) -> None:
    known = {label for text in items.get_column(facet).unique() for label in labels_of(facet, text)}
    if value not in known:
        close = difflib.get_close_matches(value, sorted(known), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else "."
        told = f"{who} the {_NAMES[facet]} {value!r}"
        raise ConfigError(f"knowledge: {told}, which no item has{hint}")


_NAMES: dict[Facet, str] = {"category": "category", "brand": "brand", "attributes": "attribute"}


def _labels(rule: Rule) -> list[tuple[Facet, str]]:
    given: list[tuple[Facet, str]] = [("attributes", plain(one)) for one in rule.attributes]
    if rule.brand is not None:
        given.append(("brand", plain(rule.brand)))
    if rule.category is not None:
        given.append(("category", plain_path(rule.category)))
    return given


def _of_rule(rule: Rule, phrase: str) -> list[Implication]:
    told = [Implication(facet, rule.probability, "rule", phrase, value) for facet, value in _labels(rule)]
    if rule.min_price is not None or rule.max_price is not None:
        band = Implication("price", rule.probability, "rule", phrase, low=rule.min_price, high=rule.max_price)
        told.append(band)
    return told


def _path(one: Implication) -> str:
    """Of the category that it implies; of another facet none."""
    return (one.value or "") if one.facet == "category" else ""


def _is_in(path: str, category: str) -> bool:
    """Both as `plain_path` writes them; also where it is the category itself."""
    return path == category or path.startswith(f"{category} > ")


def _by(one: Implication, source: Source, because: str) -> Implication:
    return Implication(one.facet, one.probability, source, because, one.value, one.low, one.high)
