"""The pages `/login` and `/logout`: an API key in a cookie that scripts cannot read."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from components.service.auth import COOKIE, Gatekeeper
from components.service.page_forms import read_form
from components.service.page_frame import HEADERS, Frame, own_path

SENTENCE = "Searches may need a key here, and a rollback always does."
WRONG = "That key is unknown or was revoked. Check that it was copied whole: debut_ and what follows."


class AccessPages:
    def __init__(self, frame: Frame, gatekeeper: Gatekeeper) -> None:
        self._frame = frame
        self._gatekeeper = gatekeeper

    def router(self) -> APIRouter:
        router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
        router.get("/login")(self._frame.page(self._form, None))
        router.post("/login")(self._frame.page(self._login, None))
        router.post("/logout")(self._frame.page(self._logout, None))
        return router

    async def _form(self, request: Request) -> Response:
        return self._frame.login(request, 200, SENTENCE, request.query_params.get("next", "/"))

    async def _login(self, request: Request) -> Response:
        """Counted per address, like every request without a key."""
        self._gatekeeper.limit.check(None, request.client.host if request.client else "unknown")
        form = await read_form(request)
        secret, goal = form.get("key", "").strip(), own_path(form.get("next", "/"))
        if self._gatekeeper.keys.authenticate(secret) is None:
            return self._frame.login(request, 401, WRONG, goal, wrong=True)
        response = RedirectResponse(goal, 303, headers=HEADERS)
        response.set_cookie(
            COOKIE,
            secret,
            path="/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return response

    async def _logout(self, request: Request) -> Response:
        await read_form(request)
        response = RedirectResponse("/", 303, headers=HEADERS)
        response.delete_cookie(
            COOKIE, path="/", secure=request.url.scheme == "https", httponly=True, samesite="strict"
        )
        return response
