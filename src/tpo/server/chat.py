"""`/v1/chat/completions`: aligned where the model's name asks for it, passed through where it does not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

import msgspec

from tpo.engine.events import Event
from tpo.errors import TPOError
from tpo.server.admission import Admission, Busy
from tpo.server.answered import Answered
from tpo.server.asgi import About, Receive, Scope, Send, about
from tpo.server.asked import Asked, see_sizes
from tpo.server.errors import ApiError, busy, explained
from tpo.server.inside import watched
from tpo.server.logs import log_contents
from tpo.server.models import Named
from tpo.server.passthrough import Passing, plain_body
from tpo.server.searches import Searches
from tpo.server.streaming import Stream
from tpo.server.wire.answer import Head, completion, usage_of
from tpo.server.wire.chat import chat_request
from tpo.server.wire.reading import json_object
from tpo.server.wire.refusal import BadRequest, refused

log = logging.getLogger("tpo.server")
P = ParamSpec("P")
T = TypeVar("T")

# One after the other: who sends costly schemas waits for those who do the same.
_APART = ThreadPoolExecutor(1, thread_name_prefix="tpo-schemas")


class Chat:
    """The route.

    Args:
        searches: answers aligned requests.
        passed: how many are passed through at once.
    """

    def __init__(self, searches: Searches, passed: Admission) -> None:
        self._searches = searches
        self._service = searches.service
        self._passed = passed
        self._passing = Passing()

    async def aclose(self) -> None:
        """Close the connections of what was passed through."""
        await self._passing.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request (ASGI)."""
        await self.handle("chat/completions", scope, receive, send)

    async def handle(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request for chat completions, or one for something else that is only passed through.

        Args:
            path: where to below the API's address, for what is passed through.
            scope: the request.
            receive: its body, in one piece.
            send: the way to the client.
        """
        message = await receive()
        if message["type"] != "http.request":
            return
        known = about(scope)
        try:
            body = json_object(message["body"])
            named = self._named(body)
            known.model = body["model"]
            self._service.expect_ready()
            see_sizes(body, self._service.setup.bounds)
            if named.preset is None and not body.get("tpo"):
                known.kind = "passed"
                async with self._passed.admitted():
                    fleet = (await self._service.fleets(named.model))["policy"]
                    content = plain_body(message["body"], body)
                    await self._passing.relay(fleet, path, content, receive, send, known.spend)
                return
            known.kind = "aligned"
            request = chat_request(body, scope["headers"])
            given = (request, body, named.preset)
            # A schema may take seconds to look at, in which nobody else should have to wait.
            asked = (
                await _apart(self._service.asked, *given) if request.response_format else self._service.asked(*given)
            )
            await self._align(asked, named.model, known, receive, send)
        except Busy as error:
            await _refuse(send, busy(str(error), error.retry_after))
        except (TPOError, BadRequest, ApiError) as error:
            told = explained(error)
            if told.status >= 500:
                log.warning("%s", error)
            await _refuse(send, told)

    def plain(self, body: dict[str, Any]) -> bool:
        """Whether a request is for a model as it is.

        Raises:
            BadRequest: it names no model.
            ApiError: it names one that is not there.
        """
        return self._named(body).preset is None and not body.get("tpo")

    def _named(self, body: dict[str, Any]) -> Named:
        name = body.get("model")
        if not isinstance(name, str):
            raise refused("model", "is missing" if name is None else "is no text")
        if not self._service.models.names:
            self._service.expect_ready()
        return self._service.models.find(name)

    async def _align(self, asked: Asked, model: str, known: About, receive: Receive, send: Send) -> None:
        head = Head(asked.model)
        async with watched(receive) as gone:
            leaving = asyncio.ensure_future(gone.wait())
            stream = Stream(head, send, reasoning=asked.reasoning) if asked.stream else None
            listen = stream.hear if stream is not None else _nobody
            searching = asyncio.ensure_future(self._searches.answer(asked, model, head.id, known, listen))
            try:
                if stream is not None:
                    await stream.run(searching, leaving)
                else:
                    await asyncio.wait({searching, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if not searching.done():
                    return  # the client has left, and so ends what was done for it
                await self._tell(asked, head, searching, stream, send)
            finally:
                leaving.cancel()
                searching.cancel()
                await asyncio.gather(searching, leaving, return_exceptions=True)

    async def _tell(
        self, asked: Asked, head: Head, searching: asyncio.Future[Answered], stream: Stream | None, send: Send
    ) -> None:
        if stream is not None and stream.begun and (failed := searching.exception()) is not None:
            if not isinstance(failed, TPOError | BadRequest | ApiError | Busy):
                log.error("A bug: a stream broke off.", exc_info=failed)
            await stream.fail(explained(failed if isinstance(failed, Exception) else RuntimeError()))
            return
        answered = searching.result()
        reward = None if answered.result.reward is None else _reward_name(answered)
        told = answered.told(reward, trace=asked.return_trace)
        log_contents(asked.messages, [candidate.text for candidate in answered.best])
        if stream is not None:
            usage = usage_of(answered.result, answered.best) if asked.with_usage else None
            await stream.finish(answered.best, usage, told)
            return
        body = msgspec.json.encode(completion(head, answered.best, answered.result, told))
        await _whole(send, 200, body)


def _nobody(event: Event) -> None:
    """Listen to nothing."""


def _reward_name(answered: Answered) -> str | None:
    started = answered.result.trace[0]
    plan = getattr(started, "plan", None)
    return getattr(plan, "reward", None)


async def _apart(call: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    return await asyncio.get_running_loop().run_in_executor(_APART, partial(call, *given, **named))


async def _refuse(send: Send, error: ApiError) -> None:
    await _whole(send, error.status, error.body(), error.headers)


async def _whole(send: Send, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    head += [(name.encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})
