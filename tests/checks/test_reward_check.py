"""`tpo check` on rewards: each trap of served reward models, committed by a fake, is caught."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest

from tpo.checks.good_and_bad import EXAMPLES
from tpo.checks.reward import check_reward, refuse_broken, scoring_inside
from tpo.errors import CheckError, RewardError
from tpo.messages import Conversation, text_of
from tpo.rewards.combine import Combined
from tpo.rewards.gate import Gate
from tpo.rewards.protocol import Score
from tpo.rewards.require import Requirements
from tpo.rewards.surface import Surface

GOOD = {example.good for example in EXAMPLES}
BAD = {example.bad for example in EXAMPLES}


def logit(text: str) -> float:
    """What a sound reward model would say: good answers high, bad ones low, every word counts."""
    base = 9.0 if text in GOOD else -9.0 if text in BAD else 1.0
    return base - len(text) / 1000 - text.count("zxq")


class Fake:
    """A reward model that scores by a function of all the answers in a batch."""

    def __init__(self, scores: Callable[[list[str]], list[float]], name: str = "vllm:rm@http://somewhere") -> None:
        self.scores = scores
        self.name = name
        self.asked = 0

    async def score(self, conversations: Sequence[Conversation]) -> list[Score | float]:
        self.asked += 1
        return list(self.scores([text_of(messages[-1]) for messages in conversations]))


def each(value: Callable[[str], float]) -> Callable[[list[str]], list[float]]:
    return lambda texts: [value(text) for text in texts]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def cut(text: str) -> float:
    return logit(text[:4000])


def mixed_up(texts: list[str]) -> list[float]:
    return sorted(map(logit, texts), reverse=True)


def leaking(texts: list[str]) -> list[float]:
    return [logit(text) + len(texts[0]) / 10 for text in texts]


async def test_a_sound_reward_passes() -> None:
    report = await check_reward(Fake(each(logit)))
    assert [finding.state for finding in report.findings] == ["info", "ok", "ok", "ok", "info", "ok"]
    assert report.failures == []


async def test_the_embedded_reward_passes() -> None:
    assert (await check_reward(Surface())).failures == []


@pytest.mark.parametrize(
    ("scores", "what", "said"),
    [
        (each(lambda t: sigmoid(logit(t) / 10)), "scale", "a sigmoid is left on"),
        (each(lambda t: sigmoid(logit(t) * 3)), "scale", "saturate"),
        (each(lambda t: 1.0), "scale", "every score is 1"),
        (each(lambda t: 0.25), "scale", "every score is 0.25, whatever the answer"),
        (each(lambda t: math.copysign(1.0, logit(t))), "scale", "normalised"),
        (each(lambda t: math.nan), "scores", "a score is nan"),
        (each(lambda t: -logit(t)), "good over bad", "in 0 of 6 pairs"),
        (each(lambda t: float(len(t))), "good over bad", "of 6 pairs"),
        (each(cut), "long answers", "the end is cut off"),
        (mixed_up, "order and repetition", "in another order score"),
        (leaking, "order and repetition", "in another order score"),
        (lambda texts: [1.0], "answers", "returned [1.0] for 2 conversations"),
    ],
)
async def test_each_trap_is_caught_and_named(scores: Callable[[list[str]], list[float]], what: str, said: str) -> None:
    failures = (await check_reward(Fake(scores))).failures
    assert [finding.what for finding in failures] == [what]
    assert said in failures[0].found


async def test_a_share_of_what_is_kept_may_be_all_or_nothing() -> None:
    keeps = Fake(each(lambda t: 0.5 if "Bananas" in t else float(t in GOOD)), "prefer:0123@m?items=2")
    assert not any("saturate" in finding.found for finding in (await check_reward(keeps)).findings)


def grade(text: str) -> float:
    return float(min(max(round(logit(text) / 4) + 3, 1), 5))


async def test_a_tie_of_long_answers_on_a_coarse_scale_is_no_failure() -> None:
    def level(text: str) -> float:
        return 3.0 if len(text) > 5000 else grade(text)

    report = await check_reward(Fake(each(level)))
    assert "long answers" not in [finding.what for finding in report.failures]
    assert "tie" in next(finding.found for finding in report.findings if finding.what == "long answers")


async def test_a_function_of_zeros_and_ones_is_described_as_that() -> None:
    scores = each(lambda t: float(logit(t) > 0))
    report = await check_reward(Fake(scores, "python:mine:passes@1"))
    scale = next(finding for finding in report.findings if finding.what == "scale")
    assert scale.state == "ok"
    assert scale.found.startswith("every score is 0 or 1")


async def test_an_abstaining_function_and_a_huge_number_are_findings() -> None:
    for value, said in ((math.nan, "a score is nan"), (10**400, "a score is inf")):
        report = await check_reward(Fake(each(lambda t, value=value: value), "python:mine:odd@1"))  # type: ignore[misc]
        assert report.failures == []
        assert said in report.findings[0].found


async def test_a_reward_that_refuses_fails_with_its_own_words() -> None:
    class Down(Fake):
        async def score(self, conversations: Sequence[Conversation]) -> list[Score | float]:
            raise RewardError("nobody at http://somewhere")

    assert (await check_reward(Down(each(logit)))).failures[0].found == "nobody at http://somewhere"


async def test_a_refusal_of_long_answers_is_honest_and_only_a_warning() -> None:
    class Short(Fake):
        async def score(self, conversations: Sequence[Conversation]) -> list[Score | float]:
            if any(len(text_of(messages[-1])) > 4000 for messages in conversations):
                raise RewardError("512 tokens are taken")
            return await super().score(conversations)

    report = await check_reward(Short(each(logit)))
    assert report.failures == []
    assert report.findings[-1].state == "warn"


@pytest.mark.parametrize("option", ["weights=1:1", "reduce=product"])
async def test_a_process_reward_model_may_answer_with_probabilities(option: str) -> None:
    name = f"vllm:prm@http://somewhere?{option}&task=token_classify"
    probabilities = each(lambda text: sigmoid(logit(text) / 10))
    assert (await check_reward(Fake(probabilities, name))).failures == []


async def test_a_rule_need_not_care_for_the_built_in_pairs() -> None:
    report = await check_reward(Fake(each(lambda t: 0.0), name="verifier:exact"))
    assert report.failures == []


async def test_a_run_refuses_a_broken_reward_model_with_reason_and_remedy() -> None:
    broken = Fake(each(lambda t: sigmoid(logit(t) / 10)))
    with pytest.raises(CheckError, match=r"sigmoid is left on\. Turn the server's activation off .*--no-check"):
        await refuse_broken(Gate(Requirements(["json"]), broken))
    sound, rule = Fake(each(logit)), Fake(each(lambda t: 0.0), name="python:mine:rule@1")
    await refuse_broken(Combined({"a": sound, "b": rule}))
    assert sound.asked == 3
    assert rule.asked == 0
    await refuse_broken(sound)
    assert sound.asked == 3
    await refuse_broken(None)


def test_what_a_reward_is_made_of() -> None:
    one, two = Fake(each(logit)), Fake(each(logit))
    assert scoring_inside(Gate(Requirements(["json"]), Combined({"a": one, "b": two}))) == [one, two]
    assert scoring_inside(one) == [one]
    assert scoring_inside(None) == []
