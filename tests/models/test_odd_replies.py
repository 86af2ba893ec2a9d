"""What servers send on their odd days, over the wire: an answer, or a clear error."""

from __future__ import annotations

import json
from typing import Any

import pytest

from models.server import delta, response, stream
from models.test_more_than_text import CALL, OTHER, piece, whole
from models.test_openai import USAGE, answering, call
from tpo.errors import ModelError, ModelUnavailable
from tpo.http import retry
from tpo.models.protocol import Choice

TEXT = whole({"content": "Hello"}, "stop")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "_backoff", lambda state: 0.0)


async def one(*answers: bytes | None, **options: Any) -> Choice:
    (choice,), *_ = await call(answering(*answers), **options)
    return choice


def completion(choice: dict[str, Any], **more: Any) -> bytes:
    return response(json.dumps({"choices": [choice], **more}))


# Counts, reasons, indices of the wrong type


@pytest.mark.parametrize(
    ("count", "tokens"),
    [(7, 7), (7.0, 7), ("7", 7), (7.5, 2), (-7, 2), (None, 2), ([7], 2), (True, 2), ({}, 2), (10**30, 2), ("²", 2)],
)
async def test_counts_are_counts(count: Any, tokens: int) -> None:
    usage = {"prompt_tokens": count, "completion_tokens": count, "prompt_tokens_details": {"cached_tokens": count}}
    choices, spent, *_ = await call(answering(completion({"message": {"content": "Hello"}}, usage=usage)), stream=False)
    assert choices[0].tokens == spent.completion_tokens == tokens
    assert type(spent.prompt_tokens) is type(spent.cached_tokens) is int
    assert spent.prompt_tokens == (7 if tokens == 7 else 0)


@pytest.mark.parametrize("details", [[], [1], "x", 7, None])
async def test_details_of_another_type_count_as_absent(details: Any) -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 1, "prompt_tokens_details": details}
    assert (await one(completion({"message": {"content": "Hi"}}, usage=usage))).text == "Hi"


@pytest.mark.parametrize("reason", [7, True, {}, [], None, ""])
async def test_a_reason_of_another_type_counts_as_absent(reason: Any) -> None:
    choice = await one(completion({"message": {"content": "Hi"}, "finish_reason": reason}))
    assert (choice.text, choice.finish_reason) == ("Hi", "stop")


@pytest.mark.parametrize("index", ["0", 0.0, None, [], {}, -1, 1, True])
async def test_the_only_choice_may_have_any_index(index: Any) -> None:
    assert (await one(completion({"index": index, "message": {"content": "Hi"}}), stream=False)).index == 0
    streamed = delta("Hi", finish="stop")
    streamed["choices"][0]["index"] = index
    assert (await one(stream(streamed))).text == "Hi"


async def test_a_second_choice_that_was_not_requested_is_left_out() -> None:
    assert (await one(stream(delta("a", 0), delta("x", 1), delta("b", 0, "stop")))).text == "ab"


async def test_a_first_chunk_without_an_index_hides_no_text() -> None:
    begun = {"choices": [{"delta": {"role": "assistant", "content": ""}}]}
    assert (await one(stream(begun, delta("a", 0), delta("b", 0, "stop")))).text == "ab"


@pytest.mark.parametrize(
    "body", [b"[" * 100_000 + b"]" * 100_000, b'{"choices":' + b"[" * 100_000 + b"]" * 100_000 + b"}"]
)
async def test_json_that_is_nested_too_deeply(body: bytes) -> None:
    with pytest.raises(ModelError, match="nested too deeply"):
        await one(response(body))


@pytest.mark.parametrize("text", [r"a\ud83db", r"a\udc00b"])
async def test_half_a_surrogate_pair_becomes_a_replacement_character(text: str) -> None:
    body = '{"choices":[{"message":{"content":"TEXT"}}]}'.replace("TEXT", text)
    assert (await one(response(body))).text == "a\N{REPLACEMENT CHARACTER}b"


