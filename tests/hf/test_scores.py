"""Scores are the model's own, in any batch, and plausible mistakes would show."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tpo.messages import Conversation, answered, conversation
from tpo.rewards.hf.loading import load
from tpo.rewards.hf.reward import HfReward
from tpo.rewards.hf.scoring import padded

pytestmark = pytest.mark.hf

Make = Callable[[str], Path]

FAMILIES = ["llama", "qwen", "gemma", "gpt2", "deberta", "deberta_pair", "pad_is_end", "nemotron", "armo", "internlm"]
TALKS = [
    answered(conversation("How do I take care of a wooden table?"), answer)
    for answer in ("Oil it.", "", "Wipe it with a damp cloth, then dry it. " * 3, "你好", "No. " * 30, "<|end|>", "x")
]
LONG = answered(conversation("Say a lot."), "wooden " * 300)
rewards: dict[Path, HfReward] = {}


def reward_of(folder: Path) -> HfReward:
    if folder not in rewards:
        rewards[folder] = HfReward(str(folder), trust_remote_code=True, dtype="float32", device="cpu")
    return rewards[folder]


def values(reward: HfReward, talks: list[Conversation]) -> list[float]:
    return [score.value for score in asyncio.run(reward.score(talks))]


def reference(folder: Path, talk: Conversation) -> float:
    """The score by transformers alone, as a model card would have it."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    ids = tokenizer.apply_chat_template(talk, return_tensors="pt", return_dict=True)["input_ids"]
    with torch.no_grad():
        return float(model(ids).logits[0, 0])


@pytest.mark.parametrize("family", ["llama", "qwen", "gemma", "gpt2", "deberta", "pad_is_end"])
def test_a_score_is_the_raw_output_of_the_model(make: Make, family: str) -> None:
    scores = values(reward_of(make(family)), TALKS)
    assert scores == pytest.approx([reference(make(family), talk) for talk in TALKS], abs=1e-5)
    # Random models, but none so dull that a mistake would not show.
    assert max(scores) - min(scores) > 0.1


@pytest.mark.parametrize("family", FAMILIES)
def test_batches_score_as_single_conversations_do(make: Make, family: str) -> None:
    reward = reward_of(make(family))
    alone = [values(reward, [talk])[0] for talk in TALKS]

    @given(st.lists(st.integers(0, len(TALKS) - 1), max_size=12), st.integers(1, 8), st.integers(1, 600))
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
    def check(chosen: list[int], most: int, tokens: int) -> None:
        assert reward._max_batch > 1
        kept = reward._max_batch, reward._max_tokens
        reward._max_batch, reward._max_tokens = most, tokens
        try:
            scores = values(reward, [TALKS[index] for index in chosen])
        finally:
            reward._max_batch, reward._max_tokens = kept
        assert scores == pytest.approx([alone[index] for index in chosen], abs=1e-5)

    check()


async def test_calls_that_come_together_get_their_own_scores(make: Make) -> None:
    reward = reward_of(make("qwen"))
    together = await reward.score(TALKS)
    singly = await asyncio.gather(*(reward.score([talk]) for talk in TALKS))
    assert [one.value for [one] in singly] == pytest.approx([score.value for score in together], abs=1e-5)


def test_half_precision_is_close_and_its_scores_do_not_tie(make: Make) -> None:
    exact = values(reward_of(make("llama")), TALKS)
    rough = values(HfReward(str(make("llama")), dtype="bfloat16", device="cpu"), TALKS)
    assert rough == pytest.approx(exact, abs=0.15)
    # A bfloat16 number has eight bits of precision: a head that computed in it would give no more.
    assert any(value != _bfloat16(value) for value in rough)


def _bfloat16(value: float) -> float:
    import torch

    return float(torch.tensor(value).bfloat16())


# Each of these does one thing wrong on purpose, to show that the tests above could tell.


def _logits(folder: Path, rows: list[list[int]], mask: list[list[int]], pad: int | None = 2) -> list[float]:
    import torch

    model = load(reward_of(folder).settings).model
    was, model.config.pad_token_id = model.config.pad_token_id, pad
    with torch.inference_mode():
        scores = model(input_ids=torch.tensor(rows), attention_mask=torch.tensor(mask)).logits[:, 0].tolist()
    model.config.pad_token_id = was
    return [float(score) for score in scores]


def _rows(folder: Path) -> list[list[int]]:
    return [row for row in reward_of(folder).encode([TALKS[0], TALKS[2]]) if not isinstance(row, str)]


def test_left_padding_without_its_mask_would_show(make: Make) -> None:
    short, long = _rows(make("llama"))
    right = values(reward_of(make("llama")), [TALKS[0]])[0]
    filled = [2] * (len(long) - len(short)) + short
    assert abs(_logits(make("llama"), [filled, long], [[1] * len(long)] * 2)[0] - right) > 1e-2


