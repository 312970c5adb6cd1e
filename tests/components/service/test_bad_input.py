"""Whatever comes in, the answer is the right status and an RFC 9457 problem, and the service stays up."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from components.service.problems import MEDIA_TYPE

TITLES = [f"{colour} {thing}" for colour in ("red", "blue") for thing in ("chair", "lamp", "mug", "towel")]
ODD_QUERIES = [
    "x",
    "a" * 1_000,
    "🔥🪑👩‍👩‍👧‍👦",
    "كرسي أحمر",
    "\u202eriahc der\u202c",
    "red\x00chair",
    "\x00",
    "'; DROP TABLE items; --",
    '" OR 1=1 --',
    "{{7*7}} ${jndi:ldap://a} <script>alert(1)</script>",
    "../../etc/passwd",
    "%00%ff",
    "title:* AND (red OR",
    "\\",
    "\ufeff\u200b",
    "[CLS] [SEP] [MASK] [PAD] [UNK]",
    "ﬁ ſ ǅ İ ß",
    "\n\t red \r\n chair",
    "的" * 300,
]
ITEM: dict[str, dict[str, str]] = {"/search": {}, "/explain": {"item_id": "100"}}
"""What a path needs besides q."""


@pytest.fixture(scope="module")
def shop(make_candidate, make_releases, running_service, tmp_path_factory: pytest.TempPathFactory):
    """One service for all tests: none of them may end it, nor leave an item in it."""
    rows = [{"title": title, "price": float(n), "brand": "Oak & Co"} for n, title in enumerate(TITLES)]
    releases = make_releases()
    releases.promote(make_candidate(rows))
    folder = tmp_path_factory.mktemp("serving")
    with running_service(releases, folder, max_body_bytes=20_000, max_bulk_items=50) as running:
        yield running


@pytest.fixture(autouse=True)
def _as_before(shop):
    """After each test a plain search is answered, from the same items."""
    yield
    answer = shop.client.get("/search", params={"q": "red chair", "k": 100}).json()
    assert answer["results"][0]["item_id"] == "100"
    assert {hit["item_id"] for hit in answer["results"]} == {str(100 + n) for n in range(len(TITLES))}


@pytest.fixture
def stored(shop) -> Callable[[], bool]:
    """Whether anything was written to the live items since the test began."""
    before = shop.serving.table.head()
    return lambda: shop.serving.table.head() != before


def problem(answer, status: int) -> dict[str, Any]:
    """The body of an error, checked for what all of them have in common."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    body = answer.json()
    assert {"type", "title", "status", "instance", "request_id"} <= body.keys()
    assert body["status"] == status
    assert body["request_id"] == answer.headers["X-Request-Id"]
    return body


def detailed(answer, status: int = 422) -> str:
    """The sentence of an error."""
    return problem(answer, status)["detail"]


def post(shop, path: str, content: bytes | str, method: str = "POST"):
    headers = {**shop.keys["write"], "content-type": "application/json"}
    return shop.client.request(method, path, content=content, headers=headers)


@pytest.mark.parametrize("query", ODD_QUERIES, ids=range(len(ODD_QUERIES)))
def test_any_text_can_be_searched(shop, query: str) -> None:
    """200 with items, as for any words; the answer gives the query back as it was understood."""
    answer = shop.client.get("/search", params={"q": query, "debug": True})
    assert answer.status_code == 200
    assert answer.json()["query"] == query
    assert len(answer.json()["results"]) == len(TITLES)


@pytest.mark.parametrize("query", ODD_QUERIES, ids=range(len(ODD_QUERIES)))
def test_any_text_can_be_explained(shop, query: str) -> None:
    """Both sides have words or neither has: "\x00" has none that the encoder reads."""
    answer = shop.client.get("/explain", params={"q": query, "item_id": "100"})
    assert answer.status_code == 200
    why = answer.json()
    assert bool(why["query_words"]) == bool(why["item_words"]) == (query not in ("\x00", "\ufeff\u200b"))


