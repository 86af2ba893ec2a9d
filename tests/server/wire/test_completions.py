"""Completions in other words: prompts as chats, and their answers as text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpo.server.wire.completions import TellingText, chat_bodies, completion, completions_request, summed
from tpo.server.wire.refusal import BadRequest


def chunk(text: str | None = None, index: int = 0, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk of a chat completion."""
    delta = {} if text is None else {"content": text}
    return {
        "id": "chatcmpl-1",
        "created": 5,
        "model": "m",
        "choices": [{"index": index, "delta": delta, "finish_reason": finish}],
        **more,
    }


def test_each_prompt_is_a_chat_and_unknown_fields_stay() -> None:
    body = {
        "model": "m",
        "prompt": ["a", "b"],
        "n": 2,
        "logprobs": 3,
        "stream": True,
        "stop": ["x"],
        "max_tokens": 7,
        "tpo": {"width": 2},
    }
    common = {
        "model": "m",
        "n": 2,
        "stream": True,
        "stop": ["x"],
        "max_tokens": 7,
        "tpo": {"width": 2},
        "logprobs": True,
        "top_logprobs": 3,
        "stream_options": {"include_usage": True},
    }
    assert chat_bodies(completions_request(body), body) == [
        {**common, "messages": [{"role": "user", "content": "a"}]},
        {**common, "messages": [{"role": "user", "content": "b"}]},
    ]


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
        completions_request({"model": "m", "prompt": "a", **fields})
    assert refusal.value.param == param


def test_answers_stand_in_the_order_of_prompts_and_usage_adds_up() -> None:
    asked = completions_request({"model": "m", "prompt": ["a", "b"], "n": 2, "echo": True})
    token = {"token": "no", "logprob": -1.0, "top_logprobs": [{"token": "no", "logprob": -1.0}]}

    def answer(*texts: str) -> dict[str, Any]:
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": text},
                "finish_reason": "stop",
                "logprobs": {"content": [token, token]},
            }
            for index, text in enumerate(texts)
        ]
        usage = {"prompt_tokens": 1, "completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": 1}}
        return {"id": "chatcmpl-9", "created": 5, "model": "m", "choices": choices, "usage": usage}

    told = completion(asked, [answer(" w", " x"), answer(" y", " z")])
    assert [(choice["index"], choice["text"]) for choice in told["choices"]] == [
        (0, "a w"),
        (1, "a x"),
        (2, "b y"),
        (3, "b z"),
    ]
    assert told["usage"] == {
        "prompt_tokens": 2,
        "completion_tokens": 4,
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    assert (told["id"], told["object"]) == ("cmpl-9", "text_completion")
    assert told["choices"][0]["logprobs"] == {
        "tokens": ["no", "no"],
        "token_logprobs": [-1.0, -1.0],
        "top_logprobs": [{"no": -1.0}, {"no": -1.0}],
        "text_offset": [0, 2],
    }


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), st.text(min_size=1)), max_size=12), st.booleans())
def test_streams_of_several_prompts_do_not_mix(said: list[tuple[int, int, str]], echo: bool) -> None:
    asked = completions_request(
        {
            "model": "m",
            "prompt": ["p", "q"],
            "n": 2,
            "echo": echo,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    )
    telling = TellingText(asked)
    texts: dict[int, str] = {}
    chunks = [telling.take(place, chunk(text, index)) for place, index, text in said]
    chunks += [telling.take(place, chunk(index=index, finish="stop")) for place in (0, 1) for index in (0, 1)]
    for place in (0, 1):
        assert telling.take(place, {"choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 3}}) is None
    for told in filter(None, chunks):
        for choice in told["choices"]:
            texts[choice["index"]] = texts.get(choice["index"], "") + choice["text"]
    for place, prompt in enumerate("pq"):
        for index in (0, 1):
            grown = "".join(text for p, i, text in said if (p, i) == (place, index))
            assert texts[2 * place + index] == (prompt if echo else "") + grown
    end = telling.end()
    assert end is not None and end["usage"] == {"prompt_tokens": 4, "completion_tokens": 6}


def test_progress_and_roles_bring_no_text_and_errors_stay_errors() -> None:
    telling = TellingText(completions_request({"model": "m", "prompt": "a", "stream": True}))
    thinking = chunk()
    thinking["choices"][0]["delta"] = {"role": "assistant", "reasoning_content": "step 0"}
    assert telling.take(0, thinking) is None
    assert telling.take(0, {"error": {"message": "gone"}}) == {"error": {"message": "gone"}}
    assert telling.end() is None


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 99))))
def test_sums_add_up(usages: list[dict[str, int]]) -> None:
    total = summed(usages)
    assert sum(total.values()) == sum(sum(usage.values()) for usage in usages)
