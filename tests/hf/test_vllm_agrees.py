"""The same checkpoint and conversations, scored by `hf:` and by a real vLLM: `make test-hf` with TPO_VLLM_HOME set."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from servers.vllm import installation, vllm_reward
from tpo.messages import Conversation, answered, conversation
from tpo.rewards.hf.reward import HfReward

pytestmark = [pytest.mark.hf, pytest.mark.vllm]

WORDS = ["the", "table", "oil", "once", "a", "year", "never", "Wasser", "木", "dry;", "cloth.", "\n\n", "2024"]


@pytest.fixture(scope="module")
def checkpoint(make: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small chat model beside vLLM, with a made-up reward head.

    It looks along the state in which the model ends a conversation, as a trained head would, and a little aside. With
    a head that is random altogether, scores are small differences of large numbers, and half precision moves them by
    a quarter, here as in vLLM.
    """
    make("llama")
    import torch
    import transformers

    policy = installation() / "policy"
    if not (policy / "config.json").exists():
        pytest.skip("no vLLM: set TPO_VLLM_HOME to a folder with venv/bin/vllm and policy/")
    folder = tmp_path_factory.mktemp("agree")
    torch.manual_seed(0)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(policy, num_labels=1, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(policy)
    ids = tokenizer.apply_chat_template(talks()[4], return_tensors="pt", return_dict=True)["input_ids"]
    with torch.no_grad():
        state = model.model(ids).last_hidden_state[0, -1]
        model.score.weight.normal_(std=0.05).add_(0.5 * state / state.norm())
    model.config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=[("float32", 1e-4), ("bfloat16", 2e-2)], ids=lambda param: param[0])
def served(request: pytest.FixtureRequest, checkpoint: Path) -> Iterator[tuple[str, str, float]]:
    """A server, its dtype, and how far scores may be apart."""
    dtype, apart = request.param
    with vllm_reward(checkpoint, "--dtype", dtype) as url:
        yield url, dtype, apart


def talks() -> list[Conversation]:
    """Conversations of one to four turns, from a few tokens to some hundred."""
    dice = random.Random(7)
    made = []
    for size in (1, 2, 3, 5, 8, 13, 30, 60, 90, 150, 240, 7, 1, 33):
        history: list[Any] = [{"role": "user", "content": "How do I take care of a wooden table?"}]
        if size % 2:
            history = [{"role": "system", "content": "Be brief."}, *history]
        if size % 3 == 0:
            history += [{"role": "assistant", "content": "Oil it."}, {"role": "user", "content": "How often?"}]
        made.append(answered(conversation(history), " ".join(dice.choices(WORDS, k=size))))
    return made


def test_scores_agree(served: tuple[str, str, float], checkpoint: Path) -> None:
    url, dtype, apart = served
    with httpx.Client(trust_env=False, timeout=120) as client:
        theirs = [_classify(client, url.removesuffix("/v1"), talk) for talk in talks()]
    exact = HfReward(str(checkpoint), dtype="float32", device="cpu")
    reward = HfReward(str(checkpoint), dtype=dtype, device="cpu")
    truth = [score.value for score in asyncio.run(exact.score(talks()))]
    together = [score.value for score in asyncio.run(reward.score(talks()))]
    backwards = [score.value for score in asyncio.run(reward.score(talks()[::-1]))][::-1]
    alone = [asyncio.run(reward.score([talk]))[0].value for talk in talks()]
    for name, ours in {"together": together, "backwards": backwards, "alone": alone}.items():
        print(f"{dtype}, {name}: {_worst(ours, theirs):.1e} from vLLM's; {_worst(ours, truth):.1e} from float32's")
        assert ours == pytest.approx(theirs, rel=apart)
    print(f"{dtype}, vLLM's: {_worst(theirs, truth):.1e} from float32's, which go from {min(truth)} to {max(truth)}")


def _worst(some: list[float], others: list[float]) -> float:
    return max(abs(a - b) / abs(b) for a, b in zip(some, others, strict=True))


def _classify(client: httpx.Client, root: str, talk: Conversation) -> float:
    asked = {"model": "rm", "messages": talk, "use_activation": False}
    response = client.post(f"{root}/classify", json=asked)
    response.raise_for_status()
    return float(response.json()["data"][0]["probs"][0])