def test_an_item_without_words_can_be_listed_and_explained(shop) -> None:
    """An empty title is stored; its explanation has no words."""
    assert shop.put({"item_id": "blank", "title": ""}).is_success
    assert "blank" in shop.found("red", k=100)
    why = shop.client.get("/explain", params={"q": "red", "item_id": "blank"}).json()
    assert (why["query_words"], why["item_words"], why["completeness"]) == ([], [], 0)
    assert why["place"] > 0
    shop.delete("blank")


@pytest.mark.parametrize("query", ["", " ", "\t\n", "\u3000\u2003"])
@pytest.mark.parametrize("path", ["/search", "/explain"])
def test_a_query_without_a_character_is_refused(shop, path: str, query: str) -> None:
    """422, with what to do."""
    answer = shop.client.get(path, params={"q": query, **ITEM[path]})
    assert "at least one character" in detailed(answer)


@pytest.mark.parametrize("path", ["/search", "/explain"])
def test_a_query_that_is_too_long_is_refused(shop, path: str) -> None:
    """10 kB: 422, and the answer does not repeat it. Exactly the limit is searched."""
    answer = shop.client.get(path, params={"q": "zebra " * 1_700, **ITEM[path]})
    assert "at most 1000" in detailed(answer)
    assert "zebra" not in answer.text
    assert shop.client.get("/search", params={"q": "z" * 1_000}).status_code == 200
    assert shop.client.get("/search", params={"q": "z" * 1_001}).status_code == 422


@pytest.mark.parametrize("encoded", ["%ff%fe", "red%c3%28", "%ed%a0%80", "%", "%zz", "a%00b", "+", "%2"])
def test_any_percent_encoding_is_read(shop, encoded: str) -> None:
    """Bytes that are no UTF-8 become replacement characters, in the query, in a path and in a filter."""
    answer = shop.client.get(f"/search?q=red{encoded}&brand={encoded}")
    assert answer.status_code == 200
    problem(shop.client.get(f"/similar/{encoded}"), 404)


@pytest.mark.parametrize(
    "item",
    [
        {"item_id": "x", "title": "half a pair \ud800"},
        {"item_id": "\udfff", "title": "mug"},
        {"item_id": "x\x00y", "title": "mug"},
        {"item_id": "", "title": "mug"},
        {"item_id": "x" * 201, "title": "mug"},
        {"item_id": "x"},
        {"title": "mug"},
        {"item_id": "x", "title": None},
        {"item_id": 7, "title": "mug"},
        {"item_id": "x", "title": "mug" * 1_000},
        {"item_id": "x", "title": "mug", "price": -1},
        {"item_id": "x", "title": "mug", "price": "cheap"},
        {"item_id": "x", "title": "mug", "price": float("nan")},
        {"item_id": "x", "title": "mug", "price": float("inf")},
        {"item_id": "x", "title": "mug", "price": float("-inf")},
        {"item_id": "x", "title": "mug", "price": [1]},
        {"item_id": "x", "title": "mug", "listed_at": "yesterday"},
        {"item_id": "x", "title": "mug", "listed_at": "2026-13-45"},
        {"item_id": "x", "title": "mug", "listed_at": "0001-01-01T00:00:00+23:59"},
        {"item_id": "x", "title": "mug", "in_stock": "perhaps"},
        {"item_id": "x", "title": "mug", "colour": "red"},
        [],
        [{"item_id": "x", "title": "mug"}, {"item_id": "y"}],
        [[]],
        "mug",
        7,
        None,
        {},
    ],
    ids=range(28),
)
def test_an_item_that_does_not_fit_is_refused_whole(shop, stored, item: Any) -> None:
    """422; nothing of the request is stored, not even the good items of a bulk."""
    answer = post(shop, "/items", json.dumps(item), "PUT")
    problem(answer, 422)
    assert not stored()


