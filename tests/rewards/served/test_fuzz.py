"""Every JSON type at every place of what a reward server answers: a score or an error in one line, never a bug."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest

from models.server import Received, response, serving
from rewards.served.kit import CHATML, chat
from tpo.errors import TPOError
from tpo.rewards import call
from tpo.rewards.protocol import Score
from tpo.rewards.resolve import resolve

ODD: tuple[Any, ...] = (None, True, 7, -1.5, 10**400, "", "text", "1.5", [], [None], [[0.5]], {}, {"a": [1]})

MODELS = {"object": "list", "data": [{"id": "rm", "owned_by": "vllm", "max_model_len": 512}]}
INFO = {
    "model_id": "m",
    "model_type": {"classifier": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}},
    "max_client_batch_size": 32,
    "max_input_length": 512,
}
CLASSIFIED = {
    "id": "classify-1",
    "data": [{"index": 0, "label": "LABEL_0", "probs": [0.17], "num_classes": 1}],
    "usage": {"prompt_tokens": 41, "total_tokens": 41},
}
MESSAGE = {"role": "assistant", "content": "reward:-3.5"}
TOKENS = {"content": [{"token": "helpfulness", "logprob": 2.5, "top_logprobs": []}]}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "vllm": ("", {"/v1/models": MODELS, "/classify": CLASSIFIED}),
    "vllm tokens": (
        "?task=token_classify",
        {"/v1/models": MODELS, "/pooling": {"data": [{"index": 0, "object": "pooling", "data": [[0.1], [0.4]]}]}},
    ),
    "sglang": (
        f"?template={CHATML}",
        {
            "/v1/models": MODELS,
            "/get_model_info": {"model_path": "m", "is_generation": False},
            "/classify": [{"embedding": [0.5], "meta_info": {"id": "x"}}],
        },
    ),
    "tei": ("", {"/info": INFO, "/predict": [[{"label": "LABEL_0", "score": 0.4}]]}),
    "tei rerank": ("?form=rerank", {"/info": INFO, "/rerank": [{"index": 0, "score": 0.4}]}),
    "llamacpp": ("", {"/v1/models": MODELS, "/v1/rerank": {"results": [{"index": 0, "relevance_score": 0.4}]}}),
    "nim": (
        "",
        {"/v1/models": MODELS, "/v1/chat/completions": {"choices": [{"message": MESSAGE, "logprobs": TOKENS}]}},
    ),
    "http": ("", {"/v1": {"scores": [{"value": 0.5, "parts": {"clear": 0.25}, "feedback": "It is short."}]}}),
    "http number": ("", {"/v1": {"scores": [0.5]}}),
}


def changed(value: Any) -> Iterator[Any]:
    """The value with one place changed, or left out, in every way."""
    yield from ODD
    if isinstance(value, dict):
        for key, inner in value.items():
            yield {name: other for name, other in value.items() if name != key}
            yield from ({**value, key: odd} for odd in changed(inner))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from ([*value[:place], odd, *value[place + 1 :]] for odd in changed(inner))


@pytest.mark.parametrize("case", CASES)
async def test_no_reply_is_a_bug(case: str) -> None:
    options, pages = CASES[case]
    now: dict[str, Any] = {}

    def respond(request: Received) -> bytes:
        return response(json.dumps(now[request.path])) if request.path in now else response("{}", 404)

    async with serving(respond) as server:
        spec, found, count = f"{case.partition(' ')[0]}:{server.url}{options}", 0, 0
        for page, whole in pages.items():
            # What a server says of itself is read by a new client each time; scores, the last page, by one.
            kept = resolve(spec) if page == [*pages][-1] else None
            for odd in [whole, *changed(whole)]:
                now, count = {**pages, page: odd}, count + 1
                resolved = kept or resolve(spec)
                assert resolved.reward is not None
                try:
                    scores = await call.score(resolved.reward, [chat(f"Paris {count}.")])
                except TPOError as error:
                    assert len(str(error).splitlines()) == 1
                    assert "raised" not in str(error), f"{odd!r}: {error}"
                else:
                    found += 1
                    assert len(scores) == 1
                    assert isinstance(scores[0], Score)
                    assert isinstance(scores[0].value, float)
                    assert all(isinstance(value, float) for value in scores[0].parts.values())
                finally:
                    if kept is None:
                        await resolved.aclose()
            if kept is not None:
                await kept.aclose()
        assert found >= len(pages), "the unchanged replies are scored"


async def test_null_from_a_service_of_ones_own_is_no_score() -> None:
    async with serving(lambda request: response('{"scores": [null, 0.5]}')) as server:
        resolved = resolve(f"http:{server.url}")
        assert resolved.reward is not None
        first, second = await call.score(resolved.reward, [chat("a"), chat("b")])
        await resolved.aclose()
    assert math.isnan(first.value)
    assert second.value == 0.5
