"""A reward in plain words: the file, the checklist that is made of it, the scores by item, and its check."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tpo
from fakes import FakeModel, numbered
from models.server import Received, error, models, response, serving
from rewards.judges.kit import completion
from tpo.checks.checklist import check_checklist
from tpo.errors import InputError, RewardError
from tpo.methods.unmet import unmet
from tpo.rewards.judges.judge import JudgeReply
from tpo.rewards.prefer.checklist import UNIVERSAL, read_checklist, sentences_of
from tpo.rewards.prefer.preference import read_preference
from tpo.rewards.prefer.reward import PreferReward, variances_of, yes_of
from tpo.rewards.protocol import maximum_of
from tpo.rewards.resolve import resolve
from tpo.session.spec import specified

RUBRIC = "A good answer:\n- names the river\n- is polite\n"
EXAMPLES = (
    '{"prompt": "Where?", "answer": "By the river, please.", "liked": true}\n'
    '{"prompt": "Where?", "chosen": "The river, please.", "rejected": "There."}\n'
)
WRITTEN = "Here is the list:\n1. Does the answer name the river?\n2) **Is the answer polite?**\n3. Not a question\n"


class Judge:
    """A judge that says yes where the answer holds an item's word.

    Attributes:
        lists: how many checklists it wrote.
        items: how many items it went through.
    """

    def __init__(self, written: str = WRITTEN, reply: str | None = None) -> None:
        self.lists = self.items = 0
        self._written, self._reply = written, reply

    def __call__(self, request: Received) -> bytes:
        if request.path == "/v1/models":
            return models("m")
        text = request.json["messages"][-1]["content"]
        if "Check one thing" not in text:
            self.lists += 1
            return completion(self._written)
        self.items += 1
        answer = text.partition("Answer:\n")[2].partition("\n\nCheck one thing")[0]
        item = text.partition("about this answer. ")[2]
        word = "river" if "river" in item else "please" if "polite" in item else ""
        return completion(self._reply or ("Yes." if word in answer else "no"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TPO_CACHE", str(tmp_path / "cache"))
    yield


def talk(answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": answer}]


def written(folder: Path, text: str) -> str:
    path = folder / "prefer.txt"
    path.write_text(text, encoding="utf-8")
    return str(path)


async def test_a_list_is_its_own_checklist_and_what_fails_is_said(tmp_path: Path) -> None:
    judge = Judge()
    async with serving(judge) as server:
        reward = PreferReward(written(tmp_path, RUBRIC), judge=server.url)
        both, one, none = await reward.score([talk("The river, please."), talk("The river."), talk("Go away.")])
        await reward.aclose()
    assert reward.items == ["names the river", "is polite", UNIVERSAL]
    assert judge.lists == 0
    assert [score.value for score in (both, one, none)] == pytest.approx([1.0, 2 / 3, 1 / 3])
    assert both.feedback == "kept all 3 requirements"
    assert one.feedback == "kept 2 of 3 requirements; missing: is polite"
    assert one.parts == {"item1": 1.0, "item2": 0.0, "item3": 1.0}
    candidate = tpo.Candidate("0.0", 0, "The river.", one.value, feedback=one.feedback)
    assert unmet(candidate) == "is polite"


async def test_weights_by_hand(tmp_path: Path) -> None:
    rubric = "1. names the river (weight 100)\n2. is polite (Weight: 50)\n"
    async with serving(Judge()) as server:
        reward = PreferReward(written(tmp_path, rubric), judge=server.url, universal=False)
        (score,) = await reward.score([talk("The river.")])
    # Weights 100 and 50, items 1 and 0.
    assert score.value == pytest.approx(0.667, abs=5e-4)
    assert reward.items == ["names the river", "is polite"] and score.feedback is not None
    assert score.feedback.endswith("missing: is polite")


def test_weights_by_variance_by_hand() -> None:
    # 1111, 1100 and 1000 over four answers: p(1-p) is 0, 1/4 and 3/16.
    table = [[1.0, 1.0, 1.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    assert variances_of(table) == [0, 0.25, 0.1875]
    assert variances_of([[0.4, None], [0.8, None]]) == pytest.approx([0.04, 0])


async def test_an_item_that_tells_no_answers_apart_does_not_count(tmp_path: Path) -> None:
    rubric = "- names the river\n- is polite (weight 3)\n- is an answer\n"
    answers = ["The river, please.", "The river.", "Go away.", "Go on."]
    judge = Judge()
    async with serving(judge) as server:
        path = written(tmp_path, rubric)
        reward = PreferReward(path, judge=server.url, universal=False, weights="variance")
        scores = await reward.score([talk(answer) for answer in answers])
        # Variances 1/4, 3/16 and 0, of which the second counts three times.
        assert [score.value for score in scores] == pytest.approx([1, 4 / 13, 0, 0])
        assert scores[1].feedback == "kept 2 of 3 requirements; missing: is polite"
        # One answer, or answers that are alike: the weights as they are written.
        assert [score.value for score in await reward.score([talk("Go on.")])] == pytest.approx([1 / 5])
        alike = await reward.score([talk("Go away."), talk("Go on.")])
        assert [score.value for score in alike] == pytest.approx([1 / 5, 1 / 5])
        assert judge.items == 12  # each answer is judged once, whatever it is compared with
        with pytest.raises(RewardError, match="these answer different ones"):
            await reward.score([talk("Go on."), [{"role": "user", "content": "When?"}, talk("Go on.")[1]]])
        await reward.aclose()


async def test_what_varies_and_cannot_be_read_is_no_score(tmp_path: Path) -> None:
    class Unsure(Judge):
        def __call__(self, request: Received) -> bytes:
            shown = str(request.body)
            return completion("Perhaps.") if "Hm" in shown and "names the river" in shown else super().__call__(request)

    async with serving(Unsure()) as server:
        reward = PreferReward(written(tmp_path, RUBRIC), judge=server.url, universal=False, weights="variance")
        scores = await reward.score([talk("The river, please."), talk("Go, please."), talk("Hm, please.")])
    assert [score.value for score in scores[:2]] == [1, 0]
    assert math.isnan(scores[2].value)
    assert scores[2].feedback == "the judge answered no item that tells these answers apart with yes or no"


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ({"content": "", "reasoning_content": "Let me see."}, "tokens went into thinking; raise max_tokens"),
        ({"content": "Perhaps."}, "it wrote neither; it replied 'Perhaps.'"),
    ],
)
async def test_why_no_item_can_be_read_is_reported(message: dict[str, str], why: str, tmp_path: Path) -> None:
    def respond(request: Received) -> bytes:
        if request.path == "/v1/models":
            return models("m")
        return response(json.dumps({"choices": [{"message": message, "finish_reason": "length"}]}))

    async with serving(respond) as server:
        reward = PreferReward(written(tmp_path, RUBRIC), judge=server.url)
        (score,) = await reward.score([talk("The river.")])
        findings = await check_checklist(reward)
        await reward.aclose()
    assert math.isnan(score.value)
    assert why in str(score.feedback)
    assert any(finding.state == "fail" and why in finding.found for finding in findings)


async def test_scores_that_depend_on_other_answers_are_journaled_and_kept_in_no_cache(tmp_path: Path) -> None:
    texts = iter(["The river.", "Go away.", "The river, please.", "Go on."])
    async with serving(Judge()) as server:
        spec = f"prefer:{written(tmp_path, RUBRIC)}?judge={server.url}&weights=variance"
        reward = resolve(spec, cache=tmp_path / "scores.db").reward
        assert isinstance(reward, PreferReward)
        assert (reward.relative, maximum_of(reward)) == (True, None)
        assert reward.name.endswith("&weights=variance")
        result = await tpo.align(
            "Where?",
            policy=FakeModel(lambda request, index: next(texts)),
            reward=spec,
            method="restate",
            width=2,
            depth=1,
            trace=tmp_path / "trace.jsonl",
        )
    assert (result.answer, result.reward) == ("The river, please.", 1.0)
    assert tpo.replay(tmp_path / "trace.jsonl").candidates == result.candidates
    # The first step scored its best answer 1. Two of all four name the river, one is polite: variances 4/16 and 3/16.
    assert [one.reward for one in result.candidates] == pytest.approx([4 / 7, 0, 1, 0])


async def test_a_server_may_allow_yes_and_no_alone(tmp_path: Path) -> None:
    judge = Judge()

    def of_vllm(request: Received) -> bytes:
        if request.path == "/v1/models":
            return models("m", owned_by="vllm")
        return judge(request) if request.path.endswith("/chat/completions") else error("no such page", 404)

    async with serving(of_vllm) as server:
        reward = PreferReward(written(tmp_path, RUBRIC), judge=server.url, constrain=True)
        await reward.score([talk("The river.")])
        assert all(body["structured_outputs"] == {"choice": ["yes", "no"]} for body in server.bodies())
    assert "constrain=true" in reward.name


async def test_examples_become_a_checklist_that_is_written_once(tmp_path: Path) -> None:
    judge, names = Judge(), set()
    async with serving(judge) as server:
        for _ in range(2):
            reward = PreferReward(written(tmp_path, EXAMPLES), judge=server.url)
            await reward.connect()
            names.add(reward.name)
            await reward.aclose()
    assert reward.items == ["Does the answer name the river?", "Is the answer polite?", UNIVERSAL]
    assert judge.lists == 1
    assert len(names) == 1


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85"])
def test_line_separators_inside_an_example_end_no_line(tmp_path: Path, separator: str) -> None:
    rows = [{"answer": f"first{separator}second", "liked": True}, {"answer": "bad", "liked": False}]
    text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    preference = read_preference(Path(written(tmp_path, text)))
    assert [one.answer for one in preference.examples] == [f"first{separator}second", "bad"]


async def test_a_writer_that_writes_none_leaves_prose_to_its_sentences_and_examples_to_the_user(tmp_path: Path) -> None:
    async with serving(Judge("I would rather not.")) as server:
        prose = PreferReward(written(tmp_path, "Name the river. Be polite!"), judge=server.url, universal=False)
        await prose.connect()
        assert prose.items == ["Name the river.", "Be polite!"]
        with pytest.raises(RewardError, match=r"wrote no checklist .* write the rubric yourself"):
            await PreferReward(written(tmp_path, EXAMPLES), judge=server.url).connect()


async def test_an_unreadable_reply_is_no_score_and_never_zero(tmp_path: Path) -> None:
    async with serving(Judge(reply="Perhaps?")) as server:
        (score,) = await PreferReward(written(tmp_path, RUBRIC), judge=server.url).score([talk("The river.")])
    assert math.isnan(score.value)


async def test_each_answer_is_judged_once(tmp_path: Path) -> None:
    judge = Judge()
    async with serving(judge) as server:
        reward = PreferReward(written(tmp_path, RUBRIC), judge=server.url)
        for _ in range(3):
            await reward.score([talk("The river.")])
    assert judge.items == 3


async def test_a_judge_that_refuses_is_an_error(tmp_path: Path) -> None:
    def refuses(request: Received) -> bytes:
        return models("m") if request.path == "/v1/models" else error("No.", 400)

    async with serving(refuses) as server:
        with pytest.raises(RewardError):
            await PreferReward(written(tmp_path, RUBRIC), judge=server.url).score([talk("The river.")])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("  ", "is empty"),
        ('{"answer": "a", "liked": true}\n', "needs both liked and disliked"),
        ('{"answer": "a", "liked": "yes"}\n', "line 1: there is no answer with liked"),
        ('{"answer": \n', "line 1: this is not JSON"),
        ('{"chosen": "a", "rejected": "b"}\n' * 11, "holds 22 answers"),
        ("- is polite (weight 0)\n", "a weight is above 0"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_sentence(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        read_preference(Path(written(tmp_path, text)))
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_preference(tmp_path / "missing")
    (tmp_path / "image").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(InputError, match="is not UTF-8 text"):
        read_preference(tmp_path / "image")


@given(st.text())
def test_any_reply_is_read(text: str) -> None:
    assert all(item.endswith("?") for item in read_checklist(text))
    assert yes_of(JudgeReply(text)) in (None, 0.0, 1.0)
    assert len(sentences_of(text)) <= 7


async def test_the_check_says_flat_and_contradicting(tmp_path: Path) -> None:
    async with serving(Judge()) as server:
        fits = await check_checklist(PreferReward(written(tmp_path, EXAMPLES), judge=server.url))
        turned = EXAMPLES.replace("true", "false").replace("chosen", "x").replace("rejected", "chosen")
        contradicts = await check_checklist(
            PreferReward(written(tmp_path, turned.replace('"x"', '"rejected"')), judge=server.url)
        )
    async with serving(Judge(reply="Yes")) as server:
        flat = await check_checklist(PreferReward(written(tmp_path, RUBRIC), judge=server.url))
    assert [finding.state for finding in fits] == ["info", "warn", "ok"]  # the universal item has no signal here
    assert "universal=false" in fits[1].remedy
    assert contradicts[-1].state == "fail" and "contradicts the examples" in contradicts[-1].found
    assert flat[1].state == "fail" and "flat" in flat[1].found


async def test_a_rubric_about_other_things_than_our_answers_is_not_called_broken(tmp_path: Path) -> None:
    def judge(request: Received) -> bytes:
        if request.path == "/v1/models":
            return models("m")
        text = request.json["messages"][-1]["content"]
        return completion("yes" if UNIVERSAL in text and "Paris" in text else "no")

    async with serving(judge) as server:
        path = written(tmp_path, RUBRIC)
        rubric = await check_checklist(PreferReward(path, judge=server.url))
        bare = await check_checklist(PreferReward(path, judge=server.url, universal=False))
    for found in (rubric[1], bare[1]):
        assert found.state == "warn" and "names the river (always no)" in found.found
        assert "--pairs" in found.remedy


async def test_a_search_is_steered_by_it(tmp_path: Path) -> None:
    def policy(request: Any, index: int) -> str:
        return "The river, please." if "polite" in str(request.messages) else "The river."

    judge = Judge()
    async with serving(judge) as server:
        result = await tpo.align(
            "Where?",
            policy=FakeModel(policy, name="fake-70B"),
            reward=f"judge:{server.url}",
            prefer=written(tmp_path, RUBRIC),
            effort="low",
        )
    assert (result.method, result.answer, result.reward) == ("restate", "The river, please.", 1.0)


def test_who_judges_a_preference() -> None:
    def reward(**options: Any) -> Any:
        return specified({"prefer": "p.txt", **options}).reward  # type: ignore[typeddict-item]

    assert reward() == "prefer:p.txt?judge=embedded"
    assert reward(policy="http://a/v1", policy_model="m") == "prefer:p.txt?judge=http://a/v1&model=m"
    assert reward(policy="http://a/v1", critic="http://c/v1") == "prefer:p.txt?judge=http://c/v1"
    assert reward(policy={"x": "big@http://a/v1", "y": "http://b/v1"}) == "prefer:p.txt?judge=http://a/v1&model=big"
    assert reward(reward="judge:http://j/v1?model=m") == "prefer:p.txt?judge=http://j/v1&model=m"
    assert reward(prefer=None, reward="prefer:p.txt", policy="http://a/v1") == "prefer:p.txt?judge=http://a/v1"
    named = {"prefer": None, "policy": "http://a/v1", "critic": "http://c/v1"}
    assert reward(reward="prefer:p.txt?logprobs=false", **named) == "prefer:p.txt?logprobs=false&judge=http://c/v1"
    assert reward(reward="prefer:p.txt?judge=embedded", **named) == "prefer:p.txt?judge=embedded"
    with pytest.raises(InputError, match="Both prefer and the reward"):
        reward(reward="verifier:ifeval")
    with pytest.raises(InputError, match="Both prefer and the reward 'surface'"):
        reward(reward="surface")
    with pytest.raises(InputError, match="Name who judges"):
        reward(policy=FakeModel(numbered()))


def test_its_spec_is_read_like_any_rewards(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps({"chosen": "a", "rejected": "b"}))
    assert resolve(f"prefer:{path}?judge=http://localhost:1/v1&model=m").name.startswith("prefer:")
    with pytest.raises(InputError, match="no option"):
        resolve(f"prefer:{path}?juge=http://localhost:1/v1")
    with pytest.raises(InputError, match=r"weights=varianc cannot be used; weights is one of written, variance"):
        resolve(f"prefer:{path}?judge=http://localhost:1/v1&weights=varianc")