def test_odd_but_valid_items_are_kept_as_they_are(shop) -> None:
    """Any Unicode, a price of 0 or 10³⁰⁰, dates with zones; read again they are the same."""
    odd = {
        "item_id": "ключ/🔑 ?&=#%",
        "title": "\u202eמנורה\u202c 🔥 \x00",
        "price": 1e300,
        "listed_at": "2026-01-01T01:00:00+01:00",
        "category": "A > B",
        "in_stock": False,
    }
    assert shop.put(odd).is_success
    answer = shop.client.get("/search", params={"q": odd["title"], "k": 1, "in_stock": False})
    hit = answer.json()["results"][0]
    assert {name: hit[name] for name in ("item_id", "title", "price", "category", "in_stock")} == {
        name: odd[name] for name in ("item_id", "title", "price", "category", "in_stock")
    }
    assert hit["listed_at"] == "2026-01-01T00:00:00Z"
    path = "/similar/" + "".join(f"%{byte:02x}" for byte in odd["item_id"].encode())
    assert shop.client.get(path).status_code == 200
    assert shop.delete(odd["item_id"]).is_success
    assert odd["item_id"] not in shop.found("lamp", k=100)


@pytest.mark.parametrize("ids", [[], [""], ["x" * 201], ["a", 7], {"item_id": "100"}, "100", None], ids=str)
def test_ids_that_do_not_fit_are_refused_whole(shop, stored, ids: Any) -> None:
    """422; not even the good ids of a list are taken out."""
    problem(post(shop, "/items/delete", json.dumps(ids)), 422)
    assert not stored()


@pytest.mark.parametrize(
    ("path", "method", "content", "status"),
    [
        ("/items", "PUT", b"{", 422),
        ("/items", "PUT", b"", 422),
        ("/items", "PUT", b"\x80{}", 400),
        ("/items", "PUT", b"[" * 9_000, 400),
        ("/items", "PUT", b'{"item_id": "x", "title": ' + b"9" * 5_000 + b"}", 400),
        ("/recommend", "POST", b'{"history": ["100"], "k": ', 422),
        ("/recommend", "POST", b"null", 422),
        ("/events", "POST", b"not json", 422),
        ("/events", "POST", b'{"request_id": "a", "request_id": 7}', 422),
    ],
)
def test_a_body_that_is_no_json_is_refused(shop, path: str, method: str, content: bytes, status: int) -> None:
    """Cut off, empty, in another encoding, nested too deep, with a number of 5,000 digits."""
    problem(post(shop, path, content, method), status)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "nonsense"]
)
def test_a_body_of_another_type_is_refused(shop, stored, kind: str) -> None:
    """Text and forms are no JSON, whatever they hold."""
    headers = {**shop.keys["write"], "content-type": kind}
    for path, method in (
        ("/items", "PUT"),
        ("/events", "POST"),
        ("/recommend", "POST"),
        ("/items/delete", "POST"),
    ):
        answer = shop.client.request(method, path, content=b'{"item_id": "x", "title": "m"}', headers=headers)
        assert "Content-Type: application/json" in detailed(answer, 415)
    assert not stored()


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-8", "Application/JSON", "application/ld+json"]
)
def test_json_goes_by_several_names(shop, kind: str) -> None:
    """Parameters, capitals and +json are no other type."""
    headers = {**shop.keys["write"], "content-type": kind}
    answer = shop.client.post("/recommend", content=b'{"history": ["100"], "k": 1}', headers=headers)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "errors"),
    [
        ("/items", {"item_id": "A2"}, [["body", "title"]]),
        ("/items", [{"item_id": "A2"}], [["body", 0, "title"]]),
        ("/events", {"request_id": "r", "kind": "view"}, [["body", "item_id"]]),
        ("/events", [{"request_id": "r", "kind": "view"}], [["body", 0, "item_id"]]),
        ("/items", "A2", [["body"]]),
        ("/events", 7, [["body"]]),
    ],
    ids=str,
)
def test_errors_are_about_what_was_sent(shop, path: str, body: Any, errors: list[Any]) -> None:
    """One object is not told that it is no list, nor a list that it is no object."""
    told = problem(post(shop, path, json.dumps(body), "PUT" if path == "/items" else "POST"), 422)["errors"]
    assert [error["loc"] for error in told] == errors
    sent = isinstance(body, dict | list)
    assert told[0]["msg"] == ("Field required" if sent else "Send one object, or a list of them")


