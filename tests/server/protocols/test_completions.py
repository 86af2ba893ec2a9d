"""Completions: prompts as conversations, and their answers as text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.protocols.kit import answer, data_of, response
from tpo.server.deltas import Narration, Text, Thought, deltas_of
from tpo.server.errors import ApiError, BadRequest
from tpo.server.protocols.completions import CompletionsRenderer, CompletionsRequest, read_completions
from tpo.session.response import Completion

TOKEN = {"token": "no", "logprob": -1.0, "top_logprobs": [{"token": "no", "logprob": -1.0}]}


def renderer(**fields: Any) -> CompletionsRenderer:
    """Writes a completion."""
    return CompletionsRenderer(CompletionsRequest(model="m", **{"prompt": "a", **fields}))


def test_each_prompt_is_a_conversation_and_unknown_fields_stay() -> None:
    body = {"model": "m", "prompt": ["a", "b"], "n": 2, "logprobs": 3, "stop": ["x"], "max_tokens": 7}
    parsed = read_completions({**body, "stream": True, "tpo": {"width": 2}, "user": None}, ())
    assert parsed.stream
    assert [query.messages for query in parsed.queries] == [[{"role": "user", "content": text}] for text in "ab"]
    for query in parsed.queries:
        assert (query.n, query.max_tokens, query.alignment.width) == (2, 7, 2)
        assert query.policy_fields == {"stop": ["x"], "logprobs": True, "top_logprobs": 3}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": [[1, 2]]}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": ["a"] * 33}, "prompt"),
        ({"suffix": "end"}, "suffix"),
        ({"best_of": 3}, "best_of"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"logprobs": 99}, "logprobs"),
    ],
)
def test_what_a_chat_cannot_do_is_refused(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        read_completions({"model": "m", "prompt": "a", **fields}, ())
    assert refusal.value.param == param


def test_answers_stand_in_the_order_of_prompts_and_usage_adds_up() -> None:
    write = renderer(prompt=["a", "b"], n=2, echo=True)
    logprobs = {"content": [TOKEN, TOKEN]}
    both = [
        response(answer(f" {one}", 0, logprobs=logprobs), answer(f" {two}", 1), search={"method": one})
        for one, two in ("wx", "yz")
    ]
    whole = write.whole(both)
    assert [(choice["index"], choice["text"]) for choice in whole["choices"]] == [
        (0, "a w"),
        (1, "a x"),
        (2, "b y"),
        (3, "b z"),
    ]
    assert whole["usage"]["total_tokens"] == 10 and whole["usage"]["tpo"]["policy"]["calls"] == 2
    assert whole["tpo"] == [{"method": "w"}, {"method": "y"}]
    assert (whole["id"][:5], whole["object"]) == ("cmpl-", "text_completion")
    assert whole["choices"][0]["logprobs"] == {
        "tokens": ["no", "no"],
        "token_logprobs": [-1.0, -1.0],
        "top_logprobs": [{"no": -1.0}, {"no": -1.0}],
        "text_offset": [0, 2],
    }


def test_a_stream_has_the_summary_of_each_prompts_search() -> None:
    write = renderer(prompt=["a", "b"])
    done = [response(answer(text, 0), search={"method": text}) for text in "xy"]
    chunks = data_of(write.begin() + b"".join(write.finish(place, one) for place, one in enumerate(done)) + write.end())
    found = [(chunk["choices"][0]["index"], chunk["tpo"]) for chunk in chunks]
    assert found == [(0, {"method": "x"}), (1, {"method": "y"})]


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), st.text(min_size=1)), max_size=12), st.booleans())
def test_streams_of_several_prompts_do_not_mix(pieces: list[tuple[int, int, str]], echo: bool) -> None:
    write = renderer(prompt=["p", "q"], n=2, echo=echo, stream_options={"include_usage": True})
    stream = write.begin() + b"".join(write.delta(place, Text(index, text)) for place, index, text in pieces)
    for place in (0, 1):
        grown = ["".join(text for p, i, text in pieces if (p, i) == (place, index)) for index in (0, 1)]
        final = response(answer(grown[0], 0), answer(grown[1], 1))
        sent = {index: grown[index] for index in (0, 1)}
        stream += b"".join(write.delta(place, delta) for delta in deltas_of(final, sent)) + write.finish(place, final)
    stream += write.end()
    assert stream.endswith(b"data: [DONE]\n\n")
    texts: dict[int, str] = {}
    for chunk in data_of(stream):
        for choice in chunk["choices"]:
            texts[choice["index"]] = texts.get(choice["index"], "") + choice["text"]
    for place, prompt in enumerate("pq"):
        for index in (0, 1):
            grown_text = "".join(text for p, i, text in pieces if (p, i) == (place, index))
            assert texts[2 * place + index] == (prompt if echo else "") + grown_text
    assert data_of(stream)[-1]["usage"]["total_tokens"] == 10


def test_reasoning_brings_no_text_and_an_error_ends_the_stream() -> None:
    write = renderer()
    assert write.begin() + write.delta(0, Narration("step 0")) + write.delta(0, Thought(0, "Hm")) == b""
    stream = write.fail(ApiError(502, "It is gone."))
    assert data_of(stream)[0]["error"]["message"] == "It is gone." and stream.endswith(b"data: [DONE]\n\n")


def test_usage_is_left_out_unless_it_is_wanted() -> None:
    write = renderer()
    final: Completion = response(answer("x"))
    assert all("usage" not in chunk for chunk in data_of(write.finish(0, final) + write.end()))
