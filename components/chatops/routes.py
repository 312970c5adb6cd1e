"""POST /chat/slack and POST /chat/mattermost, for the service to mount."""

import asyncio

from fastapi import APIRouter, HTTPException, Request, Response

from components.chatops.chat import Chat
from components.chatops.slack import Reply

MOST_BYTES = 100_000
"""Of a body: well above what either sends. A form can be slow to parse."""


def chat_router(chat: Chat) -> APIRouter:
    """The routes, which are in no OpenAPI document: only Slack and Mattermost call them. An HTTPException
    with one sentence refuses a request; 404 where the secret of a way in is not configured."""
    router = APIRouter(prefix="/chat", include_in_schema=False)

    @router.post("/slack")
    async def slack(request: Request) -> Response:
        if chat.slack is None:
            raise HTTPException(404)
        return _response(await asyncio.to_thread(chat.slack.handle, await _body(request), request.headers))

    @router.post("/mattermost")
    async def mattermost(request: Request) -> Response:
        if chat.mattermost is None:
            raise HTTPException(404)
        return _response(await asyncio.to_thread(chat.mattermost.handle, await _body(request)))

    return router


async def _body(request: Request) -> bytes:
    body = await request.body()
    if len(body) > MOST_BYTES:
        raise HTTPException(413, f"The request's body is over {MOST_BYTES} bytes, which no chat command is.")
    return body


def _response(reply: Reply) -> Response:
    if reply.status >= 400:
        raise HTTPException(reply.status, reply.body)
    return Response(reply.body, reply.status, media_type=reply.content_type)
