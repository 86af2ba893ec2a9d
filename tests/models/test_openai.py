"""The client on the wire: what it sends, what it makes of good and of broken answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from models.server import Received, Respond, delta, error, models, response, serving, stream
from tpo.errors import InputError, ModelError, ModelUnavailable
from tpo.http import retry
from tpo.http.endpoint import Endpoint
from tpo.models.protocol import Choice, Receiver, Request, Usage
from tpo.models.resolve import connect, open_model

CHAT = [{"role": "user", "content": "Hi"}]
USAGE = {
    "choices": [],
    "usage": {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}},
}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "_backoff", lambda state: 0.0)


def answering(*answers: bytes | None, listed: bytes | None = None) -> Respond:
    """A server that lists one model and gives these answers to completions, the last one for ever."""
    left = list(answers)

    def respond(request: Received) -> bytes | None:
        if request.path == "/v1/models":
            return listed or models("m")
        return left.pop(0) if len(left) > 1 else left[0]

    return respond


async def call(respond: Respond, **options: Any) -> tuple[list[Choice], Usage, list[tuple[int, str]], list[Received]]:
    """One call through the client: what landed, what it cost, what was streamed, what the server got."""
    choices: list[Choice] = []
    usage = Usage()
    texts: list[tuple[int, str]] = []
    async with serving(respond) as server:
        model = await open_model(server.url, "policy")
        try:
            receiver = Receiver(usage, choices.append, lambda i, t: texts.append((i, t)))
            await model.generate(Request(CHAT, **options), receiver)
        finally:
            await model.aclose()
    return choices, usage, texts, server.received


async def test_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TPO_POLICY_API_KEY", "sk-secret")
    answer = stream(delta("Hello"), delta(None, finish="stop"), USAGE)
    *_, received = await call(answering(answer), n=2, temperature=0.5, top_p=0.9, max_tokens=7, seed=11)
    asked = received[-1]
    assert (asked.method, asked.path) == ("POST", "/v1/chat/completions")
    assert asked.headers["authorization"] == "Bearer sk-secret"
    assert asked.json == {
        "model": "m",
        "messages": CHAT,
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 7,
        "stream": True,
        "stream_options": {"include_usage": True},
        "n": 2,
        "seed": 11,
    }


async def test_a_plain_request_carries_neither_n_nor_seed_nor_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-for-openai-alone")
    *_, received = await call(answering(stream(delta("Hello", finish="stop"), USAGE)))
    assert not {"n", "seed"} & received[-1].json.keys()
    assert "authorization" not in received[-1].headers


async def test_a_stream_becomes_a_choice() -> None:
    answer = stream(
        delta("", role="assistant"),
        delta(None, reasoning_content="Hm."),
        delta("Hel"),
        delta("lo"),
        delta(None, finish="length"),
        USAGE,
    )
    choices, usage, texts, _ = await call(answering(answer))
    assert choices == [Choice(0, "Hello", "Hm.", "length", tokens=3)]
    assert usage == Usage(prompt_tokens=9, cached_tokens=4, completion_tokens=3)
    assert texts == [(0, ""), (0, "Hel"), (0, "lo")]


async def test_a_stream_without_usage_is_counted_by_its_chunks() -> None:
    choices, usage, *_ = await call(answering(stream(delta("Hel"), delta("lo"), delta(None, finish="stop"))))
    assert (choices[0].tokens, usage.completion_tokens) == (2, 2)


async def test_a_choice_that_comes_in_one_chunk_is_counted_by_its_length() -> None:
    long, words = delta("word " * 40, 0, "stop"), [delta("token", 1) for _ in range(20)]
    total = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 61}}
    choices, usage, *_ = await call(answering(stream(long, *words, delta(None, 1, "stop"), total)), n=2)
    assert [choice.tokens for choice in choices] == [50, 20] and usage.completion_tokens == 61
    choices, usage, *_ = await call(answering(stream(long, *words, delta(None, 1, "stop"))), n=2)
    assert [choice.tokens for choice in choices] == [50, 20] and usage.completion_tokens == 70
    (choice,), usage, *_ = await call(answering(stream(long)))
    assert choice.tokens == usage.completion_tokens == 50
    few = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3}}  # what a server reports is so
    (choice,), usage, *_ = await call(answering(stream(long, few)))
    assert choice.tokens == usage.completion_tokens == 3


async def test_null_fields_as_servers_send_them() -> None:
    usage = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": None}}
    answer = stream(delta(None, content=None, role="assistant"), delta("Hi", finish="stop"), {"choices": None}, usage)
    choices, spent, *_ = await call(answering(answer))
    assert (choices[0].text, spent.cached_tokens) == ("Hi", 0)


async def test_choices_of_one_stream_land_one_by_one() -> None:
    answer = stream(delta("a", 0), delta("b", 1), delta(None, 1, "stop"), delta("c", 0), delta(None, 0, "stop"), USAGE)
    choices, usage, *_ = await call(answering(answer), n=2)
    assert [(choice.index, choice.text, choice.tokens) for choice in choices] == [(1, "b", 1), (0, "ac", 2)]
    assert usage.completion_tokens == 3


async def test_a_server_that_does_not_stream_is_understood() -> None:
    whole = response(
        '{"choices":[{"index":0,"message":{"content":"Hello"},"finish_reason":"stop"}],'
        '"usage":{"prompt_tokens":5,"completion_tokens":2}}'
    )
    choices, usage, *_ = await call(answering(whole))
    assert choices == [Choice(0, "Hello", "", "stop", 2)]
    assert usage == Usage(5, 0, 2)


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (
            response("<html><title>Welcome</title></html>", kind="text/html"),
            r"answered text/html.*a web page titled 'Welcome'",
        ),
        (response("{broken"), "broken JSON"),
        (stream("{broken"), "broken JSON"),
        (response('["no object"]'), "no object"),
        (response('{"choices":[]}'), "without any choice"),
        (response("{}"), "without any choice"),
        (stream(), "without any choice"),
        (stream({"error": {"message": "out of memory"}}), "failed while answering: out of memory"),
        (response(b"\xff\xfe\x00", kind="text/plain"), "answered text/plain"),
        (response("", kind=""), "answered untyped data"),
        (error("no such field"), r"refused the request \(400\): no such field"),
        (error("wrong key", 401), r"refused the key \(401: wrong key\).*TPO_API_KEY"),
        (response("", 302, location="https://elsewhere"), "redirects to https://elsewhere"),
        (error("'m' is gone", 404), r"answered 404: 'm' is gone \(it lists m; 'm' was requested\)"),
        (response('{"detail":"Not Found"}', 404), "answered 404: Not Found"),
    ],
)
async def test_broken_answers_are_reported_and_not_tried_again(answer: bytes, complaint: str) -> None:
    with pytest.raises(ModelError, match=complaint) as caught:
        await call(answering(answer))
    assert not isinstance(caught.value, ModelUnavailable)


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (stream(delta("Hel"), done=False, short=99), "broke off"),
        (stream(delta("Hel"), done=False), "broke off"),
        (response('{"choices":[{"message":{"content":"Hel'), "broken JSON.*breaks off in the middle"),
        (stream('{"choices":[{"delta":{"content":"Hel'), "broken JSON.*breaks off in the middle"),
        (None, "broke off"),
        (error("later", 503), "answered 503: later"),
        (error("slow down", 429), "answered 429: slow down"),
        (response("<html><title>502 Bad Gateway</title></html>", 502, "text/html"), "502 Bad Gateway"),
    ],
)
async def test_what_may_pass_is_worth_a_retry(answer: bytes | None, complaint: str) -> None:
    with pytest.raises(ModelUnavailable, match=complaint):
        await call(answering(answer))


async def test_what_was_streamed_before_the_break_is_counted() -> None:
    usage = Usage()
    async with serving(answering(stream(delta("Hel"), delta("lo"), done=False, short=9))) as server:
        model = await open_model(server.url, "policy")
        with pytest.raises(ModelUnavailable):
            await model.generate(Request(CHAT), Receiver(usage, lambda c: None))
        await model.aclose()
    assert usage.completion_tokens == 2


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7.0), ("0", 0.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("soon", None), ("", None)]
)
async def test_retry_after_is_read(value: str, seconds: float | None) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        await call(answering(response("{}", 429, retry_after=value)))
    assert caught.value.retry_after == seconds


VLLM_2023 = (
    "This model's maximum context length is 100 tokens. However, you requested 150 tokens (60 in the messages, 90 in "
    "the completion). Please reduce the length of the messages or completion."
)
VLLM_2026 = (
    "'max_tokens' or 'max_completion_tokens' is too large: 90. This model's maximum context length is 100 tokens and "
    "your request has 60 input tokens (90 > 100 - 60). (parameter=max_tokens, value=90)"
)


# As vLLM 0.32 answered.
VLLM_0_32 = (
    "max_tokens=5000 cannot be greater than max_model_len=2048. Please request fewer output tokens. "
    "(parameter=max_tokens, value=5000)"
)


@pytest.mark.parametrize("said", [VLLM_2023, VLLM_2026, VLLM_0_32])
async def test_an_answer_that_does_not_fit_gets_what_is_left(said: str) -> None:
    choices, _, _, received = await call(answering(error(said), stream(delta("Hi", finish="stop"))), max_tokens=90)
    assert choices[0].text == "Hi"
    assert [request.json.get("max_tokens") for request in received[1:]] == [90, None]


async def test_a_prompt_that_does_not_fit_is_reported_with_both_sizes() -> None:
    said = error("request (9031 tokens) exceeds the available context size (8192 tokens), try increasing it")
    with pytest.raises(ModelError, match=r"prompt has 9031 tokens and m @ .* takes 8192"):
        await call(answering(said))


async def test_leaving_the_call_closes_the_connection() -> None:
    closed = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"/models" in head:
            writer.write(models("m"))
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: ")
            writer.write(stream(delta("Hel"), done=False).split(b"data: ")[1])
            while await reader.read(4096):
                pass
            closed.set()
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as listening:
        model = await open_model(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", "policy")
        begun = asyncio.Event()
        task = asyncio.ensure_future(
            model.generate(Request(CHAT), Receiver(Usage(), lambda c: None, lambda i, t: begun.set()))
        )
        await begun.wait()
        task.cancel()
        await asyncio.wait_for(closed.wait(), 30)
        await model.aclose()


# Finding out what is served


async def found(respond: Respond, model: str | None = None) -> tuple[Any, list[str]]:
    async with serving(respond) as server:
        opened = await open_model(server.url, "policy", model)
        await opened.aclose()
    return opened, [request.path for request in server.received]


async def test_the_only_model_is_found_and_its_server_recognised() -> None:
    model, _ = await found(lambda r: models("one", owned_by="sglang", max_model_len=4096))
    assert (model.model, model.profile.name, model.context) == ("one", "SGLang", 4096)


async def test_a_vllm_on_a_cpu_is_sent_no_seeds() -> None:
    def respond(request: Received) -> bytes:
        return response('{"version":"0.32.0+cpu"}') if request.path == "/version" else models("one", owned_by="vllm")

    model, _ = await found(respond)
    assert model.profile.name == "vLLM on a CPU"
    assert not model.profile.seeds


async def test_a_vllm_on_a_gpu_is_sent_seeds() -> None:
    def respond(request: Received) -> bytes:
        return response('{"version":"0.32.0"}') if request.path == "/version" else models("one", owned_by="vllm")

    model, _ = await found(respond)
    assert model.profile.seeds


async def test_llama_cpp_explains_how_many_choices_it_takes() -> None:
    def respond(request: Received) -> bytes:
        listed = models("one", owned_by="llamacpp", meta={"n_ctx": 512})
        return response('{"total_slots": 6}') if request.path == "/props" else listed

    model, _ = await found(respond)
    assert (model.profile.choices, model.profile.max_choices, model.context) == ("n", 6, 512)


@pytest.mark.parametrize(
    ("respond", "model", "complaint"),
    [
        (lambda r: models("a", "b"), None, "serves a, b: name one with --policy-model"),
        (lambda r: models(), None, "serves no model"),
        (lambda r: response("", 404), None, "lists no models"),
        (lambda r: error("who are you", 401), None, "refused the key"),
        (lambda r: response("<title>Hi</title>", kind="text/html"), None, "answered no JSON"),
        (lambda r: error("down", 503), None, r"503: down Tried 3 times"),
    ],
)
async def test_what_keeps_a_model_from_being_found_is_reported(
    respond: Callable[[Received], bytes], model: str | None, complaint: str
) -> None:
    with pytest.raises((ModelError, InputError), match=complaint):
        await found(respond, model)


async def test_a_named_model_needs_no_list() -> None:
    model, _ = await found(lambda r: response("", 404), "mine")
    assert model.model == "mine"


async def test_nobody_there() -> None:
    async with serving(lambda r: None) as server:
        gone = server.url
    with pytest.raises(ModelUnavailable, match=rf"No connection to {gone}/models.*Tried 3 times"):
        await open_model(gone, "policy")


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://x:port", "https:///v1"])
async def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="no"):
        await open_model(url, "policy")


async def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(InputError, match="'gpt-4' is not a model"):
        await open_model("gpt-4", "policy")


async def test_secrets_never_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TPO_API_KEY", "sk-secret")
    async with serving(lambda r: error(f"Incorrect key: {r.headers['authorization']}", 401)) as server:
        with pytest.raises(ModelError, match=r"Incorrect key: Bearer \*\*\*.*TPO_API_KEY") as caught:
            await open_model(server.url, "policy")
    assert "sk-secret" not in str(caught.value)


async def test_a_password_in_the_url_is_used_but_not_shown() -> None:
    async with serving(lambda r: models("m")) as server:
        model = await connect(Endpoint(server.url.replace("http://", "http://me:hunter2@"), "policy"), "policy")
        await model.aclose()
    assert server.received[0].headers["authorization"].startswith("Basic ")
    assert model.name == f"m @ {server.url}"


async def test_a_query_in_the_url_is_sent_and_not_shown() -> None:
    def answer(request: Received) -> bytes:
        return models("m") if request.method == "GET" else error("no such deployment", 404)

    async with serving(answer) as server:
        model = await open_model(f"{server.url}?api-version=preview&key=s3cret", "policy")
        with pytest.raises(ModelError) as caught:
            await model.generate(Request(CHAT), Receiver(Usage(), lambda choice: None, lambda index, text: None))
        await model.aclose()
    assert {one.path.partition("?")[2] for one in server.received} == {"api-version=preview&key=s3cret"}
    assert model.name == f"m @ {server.url}"
    assert "key=" not in str(caught.value)


async def test_a_role_has_its_own_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TPO_API_KEY", "general")
    monkeypatch.setenv("TPO_CRITIC_API_KEY", "special")
    for role, key in (("policy", "general"), ("critic", "special")):
        async with serving(lambda r: models("m")) as server:
            await (await open_model(server.url, role)).aclose()
        assert server.received[0].headers["authorization"] == f"Bearer {key}"


async def test_a_key_that_no_header_can_carry_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TPO_API_KEY", "schlüssel…")
    with pytest.raises(InputError, match="TPO_API_KEY"):
        await open_model("http://127.0.0.1:9", "policy")
