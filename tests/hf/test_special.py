"""Models that are read in a way of their own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from tpo.messages import answered, conversation
from tpo.rewards.hf.loading import load
from tpo.rewards.hf.profiles import PROFILES
from tpo.rewards.hf.reward import HfReward
from tpo.rewards.protocol import Score

pytestmark = pytest.mark.hf

Make = Callable[[str], Path]
TALKS = [answered(conversation("Why?"), answer) for answer in ("Because.", "I do not know, to be honest. " * 3)]


def scores(folder: Path, **options: object) -> list[Score]:
    return asyncio.run(HfReward(str(folder), trust_remote_code=True, **options).score(TALKS))


def test_armo_gives_its_score_and_its_19_attributes(make: Make) -> None:
    import torch

    found = scores(make("armo"))
    loaded = load(HfReward(str(make("armo")), trust_remote_code=True).settings)
    for talk, score in zip(TALKS, found, strict=True):
        ids = loaded.tokenizer.apply_chat_template(talk, return_tensors="pt", return_dict=True)["input_ids"]
        with torch.no_grad():
            output = loaded.model(ids)
        assert score.value == pytest.approx(output.score.item(), abs=1e-5)
        assert tuple(score.parts) == PROFILES[0].parts
        assert list(score.parts.values()) == pytest.approx(output.rewards[0].tolist(), abs=1e-5)


def test_gated_heads_of_another_name_number_their_parts(make: Make) -> None:
    [one, other] = scores(make("gated"))
    assert list(one.parts) == [str(index) for index in range(19)]
    assert [one.value, other.value] == pytest.approx([score.value for score in scores(make("armo"))])


def test_nemotron_gives_the_logit_of_token_0_where_the_next_token_would_come(make: Make) -> None:
    import torch

    loaded = load(HfReward(str(make("nemotron"))).settings)
    for talk, score in zip(TALKS, scores(make("nemotron")), strict=True):
        ids = loaded.tokenizer.apply_chat_template(talk, return_tensors="pt", return_dict=True)["input_ids"]
        with torch.no_grad():
            written = loaded.model.generate(
                ids, max_new_tokens=1, do_sample=False, return_dict_in_generate=True, output_scores=True
            )
        assert score.value == pytest.approx(written["scores"][0][0][0].item(), abs=1e-4)


def test_any_language_model_gives_the_logit_that_is_asked_for(make: Make) -> None:
    [zero, five] = [[score.value for score in scores(make("language_model"), reward_token=token)] for token in (0, 5)]
    assert zero != five
    assert zero == pytest.approx([score.value for score in scores(make("nemotron"))], abs=1e-5)


def test_internlm_reads_its_own_token_after_the_conversation(make: Make) -> None:
    reward = HfReward(str(make("internlm")), trust_remote_code=True)
    assert all(row[-1] == 7 and row.count(7) == 1 for row in reward.encode(TALKS) if isinstance(row, list))
    [one, other] = scores(make("internlm"))
    assert one.value != other.value


def test_labels_are_weighed(make: Make) -> None:
    for score in scores(make("labels"), weights={"good": 2.0, "long": -0.5}):
        assert list(score.parts) == ["good", "safe", "long"]
        assert score.value == pytest.approx(2 * score.parts["good"] - 0.5 * score.parts["long"], abs=1e-5)


def test_a_pair_model_gets_question_and_answer(make: Make) -> None:
    import torch

    loaded = load(HfReward(str(make("deberta_pair"))).settings)
    for talk, score in zip(TALKS, scores(make("deberta_pair")), strict=True):
        ids = loaded.tokenizer(talk[0]["content"], talk[1]["content"], return_tensors="pt")["input_ids"]
        with torch.no_grad():
            assert score.value == pytest.approx(loaded.model(ids).logits.item(), abs=1e-5)


def test_an_encoder_gets_a_mask_of_its_padding_and_a_decoder_needs_none(make: Make) -> None:
    assert HfReward(str(make("deberta")))._padding.masked
    assert not HfReward(str(make("llama")))._padding.masked


def test_a_model_that_padding_disturbs_scores_one_by_one(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        together = scores(make("blind"))
    assert "scores a conversation differently when it is padded" in caplog.text
    reward = HfReward(str(make("blind")), trust_remote_code=True)
    alone = [asyncio.run(reward.score([talk]))[0] for talk in TALKS]
    assert [score.value for score in together] == pytest.approx([score.value for score in alone], abs=1e-6)
