"""POST /hooks/mlflow: MLflow's registry tells that a reviewer set a tag.

A delivery only says that something was set: what the tag is, is read from the registry itself.
"""

import asyncio
import time
from collections.abc import Callable

from fastapi import APIRouter, Request, Response

from components.service.problems import ProblemError
from components.tracking.webhook import is_genuine


def mlflow_hook(secret: str, read_tags: Callable[[], object]) -> APIRouter:
    """secret: the webhook's; read_tags: reads the registry and acts on what it finds."""
    router = APIRouter(include_in_schema=False)

    @router.post("/hooks/mlflow", status_code=204)
    async def tag_was_set(request: Request) -> Response:
        body = await request.body()
        if not is_genuine(secret, request.headers, body, time.time()):
            raise ProblemError(401, "The delivery is not signed by this shop's MLflow, or is too old.")
        await asyncio.to_thread(read_tags)
        return Response(status_code=204)

    return router
