"""A shop with two releases, and its pages as a browser asks for them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from components.contract.records import RetrievalPlan
from components.service.keys import Role
from components.service.releases import Challenger

CUTOFF = datetime(2026, 1, 1)
THINGS = ("chair", "lamp", "mug", "towel")
ITEMS = [
    {
        "title": f"{colour} {thing}",
        "brand": "Oakly" if colour == "red" else "Steelworks",
        "category": f"Home > {thing}",
        "price": 5.0 + number,
        "listed_at": datetime(2026, 1, 2) if colour == "green" else datetime(2025, 1, number + 1),
    }
    for colour in ("red", "blue", "green", "steel")
    for number, thing in enumerate(THINGS)
]
HOSTILE_TITLES = (
    "<script>document.title = 'broken'</script> lamp",
    "\" onfocus='alert(1)' autofocus & <b>mug</b>",
    "מנורה אדומה chair \u202e123",
    "😀 towel 👩\u200d🍳",
)


@dataclass
class PageShop:
    """A running service (the fixture `service`), what its releases port says, and requests to its pages."""

    service: Any
    releases: Any
    champion: str
    challenger: str
    """The champion before."""

    def page(self, path: str, status: int = 200, *, role: Role | None = None, **params: Any) -> str:
        """A page's HTML. role: whose key the cookie holds; None: nobody is signed in."""
        answer = self.get(path, role=role, **params)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
        return str(answer.text)

    def get(self, path: str, *, role: Role | None = None, **params: Any) -> Any:
        return self.service.client.get(path, params=params or None, headers=self.cookie(role))

    def post(self, path: str, form: dict[str, str], *, role: Role | None = None, **headers: str) -> Any:
        """Sends a form as our own page would; a redirect is the answer."""
        sent = {"Sec-Fetch-Site": "same-origin", **self.cookie(role), **headers}
        return self.service.client.post(path, data=form, headers=sent, follow_redirects=False)

    def cookie(self, role: Role | None) -> dict[str, str]:
        return {} if role is None else {"Cookie": f"debut_key={self.service.secrets[role]}"}

    def decide(self, kind: str, digest: str, *, actor: str = "ci", reason: str = "no gain") -> None:
        """Adds a decision to the log."""
        self.releases._decide(kind, digest, actor=actor, reason=reason)


@pytest.fixture(scope="session")
def two_releases(make_candidate: Callable[..., str]) -> tuple[str, str]:
    """Champion and the champion before, over ITEMS and HOSTILE_TITLES, with different encoders."""
    rows = [*ITEMS, *({"title": title} for title in HOSTILE_TITLES)]
    plan = RetrievalPlan(lexical_weight=0.5)
    return make_candidate(rows, plan, cutoff=CUTOFF), make_candidate(rows, pooling="cls", cutoff=CUTOFF)


@pytest.fixture
def page_shop(
    two_releases: tuple[str, str], releases: Any, service: Callable[..., Any]
) -> Callable[..., Any]:
    """Starts a PageShop; takes what `service` takes."""
    champion, before = two_releases

    def start(**arguments: Any) -> PageShop:
        releases.promote(before)
        releases.promote(champion)
        releases.challenger = lambda: Challenger(before, "previous")
        return PageShop(service(**arguments), releases, champion, before)

    return start
