"""Who may do what: a role per route, from the key that came with the request."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import Depends, FastAPI
from starlette.testclient import TestClient

from components.service import keys as keys_module
from components.service import problems
from components.service.auth import Gatekeeper
from components.service.keys import Keys
from components.service.limits import RateLimit
from components.service.problems import MEDIA_TYPE

READ = [
    ("GET", "/search?q=red", None),
    ("POST", "/recommend", {"history": ["100"]}),
    ("GET", "/similar/100", None),
    ("GET", "/explain?q=red&item_id=100", None),
    ("GET", "/release", None),
]
WRITE = [
    ("PUT", "/items", {"item_id": "x", "title": "oak mug"}),
    ("DELETE", "/items?item_id=x", None),
    ("POST", "/events", {"request_id": "r", "kind": "view", "item_id": "100"}),
]
ROUTES = [*READ, *WRITE]


@pytest.fixture
def shop(make_candidate: Callable[..., str], releases, service):
    releases.promote(make_candidate(["red chair", "blue lamp"]))
    return service(anonymous_read=False)


def _status(shop, route: tuple, headers: dict | None = None) -> int:
    """Of an answer that, where it is an error, is a problem with all that belongs to it."""
    method, path, body = route
    answer = shop.client.request(method, path, json=body, headers=headers or {})
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == MEDIA_TYPE
        assert answer.json()["request_id"] == answer.headers["X-Request-Id"]
    if answer.status_code == 401:
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    return answer.status_code


def test_each_role_may_what_it_says(shop) -> None:
    """read: asking; write: asking and listing; operate: all. Without a key: nothing."""
    for role, routes in {"read": READ, "write": ROUTES, "operate": ROUTES}.items():
        for route in ROUTES:
            assert _status(shop, route, shop.keys[role]) == (200 if route in routes else 403), (role, route)
    for route in ROUTES:
        assert _status(shop, route) == 401


def test_anonymous_reading_is_reading_alone(releases, service, make_candidate) -> None:
    """Where it is allowed; and a wrong key is refused even there, not taken for no key."""
    releases.promote(make_candidate(["red chair", "blue lamp"]))
    shop = service(anonymous_read=True)
    for route in READ:
        assert _status(shop, route) == 200
        assert _status(shop, route, {"Authorization": "Bearer debut_00000000_" + "x" * 43}) == 401
    for route in WRITE:
        assert _status(shop, route) == 401


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("LOCALHOST", 200),
        ("[::1]:8000", 200),
        ("rebound.example:8000", 401),
        ("127.0.0.1.rebound.example", 401),
        ("re_bound.example", 401),
        ("[::1", 401),
        ("", 401),
    ],
)
def test_reading_without_a_key_can_be_bound_to_names(tmp_path: Path, host: str, status: int) -> None:
    """A site whose name is made to lead to this machine reads nothing in its visitor's browser; with a key
    the name does not matter."""
    keys, app = Keys(tmp_path / "keys.json"), FastAPI()
    gatekeeper = Gatekeeper(keys, RateLimit(1e9, 1_000), True, ("127.0.0.1", "localhost", "::1"))
    problems.install(app)
    app.get("/", dependencies=[Depends(gatekeeper.needs("read"))])(lambda: 1)
    client = TestClient(app)
    answer = client.get("/", headers={"Host": host})
    assert answer.status_code == status
    assert status == 200 or "debut serve --anonymous-read" in answer.json()["detail"]
    key = {"Authorization": f"Bearer {keys.add('proxy', 'read')}"}
    assert client.get("/", headers={"Host": host, **key}).status_code == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_only_who_may_write_may_send_much(shop, chunked: bool) -> None:
    """1 MB: 413 without a key, with a wrong one, with the cookie alone and with one that may only read. A
    writer's reaches the route, which finds an empty list in it."""
    body = b" " * 1_000_000 + b"[]"

    def sent(headers: dict[str, str]):
        content = iter([body[:600_000], body[600_000:]]) if chunked else body
        headers = {"content-type": "application/json", **headers}
        return shop.client.put("/items", content=content, headers=headers)

    cookie = {"Cookie": f"debut_key={shop.secrets['write']}"}
    wrong = {"Authorization": "Bearer debut_00000000_" + "x" * 43}
    for headers in ({}, wrong, cookie, shop.keys["read"]):
        answer = sent(headers)
        assert answer.status_code == 413, headers
        assert "over 500000 bytes, the most without a key that may write" in answer.json()["detail"]
    for role in ("write", "operate"):
        assert sent(shop.keys[role]).status_code == 422


def test_a_large_body_beside_a_damaged_key_file_is_told_so(shop) -> None:
    """503 with the file's sentence, as for a small one."""
    (shop.folder / "keys.json").write_text("{")
    for size in (10, 1_000_000):
        answer = shop.client.put("/items", content=b" " * size, headers=shop.keys["write"])
        assert answer.status_code == 503, size
        assert "no readable key file" in answer.json()["detail"]


