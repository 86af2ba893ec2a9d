"""Responses and completions over an app that answers chat completions: what goes in, what comes out, who ends it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tpo.server.asgi import App, Message, Receive, Scope, Send
from tpo.server.retold import CompletionsWords, ResponsesWords, Retold

Write = Callable[[bytes], Awaitable[None]]


class Chat:
    """Answers chat completions with what a function writes, and keeps what it was asked."""

    def __init__(self, *pieces: bytes, status: int = 200, kind: str = "application/json", wait: bool = False) -> None:
        self.pieces = pieces
        self.status = status
        self.kind = kind
        self.wait = wait
        self.bodies: list[dict[str, Any]] = []
        self.scopes: list[Scope] = []
        self.left = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        self.bodies.append(json.loads((await receive())["body"]))
        if self.wait:
            assert (await receive())["type"] == "http.disconnect"
            self.left += 1
            return
        headers = [(b"content-type", self.kind.encode()), (b"content-length", b"9"), (b"x-kept", b"yes")]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        for piece in self.pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b""})


class Reply:
    """What a client got."""

    def __init__(self, messages: list[Message]) -> None:
        self.status = messages[0]["status"]
        self.headers = dict(messages[0]["headers"])
        self.body = b"".join(message["body"] for message in messages[1:])
        self.pieces = [message["body"] for message in messages[1:] if message["body"]]
        self.ended = not messages[-1].get("more_body", False)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def data(self) -> list[Any]:
        lines = [line[6:] for line in self.body.decode().split("\n") if line.startswith("data: ")]
        return [line if line == "[DONE]" else json.loads(line) for line in lines]


async def call(app: App, body: Any, leave: bool = False) -> list[Message]:
    """Send a request to an app, and wait for the end of it."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    left = asyncio.Event()
    told: list[Message] = [{"type": "http.request", "body": data[:5], "more_body": True}]
    told.append({"type": "http.request", "body": data[5:], "more_body": False})
    sent: list[Message] = []

    async def receive() -> Message:
        if told:
            return told.pop(0)
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"authorization", b"Bearer k"), (b"content-length", str(len(data)).encode())]
    scope = {"type": "http", "method": "POST", "path": "/v1/x", "headers": headers}
    if leave:
        asyncio.get_running_loop().call_later(0.01, left.set)
    await asyncio.wait_for(app(scope, receive, send), 5)
    return sent


def sse(*chunks: Any) -> bytes:
    """A stream of server-sent events."""
    return b"".join(b"data: %s\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def completion(text: str) -> bytes:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    return json.dumps({"id": "chatcmpl-1", "created": 1, "model": "m", "choices": [choice], "usage": usage}).encode()


STREAM = "text/event-stream; charset=utf-8"


async def test_a_response_in_one_piece_is_asked_as_a_chat() -> None:
    chat = Chat(completion("Hello"))
    reply = Reply(await call(Retold(chat, ResponsesWords), {"model": "m", "input": "Hi", "tpo": {"width": 3}}))
    assert chat.bodies == [{"model": "m", "messages": [{"role": "user", "content": "Hi"}], "tpo": {"width": 3}}]
    assert chat.scopes[0]["path"] == "/v1/chat/completions"
    assert (b"authorization", b"Bearer k") in chat.scopes[0]["headers"]
    length = len(json.dumps(chat.bodies[0], separators=(",", ":")))
    assert dict(chat.scopes[0]["headers"])[b"content-length"] == str(length).encode()
    assert (reply.status, reply.headers[b"x-kept"], reply.ended) == (200, b"yes", True)
    assert reply.headers[b"content-length"] == str(len(reply.body)).encode()
    assert reply.json["output"][0]["content"][0]["text"] == "Hello"
    assert reply.json["usage"]["total_tokens"] == 3


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_a_stream_comes_as_events_while_it_comes(size: int) -> None:
    data = b": beat\n\n" + sse(chunk(reasoning_content="é"), chunk(content="Hello"), chunk("stop"))
    chat = Chat(*(data[at : at + size] for at in range(0, len(data), size)), kind=STREAM)
    reply = Reply(await call(Retold(chat, ResponsesWords), {"model": "m", "input": "Hi", "stream": True}))
    assert reply.status == 200 and reply.headers[b"content-type"].startswith(b"text/event-stream")
    assert b"content-length" not in reply.headers and reply.headers[b"x-kept"] == b"yes"
    assert reply.pieces[0].startswith(b"event: response.created\n")
    assert reply.pieces[1] == b": beat\n\n"
    assert reply.data[-1]["type"] == "response.completed"
    assert [item["type"] for item in reply.data[-1]["response"]["output"]] == ["reasoning", "message"]
    assert reply.ended


async def test_an_error_of_the_app_stays_as_it_is() -> None:
    error = b'{"error":{"message":"Too much.","type":"rate_limit_error","param":null,"code":null}}'
    for body in ({"model": "m", "input": "Hi"}, {"model": "m", "input": "Hi", "stream": True}):
        reply = Reply(await call(Retold(Chat(error, status=429), ResponsesWords), body))
        assert (reply.status, reply.body, reply.headers[b"x-kept"]) == (429, error, b"yes")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"[]", None),
        ({"input": "Hi"}, None),
        ({"model": "m", "input": "Hi", "store": True}, "store"),
    ],
)
async def test_a_bad_request_never_reaches_the_app(body: Any, param: str | None) -> None:
    chat = Chat()
    reply = Reply(await call(Retold(chat, ResponsesWords), body))
    assert reply.status == 400 and not chat.bodies
    assert reply.json["error"]["type"] == "invalid_request_error"
    assert reply.json["error"]["param"] == param


