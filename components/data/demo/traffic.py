"""The demo shop's event log: searches with position bias, carts, purchases, and buys without a search."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from components.data.demo import sizes
from components.data.demo.catalogue import Catalogue, launch_date
from components.data.demo.departments import KINDS
from components.data.demo.shoppers import ANY, Intent, Tastes, draw_intent, intent_like, word_query

Row = dict[str, object]
WEEK_SECONDS = 7 * 24 * 3600


@dataclass
class _Log:
    """What has happened so far."""

    shop: Catalogue
    tastes: Tastes
    rng: Generator
    liking: NDArray[np.float64]
    """(users, items)"""
    of_kind: list[NDArray[np.int64]]
    """Per kind its items, oldest first."""
    asked: list[tuple[str, Intent]] = field(default_factory=list)
    bought: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    rows: list[Row] = field(default_factory=list)
    searches: int = 0

    def write(self, at: datetime, action: str, item: int, user: int, **more: object) -> None:
        customer, sku = f"C{user + 1:05d}", self.shop.rows[item]["sku"]
        self.rows.append({"happened": at, "action": action, "sku": sku, "customer": customer, **more})


def write_events(shop: Catalogue, tastes: Tastes, rng: Generator) -> list[Row]:
    """All events of all weeks in time order; columns that do not apply are left out of a row."""
    liking = np.stack([tastes.utility(user, shop) for user in range(sizes.USERS)])
    of_kind = [np.flatnonzero(shop.kind == kind) for kind in range(len(KINDS))]
    log = _Log(shop, tastes, rng, liking, of_kind)
    for week in range(1, sizes.WEEKS + 1):
        for at, is_search in _moments(week, rng):
            user = int(rng.integers(sizes.USERS))
            if is_search:
                _search(log, week, at, user)
            else:
                _buy_without_search(log, week, at, user)
    log.rows.sort(key=_happened)
    return log.rows


def _moments(week: int, rng: Generator) -> Iterator[tuple[datetime, bool]]:
    """The week's moments in time order, and whether each is a search."""
    growth = 1.0 + sizes.GROWTH * (week - 1) / max(1, sizes.WEEKS - 1)
    searches = round(sizes.SEARCHES_PER_WEEK * growth)
    total = searches + round(sizes.BROWSED_PURCHASES_PER_WEEK * growth)
    start = sizes.FIRST_MONDAY + timedelta(days=7 * (week - 1))
    # The last ten minutes stay free, so that a search's cart and purchase fall into its own week.
    seconds = np.sort(rng.integers(0, WEEK_SECONDS - 600, total))
    is_search = rng.permutation(total) < searches
    for second, search in zip(seconds.tolist(), is_search.tolist(), strict=True):
        yield start + timedelta(seconds=second), search


def _happened(row: Row) -> datetime:
    at = row["happened"]
    assert isinstance(at, datetime)
    return at


def _live_week(week: int, at: datetime) -> int:
    """The last launch that is live at `at`."""
    return week if at >= launch_date(week) else week - 1


def _search(log: _Log, week: int, at: datetime, user: int) -> None:
    rng = log.rng
    query, intent = _ask(log, week, _live_week(week, at), user)
    page = _page(log, intent, _live_week(week, at))
    log.searches += 1
    more: Row = {"session": f"S{log.searches:06d}", "search": f"Q{log.searches:06d}", "query": query}
    looks = _look_chance(len(page))
    clicked = rng.random(len(page)) < looks * _click_chance(log.shop, intent, page)
    logged = rng.random() < sizes.IMPRESSION_LOG_SHARE
    for place, item in enumerate(page.tolist()):
        shown: Row = {**more, "position": place + 1, "propensity": round(float(looks[place]), 6)}
        if logged:
            log.write(at, "impression", item, user, **shown)
        if clicked[place]:
            after = at + timedelta(seconds=5 * (place + 1))
            log.write(after, "click", item, user, **shown)
            _maybe_buy(log, after, item, user, more)


def _ask(log: _Log, week: int, live: int, user: int) -> tuple[str, Intent]:
    """Words and the wish behind them: somebody's words again, a launch's item, or by taste."""
    rng, shop = log.rng, log.shop
    if log.asked and rng.random() < sizes.REPEATED_QUERY_SHARE:
        return log.asked[int(rng.integers(len(log.asked)))]
    launched = np.flatnonzero((shop.week >= max(1, live - 1)) & (shop.week <= live))
    if len(launched) and rng.random() < sizes.LAUNCH_INSPIRED_SHARE:
        intent = intent_like(int(rng.choice(launched)), shop, rng)
    else:
        intent = draw_intent(user, log.tastes, rng)
    query = word_query(intent, week, shop.words, rng)
    log.asked.append((query, intent))
    return query, intent


