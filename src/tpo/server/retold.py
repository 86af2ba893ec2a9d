"""`/v1/responses` and `/v1/completions`: chat completions in other words, asked of the app itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from tpo.server.asgi import App, Header, Message, Receive, Scope, Send
from tpo.server.errors import explained
from tpo.server.inside import Answer, ask, watched
from tpo.server.wire.completions import TellingText, chat_bodies, completion, completions_request
from tpo.server.wire.reading import json_object
from tpo.server.wire.refusal import BadRequest
from tpo.server.wire.responses import Event, Telling, chat_body, responses_request, told

_SSE: list[Header] = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
_UNTOLD = frozenset((b"content-length", b"content-type", b"cache-control", b"transfer-encoding"))


class Words(Protocol):
    """A protocol's words for what a chat answers."""

    @property
    def asked(self) -> Sequence[dict[str, Any]]:
        """The bodies of the chat completions that it takes."""
        ...

    def whole(self, answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The answers that came in one piece."""
        ...

    def begin(self) -> bytes:
        """How a stream begins."""
        ...

    def chunk(self, place: int, chunk: dict[str, Any]) -> bytes:
        """What a chunk of an answer's stream adds."""
        ...

    def end(self) -> bytes:
        """How a stream ends."""
        ...


class ResponsesWords:
    """OpenAI's Responses API.

    Args:
        body: the request.
    """

    def __init__(self, body: dict[str, Any]) -> None:
        self._request = responses_request(body)
        self.asked = [chat_body(self._request, body)]
        self._telling = Telling(self._request)

    def whole(self, answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return told(self._request, answers[0])

    def begin(self) -> bytes:
        return _events(self._telling.begin())

    def chunk(self, place: int, chunk: dict[str, Any]) -> bytes:
        return _events(self._telling.take(chunk))

    def end(self) -> bytes:
        return _events(self._telling.end())


class CompletionsWords:
    """OpenAI's older completions.

    Args:
        body: the request.
    """

    def __init__(self, body: dict[str, Any]) -> None:
        self._request = completions_request(body)
        self.asked = chat_bodies(self._request, body)
        self._telling = TellingText(self._request)

    def whole(self, answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return completion(self._request, answers)

    def begin(self) -> bytes:
        return b""

    def chunk(self, place: int, chunk: dict[str, Any]) -> bytes:
        return _data(self._telling.take(place, chunk))

    def end(self) -> bytes:
        return _data(self._telling.end()) + b"data: [DONE]\n\n"


class Retold:
    """A route that answers in another protocol's words.

    Args:
        app: who answers chat completions.
        words: reads a request.
    """

    def __init__(self, app: App, words: Callable[[dict[str, Any]], Words]) -> None:
        self._app = app
        self._words = words

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request (ASGI)."""
        body = await _read(receive)
        if body is None:
            return
        try:
            words = self._words(json_object(body))
        except BadRequest as error:
            refusal = explained(error)
            head = [(b"content-type", b"application/json"), (b"content-length", str(len(refusal.body())).encode())]
            await send({"type": "http.response.start", "status": refusal.status, "headers": head})
            await send({"type": "http.response.body", "body": refusal.body()})
            return
        await retell(self._app, words, scope, receive, send)


async def _read(receive: Receive) -> bytes | None:
    """The body of a request; None where the client left before its end."""
    body: bytes = b""
    while True:
        message: Message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def retell(app: App, words: Words, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request by asking the app for chat completions.

    Args:
        app: who answers chat completions.
        words: how the request and its answer are put.
        scope: the request, whose body was read.
        receive: tells when the client leaves.
        send: the way to the client.
    """
    out = _Out(send, words)
    answers = [out.answer(place) for place in range(len(words.asked))]
    async with watched(receive) as gone:
        try:
            async with asyncio.TaskGroup() as tasks:
                for body, answer in zip(words.asked, answers, strict=True):
                    tasks.create_task(ask(app, scope, body, gone, answer.hear))
        except ExceptionGroup as group:  # who handles the app's errors knows them as they are
            raise group.exceptions[0] from None
        if gone.is_set():
            return
    await out.finish(answers)


class _Out:
    """The way to the client, which several answers share."""

    def __init__(self, send: Send, words: Words) -> None:
        self._send = send
        self._words = words
        self._begun = False

    def answer(self, place: int) -> Answer:
        """Takes the answer to one of the chat completions."""

        async def chunk(value: dict[str, Any]) -> None:
            await self._write(self._words.chunk(place, value))

        answer = Answer(lambda: self._begin(answer), chunk, lambda line: self._write(line + b"\n\n"))
        return answer

    async def finish(self, answers: Sequence[Answer]) -> None:
        """Say what is left to say when all answers are there."""
        failed = next((answer for answer in answers if answer.status != 200), None)
        if self._begun:
            if failed is not None:
                await self._write(self._words.chunk(0, msgspec.json.decode(failed.body)))
            await self._write(self._words.end(), more=False)
            return
        whole = failed or answers[0]
        body = whole.body
        if failed is None:
            body = msgspec.json.encode(self._words.whole([msgspec.json.decode(answer.body) for answer in answers]))
        head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await self._start(whole.status, [*head, *_told(whole)])
        await self._write(body, more=False)

    async def _begin(self, answer: Answer) -> None:
        if not self._begun:
            self._begun = True
            await self._start(200, [*_SSE, *_told(answer)])
            await self._write(self._words.begin())

    async def _start(self, status: int, headers: list[Header]) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def _write(self, body: bytes, more: bool = True) -> None:
        if body or not more:
            await self._send({"type": "http.response.body", "body": body, "more_body": more})


def _told(answer: Answer) -> list[Header]:
    return [(name, value) for name, value in answer.headers if name.lower() not in _UNTOLD]


def _events(events: Sequence[Event]) -> bytes:
    return b"".join(b"event: %s\ndata: %s\n\n" % (e["type"].encode(), msgspec.json.encode(e)) for e in events)


def _data(chunk: dict[str, Any] | None) -> bytes:
    return b"" if chunk is None else b"data: %s\n\n" % msgspec.json.encode(chunk)
