"""What a user writes, and what a server is."""

from __future__ import annotations

from typing import Any

import pytest

from models.server import Received, error, models, response, serving
from rewards.served.kit import CHATML, ok
from tpo.errors import InputError, RewardError
from tpo.rewards.resolve import resolve
from tpo.rewards.served_reward import ServedReward
from tpo.rewards.served_spec import KINDS, detect


def served_reward(kind: str, rest: str) -> ServedReward:
    reward = resolve(f"{kind}:{rest}").reward
    assert isinstance(reward, ServedReward)
    return reward


@pytest.mark.parametrize(
    ("kind", "rest", "name"),
    [
        ("vllm", "http://h:1/v1?model=m", "vllm:m@http://h:1"),
        ("vllm", "http://h:1?model=m&label=2&batch=4", "vllm:m@http://h:1?weights=2:1"),
        ("vllm", "http://h:1?model=m&truncate=true", "vllm:m@http://h:1?truncate=True"),
        ("vllm", "https://h?task=token_classify&reduce=min", "vllm@https://h?reduce=min&task=token_classify"),
        ("sglang", "http://h:1", "sglang@http://h:1"),
        ("tei", "http://h:1/rm?form=rerank", "tei@http://h:1/rm?form=rerank"),
        ("tei", "http://h:1?label=good", "tei@http://h:1?form=pair&weights=good:1"),
        ("llamacpp", "http://h:1?model=m", "llamacpp:m@http://h:1?form=rerank"),
        ("nim", "http://h:1?model=m&weights=a:1,b:-0.5", "nim:m@http://h:1?weights=a:1,b:-0.5"),
        ("http", "http://h:1/score", "http@http://h:1/score?form=conversations"),
        ("http", "http://h:1/score?v=2&model=mine", "http:mine@http://h:1/score?form=conversations"),
    ],
)
def test_a_spec_becomes_a_reward(kind: str, rest: str, name: str) -> None:
    assert served_reward(kind, rest).name == name


@pytest.mark.parametrize(
    ("kind", "rest", "message"),
    [
        ("vllm", "localhost:8000", "is not an http"),
        ("vllm", "", "is not an http"),
        ("vllm", "http://h?lable=1", "has no option 'lable'. Did you mean label?"),
        ("vllm", "http://h?key=sk-1", r"has no option 'key'. Options are model, "),
        ("vllm", "http://h?label=good", "label=good cannot be used: Expected `int"),
        ("vllm", "http://h?task=embed", "task=embed cannot be used; task is one of "),
        ("nim", "http://h?weights=a", "weights=a is not a list of NAME:NUMBER"),
        ("nim", "http://h?weights=a:b", "weights=a:b cannot be used"),
        ("tei", "http://h?template=/nowhere/at/all", "There is no chat template at /nowhere/at/all"),
    ],
)
def test_what_cannot_be_used_is_reported(kind: str, rest: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        served_reward(kind, rest)


def test_a_template_is_part_of_what_scores() -> None:
    assert served_reward("sglang", f"http://h?template={CHATML}").name.startswith("sglang@http://h?template=chatml/")


async def test_the_own_query_of_an_address_is_kept() -> None:
    async with serving(lambda request: ok({"scores": []})) as server:
        reward = served_reward("http", f"{server.url}?v=a%20b&model=mine")
        with pytest.raises(RewardError):
            await reward.score([[{"role": "assistant", "content": ""}]])
    assert server.received[0].path in ("/v1?v=a%20b", "/v1?v=a+b")


PAGES: dict[str, dict[str, Any]] = {
    "tei": {"/info": {"model_id": "m", "max_client_batch_size": 32}},
    "nim": {
        "/v1/metadata": {"modelInfo": [], "version": "1"},
        "/v1/models": {"data": [{"id": "m", "owned_by": "vllm"}]},
    },
    "vllm": {"/v1/models": {"data": [{"id": "m", "owned_by": "vllm"}]}},
    "llamacpp": {"/v1/models": {"data": [{"id": "m", "owned_by": "llamacpp"}]}},
    "sglang": {"/get_model_info": {"model_path": "m", "is_generation": False}, "/v1/models": {"data": None}},
}


@pytest.mark.parametrize("kind", PAGES)
async def test_a_server_is_known_by_its_pages(kind: str) -> None:
    def respond(request: Received) -> bytes:
        page = PAGES[kind].get(request.path)
        return ok(page) if page is not None else error("Not Found", 404)

    async with serving(respond) as server:
        assert await detect(server.url) == kind


async def test_a_server_without_a_model_list_must_be_named() -> None:
    for respond in (
        lambda request: error("Not Found", 404),
        lambda request: response("<html>", kind="text/html"),
        lambda request: models("m", owned_by="somebody"),
    ):
        async with serving(respond) as server:
            with pytest.raises(RewardError, match=r"does not show what kind .* vllm:URL, sglang:URL"):
                await detect(server.url)
    with pytest.raises(RewardError, match="No connection"):
        await detect(server.url)


def test_every_kind_can_be_made() -> None:
    assert {served_reward(kind, "http://h").server.kind for kind in KINDS} == set(KINDS)