async def test_a_client_that_leaves_is_gone_for_the_app_too() -> None:
    chat = Chat(wait=True)
    assert await call(Retold(chat, CompletionsWords), {"model": "m", "prompt": ["a", "b"]}, leave=True) == []
    assert chat.left == 2


async def test_prompts_are_chats_of_their_own() -> None:
    class Echo(Chat):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            body = json.loads((await receive())["body"])
            said = body["messages"][0]["content"]
            # The first is the last to be done.
            await asyncio.sleep(0.02 if said == "a" else 0)
            await Chat(completion(f"to {said}"))(scope, _once(body), send)

    reply = Reply(await call(Retold(Echo(), CompletionsWords), {"model": "m", "prompt": ["a", "b"]}))
    assert [(choice["index"], choice["text"]) for choice in reply.json["choices"]] == [(0, "to a"), (1, "to b")]
    assert reply.json["usage"] == {"prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6}


def _once(body: dict[str, Any]) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

    return receive


async def test_text_is_streamed_and_ends_as_clients_expect() -> None:
    chat = Chat(sse(chunk(role="assistant"), chunk(content="a"), chunk(content="b"), chunk("stop")), kind=STREAM)
    reply = Reply(await call(Retold(chat, CompletionsWords), {"model": "m", "prompt": "x", "stream": True}))
    assert [choice["text"] for data in reply.data[:-1] for choice in data["choices"]] == ["a", "b", ""]
    assert reply.data[-2]["choices"][0]["finish_reason"] == "stop"
    assert reply.data[-1] == "[DONE]"


async def test_one_prompt_that_fails_while_others_stream_is_told_in_the_stream() -> None:
    class Half(Chat):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            body = json.loads((await receive())["body"])
            good = Chat(sse(chunk(content="fine"), chunk("stop")), kind=STREAM)
            bad = Chat(b'{"error":{"message":"Too much."}}', status=429)
            await asyncio.sleep(0 if body["messages"][0]["content"] == "a" else 0.02)
            await (good if body["messages"][0]["content"] == "a" else bad)(scope, _once(body), send)

    request = {"model": "m", "prompt": ["a", "b"], "stream": True}
    reply = Reply(await call(Retold(Half(), CompletionsWords), request))
    assert reply.status == 200
    assert {"error": {"message": "Too much."}} in reply.data
    assert reply.data[0]["choices"][0]["text"] == "fine"


async def test_an_error_that_the_app_raises_is_raised() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise LookupError("not there")

    with pytest.raises(LookupError, match="not there"):
        await call(Retold(broken, CompletionsWords), {"model": "m", "prompt": ["a", "b"]})


async def test_what_is_null_was_not_asked_for() -> None:
    chat = Chat(completion("Hello"))
    await call(Retold(chat, CompletionsWords), {"model": "m", "prompt": "Hi", "n": None, "stop": None})
    await call(Retold(chat, ResponsesWords), {"model": "m", "input": "Hi", "temperature": None, "stop": None})
    assert [sorted(body) for body in chat.bodies] == [["messages", "model"]] * 2
