"""The stylesheet, the script and the icon, under addresses that change with their content."""

from pathlib import Path

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from components.contract.digests import sha256_bytes
from components.service.problems import ProblemError

_FOLDER = Path(__file__).parent / "static"
_TYPES = {
    "style.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_HEADERS = {
    # What an address holds never changes: another content has another address.
    "Cache-Control": "public, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
}


class PageFiles:
    """Holds the files in memory; anybody may read them."""

    def __init__(self) -> None:
        self._files = {name: (_FOLDER / name).read_bytes() for name in _TYPES}

    def address(self, name: str) -> str:
        return f"/static/{sha256_bytes(self._files[name])[:16]}/{name}"

    def router(self) -> APIRouter:
        router = APIRouter(include_in_schema=False)
        router.get("/static/{version}/{name}", response_class=Response)(self._file)
        return router

    async def _file(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self._files or request.url.path != self.address(name):
            raise ProblemError(404, "There is no such file.")
        return Response(self._files[name], media_type=_TYPES[name], headers=_HEADERS)
