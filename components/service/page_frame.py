"""What all pages share: the templates, the headers, who may see them, and errors as pages."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from components.contract.errors import DebutError, PromotionError
from components.service import phrases
from components.service.auth import COOKIE, Gatekeeper
from components.service.keys import KeyRecord, Role
from components.service.page_files import PageFiles
from components.service.page_forms import form_token
from components.service.problems import ProblemError, request_id_of
from components.service.serving import NoReleaseError, Serving

logger = logging.getLogger(__name__)

Page = Callable[[Request], Awaitable[Response]]
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",  # results and names are not left behind in a shared browser's cache
}
_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Viewer:
    """Who looks at a page."""

    key: KeyRecord | None
    """None: nobody signed in."""
    token: str
    """For the forms of this browser."""

    def may(self, role: Role) -> bool:
        return self.key is not None and self.key.allows(role)


class Frame:
    """Turns an async function of the request into a page: checks the role first, and shows what it raises."""

    def __init__(
        self, gatekeeper: Gatekeeper, serving: Serving, files: PageFiles, options: str, shop: str
    ) -> None:
        self.gatekeeper = gatekeeper
        self._options = options
        self._serving = serving
        self._environment = Environment(
            loader=FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals |= {
            "static": files.address,
            "link": link,
            "verdict": phrases.verdict,
            "command": self.command,
            "shop": shop,
        }
        self._environment.filters |= {
            "short": phrases.short,
            "moment": phrases.moment,
            "day": phrases.day,
            "plural": phrases.plural,
        }

    def command(self, name: str) -> str:
        """ "debut undiscoverable --config demo", as it is to be typed for this shop."""
        return f"debut {name} {self._options}".strip()

    def page(self, answer: Page, role: Role | None = "read") -> Page:
        """role: what the viewer must be allowed to; None: anybody may see it."""

        async def endpoint(request: Request) -> Response:
            try:
                refusal = self._admit(request, role)
                return await answer(request) if refusal is None else refusal
            except ProblemError as error:
                response = self._problem(request, error.status, error.detail)
                response.headers.update({k: v for k, v in error.headers.items() if k == "Retry-After"})
                return response
            except NoReleaseError as error:
                return self._problem(request, 503, str(error))
            except DebutError as error:
                logger.error("Request %s: %s", request_id_of(request), error, exc_info=error)
                refused = isinstance(error, PromotionError) and request.method == "POST"
                return self._problem(request, 409 if refused else 503, str(error))
            except Exception as error:
                logger.error("Request %s failed", request_id_of(request), exc_info=error)
                sentence = "Something went wrong inside the service; its log has the cause under this number."
                return self._problem(request, 500, sentence)

        return endpoint

    def show(self, request: Request, template: str, status: int = 200, **values: Any) -> Response:
        """A template as a page. Lone halves of surrogate pairs in texts become question marks."""
        html = self._environment.get_template(template).render(
            viewer=self.viewer(request),
            path=request.url.path,
            here=_here(request),
            serving=self._serving.release() if self._serving.serves() else None,
            problem=self._serving.problem,
            **values,
        )
        return HTMLResponse(html.encode("utf-8", "replace"), status, headers=HEADERS)

    def viewer(self, request: Request) -> Viewer:
        return Viewer(getattr(request.state, "viewer", None), form_token(request))

    def login(self, request: Request, status: int, sentence: str, goal: str, wrong: bool = False) -> Response:
        """The form for a key. goal: the page to show afterwards; wrong: the key just sent was not right."""
        from_elsewhere = request.headers.get("sec-fetch-site") == "cross-site"
        return self.show(
            request,
            "login.html.jinja",
            status,
            sentence=sentence,
            goal=own_path(goal),
            wrong=wrong,
            from_elsewhere=from_elsewhere,
        )

    def _admit(self, request: Request, role: Role | None) -> Response | None:
        """Notes who looks; the login form where they may not."""
        if role is None:
            return None
        goal = _here(request) if request.method == "GET" else "/"
        try:
            request.state.viewer = self.gatekeeper.admit(request, role, cookie=True)
        except ProblemError as error:
            if error.status == 401:
                known = COOKIE in request.cookies
                return self.login(request, 401, _UNKNOWN_KEY if known else _SIGN_IN, goal)
            if error.status == 403:
                request.state.viewer = self.gatekeeper.identify(request, cookie=True)
                return self.login(request, 403, f"{error.detail} Sign in with such a key.", goal)
            raise
        return None

    def _problem(self, request: Request, status: int, sentence: str) -> Response:
        return self.show(
            request,
            "problem.html.jinja",
            status,
            heading=_HEADINGS.get(status, "This did not work"),
            sentence=sentence,
            request_id=request_id_of(request),
        )


_SIGN_IN = "This page is for people with an API key."
_UNKNOWN_KEY = "The key of this browser is unknown or was revoked."
_HEADINGS = {
    404: "Not found",
    409: "Nothing was changed",
    422: "This cannot be read",
    429: "Too many requests",
    500: "An error of ours",
    503: "Not available now",
}


def link(path: str, **query: object) -> str:
    """A path of ours with a query string; parameters that are None or empty are left out."""
    given = {name: value for name, value in query.items() if value not in (None, "")}
    text = urlencode(given, errors="replace")
    return f"{path}?{text}" if text else path


def own_path(goal: str) -> str:
    """`goal` where it is a path of this service, else "/": a form must not send people to another site."""
    inside = goal.startswith("/") and not goal.startswith(("//", "/\\")) and goal.isprintable()
    return goal if inside and "\\" not in goal else "/"


def _here(request: Request) -> str:
    query = request.url.query
    return f"{request.url.path}?{query}" if query else request.url.path
