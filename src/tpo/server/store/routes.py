"""The routes of stored responses: fetch, follow, cancel, delete, and list what they were made from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tpo.server.asgi import BrokenOff, Receive, Scope, Send, client_leaves, request_info
from tpo.server.errors import ApiError
from tpo.server.protocols import sse
from tpo.server.protocols.refusal import refused
from tpo.server.service import Service
from tpo.server.store.background import BackgroundResponses, Job
from tpo.server.store.folder import StoredRequest
from tpo.server.stream import HEAD, HEARTBEAT

PATH = "/v1/responses/{id}"
# Input items of one page.
PAGE, LARGEST_PAGE = 20, 100


def stored_routes(background: BackgroundResponses, service: Service) -> list[Route]:
    """The routes.

    Args:
        background: makes responses; knows the store.
        service: its end ends streams.
    """

    async def read(request: Request) -> StoredRequest:
        id, client = request.path_params["id"], request_info(request.scope).client
        return await asyncio.to_thread(background.store.find, id, client)

    async def fetched(request: Request) -> Response:
        job = await background.read(await read(request))
        if request.query_params.get("stream") not in ("true", "True", "1"):
            return _json(job.renderer.response)
        after = _number(request, "starting_after", -1, -1)
        return EventStream(lambda receive, send: follow(job, after, service, receive, send))

    async def deleted(request: Request) -> Response:
        stored = await read(request)
        await background.delete(stored.id)
        return _json({"id": stored.id, "object": "response", "deleted": True})

    async def cancelled(request: Request) -> Response:
        stored = await read(request)
        if not stored.body.get("background"):
            raise ApiError(400, "Only a response that is made in the background can be cancelled.")
        job = background.find(stored.id)
        if job is not None:
            await background.cancel(job)
        return _json((job or await background.read(stored)).renderer.response)

    async def items(request: Request) -> Response:
        return _json(_page(await read(request), request))

    return [
        Route(PATH, fetched, methods=["GET"]),
        Route(PATH, deleted, methods=["DELETE"]),
        Route(f"{PATH}/cancel", cancelled, methods=["POST"]),
        Route(f"{PATH}/input_items", items, methods=["GET"]),
    ]


class EventStream(Response):
    """A streamed response that watches for its client's leaving.

    Args:
        run: sends it.
    """

    def __init__(self, run: Callable[[Receive, Send], Any]) -> None:
        super().__init__()
        self._run = run

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it (ASGI)."""
        await self._run(receive, send)


async def follow(job: Job, after: int, service: Service, receive: Receive, send: Send) -> None:
    """Send a response's events, those that are there and those that are still to come.

    Args:
        job: the response.
        after: the number of the last event that the client has; -1 for none.
        service: its end ends the stream.
        receive: shows when the client leaves.
        send: the way to the client.

    Raises:
        BrokenOff: the server ends; the client can go on with the next one.
    """
    await send({"type": "http.response.start", "status": 200, "headers": HEAD})
    place = after + 1
    async with client_leaves(receive) as leaving:
        while True:
            changed = asyncio.ensure_future(job.changed())
            fresh, over = b"".join(job.events[place:]), job.renderer.over
            place = max(place, len(job.events))
            if fresh or over:
                await send({"type": "http.response.body", "body": fresh, "more_body": not over})
            if over:
                changed.cancel()
                return
            ending = asyncio.ensure_future(service.ending.wait())
            waiting: set[asyncio.Future[Any]] = {changed, ending, leaving}
            done, _ = await asyncio.wait(waiting, timeout=HEARTBEAT, return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()
            ending.cancel()
            if leaving.done():
                return
            if service.ending.is_set():
                raise BrokenOff(f"The server ends, and the next one continues with {job.request.id}.")
            if job.stopped:
                raise BrokenOff(f"The response {job.request.id} was deleted, or cannot be written.")
            if not done:
                await send({"type": "http.response.body", "body": sse.HEARTBEAT, "more_body": True})


def _page(stored: StoredRequest, request: Request) -> dict[str, Any]:
    items = [_item(item, f"{stored.key}i{place}") for place, item in enumerate(stored.body["input"])]
    order = request.query_params.get("order", "desc")
    if order not in ("asc", "desc"):
        raise refused("order", "is asc or desc")
    if order == "desc":
        items.reverse()
    after = request.query_params.get("after")
    if after is not None:
        place = next((number for number, item in enumerate(items) if item["id"] == after), None)
        if place is None:
            raise refused("after", "names no input item of this response")
        items = items[place + 1 :]
    limit = _number(request, "limit", PAGE, 1, LARGEST_PAGE)
    page = items[:limit]
    ends = {"first_id": page[0]["id"] if page else None, "last_id": page[-1]["id"] if page else None}
    return {"object": "list", "data": page, **ends, "has_more": len(items) > limit}


_PREFIXES = {"message": "msg", "function_call": "fc", "function_call_output": "fco", "reasoning": "rs"}


def _item(item: dict[str, Any], key: str) -> dict[str, Any]:
    """An input item as it is listed: with an id, and its text in parts."""
    kind = item.get("type", "message")
    item = {"type": kind, "id": f"{_PREFIXES.get(kind, 'item')}_{key}", **item}
    if kind == "message" and isinstance(item.get("content"), str):
        part = "output_text" if item.get("role") == "assistant" else "input_text"
        more: dict[str, Any] = {"annotations": []} if part == "output_text" else {}
        item["content"] = [{"type": part, "text": item["content"], **more}]
    return {"status": "completed", **item} if kind != "item_reference" else item


def _number(request: Request, name: str, default: int, least: int, most: int | None = None) -> int:
    given = request.query_params.get(name)
    if given is None:
        return default
    if not (given.lstrip("-").isdecimal() and given.isascii() and len(given) < 10):
        raise refused(name, "is not a whole number")
    if int(given) < least or (most is not None and int(given) > most):
        raise refused(name, f"is {given}, and goes from {least} to {most or 'any number'}")
    return int(given)


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