def test_a_pad_token_that_the_model_does_not_know_would_show(make: Make) -> None:
    rows = _rows(make("llama"))
    right = values(reward_of(make("llama")), [TALKS[0]])[0]
    mask = [[1] * len(row) + [0] * (len(rows[1]) - len(row)) for row in rows]
    assert abs(_logits(make("llama"), padded(rows, 0), mask)[0] - right) > 1e-2
    with pytest.raises(ValueError, match="no padding token is defined"):
        _logits(make("llama"), padded(rows, 0), mask, pad=None)


def test_padding_with_the_token_that_ends_every_turn_would_show(make: Make) -> None:
    """What `pad_token = eos_token` does to a model that was never trained with it."""
    rows = _rows(make("qwen"))
    right = values(reward_of(make("qwen")), [TALKS[0]])[0]
    mask = [[1] * len(row) + [0] * (len(rows[1]) - len(row)) for row in rows]
    assert abs(_logits(make("qwen"), padded(rows, 1), mask, pad=1)[0] - right) > 1e-2
    assert _logits(make("qwen"), padded(rows, 2), mask, pad=2)[0] == pytest.approx(right, abs=1e-5)


def test_a_doubled_bos_would_show(make: Make) -> None:
    reward, talk = reward_of(make("llama")), TALKS[0]
    [row] = reward.encode([talk])
    assert isinstance(row, list) and row[0] == 0 and row.count(0) == 1
    tokenizer: Any = load(reward.settings).tokenizer
    doubled = tokenizer(tokenizer.apply_chat_template(talk, tokenize=False))["input_ids"]
    assert doubled[:2] == [0, 0]
    right = values(reward, [talk])[0]
    assert abs(_logits(make("llama"), [doubled], [[1] * len(doubled)])[0] - right) > 1e-2


@pytest.mark.parametrize("family", ["qwen", "gpt2"])
def test_a_template_without_bos_gets_none(make: Make, family: str) -> None:
    [row] = reward_of(make(family)).encode([TALKS[0]])
    assert 0 not in row


def test_scores_in_another_order_would_show(make: Make) -> None:
    scores = values(reward_of(make("llama")), TALKS)
    assert values(reward_of(make("llama")), TALKS[::-1]) == pytest.approx(scores[::-1], abs=1e-5)
    assert all(abs(a - b) > 1e-3 for index, a in enumerate(scores) for b in scores[:index])


# What cannot be scored.


@pytest.mark.parametrize("family", ["llama", "gpt2", "truncating"])
def test_what_is_too_long_is_no_number_and_stops_no_other(make: Make, family: str) -> None:
    reward = reward_of(make(family))
    scores = asyncio.run(reward.score([TALKS[0], LONG, TALKS[2]]))
    [row] = HfReward(str(make(family)), device="cpu").encode([TALKS[0]])
    tokens = len(reward.encode._tokens([(reward.encode._text(LONG)[0],)])[0])
    assert scores[0].value == pytest.approx(values(reward, [TALKS[0]])[0], abs=1e-5)
    assert scores[2].value == pytest.approx(values(reward, [TALKS[2]])[0], abs=1e-5)
    assert math.isnan(scores[1].value)
    assert scores[1].feedback == f"the conversation has {tokens} tokens, and the reward model takes 256"
    assert len(row) > 8 and tokens > 256


def test_a_saved_truncation_cuts_nothing(make: Make) -> None:
    assert values(reward_of(make("truncating")), TALKS) == values(reward_of(make("llama")), TALKS)


def test_a_conversation_that_the_template_refuses_is_no_number(make: Make) -> None:
    talk = answered(conversation([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]), "Yo")
    refused, scored = asyncio.run(reward_of(make("gemma")).score([talk, TALKS[0]]))
    assert math.isnan(refused.value) and math.isfinite(scored.value)
    assert refused.feedback == "the reward model's chat template refuses this conversation: no system role here"


def test_content_in_parts_reads_as_its_text(make: Make) -> None:
    parts = conversation([{"role": "user", "content": [{"type": "text", "text": "Where?"}]}])
    reward = reward_of(make("llama"))
    assert values(reward, [answered(parts, "Here.")]) == values(reward, [answered(conversation("Where?"), "Here.")])


def test_memory_that_runs_out_halves_the_batch(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    reward = HfReward(str(make("qwen")), device="cpu")
    expected = values(reward, TALKS)
    run, sizes = reward._padding.run, []

    def short_of_memory(rows: Any) -> Any:
        sizes.append(len(rows))
        if len(rows) > 2 or any(len(row) > 80 for row in rows):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return run(rows)

    monkeypatch.setattr(reward._padding, "run", short_of_memory)
    scores = asyncio.run(reward.score(TALKS))
    assert max(sizes) > 2
    lost = [index for index, score in enumerate(scores) if math.isnan(score.value)]
    assert lost and all("no memory left for a conversation of" in str(scores[index].feedback) for index in lost)
    kept = [index for index in range(len(TALKS)) if index not in lost]
    assert [scores[index].value for index in kept] == pytest.approx([expected[index] for index in kept], abs=1e-5)
