"""A protocol's endpoint: aligned where the model's name has a preset, otherwise the plain model's answer."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec

from tpo.errors import TPOError
from tpo.scheduling.concurrency import together
from tpo.server.answers import Answers
from tpo.server.asgi import (
    BrokenOff,
    Receive,
    RequestInfo,
    Scope,
    Send,
    WhileConnected,
    header,
    request_info,
    send_json,
)
from tpo.server.bodies import pause
from tpo.server.errors import ApiError, BadRequest, explained
from tpo.server.idempotency import HEADER
from tpo.server.models import NamedModel
from tpo.server.protocols.protocol import ParsedRequest, ProtocolSpec
from tpo.server.protocols.reading import json_object
from tpo.server.protocols.request import GenerationRequest
from tpo.server.request_options import check_counts
from tpo.server.stream import Stream
from tpo.session.response import Completion

log = logging.getLogger("tpo.server")


class ProtocolEndpoint:
    """The route of a protocol.

    Args:
        protocol: the protocol.
        answers: answers its requests.
    """

    def __init__(self, protocol: ProtocolSpec, answers: Answers) -> None:
        self._protocol = protocol
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request (ASGI)."""
        message = await receive()
        if message["type"] != "http.request":
            return
        info = request_info(scope)
        try:
            body = json_object(message["body"])
            await pause(len(message["body"]))
            check_counts(body)
            named = self._answers.model_of(body)
            info.model = body["model"]
            if self._protocol.relay is not None and named.preset is None and not body.get("tpo"):
                await self._answers.relay(self._protocol.relay, message, body, named.model, info, receive, send)
                return
            await pause(len(message["body"]))
            parsed = await self._read(body, named, scope)
            await pause(len(message["body"]))
            key = header(scope, HEADER)
            retried = None if not key else (scope["path"], key.decode("latin-1"), message["body"])
            await self._respond(parsed, named, info, receive, send, retried)
        except (TPOError, BadRequest, ApiError) as error:
            refusal = explained(error)
            if info.status is not None:  # an answer was begun, and its part must not pass for the whole
                raise BrokenOff(str(error)) from error
            if refusal.status >= 500:
                log.warning("%s", error)
            await self._refuse(send, refusal)

    async def _read(self, body: dict[str, Any], named: NamedModel, scope: Scope) -> ParsedRequest:
        return self._protocol.reader(body, scope["headers"])

    async def _respond(
        self,
        parsed: ParsedRequest,
        named: NamedModel,
        info: RequestInfo,
        receive: Receive,
        send: Send,
        retried: tuple[str, str, bytes] | None,
    ) -> None:
        """Answer a request; `retried` is its path, idempotency key and body, where it has such a key."""
        stream = Stream(parsed.renderer, send) if parsed.stream else None
        answering: asyncio.Future[list[Completion]]
        work = None
        joined = False
        if retried is None:
            answering = asyncio.ensure_future(self._all(parsed, named, info, stream))
        else:
            shared = self._answers.idempotency
            work, begun = shared.join(info.client, *retried, lambda: self._all(parsed, named, info, stream))
            answering, joined = work.task, not begun
        try:
            async with WhileConnected(receive, info):
                if stream is None:
                    await asyncio.wait({answering})
                    await send_json(send, 200, msgspec.json.encode(parsed.renderer.whole(answering.result())))
                else:
                    await _stream(stream, answering, joined=joined)
        finally:
            if work is not None:
                self._answers.idempotency.leave(work, info.concurrency)
            else:
                answering.cancel()
                await asyncio.gather(answering, return_exceptions=True)

    async def _all(
        self, parsed: ParsedRequest, named: NamedModel, info: RequestInfo, stream: Stream | None
    ) -> list[Completion]:
        many = len(parsed.queries) > 1

        async def one(place: int, query: GenerationRequest) -> Completion:
            id = f"{parsed.renderer.id}-{place}" if many else parsed.renderer.id
            sink = _ignore if stream is None else stream.sink(place)
            listen = _ignore if stream is None else stream.listen
            streamed = stream is not None
            response = await self._answers.answer(query, named, id, info, sink, listen, streamed=streamed)
            if stream is not None:
                stream.complete(place, response)
            return response

        return await together([one(place, query) for place, query in enumerate(parsed.queries)])

    async def _refuse(self, send: Send, error: ApiError) -> None:
        headers = [(name.encode(), value.encode("latin-1")) for name, value in error.headers.items()]
        await send_json(send, error.status, self._protocol.error_body(error), headers)


class CountTokens(ProtocolEndpoint):
    """The route that counts the tokens of a conversation: its server counts them, in a call for one token."""

    async def _respond(
        self,
        parsed: ParsedRequest,
        named: NamedModel,
        info: RequestInfo,
        receive: Receive,
        send: Send,
        retried: tuple[str, str, bytes] | None,
    ) -> None:
        query = msgspec.structs.replace(parsed.queries[0], max_tokens=1, sets_search=False)
        async with WhileConnected(receive, info):
            plain = NamedModel(named.model)
            counted = await self._answers.answer(query, plain, parsed.renderer.id, info, _ignore, _ignore)
            await send_json(send, 200, msgspec.json.encode({"input_tokens": counted.usage.prompt_tokens}))


async def _stream(stream: Stream, answering: asyncio.Future[list[Completion]], *, joined: bool) -> None:
    """Stream an answer; where its work was joined, all of it comes at the end."""
    await stream.run(answering)
    if stream.begun and (error := answering.exception()) is not None:
        if not isinstance(error, TPOError | BadRequest | ApiError):
            log.error("A bug: a stream broke off.", exc_info=error)
        await stream.fail(explained(error if isinstance(error, Exception) else RuntimeError()))
        return
    for place, response in enumerate(answering.result()):
        if joined:
            stream.complete(place, response, narrated=False)
    await stream.finish()


def _ignore(something: Any) -> None:
    """The client does not want it."""
