"""`POST /v1/responses` with a store: responses are kept, continue one another, and may be made in the background."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from tpo.errors import JournalError
from tpo.server.answers import Answers
from tpo.server.asgi import Message, Receive, RequestInfo, Scope, Send, request_info
from tpo.server.endpoint import ProtocolEndpoint, whole
from tpo.server.errors import ApiError
from tpo.server.models import NamedModel
from tpo.server.protocols.protocol import ParsedRequest
from tpo.server.protocols.refusal import refused
from tpo.server.protocols.request import HEADER as OPTION
from tpo.server.protocols.responses.reader import RESPONSES, read_responses
from tpo.server.protocols.responses.renderer import ResponsesRenderer
from tpo.server.request_options import check_counts
from tpo.server.store.background import BackgroundResponses, Job
from tpo.server.store.folder import StoredRequest, key_of
from tpo.server.store.routes import follow

# An item of a response carries the response's key in its id.
_ITEM = re.compile(r"(?:msg|fc)_([0-9a-f]{32})\d+")


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

    async def _read(self, body: dict[str, Any], named: NamedModel, scope: Scope) -> ParsedRequest:
        client = request_info(scope).client
        if body.get("background") and body.get("store") is False:
            raise refused("store", "is false, and a response that is made in the background has to be stored")
        # Stored unless the client wants it otherwise, as OpenAI does.
        body = {**body, "store": body.get("store") is not False}
        body = await asyncio.to_thread(self._continued, body, client)
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
            if renderer.over and not saved:  # before the client can ask for it
                saved = True
                await asyncio.to_thread(self._store.add, record, renderer.entries)
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
        record, job = parsed.record, None
        if retried is not None:
            record = msgspec.structs.replace(
                record, key=key_of(info.client, retried[1]), fingerprint=hashlib.sha256(retried[2]).hexdigest()
            )
            job = await self._again(record, info)
        if job is None:
            job = await self._background.begin(record)
        info.kind = "background"
        if parsed.stream:
            await follow(job, -1, self._answers.service, receive, send)
        else:
            await whole(send, 200, msgspec.json.encode(job.renderer.response))

    async def _again(self, record: StoredRequest, info: RequestInfo) -> Job | None:
        """The response that an earlier request with the same idempotency key began; None where there is none."""
        try:
            earlier = await asyncio.to_thread(self._store.find, record.id, info.client)
        except ApiError:
            return None
        if earlier.fingerprint != record.fingerprint:
            message = "This Idempotency-Key was sent with another request: a new request needs a new key."
            raise ApiError(422, message, code="idempotency_key_reused")
        job = self._background.find(record.id) or await self._background.read(earlier)
        if job.renderer.response["status"] == "failed":  # the same request may have better luck
            await self._background.delete(record.id)
            return None
        return job

    def _continued(self, body: dict[str, Any], client: str | None) -> dict[str, Any]:
        """A request with all of its input: what the previous response was made from, that response, and what is new."""
        given = body.get("input")
        items = [{"type": "message", "role": "user", "content": given}] if isinstance(given, str) else given
        if not isinstance(items, list):
            return body
        items = [self._referred(item, client) for item in items]
        previous = body.get("previous_response_id")
        if previous is None:
            return {**body, "input": items}
        if not isinstance(previous, str):
            raise refused("previous_response_id", "is not a string")
        try:
            request = self._store.find(previous, client)
        except ApiError as error:
            raise refused(
                "previous_response_id", f"names no response: {error}", "previous_response_not_found"
            ) from None
        response = self._response(request)
        if response["status"] not in ("completed", "incomplete", "cancelled"):
            raise refused("previous_response_id", f"names a response that is {response['status']}")
        return {**body, "input": [*request.body["input"], *response["output"], *items]}

    def _referred(self, item: Any, client: str | None) -> Any:
        """The item that a reference names; what is no reference to a stored item stays as it is."""
        named = item.get("id") if isinstance(item, Mapping) and item.get("type") == "item_reference" else None
        found = _ITEM.fullmatch(named) if isinstance(named, str) else None
        if found is None:
            return item
        try:
            response = self._response(self._store.find(f"resp_{found[1]}", client))
        except ApiError:
            return item
        return next((output for output in response["output"] if output["id"] == named), item)

    def _response(self, request: StoredRequest) -> dict[str, Any]:
        try:
            renderer, _ = self._store.rendered(request, self._store.entries(request.id))
        except JournalError as error:
            raise ApiError(500, str(error), "server_error") from error
        return renderer.response
