"""Who may do what: a role per route, from the key in the Authorization header or the page's cookie."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

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
    anonymous_names: tuple[str, ...] | None = None
    """Names of this service under which that holds; None: any. A site can have its own name lead to this
    machine (DNS rebinding), and its page then read in a visitor's browser what only the machine may."""

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
        if key is None:
            self._check_anonymous(request, role)
        elif not key.allows(role):
            raise ProblemError(403, f"The key {key.name!r} may {key.role}; this needs {role}.")
        return key

    def _check_anonymous(self, request: Request, role: Role) -> None:
        told = "Send a key: Authorization: Bearer debut_… (`debut keys add` makes one)."
        if self.anonymous_read and role == "read":
            if self.anonymous_names is None or _host(request) in self.anonymous_names:
                return
            told += (
                f" Without one, requests to {', '.join(self.anonymous_names)} are answered; those to other "
                "names, as a proxy's may be, with `debut serve --anonymous-read`."
            )
        raise ProblemError(401, told, headers={"WWW-Authenticate": "Bearer"})

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


def _host(request: Request) -> str | None:
    """The name that the request was sent to, without its port."""
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname
    except ValueError:
        return None
