"""The tokens of relayed streams: counted always, shown only where the client asked for them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from server.conftest import HI, Serve
from server.policy import saying
from tpo.server.app import AppOptions
from tpo.server.keys import Keys, hashed
from tpo.server.passthrough import StreamUsage, with_usage

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def event(value: Any, end: bytes = b"\n\n") -> bytes:
    return b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + end


def chunk(text: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}}]}


@given(
    st.lists(st.text(max_size=20), max_size=6),
    st.booleans(),
    st.booleans(),
    st.sampled_from([b"\n\n", b"\r\n\r\n"]),
    st.lists(st.integers(1, 40), min_size=1),
)
def test_a_stream_in_any_pieces(texts: list[str], hide: bool, counted: bool, end: bytes, sizes: list[int]) -> None:
    shown = [event(chunk(text), end) for text in texts]
    usage = [event({"choices": [], "usage": USAGE}, end)] if counted else []
    stream, kept = b"".join([*shown, *usage, event(b"[DONE]", end)]), [*shown, *([] if hide else usage)]
    reader, out, at, turn = StreamUsage(hide=hide), b"", 0, 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        out += reader.take(stream[at : at + size])
        at, turn = at + size, turn + 1
    out += reader.end()
    assert out == b"".join([*kept, event(b"[DONE]", end)])
    assert reader.tokens == (15 if counted else len(texts))


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_what_is_no_stream_is_passed_on(pieces: list[bytes]) -> None:
    reader = StreamUsage(hide=False)
    assert b"".join(reader.take(piece) for piece in pieces) + reader.end() == b"".join(pieces)


def test_a_request_is_changed_as_little_as_possible() -> None:
    body = b'{ "model": "m",  "stream": true }\n'
    assert with_usage(body, json.loads(body)).startswith(b'{ "model": "m",  "stream": true ')
    assert json.loads(with_usage(body, json.loads(body)))["stream_options"] == {"include_usage": True}
    for options in (None, {}, {"include_usage": False, "other": 1}, 5):
        given = {"stream_options": options}
        changed = json.loads(with_usage(json.dumps(given).encode(), given))["stream_options"]
        assert changed["include_usage"] is True


async def test_a_plain_stream_counts_against_the_clients_tokens(serve: Serve, tmp_path: Any) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(f'[alice]\nsha256 = "{hashed("a key of sixteen+")}"\ntokens-per-minute = 20\n')
    path.chmod(0o600)
    headers = {"authorization": "Bearer a key of sixteen+"}
    body = {"model": "small", "messages": HI, "stream": True}
    async with serve(saying("Ho"), options=AppOptions(keys=Keys(path))) as up:
        answers = [await up.client.post("/chat/completions", json=body, headers=headers) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert '"usage"' not in answers[0].text and answers[0].text.endswith("data: [DONE]\n\n")
        assert up.policy.bodies[0]["stream_options"] == {"include_usage": True}


async def test_a_client_that_asks_for_usage_gets_it(serve: Serve) -> None:
    async with serve(saying("Ho")) as up:
        chunks, _ = await up.events("small", stream_options={"include_usage": True})
        assert chunks[-1]["usage"]["total_tokens"] == 15
        assert up.policy.raw[0].count(b"stream_options") == 1
