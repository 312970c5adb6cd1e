"""The pages `/` and `/why`: what a merchandiser sees of both releases, whatever titles and queries hold."""

import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest

from components.contract.errors import PromotionError
from components.service import comparison
from components.service.releases import Challenger

STRICT = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)


def _column(html: str, name: str) -> str:
    """One of the two rankings."""
    return re.search(rf'<section aria-labelledby="{name}-heading">.*?</section>', html, re.DOTALL)[0]


def _titles(column: str) -> list[str]:
    return [unescape(title) for title in re.findall(r'<p class="title"><bdi>(.*?)</bdi>', column)]


def test_both_releases_are_shown_with_what_differs(page_shop: Callable[..., Any]) -> None:
    """The columns are the two releases' own rankings; places and items that differ are marked in words."""
    shop = page_shop()
    html = shop.page("/", q="green mug")
    champion, other = (_column(html, name) for name in ("champion", "challenger"))
    api = shop.get("/search", q="green mug").json()["results"]
    assert _titles(champion) == [hit["title"] for hit in api]
    assert len(_titles(other)) == 10 and _titles(other) != _titles(champion)
    assert "Previous champion" in other and "serves now" in champion
    for title in _titles(other):
        there = title in _titles(champion)
        moved = _titles(other).index(title) - _titles(champion).index(title) if there else 0
        row = next(row for row in other.split("<li") if f"<bdi>{title}</bdi>" in unescape(row))
        wanted = "same place" if there and not moved else f"{abs(moved)} {'down' if moved > 0 else 'up'};"
        assert (wanted if there else "only here; champion: place") in row
    only = set(_titles(champion)) - set(_titles(other))
    assert champion.count("only here; previous champion: place") == len(only)


def test_new_items_say_so_and_every_item_says_its_age(page_shop: Callable[..., Any]) -> None:
    """NEW stands at items listed since the cut-off, and at no other; the summary counts them."""
    shop = page_shop()
    column = _column(shop.page("/", q="green mug"), "champion")
    for row in column.split("<li")[1:]:
        new = "<bdi>green" in row
        assert ('<span class="new">NEW</span>' in row) == new
        assert re.search(r"<span>(listed (today|yesterday|\d+ \w+ ago)|no listing date)</span>", row)
    html = shop.page("/", q="green mug")
    shown = column.count('class="new"')
    assert f"New items among the first 10: <strong>{shown}</strong> from the champion" in html


def test_a_live_item_is_found_in_both_columns(page_shop: Callable[..., Any]) -> None:
    """The second release knows what was PUT before and after it was loaded, and forgets what is deleted."""
    shop = page_shop()
    listed = (datetime.now(UTC) - timedelta(days=3)).isoformat()
    shop.service.put({"item_id": "live-1", "title": "folding drill", "listed_at": listed, "in_stock": False})
    assert all(title in shop.page("/", q="folding drill") for title in ("folding drill", "listed 3 days ago"))
    shop.service.put({"item_id": "live-2", "title": "solid hammer"})
    html = shop.page("/", q="solid hammer")
    for name in ("champion", "challenger"):
        assert "solid hammer" in _titles(_column(html, name))
        assert "out of stock" in _column(shop.page("/", q="folding drill"), name)
    shop.service.delete("live-2")
    assert "<bdi>solid hammer</bdi>" not in shop.page("/", q="solid hammer")


def test_searches_of_the_page_are_no_traffic(page_shop: Callable[..., Any]) -> None:
    """Else the drift of customers' queries would be that of the merchandiser's."""
    shop = page_shop(exploration={"share": 1.0})
    shop.page("/", q="red chair")
    shop.get("/why", q="red chair", item_id="100")
    assert len(shop.service.traffic()) == 0
    shop.get("/search", q="red chair")
    assert len(shop.service.traffic()) == 1


@pytest.mark.parametrize(
    "query",
    [
        "<script>alert(1)</script>",
        "\"><img src=x onerror='alert(1)'>",
        "מנורה \u202e",
        "😀",
        "\ud800 lamp",
        "'\\",
    ],
)
def test_markup_in_titles_and_queries_is_text(page_shop: Callable[..., Any], query: str) -> None:
    """Nothing that a shop or a customer wrote becomes a tag or an attribute."""
    shop = page_shop()
    html = shop.page("/", q=query.encode("utf-8", "replace").decode(), k=20)
    assert re.findall(r"<script[^>]*>", html) == re.findall(
        r'<script src="/static/\w+/page\.js" defer>', html
    )
    assert "<img" not in html and "<b>" not in html
    tags = re.findall(r"<[a-z][^<>]*>", re.sub(r'="[^"]*"', '=""', html))
    assert not [tag for tag in tags if re.search(r"\son\w+=|\sstyle=", tag)]
    assert (
        unescape(re.search(r'<input id="q"[^>]*? value="([^"]*)"', html)[1])
        == query.encode("utf-8", "replace").decode()
    )