async def test_bytes_that_are_no_utf_8_become_replacement_characters() -> None:
    choice = await one(response(b'{"choices":[{"message":{"content":"a\xffb"}}]}'))
    assert choice.text == "a\N{REPLACEMENT CHARACTER}b"


@pytest.mark.parametrize(
    "entry", [None, "x", {}, {"token": 7, "logprob": 0}, {"token": "x"}, {"token": "x", "logprob": "y"}]
)
async def test_log_probabilities_of_another_shape_are_none(entry: Any) -> None:
    fine = {"token": "Hi", "logprob": -0.5, "top_logprobs": [{"token": "Ho", "logprob": -9999.0, "bytes": [72]}]}
    body = completion({"message": {"content": "Hi"}, "logprobs": {"content": [entry, fine]}})
    choice = await one(body)
    assert choice.logprobs is not None
    (kept,) = choice.logprobs["content"]
    assert (kept["token"], kept["top_logprobs"][0]["token"]) == ("Hi", "Ho")


@pytest.mark.parametrize("odd", ["null", "-Infinity", '"x"'])
async def test_an_alternative_without_a_probability_leaves_the_others(odd: str) -> None:
    tops = '[{"token": "7", "logprob": -0.1}, {"token": "8", "logprob": ODD}, {"token": "9", "logprob": -3}]'
    entries = f'[{{"token": "7", "logprob": -0.1, "top_logprobs": {tops}}}]'.replace("ODD", odd)
    body = f'{{"choices": [{{"message": {{"content": "7"}}, "logprobs": {{"content": {entries}}}}}]}}'
    choice = await one(response(body), stream=False)
    assert choice.logprobs is not None
    (kept,) = choice.logprobs["content"]
    assert [top["token"] for top in kept["top_logprobs"]] == ["7", "9"]


async def test_a_token_without_alternatives_has_its_probability() -> None:
    entry = {"token": "Hi", "logprob": -0.5, "bytes": None, "top_logprobs": None}
    choice = await one(completion({"message": {"content": "Hi"}, "logprobs": {"content": [entry]}}), stream=False)
    assert choice.logprobs == {"content": [{**entry, "top_logprobs": []}]}


# Content in parts


PARTS: list[Any] = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "Let me think."}]},
    {"type": "text", "text": "Wipe "},
    {"type": "reference", "reference_ids": [1]},
    "it.",
]


async def test_content_in_parts_is_text_and_reasoning() -> None:
    choice = await one(whole({"content": PARTS}, "stop"), stream=False)
    assert (choice.text, choice.reasoning, choice.message) == ("Wipe it.", "Let me think.", None)
    streamed = stream(delta(None, content=PARTS[:1]), delta(None, content=PARTS[1:]), delta(None, finish="stop"))
    choice = await one(streamed)
    assert (choice.text, choice.reasoning) == ("Wipe it.", "Let me think.")


@pytest.mark.parametrize("content", [7, True, {}, [7, None, [], {"type": 7}, {"type": "text", "text": 7}]])
async def test_content_of_another_type_is_none(content: Any) -> None:
    choice = await one(whole({"content": content}, "stop"))
    assert (choice.text, choice.failure) == ("", "the reply is empty (finish reason 'stop')")


# Ends


@pytest.mark.parametrize(
    "answer",
    [
        stream(delta("Hel"), delta("lo")),
        stream(delta("Hel"), delta("lo"), USAGE, done=False),
        stream(delta("Hello", finish="stop"), done=False),
        completion({"message": {"content": "Hello"}}),
        completion({"message": {"content": "Hello"}, "finish_reason": None}),
    ],
)
async def test_a_reply_that_is_complete_needs_no_reason(answer: bytes) -> None:
    for streamed in (True, False):
        choice = await one(answer, stream=streamed)
        assert (choice.text, choice.finish_reason) == ("Hello", "stop")


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("answer", [TEXT, stream(delta("Hello", finish="stop"), USAGE)])
async def test_the_reply_s_form_is_the_server_s_choice(answer: bytes, streamed: bool) -> None:
    assert (await one(answer, stream=streamed)).text == "Hello"


