"""The demo shop's items: what each one truly is (arrays), and the words it is listed under."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from components.data.demo import sizes
from components.data.demo.departments import DEPARTMENTS, KINDS
from components.data.demo.vocabulary import BRANDS, COLOURS, FEATURES, STYLES, pick

FEATURE_ROW = {feature.name: row for row, feature in enumerate(FEATURES)}
KIND_DEPARTMENT = np.array([DEPARTMENTS.index(kind.department) for kind in KINDS])
KIND_FEATURES = [np.array([FEATURE_ROW[name] for name in kind.features]) for kind in KINDS]


@dataclass(frozen=True)
class Words:
    """When each trade word exists: the launch week (1-based) that introduces it; 0: before the log."""

    feature_week: NDArray[np.int64]
    style_week: NDArray[np.int64]
    colour_week: NDArray[np.int64]


@dataclass(frozen=True)
class Catalogue:
    """n items in the order in which they were listed. The arrays are the truth that people's acts follow;
    `rows` is what the shop's files say."""

    kind: NDArray[np.int64]
    feature: NDArray[np.bool_]
    """(n, features)"""
    style: NDArray[np.int64]
    colour: NDArray[np.int64]
    brand: NDArray[np.int64]
    week: NDArray[np.int64]
    """Launch week, 1-based; 0: old stock."""
    popularity: NDArray[np.float64]
    quality: NDArray[np.float64]
    """0 to 1: how content its buyers are."""
    rows: list[dict[str, object]]
    words: Words

    @property
    def department(self) -> NDArray[np.int64]:
        return KIND_DEPARTMENT[self.kind]

    @property
    def ids(self) -> list[str]:
        return [str(row["sku"]) for row in self.rows]


def launch_date(week: int) -> datetime:
    """When the launch of a week (1-based) goes live."""
    return sizes.FIRST_MONDAY + timedelta(days=7 * (week - 1), hours=sizes.LAUNCH_HOUR)


