"""`/v1/responses` with a store: responses are kept, continue one another, and may be made in the background.

`POST` creates one; the other routes fetch, follow, cancel and delete it, and list what it was made from.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tpo.server.answers import Answers
from tpo.server.asgi import (
    BrokenOff,
    Message,
    Receive,
    RequestInfo,
    Scope,
    Send,
    WhileConnected,
    request_info,
    send_json,
)
from tpo.server.endpoint import ProtocolEndpoint
from tpo.server.errors import ApiError, refused
from tpo.server.models import NamedModel
from tpo.server.protocols import sse
from tpo.server.protocols.protocol import ParsedRequest
from tpo.server.protocols.request import HEADER as OPTION
from tpo.server.protocols.responses.reader import RESPONSES, read_responses
from tpo.server.protocols.responses.renderer import ResponsesRenderer
from tpo.server.request_options import check_counts
from tpo.server.service import Service, WhileServing
from tpo.server.store.background import BackgroundResponses, Job
from tpo.server.store.folder import StoredRequest, key_of
from tpo.server.store.history import History
from tpo.server.stream import HEAD, HEARTBEAT

log = logging.getLogger("tpo.server")

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
        return await background.request(id, client)

    async def fetched(request: Request) -> Response:
        job = await background.read(await read(request))
        if request.query_params.get("stream") not in ("true", "True", "1"):
            return _json(job.renderer.response)
        after = _number(request, "starting_after", -1, -1)
        return EventStream(
            lambda receive, send: follow(job, after, service, request_info(request.scope), receive, send)
        )

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


async def follow(job: Job, after: int, service: Service, info: RequestInfo, receive: Receive, send: Send) -> None:
    """Send a response's events, those that are there and those that are still to come.

    Args:
        job: the response.
        after: the number of the last event that the client has; -1 for none.
        service: its end ends the stream.
        info: the request.
        receive: shows when the client leaves.
        send: the way to the client.

    Raises:
        BrokenOff: the server ends; the client can go on with the next one.
    """
    await send({"type": "http.response.start", "status": 200, "headers": HEAD})
    place = after + 1
    try:
        async with WhileConnected(receive, info), WhileServing(service):
            while True:
                changed = job.changed  # what happens while events are sent is not missed
                fresh, over = b"".join(job.events[place:]), job.renderer.over
                place = max(place, len(job.events))
                if fresh or over:
                    await send({"type": "http.response.body", "body": fresh, "more_body": not over})
                if over:
                    return
                try:
                    async with asyncio.timeout(HEARTBEAT):
                        await changed.wait()
                except TimeoutError:
                    await send({"type": "http.response.body", "body": sse.HEARTBEAT, "more_body": True})
                if job.stopped and not job.renderer.over:
                    raise BrokenOff(f"The response {job.request.id} was deleted, or cannot be written.")
    except ApiError:
        raise BrokenOff(f"The server ends, and the next one continues with {job.request.id}.") from None


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


class StoredParsedRequest(ParsedRequest, frozen=True):
    """A request that was read, and what is stored of it.

    Attributes:
        record: what is stored.
    """

    record: StoredRequest


class ResponsesEndpoint(ProtocolEndpoint):
    """The route.

    Args:
        answers: answers its requests.
        background: makes responses in the background; knows the store.
    """

    def __init__(self, answers: Answers, background: BackgroundResponses) -> None:
        super().__init__(RESPONSES, answers)
        self._background = background
        self._store = background.store
        self._beginning = asyncio.Lock()

    async def _read(self, body: dict[str, Any], named: NamedModel, scope: Scope) -> ParsedRequest:
        client = request_info(scope).client
        if body.get("background") and body.get("store") is False:
            raise refused("store", "is false, and a response that is made in the background has to be stored")
        # Stored unless the client wants it otherwise, as OpenAI does.
        body = {**body, "store": body.get("store") is not False}
        body = await self._store.run(History(self._store, client).continued, body)
        check_counts(body)
        options = [(name, value) for name, value in scope["headers"] if name.startswith(OPTION)]
        parsed = read_responses(body, options)
        renderer = parsed.renderer
        assert isinstance(renderer, ResponsesRenderer)
        record = StoredRequest(
            key=renderer.id.removeprefix("resp_"),
            client=client,
            at=renderer.at,
            body=body,
            headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in options],
        )
        return StoredParsedRequest(parsed.queries, renderer, parsed.stream, record)

    async def _respond(
        self,
        parsed: ParsedRequest,
        named: NamedModel,
        info: RequestInfo,
        receive: Receive,
        send: Send,
        retried: tuple[str, str, bytes] | None,
    ) -> None:
        assert isinstance(parsed, StoredParsedRequest) and isinstance(parsed.renderer, ResponsesRenderer)
        if parsed.renderer.request.background:
            await self._begin(parsed, named, info, receive, send, retried)
            return
        saved = not parsed.renderer.request.store
        renderer, record = parsed.renderer, parsed.record

        async def saving(message: Message) -> None:
            nonlocal saved
            if renderer.over and not saved:  # before the client can fetch it
                saved = True
                try:
                    await self._store.run(self._store.add, record, renderer.entries)
                except ApiError as error:  # the answer was paid for, and is worth more than its copy
                    log.error("%s Its client gets %s all the same.", error, record.id)
            await send(message)

        await super()._respond(parsed, named, info, receive, saving, retried)

    async def _begin(
        self,
        parsed: StoredParsedRequest,
        named: NamedModel,
        info: RequestInfo,
        receive: Receive,
        send: Send,
        retried: tuple[str, str, bytes] | None,
    ) -> None:
        await self._answers.options(parsed.queries[0], named)  # what is wrong with a request is found out now
        record = parsed.record
        if retried is None:
            job = await self._background.begin(record)
        else:
            record = msgspec.structs.replace(
                record, key=key_of(info.client, retried[1]), fingerprint=hashlib.sha256(retried[2]).hexdigest()
            )
            async with self._beginning:  # the same request may come twice at once
                job = await self._again(record, info) or await self._background.begin(record)
        info.kind = "background"
        if parsed.stream:
            await follow(job, -1, self._answers.service, info, receive, send)
        else:
            await send_json(send, 200, msgspec.json.encode(job.renderer.response))

    async def _again(self, record: StoredRequest, info: RequestInfo) -> Job | None:
        """The response that an earlier request with the same idempotency key began; None where there is none."""
        try:
            earlier = await self._background.request(record.id, info.client)
        except ApiError:
            return None
        if earlier.fingerprint != record.fingerprint:
            message = "This Idempotency-Key was sent with another request: a new request needs a new key."
            raise ApiError(422, message, code="idempotency_key_reused")
        job = self._background.find(record.id) or await self._background.read(earlier)
        if job.renderer.response["status"] == "failed":  # the same request may have better luck
            if await self._store.run(self._store.is_open, record.id) and self._background.find(record.id) is None:
                return await self._background.resume(earlier)  # what its journal holds is not paid again
            await self._background.delete(record.id)
            return None
        return job
