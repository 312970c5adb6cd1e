"""Signing in: the key lives in a cookie that no script reads and that changes nothing by itself."""

from collections.abc import Callable
from typing import Any

import pytest

from components.service.limits import RateLimit


def _cookie(answer: Any) -> str:
    return str(answer.headers["set-cookie"])


def test_a_key_becomes_a_cookie_that_scripts_and_other_sites_do_not_get(
    page_shop: Callable[..., Any],
) -> None:
    """HttpOnly and SameSite=Strict, and Secure over https; then the page that was asked for."""
    shop = page_shop()
    secret = shop.service.secrets["operate"]
    answer = shop.post("/login", {"key": f" {secret}\n", "next": "/releases?before=9"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/releases?before=9")
    assert _cookie(answer) == f"debut_key={secret}; HttpOnly; Path=/; SameSite=strict"
    client = shop.service.client
    client.base_url = "https://testserver"
    assert "; Secure" in _cookie(shop.post("/login", {"key": secret}))


def test_signing_out_ends_it(page_shop: Callable[..., Any]) -> None:
    """The cookie is emptied and expires at once."""
    shop = page_shop()
    assert "Signed in:" in shop.page("/", role="read")
    answer = shop.post("/logout", {}, role="read")
    assert answer.status_code == 303
    assert 'debut_key=""' in _cookie(answer) and "Max-Age=0" in _cookie(answer)


@pytest.mark.parametrize(
    "key", ["", "debut_00000000_x", "<script>", "\ud800".encode("utf-8", "replace").decode()]
)
def test_a_wrong_key_gets_the_form_again(page_shop: Callable[..., Any], key: str) -> None:
    """With a sentence, without the key, and without a cookie."""
    answer = page_shop().post("/login", {"key": key, "next": "/releases"})
    assert answer.status_code == 401 and "unknown or was revoked" in answer.text
    assert 'name="next" value="/releases"' in answer.text and "set-cookie" not in answer.headers
    assert key == "" or key not in answer.text


@pytest.mark.parametrize(
    "goal",
    ["https://elsewhere.example/", "//elsewhere.example", "/\\elsewhere", "elsewhere", "/a\r\nSet-Cookie: b"],
)
def test_signing_in_leads_to_no_other_site(page_shop: Callable[..., Any], goal: str) -> None:
    """Whatever the form says; and the form itself repeats no such address."""
    shop = page_shop()
    answer = shop.post("/login", {"key": shop.service.secrets["read"], "next": goal})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert 'name="next" value="/"' in shop.page("/login", next=goal)


def test_tries_of_keys_are_limited(page_shop: Callable[..., Any]) -> None:
    """Per address, with the time to wait."""
    shop = page_shop(limit=RateLimit(per_minute=1, burst=3))
    answers = [shop.post("/login", {"key": "debut_00000000_x"}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
    assert "try again in" in answers[-1].text and int(answers[-1].headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    "path", ["/", "/?q=red+chair", "/undiscoverable", "/releases", "/why?q=a&item_id=100"]
)
def test_pages_need_a_key_where_searches_do(page_shop: Callable[..., Any], path: str) -> None:
    """Without one: the form and a sentence, and afterwards the page; JSON never."""
    shop = page_shop(anonymous_read=False)
    html = shop.page(path, 401)
    assert "This page is for people with an API key." in html
    assert f'name="next" value="{path.replace("&", "&amp;")}"' in html
    assert 'name="key"' not in shop.page(path, role="read")


def test_a_revoked_key_is_asked_for_again(page_shop: Callable[..., Any]) -> None:
    """Even where anybody may read: who believes to be signed in is to know."""
    shop = page_shop()
    shop.service.parts.gatekeeper.keys.revoke(shop.service.secrets["read"].split("_")[1])
    assert "The key of this browser is unknown or was revoked." in shop.page("/", 401, role="read")


def test_who_comes_from_another_site_is_told_why_the_key_is_missing(page_shop: Callable[..., Any]) -> None:
    """The browser withholds a strict cookie from a link on another site."""
    shop = page_shop(anonymous_read=False)
    answer = shop.service.client.get("/releases", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 401
    assert '<a href="/releases">open the page</a>' in answer.text


def test_the_cookie_reads_but_changes_nothing_through_the_json_routes(page_shop: Callable[..., Any]) -> None:
    """A page of another site could make the browser send it; the header it could not."""
    shop = page_shop(anonymous_read=False)
    client, cookie = shop.service.client, shop.cookie("operate")
    assert client.get("/search", params={"q": "red chair"}, headers=cookie).status_code == 200
    item = {"item_id": "live-1", "title": "folding drill"}
    assert client.put("/items", json=item, headers=cookie).status_code == 401
    assert client.delete("/items", params={"item_id": "100"}, headers=cookie).status_code == 401
    assert client.post("/events", json=[], headers=cookie).status_code == 401
    assert client.post("/recommend", json={"history": ["100"]}, headers=cookie).status_code == 401
    assert client.put("/items", json=item, headers=cookie | shop.service.keys["write"]).status_code == 200


def test_wrong_keys_are_counted(page_shop: Callable[..., Any]) -> None:
    """Through the JSON routes too, per address."""
    shop = page_shop(limit=RateLimit(per_minute=1, burst=2))
    wrong = {"Authorization": "Bearer debut_00000000_x"}
    answers = [shop.service.client.get("/search?q=chair", headers=wrong).status_code for _ in range(3)]
    assert answers == [401, 401, 429]


def test_files_of_the_page_are_kept_by_browsers_until_they_change(page_shop: Callable[..., Any]) -> None:
    """Their addresses name their content; anybody may read them; other addresses hold nothing."""
    shop = page_shop(anonymous_read=False)
    html = shop.page("/login")
    for name, kind in (
        ("style.css", "text/css"),
        ("page.js", "text/javascript"),
        ("icon.svg", "image/svg+xml"),
    ):
        address = next(part for part in html.split('"') if part.endswith(name))
        answer = shop.get(address)
        assert answer.status_code == 200 and answer.headers["content-type"].startswith(kind)
        assert "immutable" in answer.headers["cache-control"]
    for wrong in ("/static/0/style.css", "/static/0/../pages.py", "/static/0/%2e%2e%2fpages.py"):
        assert shop.get(wrong).status_code == 404
