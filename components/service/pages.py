"""The web page: everything that the service shows to people."""

from fastapi import APIRouter

from components.contract.serving import ServingSettings
from components.service.auth import Gatekeeper
from components.service.comparison import Comparison
from components.service.page_files import PageFiles
from components.service.page_frame import Frame
from components.service.pages_access import AccessPages
from components.service.pages_releases import ReleasePages
from components.service.pages_rollback import RollbackPages
from components.service.pages_search import SearchPages
from components.service.pages_undiscoverable import UndiscoverablePages
from components.service.serving import Serving


def page_routers(
    serving: Serving, settings: ServingSettings, gatekeeper: Gatekeeper, options: str, shop: str
) -> list[APIRouter]:
    """The pages' routes, which no OpenAPI document shows; in the order in which they are to be included.
    options, shop: see `Parts`."""
    files = PageFiles()
    frame = Frame(gatekeeper, serving, files, options, shop)
    return [
        SearchPages(frame, serving, Comparison(serving), settings.max_query_characters).router(),
        UndiscoverablePages(frame, serving).router(),
        RollbackPages(frame, serving).router(),
        ReleasePages(frame, serving).router(),
        AccessPages(frame, gatekeeper).router(),
        files.router(),
    ]
