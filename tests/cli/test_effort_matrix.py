"""Levels of effort with every method and every kind of reward, on the command line: each gives an answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.kinds.commands import beside, tpo
from cli.test_clean_stderr import reward
from models.server import Received, models, response
from tpo.methods import registry
from tpo.options import Effort

# The level's own choice, and each by its name.
METHODS = [None, *registry._registered]
REWARDS: dict[str, tuple[str, ...]] = {
    "words": ("--reward", "none", "--require", "max-words=6", "--require", "min-words=2"),
    "reward model": ("--reward", "vllm:{}"),
    "judge": ("--reward", "judge:{}"),
    "pairwise judge": ("--reward", "judge:{}?kind=pairwise&model=pairs"),
    "surface": ("--reward", "surface"),
}


def policy(request: Received) -> bytes:
    """A large model that keeps the format at times, and at times says nothing."""
    if request.method == "GET":
        return models("fake-70B", owned_by="vllm")
    body = request.json
    first = body.get("seed") or 0
    choices: list[dict[str, Any]] = []
    for index in range(body.get("n") or 1):
        number = (first + index) % 97
        texts = (
            f"Wipe it {number} times.",
            "",
            f"<improved_answer>Wax it {number} times.</improved_answer>",
            "Oil it.",
        )
        message = {"role": "assistant", "content": texts[number % len(texts)]}
        choices.append({"index": index, "message": message, "finish_reason": "stop"})
    usage = {"prompt_tokens": 9, "completion_tokens": 4 * len(choices)}
    return response(json.dumps({"choices": choices, "usage": usage}))


def scored(request: Received) -> bytes:
    """A server of rewards, and of a judge that likes the answer shown first."""
    if request.method == "POST" and request.json.get("model") == "pairs":
        choice = {"index": 0, "message": {"role": "assistant", "content": "A"}, "finish_reason": "stop"}
        return response(json.dumps({"choices": [choice]}))
    return reward(request)


@pytest.fixture(scope="module")
def urls() -> Iterator[tuple[str, str]]:
    with beside(policy) as model, beside(scored) as scorer:
        yield model.url, scorer.url


@pytest.mark.parametrize(("prompts", "name"), [((), "small"), (("--prompts", "default"), "default")])
def test_a_level_picks_prompts_unless_a_flag_does(
    urls: tuple[str, str], tmp_path: Path, prompts: tuple[str, ...], name: str
) -> None:
    trace = tmp_path / "trace.jsonl"
    flags = ("--policy-model", "fake-8B", "--reward", "surface", "--effort", "high", "--trace", str(trace), *prompts)
    assert tpo("align", "How?", "--policy", urls[0], *flags).code == 0
    started = json.loads(trace.read_text().partition("\n")[0])
    assert started["plan"]["prompts"].partition("@")[0] == name


@pytest.mark.parametrize("command", [("align", "How?"), ("check",)])
def test_a_preference_beside_the_demonstration_reward_is_refused(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "rubric.txt").write_text("- is polite\n")
    ran = tpo(*command, "--prefer", str(tmp_path / "rubric.txt"), "--reward", "surface")
    assert (ran.code, "Both prefer and the reward 'surface' are given" in ran.err) == (2, True), ran


@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize("kind", REWARDS)
def test_each_gives_an_answer(urls: tuple[str, str], kind: str, method: str | None) -> None:
    model, scorer = urls
    flags = [flag.format(scorer) for flag in REWARDS[kind]] + ([] if method is None else ["--method", method])
    for effort in Effort if method is None else (Effort.LOW, Effort.MAX):
        command = ["align", "How do I clean a table?", "--policy", model, "--effort", effort, "--seed", "1", *flags]
        ran = tpo(*command, "--json", "--quiet", "--no-check")
        assert (ran.code, ran.err) == (0, ""), ran
        result = json.loads(ran.out)
        assert result["answer"] and result["method"] == (method or result["method"])