def _page(log: _Log, intent: Intent, live: int) -> NDArray[np.int64]:
    """The page that the shop's old search shows: a noisy ranking that knows some of the truth, likes what
    is popular and what has just arrived, and leaves RANDOM_SLOTS to chance."""
    shop, rng = log.shop, log.rng
    items = log.of_kind[intent.kind]
    items = items[shop.week[items] <= live]
    score = _fit(shop, intent, items) + 0.15 * shop.popularity[items]
    score += sizes.ARRIVAL_BOOST * ((shop.week[items] > live - 2) & (shop.week[items] > 0))
    score += rng.gumbel(0.0, 0.2, len(items))
    page = items[np.argsort(-score, kind="stable")[: sizes.PAGE]].copy()
    listed = int(np.searchsorted(shop.week, live, side="right"))
    for place in rng.choice(len(page), min(sizes.RANDOM_SLOTS, len(page)), replace=False):
        stray = int(rng.integers(listed))
        if stray not in page:
            page[place] = stray
    return page


def _look_chance(positions: int) -> NDArray[np.float64]:
    """(positions,): P(a person looks at a position), first one 1."""
    return np.asarray(np.arange(1, positions + 1) ** -sizes.POSITION_BIAS, dtype=np.float64)


def _misses(shop: Catalogue, intent: Intent, items: NDArray[np.int64]) -> NDArray[np.int64]:
    """(items,): how many of the wishes beside the kind each item does not fulfil."""
    misses = np.zeros(len(items), dtype=np.int64)
    if intent.feature != ANY:
        misses += ~shop.feature[items, intent.feature]
    if intent.style != ANY:
        misses += shop.style[items] != intent.style
    if intent.colour != ANY:
        misses += shop.colour[items] != intent.colour
    return misses


def _fit(shop: Catalogue, intent: Intent, items: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(1.0 - 0.5 * _misses(shop, intent, items), dtype=np.float64)


def _click_chance(shop: Catalogue, intent: Intent, items: NDArray[np.int64]) -> NDArray[np.float64]:
    """(items,): P(click | looked at)."""
    asked = sum(wish != ANY for wish in (intent.feature, intent.style, intent.colour))
    misses = _misses(shop, intent, items)
    by_misses = np.full(4, sizes.CLICK_IF_KIND_FITS)
    by_misses[0] = sizes.CLICK_IF_ALL_FITS
    if asked > 1:
        by_misses[1] = sizes.CLICK_IF_ONE_MISSES
    chance: NDArray[np.float64] = np.where(
        shop.kind[items] == intent.kind, by_misses[misses], sizes.CLICK_BY_CHANCE
    )
    return chance


def _maybe_buy(log: _Log, at: datetime, item: int, user: int, more: Row) -> None:
    """After a click: into the cart, then bought, more likely where the item is to the user's taste."""
    rng = log.rng
    if rng.random() >= sizes.CART_SHARE * (1.5 if log.liking[user, item] > 4.0 else 0.8):
        return
    log.write(at + timedelta(seconds=60), "cart", item, user, **more)
    if rng.random() < sizes.PURCHASE_SHARE:
        quantity = float(rng.integers(1, 4))
        log.write(at + timedelta(seconds=240), "purchase", item, user, quantity=quantity, **more)
        log.bought[user].add(item)


def _buy_without_search(log: _Log, week: int, at: datetime, user: int) -> None:
    """A buy by taste from a category page or a mail: what the user likes and has not got."""
    shop, rng = log.shop, log.rng
    live = _live_week(week, at)
    listed = int(np.searchsorted(shop.week, live, side="right"))
    score = log.liking[user, :listed] + 0.3 * shop.popularity[:listed] + rng.gumbel(0.0, 1.0, listed)
    score += 1.0 * ((shop.week[:listed] > live - 2) & (shop.week[:listed] > 0))
    had = list(log.bought[user])
    score[had] = -np.inf
    item = int(np.argmax(score))
    session = f"B{len(log.rows):06d}"
    if rng.random() < 0.5:
        log.write(at, "view", item, user, session=session)
    quantity = float(rng.integers(1, 4))
    log.write(at + timedelta(seconds=120), "purchase", item, user, session=session, quantity=quantity)
    log.bought[user].add(item)
