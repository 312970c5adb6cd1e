"""Noise as people and suppliers make it: one typing error in a query, an item without its attributes.

Everything random comes from the generator that is handed in, so the caller decides what a
corruption depends on.
"""

import re
from collections.abc import Sequence

import numpy as np

# Left, right, above and below on a QWERTY keyboard; letters outside it are dropped or doubled instead.
NEIGHBOURS = {
    "q": "wa", "w": "qes", "e": "wrd", "r": "etf", "t": "ryg", "y": "tuh", "u": "yij", "i": "uok", "o": "ipl",
    "p": "ol", "a": "qsz", "s": "awdx", "d": "sefc", "f": "drgv", "g": "fthb", "h": "gyjn", "j": "hukm",
    "k": "jil", "l": "kop", "z": "axs", "x": "zsc", "c": "xdv", "v": "cfb", "b": "vgn", "n": "bhm",
    "m": "njk",
}  # fmt: skip
ATTRIBUTE_FIELDS = frozenset({"brand", "category", "attributes"})
_WORD = re.compile(r"[^\W\d_]{3,}")  # letters only: sizes and units ("2x4", "ft") stay as they are


def typos(text: str, rng: np.random.Generator) -> str:
    """`text` with one typing error: two letters swapped, one dropped, doubled or hit on a neighbouring key.

    The error falls on a letter of a word of three letters or more, never on a digit or a unit; a text
    without such a word comes back as it is.
    """
    letters = [place for word in _WORD.finditer(text) for place in range(*word.span())]
    if not letters:
        return text
    place = letters[int(rng.integers(len(letters)))]
    errors = (_swapped, _dropped, _doubled, _neighbouring)
    for number in rng.permutation(len(errors)):
        changed = errors[int(number)](text, place, rng)
        if changed != text:
            return changed
    raise AssertionError("dropping a letter always changes a text")


def drop_attributes(fields: Sequence[str]) -> tuple[str, ...]:
    """The item fields that are left without brand, category and attributes; all of them if none would be.

    Training reads an item's text from these fields instead of the full ones in `attribute_dropout` of
    the cases, so that a new item is found before its attributes are filled in.
    """
    kept = tuple(field for field in fields if field not in ATTRIBUTE_FIELDS)
    return kept or tuple(fields)


def _swapped(text: str, place: int, rng: np.random.Generator) -> str:  # noqa: ARG001 – one signature for all
    if place + 1 >= len(text) or not text[place + 1].isalpha():
        return text
    return text[:place] + text[place + 1] + text[place] + text[place + 2 :]


def _dropped(text: str, place: int, rng: np.random.Generator) -> str:  # noqa: ARG001 – one signature for all
    return text[:place] + text[place + 1 :]


def _doubled(text: str, place: int, rng: np.random.Generator) -> str:  # noqa: ARG001 – one signature for all
    return text[: place + 1] + text[place:]


def _neighbouring(text: str, place: int, rng: np.random.Generator) -> str:
    keys = NEIGHBOURS.get(text[place].lower(), "")
    if not keys:
        return text
    key = keys[int(rng.integers(len(keys)))]
    return text[:place] + (key.upper() if text[place].isupper() else key) + text[place + 1 :]
