"""Answers that come in one piece, as runs ask for them: they cost less of our own time."""

from __future__ import annotations

import json

import pytest

from models.server import Received, delta, error, models, response, serving, stream
from models.test_openai import CHAT, USAGE, answering, call
from tpo.errors import ModelError, ModelUnavailable
from tpo.http.endpoint import Endpoint
from tpo.models.openai import OpenAIModel
from tpo.models.profiles import profile_for
from tpo.models.protocol import Choice, Receiver, Request, Usage

WHOLE = response(
    '{"choices":[{"index":0,"message":{"content":"Hello","reasoning_content":"Hm."},"finish_reason":"length"}],'
    '"usage":{"prompt_tokens":5,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":4}}}'
)


async def test_what_is_sent_and_what_becomes_of_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TPO_POLICY_API_KEY", "sk-secret")
    choices, usage, texts, received = await call(answering(WHOLE), max_tokens=7, seed=3, stream=False)
    assert received[-1].headers["authorization"] == "Bearer sk-secret"
    asked = received[-1].json
    assert not {"stream", "stream_options"} & asked.keys()
    assert (asked["messages"], asked["max_tokens"], asked["seed"]) == (CHAT, 7, 3)
    assert choices == [Choice(0, "Hello", "Hm.", "length", 2)]
    assert usage == Usage(5, 4, 2)
    assert texts == [(0, "Hello")]


@pytest.mark.parametrize(
    ("answer", "kind", "complaint"),
    [
        (None, ModelUnavailable, "broke off"),
        (error("busy", 503), ModelUnavailable, "answered 503: busy"),
        (response("too many", 429, "text/plain", retry_after="7"), ModelUnavailable, "answered 429: too many"),
        (error("no", 401), ModelError, "refused the key"),
        (error("no such thing", 400), ModelError, "refused the request"),
        (response("<title>Welcome</title>", kind="text/html"), ModelError, "is this the address of an OpenAI"),
        (response("{not json"), ModelError, "broken JSON"),
        (response('{"choices":[]}'), ModelError, "without any choice"),
        (response('{"choi', short=10), ModelUnavailable, "broke off"),
    ],
)
async def test_failures_are_what_they_are_in_a_stream(
    answer: bytes | None, kind: type[ModelError], complaint: str
) -> None:
    with pytest.raises(kind, match=complaint) as failure:
        await call(answering(answer), stream=False)
    found = failure.value
    assert isinstance(found, ModelUnavailable) == (kind is ModelUnavailable)
    if isinstance(found, ModelUnavailable):
        assert found.overloaded == ("503" in complaint or "429" in complaint)
        assert found.unreachable == ("429" not in complaint)
        assert found.retry_after == (7.0 if "429" in complaint else None)


async def test_nobody_there() -> None:
    model = OpenAIModel(Endpoint("http://127.0.0.1:9/v1", "policy"), "m", profile_for(""))
    with pytest.raises(ModelUnavailable, match="is the server running there"):
        await model.generate(Request(CHAT, stream=False), Receiver(Usage(), lambda choice: None))
    await model.aclose()


@pytest.mark.parametrize(
    ("texts", "reported", "tokens"),
    [
        (["word " * 100] * 4, 800, [200, 200, 200, 200]),
        (["word " * 100, "word " * 200, "", "word " * 100], 90, [22, 45, 0, 23]),
        (["word " * 8, "word " * 4], None, [10, 5]),
        (["word " * 8, "word " * 4], 0, [10, 5]),
        (["", ""], 6, [3, 3]),  # reasoning that the server keeps to itself
    ],
)
async def test_the_reported_tokens_are_shared_out_over_the_choices_of_one_reply(
    texts: list[str], reported: int | None, tokens: list[int]
) -> None:
    usage = {} if reported is None else {"usage": {"prompt_tokens": 5, "completion_tokens": reported}}
    body = {
        "choices": [
            {"index": index, "message": {"content": text}, "finish_reason": "stop"} for index, text in enumerate(texts)
        ],
        **usage,
    }
    choices, spent, *_ = await call(answering(response(json.dumps(body))), n=len(texts), stream=False)
    assert [choice.tokens for choice in choices] == tokens
    assert spent.completion_tokens == sum(tokens)


async def test_calls_of_tools_count_by_what_was_written() -> None:
    made = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"at": "' + "x" * 90 + '"}'}}
    body = {
        "choices": [
            {"index": 0, "message": {"content": None, "tool_calls": [made]}, "finish_reason": "tool_calls"},
            {"index": 1, "message": {"content": "word " * 5}, "finish_reason": "stop"},
        ],
        "usage": {"prompt_tokens": 5, "completion_tokens": 66},
    }
    choices, *_ = await call(answering(response(json.dumps(body))), n=2, stream=False)
    assert [choice.tokens for choice in choices] == [52, 14]


async def test_several_choices_stay_a_stream_where_only_that_counts_tokens_right() -> None:
    answer = stream(delta("a", 0), delta(None, 0, "stop"), USAGE, delta("b", 1), delta(None, 1, "stop"), USAGE)
    async with serving(answering(answer)) as server:
        model = OpenAIModel(Endpoint(server.url, "policy"), "m", profile_for("llamacpp"))
        choices: list[Choice] = []
        await model.generate(Request(CHAT, n=2, stream=False), Receiver(Usage(), choices.append))
        await model.aclose()
        assert server.bodies()[0]["stream"] is True
    assert [choice.text for choice in choices] == ["a", "b"]


async def test_the_environments_proxy_is_used_and_no_proxy_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    def respond(request: Received) -> bytes:
        return models("m") if request.path.endswith("/models") else WHOLE

    async with serving(respond) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.removesuffix("/v1"))
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1"))
        for no_proxy, reached in (("", True), ("far.invalid", False)):
            monkeypatch.setenv("no_proxy", no_proxy)
            monkeypatch.setenv("NO_PROXY", no_proxy)
            model = OpenAIModel(Endpoint("http://far.invalid/v1", "policy"), "m", profile_for(""))
            proxy.received.clear()
            if reached:
                await model.generate(Request(CHAT, stream=False), Receiver(Usage(), lambda choice: None))
                assert proxy.received[0].path == "http://far.invalid/v1/chat/completions"
            else:
                with pytest.raises(ModelUnavailable):
                    await model.generate(Request(CHAT, stream=False), Receiver(Usage(), lambda choice: None))
                assert not proxy.received
            await model.aclose()