@pytest.mark.parametrize(
    "path",
    ["/search?q=red", "/similar/100?k=3", "/explain?q=red&item_id=100", "/release", "/readyz", "/healthz"],
)
def test_a_parameter_that_does_not_exist_is_refused(shop, path: str) -> None:
    """422 with its name and those that there are, the filters too: 200 would look as if it had filtered."""
    known = [part.split("=")[0] for part in path.partition("?")[2].split("&") if part]
    assert shop.client.get(path).status_code == 200
    said = detailed(shop.client.get(f"{path}{'&' if known else '?'}colour=blue"))
    assert "'colour'" in said
    assert all(name in said for name in (*known, *(("brand", "in_stock") if known else ("none",))))


def test_a_changing_request_refuses_unknown_parameters_too(shop, stored) -> None:
    """Nothing is stored or taken out."""
    item = {"item_id": "x", "title": "mug"}
    answer = shop.client.put("/items", json=item, params={"dry_run": True}, headers=shop.keys["write"])
    assert "'dry_run'" in detailed(answer)
    answer = shop.client.delete("/items/100", params={"dry_run": True}, headers=shop.keys["write"])
    assert "'dry_run'" in detailed(answer)
    assert not stored()


def test_too_much_at_once_is_refused(shop, stored) -> None:
    """More bytes than the limit: 413. More items, ids or events: 422 with the limit. Nothing is stored."""
    items = [{"item_id": f"x{n}", "title": "mug"} for n in range(51)]
    assert "send 1 to 50" in detailed(shop.put(*items))
    assert "send 1 to 50" in detailed(shop.delete(*(one["item_id"] for one in items)))
    ids = json.dumps([one["item_id"] for one in items])
    assert "send 1 to 50" in detailed(post(shop, "/items/delete", ids))
    act = {"request_id": "r", "kind": "view", "item_id": "100"}
    assert "send 1 to 50" in detailed(post(shop, "/events", json.dumps([act] * 51)))
    large = {"item_id": "x", "title": "mug", "description": "d" * 20_000}
    assert "20000 bytes" in detailed(shop.put(large), 413)
    assert not stored()
    assert shop.put(*items[:50]).json()["items"] == 50
    assert shop.delete(*(one["item_id"] for one in items[:50])).is_success


@pytest.mark.parametrize(
    "params",
    [
        {"k": 0},
        {"k": 101},
        {"k": -1},
        {"k": "ten"},
        {"k": "9" * 400},
        {"min_price": "NaN"},
        {"min_price": "inf"},
        {"max_price": -1},
        {"max_price": "cheap"},
        {"min_price": 5, "max_price": 4},
        {"listed_from": "yesterday"},
        {"listed_before": "2026-02-30"},
        {"listed_from": "0001-01-01T00:00:00+23:59"},
        {"listed_before": "9999-12-31T23:59:59-23:59"},
        {"listed_from": "1e400"},
        {"in_stock": "maybe"},
        {"brand": "b" * 2_001},
        {"user_id": ""},
        {"user_id": "u" * 201},
        {"debug": "loud"},
    ],
    ids=range(20),
)
def test_a_parameter_that_does_not_fit_is_refused(shop, params: dict[str, Any]) -> None:
    """422 that says which."""
    body = problem(shop.client.get("/search", params={"q": "red", **params}), 422)
    said = body["detail"] + json.dumps(body.get("errors", ""))
    assert next(iter(params)) in said


@pytest.mark.parametrize(
    "filters",
    [
        {"min_price": 5, "max_price": 4},
        {"min_price": "x"},
        {"listed_from": "0001-01-01T00:00:00+23:59"},
        {"colour": "red"},
        [],
        None,
    ],
    ids=str,
)
def test_filters_in_a_body_are_checked_too(shop, filters: Any) -> None:
    """As in a query string; a filter that does not exist is refused there."""
    problem(post(shop, "/recommend", json.dumps({"history": ["100"], "filters": filters})), 422)


@pytest.mark.parametrize(
    "params",
    [
        {"brand": "no such brand"},
        {"brand": ""},
        {"category": "no > such"},
        {"category": ">"},
        {"min_price": 10**9},
        {"max_price": 0, "min_price": 0, "brand": "oak"},
        {"listed_from": "2026-01-01"},
        {"listed_before": "1900-01-01"},
        {"in_stock": False},
    ],
    ids=str,
)
def test_filters_that_nothing_fits_give_an_empty_answer(shop, params: dict[str, Any]) -> None:
    """200 and no items: no error."""
    answer = shop.client.get("/search", params={"q": "red", **params})
    assert (answer.status_code, answer.json()["results"]) == (200, [])
    assert shop.client.get("/similar/100", params=params).json()["results"] == []