def test_filters_hold_in_both_columns_and_stay_in_the_form(page_shop: Callable[..., Any]) -> None:
    """Also for the links from there; a price may be typed with a comma."""
    shop = page_shop()
    html = shop.page("/", q="chair", brand="oakly", max_price="6,5")
    for name in ("champion", "challenger"):
        assert sorted(_titles(_column(html, name))) == ["red chair", "red lamp"]
    assert "Filters (2 set)" in html and 'value="6,5"' in html
    assert "brand=oakly&amp;max_price=6%2C5" in html
    assert "No item passes these filters" in shop.page("/", q="chair", brand="nobody")


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"q": "  "}, "Type what a customer would type."),
        ({"q": "x" * 1_001}, "That is 1,001 characters; at most 1,000 are searched."),
        ({"q": "chair", "min_price": "cheap"}, "A price is a number from 0 on"),
        ({"q": "chair", "max_price": "nan"}, "A price is a number from 0 on"),
        ({"q": "chair", "min_price": "9", "max_price": "1"}, "The highest price is below the lowest."),
    ],
)
def test_what_cannot_be_searched_is_said_beside_its_field(
    page_shop: Callable[..., Any], params: dict[str, str], sentence: str
) -> None:
    """The form comes back as it was typed, and the field names its error."""
    html = page_shop().page("/", 422, **params)
    assert sentence in html
    wrong = re.search(r'aria-invalid="true" aria-describedby="([\w-]+)"', html)[1]
    assert f'id="{wrong}">{sentence}' in html
    assert all(f'value="{value.strip()}"' in html for value in params.values())


def test_another_number_of_results_can_be_asked_for(page_shop: Callable[..., Any]) -> None:
    """What the form does not offer is taken for the first offer."""
    shop = page_shop()
    for k, shown in (("20", 20), ("9999", 10), ("many", 10)):
        assert len(_titles(_column(shop.page("/", q="chair", k=k), "champion"))) == shown