async def test_created_is_an_answer() -> None:
    assert (await one(TEXT.replace(b" 200 ", b" 201 ", 1))).text == "Hello"


@pytest.mark.parametrize("kind", ["", "text/plain; charset=utf-8", "application/x-ndjson", "application/json"])
@pytest.mark.parametrize("before", [b"", b": waiting\n\n", b"event: message\n", b"\n"])
async def test_a_stream_is_known_by_its_form_whatever_it_is_called(kind: str, before: bytes) -> None:
    body = before + stream(delta("Hel"), delta("lo", finish="stop")).partition(b"\r\n\r\n")[2]
    assert (await one(response(body, kind=kind))).text == "Hello"


async def test_a_byte_order_mark_before_a_reply_is_no_part_of_it() -> None:
    body = TEXT.partition(b"\r\n\r\n")[2]
    assert (await one(response(b"\xef\xbb\xbf" + body), stream=False)).text == "Hello"


@pytest.mark.parametrize(
    "answer",
    [
        response("", kind="text/event-stream"),
        response(": PROCESSING\n\n: PROCESSING\n\n", kind="text/event-stream"),
        stream({"choices": [], "prompt_filter_results": []}, done=False),
        stream({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 0}}, done=False),
        stream({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 0}}, delta("Hel"), done=False),
        stream(delta("Hel"), USAGE, delta("lo"), done=False),
    ],
)
async def test_a_stream_that_ends_before_its_answer_does_is_worth_a_retry(answer: bytes) -> None:
    with pytest.raises(ModelUnavailable, match="broke off"):
        await one(answer)


# Errors inside a reply


@pytest.mark.parametrize(
    ("inside", "later"),
    [
        ({"code": 502, "message": "Provider returned error"}, True),
        ({"code": "429", "message": "slow down"}, True),
        ({"code": 429.0, "message": "slow down"}, True),
        ({"type": "server_error", "message": "oops"}, True),
        ({"type": "overloaded_error", "message": "busy"}, True),
        ({"code": "rate_limit_exceeded", "message": "busy"}, True),
        ({"code": 400, "message": "no such thing"}, False),
        ({"code": 401, "message": "who are you"}, False),
        ({"type": "invalid_request_error", "message": "no"}, False),
        ({"message": "out of memory"}, False),
        ("out of memory", False),
        (["x"], False),
        (True, False),
    ],
)
async def test_an_error_inside_counts_as_its_own_code(inside: Any, later: bool) -> None:
    choice = {"index": 0, "error": inside, "message": {"content": ""}, "finish_reason": "error"}
    for answer in (
        response(json.dumps({"error": inside})),
        stream(delta("Hel"), {"error": inside}),
        stream(delta("Hel"), {"choices": [choice]}),
        completion(choice),
    ):
        with pytest.raises(ModelError, match="failed while answering") as caught:
            await one(answer)
        assert isinstance(caught.value, ModelUnavailable) == later


async def test_a_rate_limit_inside_is_a_rate_limit() -> None:
    with pytest.raises(ModelUnavailable) as caught:
        await one(response('{"error": {"code": 429, "message": "slow"}}'))
    assert caught.value.overloaded


async def test_an_error_s_empty_form_beside_a_reply_is_none() -> None:
    body = completion({"message": {"content": "Hi"}}, error={"code": 0, "message": ""})
    assert (await one(body)).text == "Hi"


# Tool calls


async def test_arguments_that_are_an_object_become_json() -> None:
    odd = {**CALL, "function": {"name": "weather", "arguments": {"city": "Rome"}}}
    for answer in (
        whole({"content": None, "tool_calls": [odd]}),
        stream(piece(0, **odd), delta(None, finish="tool_calls")),
    ):
        choice = await one(answer)
        assert choice.message is not None
        (made,) = choice.message["tool_calls"]
        assert json.loads(made["function"]["arguments"]) == {"city": "Rome"}


