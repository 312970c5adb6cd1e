"""What a request must be like before a route looks at it; for routers' and routes' `dependencies=`."""

from fastapi import Request

from components.service.problems import ProblemError


async def known_parameters(request: Request) -> None:
    """Raises ProblemError 422 for a query parameter that the OpenAPI document does not have: a filter that is
    spelt wrongly would filter nothing."""
    sent = request.query_params.keys()
    if not sent:
        return
    known = _documented(request)
    unknown = next((name for name in sent if name not in known), None)
    if unknown is not None:
        offer = f"known are {', '.join(known)}" if known else "there are none here"
        raise ProblemError(422, f"There is no query parameter {unknown[:60]!r}; {offer}.")


def _documented(request: Request) -> list[str]:
    paths = request.app.openapi()["paths"]  # made once, then kept by the application
    operation = paths[request.scope["route"].path_format][request.method.lower()]
    return [one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"]


async def json_body(request: Request) -> None:
    """Raises ProblemError 415 for a body that does not say that it is JSON: it would not be read as such."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise ProblemError(415, "Send the body as JSON, with the header Content-Type: application/json.")