def test_a_challenger_that_cannot_be_loaded_leaves_the_champion(
    page_shop: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page says why; a failure is not tried again with every search, but after a while."""
    shop = page_shop()
    tries = []

    def fail(digest: str) -> None:
        if digest == shop.challenger:
            tries.append(digest)
            raise PromotionError("its weights are not D's any more.")

    shop.releases.while_loading = fail
    for _ in range(2):
        html = shop.page("/", q="red chair")
        assert "cannot be shown beside the champion: its weights are not D" in unescape(html)
        assert "red chair" in _titles(_column(html, "champion")) and "challenger-heading" not in html
    assert len(tries) == 1
    monkeypatch.setattr(comparison, "RETRY_SECONDS", 0.0)
    shop.releases.while_loading = lambda digest: None
    assert "challenger-heading" in shop.page("/", q="red chair")


def test_a_search_does_not_wait_long_for_the_challenger(
    page_shop: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is loaded the champion is shown alone, with a link to search again."""
    monkeypatch.setattr("components.service.pages_search.WAIT_SECONDS", 0.05)
    shop, loaded = page_shop(), threading.Event()
    shop.releases.while_loading = lambda digest: loaded.wait(20) and None
    html = shop.page("/", q="red chair")
    assert "is being loaded" in html and '<a href="/?q=red+chair">Search again</a>' in html
    assert "still being loaded" in shop.page("/why", 503, q="red chair", item_id="100", by="challenger")
    loaded.set()
    monkeypatch.setattr("components.service.pages_search.WAIT_SECONDS", 20.0)
    assert "challenger-heading" in shop.page("/", q="red chair")


@pytest.mark.parametrize(
    ("standing", "words"),
    [
        ("waiting", "waits for review"),
        ("rejection", "rejected"),
        ("inconclusive", "judged, not promoted"),
        ("previous", "served before"),
    ],
)
def test_the_second_column_says_how_its_release_stands(
    page_shop: Callable[..., Any], standing: Any, words: str
) -> None:
    """A challenger that waits for a person is told from one that was rejected, and from one not settled."""
    shop = page_shop()
    shop.releases.challenger = lambda: Challenger(shop.challenger, standing)
    assert words in _column(shop.page("/", q="red chair"), "challenger")
    assert "Each search shows the" in shop.page("/")


@pytest.mark.parametrize("path", ["/", "/?q=chair", "/undiscoverable", "/releases", "/login", "/releases/x"])
def test_every_page_names_the_shop(page_shop: Callable[..., Any], path: str) -> None:
    """In the window's title and in the header: somebody with two shops has two windows."""
    html = page_shop().get(path).text
    assert " – corner-shop – Debut</title>" in html
    assert 'class="shop"><span class="hidden">Shop: </span>corner-shop</span>' in html


def test_without_a_challenger_the_champion_stands_alone(page_shop: Callable[..., Any]) -> None:
    """Also while the decision log names as challenger what still serves."""
    shop = page_shop()
    for challenger in (None, Challenger(shop.champion, "previous")):
        shop.releases.challenger = lambda one=challenger: one
        html = shop.page("/", q="red chair")
        assert "champion-heading" in html and "challenger-heading" not in html and "notice" not in html


def test_the_first_page_tells_what_is_new(page_shop: Callable[..., Any]) -> None:
    """Counts, those without a date apart, the newest items with what was PUT today, and when the release came
    to serve."""
    shop = page_shop()
    figure = r'<strong class="figure">4</strong>\s*<span>new of 20 items, listed since 1 Jan 2026'
    assert re.search(figure + "</span>", shop.page("/"))
    shop.service.put({"item_id": "live-1", "title": "folding drill"})
    shop.service.delete("108")
    html = shop.page("/")
    assert re.search(figure + r" \(3\) or sent since without a date \(1\)</span>", html)
    newest = html[html.index('id="newest-heading"') :]
    assert [title.partition(" ")[0] for title in _titles(newest)] == ["folding", "green", "green", "green"]
    assert "green chair" not in _titles(newest)  # 108: deleted
    assert "Since then the champion" in html and "debut undiscoverable" not in html


def test_why_shows_what_each_word_adds(page_shop: Callable[..., Any]) -> None:
    """By the champion and by the challenger; the same numbers as the JSON route's."""
    shop = page_shop()
    html = shop.page("/why", q="red chair", item_id="100")
    api = shop.get("/explain", q="red chair", item_id="100").json()
    assert f"is in place {api['place']}" in html
    for word, value in (*api["query_words"], *api["item_words"]):
        assert f'<bdi>{word}</bdi></th><td class="number">{value:+.3f}</td>' in html
    assert f"<strong>{api['parts']['score']:.3f}</strong>" in html
    other = shop.page("/why", q="red chair", item_id="100", by="challenger")
    assert shop.challenger[:12] in other and "by the previous champion" in other


def test_why_says_what_is_missing(page_shop: Callable[..., Any]) -> None:
    """An item that is not there, a question without a query, and filters that hide the item."""
    shop = page_shop()
    assert "There is no item" in shop.page("/why", 404, q="chair", item_id="<i>9</i>")
    assert "search first" in shop.page("/why", 422, item_id="100")
    assert "The filters hide it" in shop.page("/why", q="red chair", item_id="100", brand="Steelworks")


def test_without_a_champion_the_page_says_what_to_do(service: Callable[..., Any]) -> None:
    """A page, not JSON."""
    answer = service().client.get("/")
    assert answer.status_code == 503 and "text/html" in answer.headers["content-type"]
    assert "run `debut retrain`" in answer.text


def test_an_error_of_ours_is_a_page_without_its_traceback(page_shop: Callable[..., Any]) -> None:
    """With the request's number, under which the log has the cause."""
    shop = page_shop()

    def broken() -> None:
        raise ZeroDivisionError("secret detail")

    shop.releases.challenger = broken
    answer = shop.get("/")
    assert answer.status_code == 500 and "secret detail" not in answer.text
    assert answer.headers["x-request-id"] in answer.text


@pytest.mark.parametrize(
    "path",
    ["/", "/?q=red+chair", "/why?q=red+chair&item_id=100", "/undiscoverable", "/releases", "/login", "/why"],
)
def test_every_page_forbids_what_it_does_not_need(page_shop: Callable[..., Any], path: str) -> None:
    """The policy of the headers, and a page that keeps to it: nothing inline, nothing from elsewhere."""
    answer = page_shop().get(path)
    assert answer.headers["content-security-policy"] == STRICT
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["cache-control"] == "no-store"
    html = answer.text
    assert "<style" not in html and " style=" not in html and "javascript:" not in html
    addresses = re.findall(r'(?:href|src|action)="([^"]*)"', html)
    assert addresses and all(re.match(r"/(?!/)|#", address) for address in addresses)
