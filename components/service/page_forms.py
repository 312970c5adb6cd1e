"""The page's forms: reading one, and making sure that our own page sent it."""

import hmac
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request

from components.service.auth import COOKIE
from components.service.problems import ProblemError

MOST_FIELDS = 20
_FORM = "application/x-www-form-urlencoded"
_PURPOSE = b"debut page: form token"
_OWN_PAGE = ("same-origin", "none")  # none: the person typed the address or repeats the request


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form that one of our pages sent; of equal names the last. Raises ProblemError 403 for a
    form of another site, 415 and 422 for what is no form."""
    _check_own_page(request)
    body = await request.body()
    if body and request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise ProblemError(415, f"Send the form as {_FORM}.")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError as error:  # no UTF-8, or too many fields
        raise ProblemError(422, "The form cannot be read; open the page again and send it anew.") from error


def form_token(request: Request) -> str:
    """What a form of this browser carries: another site can make the browser send the form, but cannot know
    the cookie's value. Empty where nobody is signed in."""
    secret = request.cookies.get(COOKIE, "")
    return hmac.digest(secret.encode(), _PURPOSE, "sha256").hex() if secret else ""


def check_token(request: Request, form: dict[str, str]) -> None:
    """Raises ProblemError 403 where the form does not carry this browser's token."""
    expected, sent = form_token(request), form.get("token", "")
    if not expected or not hmac.compare_digest(expected.encode(), sent.encode("utf-8", "replace")):
        raise ProblemError(403, "This form was opened before you signed in: open the page again.")


def _check_own_page(request: Request) -> None:
    """Browsers say where a form comes from; what says nothing is no browser and has no one's cookie."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None:
        own = site in _OWN_PAGE
    else:
        own = origin is None or urlsplit(origin).netloc == request.headers.get("host")
    if not own:
        raise ProblemError(403, "Another site sent this form; it was not followed. Use the page itself.")
