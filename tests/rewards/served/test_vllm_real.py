"""The reward adapter against a real vLLM, and the recording of it: `make test-vllm`, with TPO_RECORD=1 to record."""

from __future__ import annotations

import json
import math
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from rewards.served import vllm_story
from rewards.served.kit import CHATML, DATA, chat, without_paths
from servers.recorded import recording
from servers.vllm import installation, vllm_reward
from tpo.rewards.served_spec import detect
from tpo.rewards.templating import ChatTemplate

pytestmark = pytest.mark.vllm


@asynccontextmanager
async def recorded(url: str, name: str, source: str) -> AsyncIterator[str]:
    if not os.environ.get("TPO_RECORD"):
        yield url
        return
    async with recording(url, DATA / f"{name}.json", source, without_paths) as proxy:
        yield proxy


def asked(url: str, path: str, **body: Any) -> dict[str, Any]:
    answer = httpx.post(url.removesuffix("v1") + path, json={"model": "rm", **body}, timeout=120, trust_env=False)
    assert answer.status_code == 200, answer.text
    value: dict[str, Any] = answer.json()
    return value


async def test_one_score_a_conversation() -> None:
    with vllm_reward() as url:
        async with recorded(url, "vllm_classify", vllm_story.SOURCE) as address:
            scores = await vllm_story.classify(address)
        assert await detect(url) == "vllm"
        # What the server says of itself when it is not told to leave the sigmoid out.
        default = asked(url, "classify", messages=chat("Paris."))["data"][0]["probs"][0]
    assert default == pytest.approx(1 / (1 + math.exp(-scores["messages"][0])), abs=1e-6)
    assert len(set(scores["messages"])) == 3
    # A sequence alone and one in a batch differ in the last bits of bfloat16.
    assert scores["texts"] == pytest.approx(scores["messages"], abs=0.02)


async def test_one_score_a_token_from_a_tokenizer_that_begins_texts_with_a_token(tmp_path: Path) -> None:
    model = installation() / "reward"
    if not model.is_dir():
        pytest.skip(f"no reward model in {installation()}")
    for file in model.iterdir():
        (tmp_path / file.name).symlink_to(file)
    tokenizer = json.loads((model / "tokenizer.json").read_text("utf-8"))
    first = {"SpecialToken": {"id": "<|im_start|>", "type_id": 0}}
    tokenizer["post_processor"]["single"].insert(0, first)
    tokenizer["post_processor"]["special_tokens"] = {
        "<|im_start|>": {"id": "<|im_start|>", "ids": [1], "tokens": ["<|im_start|>"]}
    }
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    with vllm_reward(tmp_path, "--pooler-config.task", "token_classify") as url:
        source = f"{vllm_story.SOURCE} --pooler-config.task token_classify, its tokenizer changed to add a BOS"
        async with recorded(url, "vllm_tokens", source) as address:
            scores = await vllm_story.tokens(address)
        raw = asked(url, "pooling", messages=chat("Paris."), task="token_classify", use_activation=False)
        text = ChatTemplate.load(CHATML).text(chat("Paris."), bos=True)
        alone = asked(url, "pooling", input=[text], task="token_classify", add_special_tokens=False)
        doubled = asked(url, "pooling", input=[text], task="token_classify")
    rows = [row[0] for row in raw["data"][0]["data"]]
    assert len(rows) == alone["usage"]["prompt_tokens"] == doubled["usage"]["prompt_tokens"] - 1
    assert scores["last"] == pytest.approx(rows[-1], abs=1e-6)
    assert scores["mean"] == pytest.approx(sum(rows) / len(rows), abs=1e-6)
    assert scores["min"] == pytest.approx(min(rows), abs=1e-6)
    assert scores["product"] == pytest.approx(math.prod(1 / (1 + math.exp(-x)) for x in rows), rel=1e-4)
    assert scores["steps as messages"] == pytest.approx(scores["steps as texts"], abs=0.02)