def introduce_words(rng: Generator) -> Words:
    """Spreads the trade words over the launches; the last LATE_WORDS features come in the last two weeks."""

    def weeks(count: int) -> NDArray[np.int64]:
        return rng.permutation(np.arange(count) * sizes.LAST_TRADE_WORD_WEEK // count)

    feature_week = weeks(len(FEATURES))
    late = rng.choice(len(FEATURES), sizes.LATE_WORDS, replace=False)
    feature_week[late] = sizes.WEEKS - 1 + np.arange(sizes.LATE_WORDS) % 2
    return Words(feature_week, weeks(len(STYLES)), weeks(len(COLOURS)))


def build_catalogue(rng: Generator) -> Catalogue:
    """Old stock, then one launch after the other; every title is unique."""
    words = introduce_words(rng)
    weeks = [0] * sizes.OLD_STOCK_ITEMS
    for week in range(1, sizes.WEEKS + 1):
        weeks += [week] * sizes.LAUNCH_ITEMS
    truths = _draw_truths(weeks, rng)
    listed = _listing_dates(weeks, rng)
    titles: set[str] = set()
    rows = [
        _listing(number, truth, listed[number], words, titles, rng) for number, truth in enumerate(truths)
    ]
    feature = np.zeros((len(weeks), len(FEATURES)), dtype=np.bool_)
    for number, truth in enumerate(truths):
        feature[number, list(truth.features)] = True
    return Catalogue(
        kind=np.array([truth.kind for truth in truths]),
        feature=feature,
        style=np.array([truth.style for truth in truths]),
        colour=np.array([truth.colour for truth in truths]),
        brand=np.array([truth.brand for truth in truths]),
        week=np.array(weeks),
        popularity=rng.gamma(2.0, 0.5, len(weeks)),
        quality=rng.beta(5.0, 2.0, len(weeks)),
        rows=rows,
        words=words,
    )


@dataclass(frozen=True)
class _Truth:
    week: int
    kind: int
    features: tuple[int, ...]
    style: int
    colour: int
    brand: int
    variant: bool
    """The same product as the item before, in another colour."""


def _draw_truths(weeks: list[int], rng: Generator) -> list[_Truth]:
    brand_departments = [rng.choice(len(DEPARTMENTS), 2, replace=False) for _ in BRANDS]
    brand_styles = [rng.choice(len(STYLES), 2, replace=False) for _ in BRANDS]
    truths: list[_Truth] = []
    for week in weeks:
        before = truths[-1] if truths else None
        if before and before.week == week and rng.random() < sizes.VARIANT_SHARE:
            truths.append(_recoloured(before, rng))
            continue
        kind = _draw_kind(week, rng)
        brand = _draw_brand(kind, brand_departments, rng)
        own_style = rng.random() < 0.6
        style = int(rng.choice(brand_styles[brand])) if own_style else int(rng.integers(len(STYLES)))
        features = rng.choice(KIND_FEATURES[kind], int(rng.integers(1, 3)), replace=False)
        colour = int(rng.integers(len(COLOURS)))
        truths.append(_Truth(week, kind, tuple(features.tolist()), style, colour, brand, variant=False))
    return truths


def _recoloured(item: _Truth, rng: Generator) -> _Truth:
    colour = (item.colour + int(rng.integers(1, len(COLOURS)))) % len(COLOURS)
    return _Truth(item.week, item.kind, item.features, item.style, colour, item.brand, variant=True)


def _draw_kind(week: int, rng: Generator) -> int:
    """Old stock: any kind. A launch: the kinds of the departments whose turn it is."""
    if week == 0:
        return int(rng.integers(len(KINDS)))
    turn = (week + np.arange(sizes.LAUNCH_DEPARTMENTS) * 2) % len(DEPARTMENTS)
    return int(rng.choice(np.flatnonzero(np.isin(KIND_DEPARTMENT, turn))))


def _draw_brand(kind: int, brand_departments: list[NDArray[np.int64]], rng: Generator) -> int:
    department = KIND_DEPARTMENT[kind]
    makers = [brand for brand, departments in enumerate(brand_departments) if department in departments]
    return int(rng.choice(makers)) if makers else int(rng.integers(len(BRANDS)))


def _listing_dates(weeks: list[int], rng: Generator) -> list[datetime]:
    old = sizes.FIRST_MONDAY - timedelta(days=730)
    days = np.sort(rng.integers(0, 720, weeks.count(0)))
    dates = [old + timedelta(days=int(day), hours=9) for day in days]
    return dates + [launch_date(week) for week in weeks if week]


def _listing(
    number: int, truth: _Truth, listed_at: datetime, words: Words, titles: set[str], rng: Generator
) -> dict[str, object]:
    """The item as the shop's feed has it; `titles` holds the titles given so far and gains this one."""
    kind = KINDS[truth.kind]
    title = _title(truth, words, rng)
    while title in titles:
        title = f"{title.removesuffix(' II')} {_mark(rng)}"
    titles.add(title)
    colour = COLOURS[truth.colour]
    in_trade_words = _says_trade_word(truth.week, int(words.colour_week[truth.colour]), rng)
    price = kind.price * float(np.exp(rng.normal(0.0, 0.35)))
    material = pick(kind.materials, rng)
    return {
        "sku": f"D{number + 1:05d}",
        "family": f"F{number + 1 - truth.variant:05d}",
        "name": title,
        "maker": BRANDS[truth.brand],
        "shelf": [kind.department, kind.shelf],
        "price": f"{price:.2f}",  # a text, as many feeds have it
        "properties": [
            {"name": "colour", "value": colour.trade[0] if in_trade_words else colour.plain[0]},
            {"name": "material", "value": material},
        ],
        "text": _description(kind.department, material, rng),
        "listed": listed_at.isoformat(),
    }


def _mark(rng: Generator) -> str:
    """A series mark that makes a title unique."""
    return f"{rng.choice(list('ABCDEFGHKLMNPRST'))}{rng.integers(2, 100)}"


def _says_trade_word(week: int, introduced: int, rng: Generator) -> bool:
    """Whether a listing of launch `week` uses a trade word introduced in week `introduced`."""
    share = sizes.TRADE_WORD_SHARE_LAUNCH if week else sizes.TRADE_WORD_SHARE_OLD
    return introduced <= week and bool(rng.random() < share)


def _title(truth: _Truth, words: Words, rng: Generator) -> str:
    """Style, noun, features: "Halvenne Lounger Tindrel" (launch) or "Nordic folding deck chair" (old)."""
    style = STYLES[truth.style]
    named = _says_trade_word(truth.week, int(words.style_week[truth.style]), rng)
    look = pick(style.trade if named else style.plain, rng)
    noun = pick(KINDS[truth.kind].nouns, rng)
    before, after = [], []
    for row in truth.features:
        if _says_trade_word(truth.week, int(words.feature_week[row]), rng):
            after.append(FEATURES[row].trade)
        else:
            before.append(pick(FEATURES[row].plain, rng))
    title = " ".join([look, *before, noun, *after])
    return title[0].upper() + title[1:]


_MOODS = (
    "Made for every day and for the days that matter.", "A companion that ages well.",
    "Small details, long life.", "Drawn in our own studio, made in small series.",
    "For people who buy once.", "Looks at home wherever you put it.", "Tested by our own team for a season.",
)  # fmt: skip


def _description(department: str, material: str, rng: Generator) -> str:
    """Says nothing of features, style or colour: many feeds' descriptions are like that."""
    mood = pick(_MOODS, rng)
    width, height = rng.integers(12, 180, 2)
    return f"{mood} {material.capitalize()}, {width} × {height} cm. From our {department.lower()} range."
