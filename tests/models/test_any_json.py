"""Every type of JSON at every place of a server's replies: an answer or a clear error, and a trace that reads back."""

from __future__ import annotations

import copy
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import tpo
from models.server import models, response, serving
from tpo.engine.records import Called, Record, Sampled
from tpo.errors import ModelUnavailable, TPOError
from tpo.http.failures import refused, reported
from tpo.http.redaction import Secrets
from tpo.messages import Conversation
from tpo.models.chunk import decoded, plain_chunk, read_chunk
from tpo.models.profiles import GENERIC, Profile
from tpo.models.protocol import Choice, Receiver, Request, Usage
from tpo.models.reply import ReplyBuilder
from tpo.models.resolve import open_model

DECODER = msgspec.json.Decoder(Record)
DEEP: Any = 7
for _ in range(600):
    DEEP = [DEEP]
VALUES: list[Any] = [
    None,
    True,
    7,
    -7,
    7.5,
    10**30,
    1e308,
    "",
    "x",
    "²",
    "\N{GRINNING FACE}",
    [],
    [7],
    {},
    {"a": 7},
    DEEP,
]

TOKEN = {
    "token": "Hi",
    "logprob": -0.5,
    "bytes": [72],
    "top_logprobs": [{"token": "Ho", "logprob": -1.5, "bytes": None}],
}
CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}
MESSAGE = {
    "role": "assistant",
    "content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "Hello"}],
    "reasoning_content": "Hm.",
    "refusal": None,
    "tool_calls": [CALL],
    "function_call": {"name": "weather", "arguments": "{}"},
}
WHOLE = {
    "id": "r1",
    "object": "chat.completion",
    "choices": [
        {"index": 0, "message": MESSAGE, "finish_reason": "stop", "logprobs": {"content": [TOKEN]}, "error": None}
    ],
    "usage": USAGE,
    "error": None,
}
STREAM = [
    {
        "choices": [
            {"index": 0, "delta": MESSAGE, "finish_reason": None, "logprobs": {"content": [TOKEN]}, "error": None}
        ]
    },
    {"choices": [{"index": 0, "delta": {"tool_calls": [CALL]}, "finish_reason": "stop"}]},
    {"choices": [], "usage": USAGE, "error": None},
]
LISTED = {"object": "list", "data": [{"id": "m", "owned_by": "vllm", "meta": {"n_ctx": 512}, "max_model_len": 512}]}
ERROR = {
    "object": "x",
    "error": {"message": "no", "type": "server_error", "param": "seed", "code": 500, "status": 500},
    "detail": [{"loc": ["body", "seed"], "msg": "no", "input": {}}],
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of everything inside a JSON value."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    yield path
    for key, entry in entries:
        yield from places(entry, (*path, key))


def changed(value: Any, path: tuple[Any, ...], to: Any) -> Any:
    """A copy with another value at a place."""
    if not path:
        return to
    value = copy.deepcopy(value)
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = to
    return value


PLAIN = {
    "id": "r1",
    "object": "chat.completion.chunk",
    "choices": [
        {
            "index": 0,
            "delta": {"role": "assistant", "content": "Hi", "reasoning_content": None, "tool_calls": None},
            "finish_reason": None,
            "logprobs": None,
            "error": None,
        },
        {"index": 1, "delta": {"content": "Ho", "refusal": None, "reasoning": None, "function_call": None}},
    ],
    "usage": None,
    "error": None,
}


@pytest.mark.parametrize("path", list(places(PLAIN)))
def test_a_plain_chunk_is_what_any_chunk_is(path: tuple[Any, ...]) -> None:
    for value in (*VALUES, "error", "stop", 0.0, True, CALL, [CALL], {"content": [TOKEN]}, USAGE, [PLAIN["choices"]]):
        chunk = changed(PLAIN, path, value)
        plain = plain_chunk(encoded(chunk))
        if plain is not None:
            assert plain == read_chunk(decoded(encoded(chunk), "u"), "u", whole=False)


def test_text_alone_is_a_plain_chunk() -> None:
    plain = plain_chunk(encoded(PLAIN))
    assert plain is not None
    assert [(piece.index, piece.text) for piece in plain.pieces] == [(0, "Hi"), (1, "Ho")]
    assert plain_chunk(encoded(changed(PLAIN, ("error",), {"message": "no"}))) is None


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def in_chunks(chunks: list[Any]) -> bytes:
    return b"".join(b"data: %s\n\n" % encoded(chunk) for chunk in chunks) + b"data: [DONE]\n\n"


async def read(body: bytes, streamed: bool, receiver: Receiver, n: int = 1) -> None:
    """What the client makes of a body."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 997):
            yield body[start : start + 997]

    reply = ReplyBuilder(n, False, receiver, "http://nowhere", Secrets([]))
    if streamed:
        await reply.stream(pieces())
    else:
        reply.whole(body)
    reply.end()


async def recorded(body: bytes, streamed: bool) -> None:
    """A reply is one clear error, or records that read back as they were written."""
    choices: list[Choice] = []
    usage = Usage()
    try:
        await read(body, streamed, Receiver(usage, choices.append))
    except TPOError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 1000
    where: dict[str, Any] = {"turn": 0, "action": 0, "index": 0, "step": 0, "id": "0.0"}
    records: list[Record] = [Called(0, 0, "policy", 0.0, 0.0, usage)]
    for choice in choices:
        assert choice.text.strip() or choice.failure or (choice.message or {}).get("tool_calls")
        kept: dict[str, Any] = {
            name: getattr(choice, name) for name in ("text", "finish_reason", "tokens", "message", "logprobs")
        }
        records.append(Sampled(**where, **kept, reasoning=choice.reasoning))
    for record in records:
        assert DECODER.decode(msgspec.json.encode(record)) == record
    assert min(usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens) >= 0


class Replying:
    """A model whose server sends these very bytes."""

    name = "m @ nowhere"
    profile: Profile = GENERIC

    def __init__(self, body: bytes, streamed: bool) -> None:
        self._body = body
        self._streamed = streamed

    async def generate(self, request: Request, receiver: Receiver) -> None:
        try:
            await read(self._body, self._streamed, receiver, request.n)
        except ModelUnavailable as error:  # what may pass is tried again, which takes its time
            raise tpo.ModelError(str(error)) from error

    async def aclose(self) -> None:
        """Nothing is open."""


def length(conversations: list[Conversation]) -> list[float]:
    return [float(len(messages[-1]["content"])) for messages in conversations]


async def searched(body: bytes, streamed: bool, trace: Path) -> None:
    """A search on such a reply ends in an answer or one line, and its trace replays to the same."""
    try:
        result = await tpo.align(
            "Hi",
            method="best-of-n",
            width=2,
            policy=Replying(body, streamed),
            reward=length,
            check=False,
            trace=trace,
        )
    except TPOError as error:
        assert "\n" not in str(error)
        return
    assert result.answer.strip()
    assert tpo.replay(trace).to_dict() == result.to_dict()


@pytest.mark.parametrize(("reply", "streamed"), [(WHOLE, False), (STREAM, True)])
async def test_a_reply(reply: Any, streamed: bool, tmp_path: Path) -> None:
    for number, place in enumerate(places(reply)):
        bodies = [changed(reply, place, value) for value in VALUES]
        if streamed:
            bodies = [in_chunks(body if isinstance(body, list) else [body]) for body in bodies]
        else:
            bodies = [encoded(body) for body in bodies]
        for body in bodies:
            await recorded(body, streamed)
        await searched(bodies[number % len(bodies)], streamed, tmp_path / f"{number}.jsonl")


async def test_a_model_list() -> None:
    left: list[bytes] = []
    async with serving(lambda request: left[-1] if request.path.endswith("/models") else response("{}", 404)) as server:
        for place in places(LISTED):
            for value in VALUES:
                left.append(response(encoded(changed(LISTED, place, value))))
                try:
                    model = await open_model(server.url, "policy", "m")
                    assert model.context is None or model.context > 0
                    await model.aclose()
                except TPOError as error:
                    assert "\n" not in str(error)
        left.append(models("m"))
        await (await open_model(server.url, "policy")).aclose()


@pytest.mark.parametrize("status", [400, 401, 404, 413, 422, 429, 500])
def test_an_error(status: int) -> None:
    for place in places(ERROR):
        for value in VALUES:
            body = changed(ERROR, place, value)
            error = refused(status, {}, encoded(body), "http://nowhere", "TPO_API_KEY")
            assert "\n" not in str(error)
            assert len(str(error)) < 1000
            if isinstance(body, dict) and (inside := reported(body, "http://nowhere")):
                assert "\n" not in str(inside)