def test_unknown_items_and_users(shop) -> None:
    """404 where the request is about the one item or user; a history may hold unknown items."""
    assert "no item 'nope'" in detailed(shop.client.get("/similar/nope"), 404)
    problem(shop.client.get("/similar/"), 404)
    problem(shop.client.get("/explain", params={"q": "red", "item_id": "nope"}), 404)
    assert "past items" in detailed(post(shop, "/recommend", '{"user_id": "nobody"}'), 404)
    assert "user_id" in detailed(post(shop, "/recommend", "{}"))
    answer = post(shop, "/recommend", '{"history": ["nope", "100", "100"]}').json()
    assert {hit["item_id"] for hit in answer["results"]} == {str(100 + n) for n in range(1, 8)}
    assert post(shop, "/recommend", '{"history": ["nope"]}').json()["results"] == []


@pytest.mark.parametrize(
    "act",
    [
        {"request_id": "r", "kind": "impression", "item_id": "100"},
        {"request_id": "r", "kind": "view"},
        {"request_id": "", "kind": "view", "item_id": "100"},
        {"request_id": "r", "kind": "purchase", "item_id": "100", "quantity": 0},
        {"request_id": "r", "kind": "purchase", "item_id": "100", "quantity": 1.5},
        {"request_id": "r", "kind": "purchase", "item_id": "100", "quantity": float("nan")},
        {"request_id": "r", "kind": "view", "item_id": "100", "user_id": "\ud800"},
        {"request_id": "\ud800", "kind": "view", "item_id": "100"},
        {"request_id": "r", "kind": "view", "item_id": "100", "query": "red"},
        [],
    ],
    ids=range(10),
)
def test_an_event_that_does_not_fit_is_refused(shop, act: Any) -> None:
    """422; nothing is logged."""
    problem(post(shop, "/events", json.dumps(act)), 422)
    assert shop.traffic("events").is_empty()


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/search", "GET"),
        ("/items", "DELETE, PUT"),
        ("/items/x", "DELETE"),
        ("/items/delete", "POST"),
        ("/releases/rollback", "GET, POST"),
        ("/", "GET"),
    ],
)
def test_a_method_that_is_not_there_is_told_those_that_are(shop, path: str, methods: str) -> None:
    """RFC 9110, 15.5.6: of all routes of the path."""
    refused = shop.client.request("PATCH", path)
    problem(refused, 405)
    assert refused.headers["Allow"] == methods


def test_unknown_paths_and_methods(shop) -> None:
    """404 and 405 are problems too; HEAD and OPTIONS of the API are not offered."""
    assert "/openapi.json" in detailed(shop.client.get("/v2/search"), 404)
    problem(shop.client.get("/items/x"), 405)
    for method in ("POST", "PATCH", "DELETE", "OPTIONS"):
        problem(shop.client.request(method, "/search"), 405)
    problem(shop.client.request("BREW", "/search"), 405)


def test_what_was_sent_is_not_in_an_error(shop, caplog) -> None:
    """Neither in the answer nor in the service's log: customers type queries."""
    canary = "xyzzy-private-wish"
    answers = [
        shop.client.get("/search", params={"q": canary, "k": canary}),
        shop.client.get("/search", params={"q": canary * 100}),
        shop.client.get("/explain", params={"q": canary, "item_id": "nope"}),
        shop.client.get("/search", params={"q": "red", "min_price": canary}),
        post(shop, "/recommend", json.dumps({"user_id": canary})),
        post(shop, "/recommend", json.dumps({"history": [canary], "k": canary})),
        post(shop, "/events", json.dumps({"request_id": "r", "user_id": canary})),
    ]
    assert all(400 <= answer.status_code < 500 for answer in answers)
    assert not [answer.text for answer in answers if canary in answer.text]
    assert canary not in caplog.text
