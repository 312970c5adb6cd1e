"""Who may do what: a role per route, from the key in the Authorization header or the page's cookie."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Request, Security
from fastapi.security import HTTPBearer

from components.service.keys import KeyRecord, Keys, Role
from components.service.limits import RateLimit
from components.service.problems import ProblemError

COOKIE = "debut_key"
_BEARER = "bearer "
_READING = ("GET", "HEAD")
_DOCUMENTED = HTTPBearer(scheme_name="key", description="A key that `debut keys add` made.", auto_error=False)
"""For the OpenAPI document; `Gatekeeper` reads the header itself."""


@dataclass(frozen=True)
class Gatekeeper:
    """anonymous_read: searches need no key (for a service that only this machine reaches)."""

    keys: Keys
    limit: RateLimit
    anonymous_read: bool

    def needs(self, role: Role) -> Callable[..., Awaitable[KeyRecord | None]]:
        """A FastAPI dependency of the JSON routes: `admit`, where the cookie counts only for reading.

        A browser sends the cookie by itself, so what changes something needs the header: no other site's
        page can set it.
        """

        # async: no thread per request
        async def check(request: Request, _: Annotated[Any, Security(_DOCUMENTED)]) -> KeyRecord | None:
            return self.admit(request, role, cookie=request.method in _READING)

        return check

    def admit(self, request: Request, role: Role, *, cookie: bool) -> KeyRecord | None:
        """Counts the request; the caller's key, None for an anonymous reader. cookie: whether a key in the
        page's cookie counts. Raises ProblemError 401, 403 and 429."""
        address = request.client.host if request.client else "unknown"
        try:
            key = self.identify(request, cookie=cookie)
        except ProblemError:
            self.limit.check(None, address)  # wrong keys are counted too
            raise
        self.limit.check(key.id if key else None, address)
        if key is None and not (self.anonymous_read and role == "read"):
            raise ProblemError(
                401,
                "Send a key: Authorization: Bearer debut_… (`debut keys add` makes one).",
                headers={"WWW-Authenticate": "Bearer"},
            )
        if key is not None and not key.allows(role):
            raise ProblemError(403, f"The key {key.name!r} may {key.role}; this needs {role}.")
        return key

    def may_send_much(self, request: Request) -> bool:
        """Whether a key that may write came in the header; not counted, and a wrong key is none."""
        try:
            key = self.identify(request, cookie=False)
        except ProblemError:
            return False
        return key is not None and key.allows("write")

    def identify(self, request: Request, *, cookie: bool) -> KeyRecord | None:
        """The key that came with the request; None where none came. A wrong one is a 401, never anonymous."""
        sent = request.headers.get("authorization", "")
        if sent and not sent.lower().startswith(_BEARER):
            raise ProblemError(
                401, "Only Bearer keys are understood.", headers={"WWW-Authenticate": "Bearer"}
            )
        secret = sent[len(_BEARER) :].strip() or (request.cookies.get(COOKIE, "") if cookie else "")
        if not secret:
            return None
        key = self.keys.authenticate(secret)
        if key is None:
            raise ProblemError(
                401,
                "The key is unknown or was revoked.",
                headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
            )
        return key