def places(*indices: int | None, ids: tuple[str, ...] = ("c1", "c2")) -> bytes:
    pieces = []
    for place, made, given in zip(indices, (CALL, OTHER), ids, strict=True):
        more = {} if place is None else {"index": place}
        pieces.append(delta(None, tool_calls=[{**made, "id": given, **more}]))
    return stream(*pieces, delta(None, finish="tool_calls"), USAGE)


@pytest.mark.parametrize("indices", [(0, 0), (0, 1), (None, None), (1, 0)])
@pytest.mark.parametrize("ids", [("c1", "c2"), ("", ""), ("c1", "c1")])
async def test_parallel_calls_stay_apart(indices: tuple[int | None, ...], ids: tuple[str, ...]) -> None:
    if ids == ("c1", "c1") and indices != (0, 1):
        pytest.skip("nothing tells such calls apart")
    choice = await one(places(*indices, ids=ids))
    assert choice.message is not None
    calls = choice.message["tool_calls"]
    assert [made["function"] for made in calls] == [CALL["function"], OTHER["function"]]
    assert all(made["id"] for made in calls)
    assert calls[0]["id"] != calls[1]["id"]


async def test_arguments_in_pieces_without_a_place_or_an_id_grow_the_last_call() -> None:
    answer = stream(
        delta(None, tool_calls=[{"id": "c1", "function": {"name": "weather", "arguments": ""}}]),
        delta(None, tool_calls=[{"function": {"arguments": '{"city": '}}]),
        delta(None, tool_calls=[{"function": {"arguments": '"Rome"}'}}]),
        delta(None, finish="tool_calls"),
    )
    choice = await one(answer)
    assert choice.message is not None
    assert choice.message["tool_calls"] == [CALL]


async def test_a_legacy_function_call_is_a_tool_call() -> None:
    legacy = whole({"content": None, "function_call": CALL["function"]}, "function_call")
    pieces = stream(
        delta(None, function_call={"name": "weather", "arguments": '{"city": '}),
        delta(None, function_call={"arguments": '"Rome"}'}),
        delta(None, finish="function_call"),
    )
    for answer in (legacy, pieces):
        choice = await one(answer)
        assert choice.message is not None
        assert choice.message["tool_calls"][0]["function"] == CALL["function"]
        assert choice.message["tool_calls"][0]["id"]
        assert choice.finish_reason == "tool_calls"


@pytest.mark.parametrize("calls", [7, "x", {}, [None], [7], [{}], [{"function": 7}], [{"function": {"name": 7}}]])
async def test_what_is_no_call_is_none(calls: Any) -> None:
    choice = await one(whole({"content": "Hi", "tool_calls": calls}, "stop"))
    assert (choice.text, choice.message) == ("Hi", None)


# No answer


@pytest.mark.parametrize(
    ("message", "finish", "failure"),
    [
        ({"content": None}, "stop", "empty"),
        ({"content": ""}, "stop", "empty"),
        ({"content": " \n"}, "stop", "empty"),
        (None, "stop", "empty"),
        ({"content": "", "reasoning_content": "Hm."}, "stop", "reasoning only"),
        ({"content": "", "reasoning": "Hm."}, "length", "raise max-tokens"),
        ({"content": "Well"}, "content_filter", "content filter"),
    ],
)
async def test_what_is_no_answer_has_its_reason(message: Any, finish: str, failure: str) -> None:
    choice = await one(completion({"message": message, "finish_reason": finish}))
    assert choice.failure is not None
    assert failure in choice.failure
    assert choice.worth_a_retry == (finish != "length")


@pytest.mark.parametrize("message", [{"content": None, "tool_calls": [CALL]}, {"content": None, "refusal": "No."}])
async def test_calls_and_refusals_are_answers(message: dict[str, Any]) -> None:
    assert (await one(whole(message))).failure is None