@pytest.mark.parametrize(
    "header",
    [
        "Bearer debut_00000000_" + "x" * 43,
        "Bearer x",
        "Bearer " + "y" * 10_000,
        "Basic ZGVidXQ6ZGVidXQ=",
        "debut_00000000_" + "x" * 43,
        "Bearer débüt".encode("latin-1"),
        "Bearer \ud83d\udd11".encode("utf-8", "surrogatepass"),
    ],
    ids=range(7),
)
def test_what_is_no_key_is_refused(shop, header) -> None:
    """401, whatever it looks like; the answer does not repeat it."""
    answer = shop.client.get("/search", params={"q": "red"}, headers={"Authorization": header})
    assert answer.status_code == 401
    assert "x" * 43 not in answer.text


def test_a_key_is_taken_as_clients_send_it(shop) -> None:
    """The scheme in any case, with spaces around the secret; an empty one is no key."""
    secret = shop.secrets["read"]
    for header in (f"bearer {secret}", f"BEARER   {secret} "):
        assert _status(shop, READ[0], {"Authorization": header}) == 200
    assert _status(shop, READ[0], {"Authorization": "Bearer "}) == 401


def test_a_key_with_one_other_character_is_refused(shop) -> None:
    """At its beginning, in its middle and at its end."""
    secret = shop.secrets["read"]
    for place in (6, 12, 30, len(secret) - 1):
        other = "0" if secret[place] != "0" else "1"
        changed = secret[:place] + other + secret[place + 1 :]
        assert _status(shop, READ[0], {"Authorization": f"Bearer {changed}"}) == 401


def test_a_revoked_key_ends_at_once(shop) -> None:
    """Also where another process revoked it, and for a key that worked a moment ago; others stay."""
    assert _status(shop, WRITE[0], shop.keys["write"]) == 200
    key_id = shop.secrets["write"].split("_")[1]
    keys_module.Keys(shop.folder / "keys.json").revoke(key_id)
    assert _status(shop, WRITE[0], shop.keys["write"]) == 401
    assert _status(shop, READ[0], shop.keys["write"]) == 401
    assert _status(shop, READ[0], shop.keys["read"]) == 200


def test_a_damaged_key_file_lets_nobody_in(shop) -> None:
    """503 that names the file; what was allowed before is not remembered."""
    assert _status(shop, READ[0], shop.keys["read"]) == 200
    (shop.folder / "keys.json").write_text("{")
    assert _status(shop, READ[0], shop.keys["read"]) == 503
    assert _status(shop, READ[0]) == 401


def test_unknown_and_wrong_keys_take_the_same_comparison(shop, monkeypatch) -> None:
    """One constant-time comparison of digests each, whatever is wrong with a key: its time tells nothing."""
    compared = []
    real = keys_module.hmac.compare_digest

    def counted(left, right) -> bool:
        compared.append((len(left), len(right)))
        return real(left, right)

    monkeypatch.setattr(keys_module.hmac, "compare_digest", counted)
    known = shop.secrets["read"]
    sent = [known, known[:-1] + "~", known[:15] + "x" * 43, "debut_00000000_" + "x" * 43, "x"]
    for secret in sent:
        before = len(compared)
        _status(shop, READ[0], {"Authorization": f"Bearer {secret}"})
        assert compared[before:] == [(64, 64)], secret


def test_too_many_requests_are_told_when_to_come_back(releases, service, make_candidate) -> None:
    """429 with whole seconds in Retry-After, per key; who waits so long is let in. Probes are not counted."""
    releases.promote(make_candidate(["red chair", "blue lamp"]))
    now = [0.0]
    limit = RateLimit(per_minute=30, burst=3, clock=lambda: now[0])
    shop = service(anonymous_read=True, limit=limit)
    assert [_status(shop, READ[0], shop.keys["read"]) for _ in range(4)] == [200, 200, 200, 429]
    refused = shop.client.get("/search", params={"q": "red"}, headers=shop.keys["read"])
    assert refused.headers["Retry-After"] == "2"
    assert _status(shop, READ[0], shop.keys["write"]) == 200
    assert [_status(shop, READ[0]) for _ in range(4)] == [200, 200, 200, 429]
    assert {shop.client.get(path).status_code for path in ("/healthz", "/readyz", "/metrics")} == {200}
    now[0] += int(refused.headers["Retry-After"])
    assert _status(shop, READ[0], shop.keys["read"]) == 200


def test_guessing_keys_is_limited_too(releases, service, make_candidate) -> None:
    """Wrong keys count for their address."""
    releases.promote(make_candidate(["red chair", "blue lamp"]))
    shop = service(limit=RateLimit(per_minute=1, burst=3, clock=lambda: 0.0))
    wrong = [{"Authorization": f"Bearer debut_0000000{n}_" + "x" * 43} for n in range(5)]
    assert [_status(shop, READ[0], header) for header in wrong] == [401, 401, 401, 429, 429]
    assert _status(shop, READ[0], shop.keys["read"]) == 200
