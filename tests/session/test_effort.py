"""A level of effort picks method and dials by reward and model, and gives way to what is explicit."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

import tpo
from fakes import FakeModel, FakeReward, numbered
from models.server import models, serving
from tpo.config import NamedReward
from tpo.engine.records import Started
from tpo.methods import efforts, find_method
from tpo.methods.cost import cost_of
from tpo.methods.efforts import REASONS, TABLE, Level, RewardKind, Size, level_of
from tpo.methods.presets import Preset, parse_preset
from tpo.methods.registry import _registered, wording
from tpo.options import Effort
from tpo.prompts import Prompt, PromptSet
from tpo.prompts.prompt_set import template_names
from tpo.prompts.sets import SETS
from tpo.rewards.gate import Gate
from tpo.rewards.require import Requirements
from tpo.session.effort import reward_kind, size_of, with_effort
from tpo.session.session import Session
from tpo.session.spec import plan_of, specified

ROOT = Path(__file__).parents[2]


def test_each_level_is_a_method_with_settings_that_it_has_and_costs_no_less_than_the_one_below() -> None:
    for levels in TABLE.values():
        assert len(levels) == len(Effort)
        costs = []
        for level in levels:
            method = find_method(level.method)
            settings = method.chosen_settings(level.settings)
            assert method.dials(level.width, level.depth) == (level.width, level.depth)
            costs.append(cost_of(method, level.width, level.depth, settings).answers)
        assert costs == sorted(costs)


def test_each_row_has_a_reason_and_what_that_points_to_is_there() -> None:
    assert REASONS.keys() == TABLE.keys()
    for (kind, _), reason in REASONS.items():
        pages = re.findall(r"docs/\S+\.md", reason)
        assert all((ROOT / page).is_file() for page in pages)
        assert pages or "arXiv" in reason or kind == "none"
        # A reason from our measurements names a model and methods that the report has.
        for model in re.findall(r"SmolLM2-\w+", reason):
            assert any(model in (ROOT / page).read_text() for page in pages)


def test_adaptive_can_be_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    levels = tuple(Level("adaptive", width, depth) for width, depth in ((3, 1), (5, 2), (5, 5), (10, 8)))
    table = {**TABLE, ("words", "tiny"): levels}
    monkeypatch.setattr(efforts, "TABLE", table)
    for effort, level in zip(Effort, levels, strict=True):
        spec = specified({"effort": effort, "reward": "verifier:ifeval", "policy": "embedded"})
        assert (spec.method.name, spec.width, spec.depth) == ("adaptive", level.width, level.depth)
    own = specified({"effort": "medium", "reward": "verifier:ifeval", "policy": "embedded", "method": "best-of-n"})
    assert own.width == 15


@pytest.mark.parametrize(
    ("reward", "kind"),
    [
        ("verifier:ifeval", "words"),
        (None, "model"),
        ("surface", "model"),
        ("vllm:http://localhost:8001", "model"),
        ("hf:org/model", "model"),
        ("judge:http://localhost:8001/v1?kind=pairwise", "judge"),
        ("none", "none"),
        ("strict", "words"),
        ("mixed", "judge"),
        ("prefer:taste.md", "rules"),
        ("both", "rules"),
        (Requirements(["max-words=5"]), "rules"),
        (Gate(Requirements(["max-words=5"]), FakeReward(len)), "gated"),
        (FakeReward(len), "model"),
        (len, "model"),
    ],
)
def test_the_kind_of_a_reward_is_read_off_its_name(reward: Any, kind: str) -> None:
    named = {
        "strict": NamedReward(use="verifier:ifeval"),
        "mixed": NamedReward(sum={"strict": 1.0, "judge:http://localhost:8001/v1": 1.0}),
        "both": NamedReward(sum={"verifier:ifeval": 1.0, "prefer:taste.md": 1.0}),
        "round": NamedReward(use="round"),
    }
    assert reward_kind(reward, (), named) == kind
    told = "rules" if kind in ("none", "words", "rules") else "gated"
    assert reward_kind(reward, ("max-words=5",), named) == told
    assert reward_kind("round", (), named) == "model"


@pytest.mark.parametrize(
    ("options", "name", "size"),
    [
        ({}, None, "small"),
        ({"policy": "embedded"}, None, "tiny"),
        ({"policy": "http://localhost/v1", "policy_model": "SmolLM2-135M"}, None, "tiny"),
        ({"policy": "http://localhost/v1", "policy_model": "Qwen2.5-0.5B-Instruct"}, None, "small"),
        ({"policy": {"a": "big-70B@http://x/v1", "b": "embedded"}}, None, "tiny"),
        ({"policy": ["a=big-70B@http://x/v1", "b=big-32B@http://x/v1"]}, None, "large"),
        ({"policy": "http://localhost/v1", "policy_model": "Qwen2.5-Coder-1.5B"}, None, "small"),
        ({"policy": "http://localhost/v1", "policy_model": "Llama-3.1-8B-Instruct"}, None, "large"),
        ({"policy": "gguf:/models/Llama-3.1-70B.gguf"}, None, "large"),
        ({"policy": FakeModel(numbered(), name="big-70b")}, None, "large"),
        ({"policy": "http://localhost/v1"}, "Qwen3-32B:effort-high", "large"),
    ],
)
def test_the_size_of_a_policy_is_read_off_its_name(options: dict[str, Any], name: str | None, size: Size) -> None:
    assert size_of(options, [name] if name else []) == size


def test_the_smallest_arm_of_a_panel_decides() -> None:
    arms = {"policy": {"a": "http://x/v1", "b": "http://y/v1"}}
    assert size_of(arms, ["big-70B", "a-1B"]) == size_of(arms, ["a-1B", "big-70B"]) == "small"
    assert size_of(arms, ["big-70B"]) == "large"  # this arm alone answers
    assert size_of({"policy": {"a": "big-70B@http://x/v1", "b": "big-70B@http://y/v1"}}, ["a", "b"]) == "large"


@pytest.mark.parametrize(
    ("name", "options", "noted"),
    [
        ("big-70B", {}, True),
        ("big-70B", {"policy_model": "big-70B"}, False),
        ("nameless", {}, False),
        ("a-3B", {}, False),
    ],
)
async def test_a_level_for_another_size_than_the_policys_is_noted(
    name: str, options: dict[str, Any], noted: bool
) -> None:
    notes: list[str] = []
    async with serving(lambda _: models(name)) as server:
        session = Session(effort="low", policy=server.url, on_note=notes.append, **options)
        await session.open()
        await session.aclose()
    found = [note for note in notes if "effort" in note]
    assert len(found) == noted
    if noted:
        assert "big-70B is large: with --policy-model big-70B" in found[0]


@pytest.mark.parametrize(("effort", "key"), list(itertools.product(Effort, TABLE)))
def test_a_level_decides_what_is_not_given(effort: Effort, key: tuple[RewardKind, Size]) -> None:
    rewards = {"rules": "none", "gated": "surface", "words": "verifier:ifeval", "model": "surface", "none": "none"}
    require = ["max-words=5"] if key[0] in ("rules", "gated") else []
    level = level_of(effort, *key)
    model = {"tiny": "a-135M", "small": "a-1.5B", "large": "a-70B"}[key[1]]
    options: Any = {"reward": rewards.get(key[0], "judge:http://x/v1"), "require": require, "policy": "http://x/v1"}
    spec = specified(options | {"effort": effort, "policy_model": model})
    assert (spec.method.name, spec.width, spec.depth) == (level.method, level.width, level.depth)
    assert spec.method_settings == spec.method.chosen_settings(level.settings)
    assert spec.settings.critic_max_tokens == (level.critique or spec.settings.max_tokens)


def test_what_is_explicit_counts() -> None:
    level = level_of("medium", "words", "small")
    spec = specified({"effort": "medium", "reward": "verifier:ifeval", "width": 2, "critic_max_tokens": 7})
    assert (spec.method.name, spec.width, spec.settings.critic_max_tokens) == (level.method, 2, 7)
    assert spec.depth == level.depth
    own = specified({"effort": "medium", "reward": "verifier:ifeval", "method": "best-of-n"})
    assert (own.method.name, own.width) == ("best-of-n", level.width * (level.depth + 1))  # as many answers
    own = specified({"effort": "medium", "reward": "surface", "method": "tpo"})
    assert (own.method.name, own.width, own.depth) == ("tpo", 4, 2)
    assert with_effort({"width": 3}) == {"width": 3}
    # A width is that of every step, also where the level has widths by step.
    own = specified({"effort": "medium", "reward": "none", "require": ["max-words=5"], "width": 3})
    assert (own.method.name, own.width, own.method_settings) == ("restate", 3, {})
    # The command line has None for what was not given.
    none = dict.fromkeys(["method", "settings", "width", "depth", "critic_max_tokens", "prompts"])
    given = {"effort": "high", "policy": "http://x/v1", "policy_model": "Llama-3.1-8B"}
    assert with_effort({**none, **given}) == with_effort(given)


@pytest.mark.parametrize(
    ("options", "prompts"),
    [
        ({"policy_model": "Llama-3.1-8B"}, "small"),  # tpo
        ({"policy_model": "Llama-3.1-70B"}, "default"),
        ({}, "default"),  # a URL names no model
        ({"policy_model": "Llama-3.1-8B", "editor": "http://y/v1", "editor_model": "big-70B"}, "default"),
        ({"policy_model": "Llama-3.1-8B", "prompts": "default"}, "default"),
        ({"policy_model": "Llama-3.1-8B", "effort": "low"}, "default"),  # best-of-n
        ({"policy_model": "SmolLM2-135M", "method": "tpo"}, "small"),
        ({"policy_model": "SmolLM2-135M", "method": "fusion", "effort": "low"}, "small"),
        ({"policy_model": "SmolLM2-135M", "method": "restate"}, "default"),
        ({"policy_model": "SmolLM2-135M", "method": "tpo", "effort": None}, "default"),
    ],
)
def test_a_level_picks_prompts_by_size_for_methods_whose_prompts_differ(options: Any, prompts: str) -> None:
    given: Any = {"effort": "high", "reward": "surface", "policy": "http://x/v1", **options}
    assert specified(given).prompts.name.partition("@")[0] == prompts
    assert specified(given, wording()).prompts.name == specified(given).prompts.name
    assert with_effort(with_effort(given)) == with_effort(given)


@pytest.mark.parametrize("name", list(_registered))
def test_the_methods_whose_prompts_are_the_same_in_every_set(name: str) -> None:
    rendered: set[str] = set()

    class Recording(PromptSet):
        def render(self, name: str, *args: Any, **variables: Any) -> Prompt:
            prompt = super().render(name, *args, **variables)
            rendered.update((name, prompt.name))
            return prompt

    method = find_method(name)
    cost_of(method, 3, 2, prompts=Recording(method=method.templates))
    folder = SETS["small"]
    assert folder is not None
    assert (name in efforts.PLAIN_PROMPTS) == rendered.isdisjoint(template_names(folder))


def test_a_setting_that_is_given_leaves_the_levels_others_as_they_are() -> None:
    def settings_of(**more: Any) -> dict[str, Any]:
        options: Any = {"effort": "medium", "reward": "verifier:ifeval", "policy": "embedded", **more}
        return specified(options).method_settings

    waves = dict(level_of("medium", "words", "tiny").settings)
    assert waves == {"wave": [2, 5, 8], "price": 0.02}
    for given in (["price=0.1"], {"price": 0.1}):
        assert settings_of(settings=given) == {**waves, "price": 0.1}
        assert settings_of(settings=given, method="best-of-n") == {**waves, "price": 0.1}
        assert settings_of(settings=given, method=find_method("best-of-n")) == {**waves, "price": 0.1}
    assert settings_of(settings=["wave=5"]) == {"wave": 5, "price": 0.02}
    assert settings_of(method=find_method("best-of-n")) == settings_of(method=find_method("best-of-n").search) == waves
    # Filling in what was filled in already changes nothing.
    filled = with_effort({"effort": "medium", "reward": "verifier:ifeval", "settings": ["price=0.1"]})
    assert with_effort(filled) == filled


def test_a_wrong_effort_is_refused_by_name() -> None:
    with pytest.raises(tpo.InputError, match="effort is 'hihg'; it must be one of low, medium, high, max"):
        specified({"effort": "hihg"})


def test_the_plan_records_what_it_came_to() -> None:
    query = [{"role": "user", "content": "How?"}]
    low, high = (
        plan_of(specified({"effort": effort, "reward": "surface"}), query, {}, None) for effort in ("low", "high")
    )
    assert (low.method, low.width) == ("best-of-n", 4)
    assert low != high


async def test_a_session_takes_an_effort_for_one_query() -> None:
    async with tpo.Session(
        policy=FakeModel(numbered()), reward=FakeReward(lambda text: len(text)), effort="low"
    ) as session:
        assert (await session.align("How?")).width == TABLE["model", "small"][0].width
        result = await session.align("How?", effort="medium")
        assert len(result.candidates) == TABLE["model", "small"][1].width


async def test_an_effort_for_one_query_picks_its_prompts_too() -> None:
    policy = FakeModel(numbered(), name="a-8B")
    async with tpo.Session(policy=policy, reward=FakeReward(len), width=2, depth=1) as session:
        records = [*(await session.align("How?")).trace, *(await session.align("How?", effort="high")).trace]
    plans = [record.plan for record in records if isinstance(record, Started)]
    assert [plan.prompts.partition("@")[0] for plan in plans] == ["default", "small"]


def test_presets_name_an_effort_only_where_they_may() -> None:
    assert parse_preset("effort-high", efforts=True) == Preset("effort-high", "", effort=Effort.HIGH)
    with pytest.raises(tpo.InputError, match="There is no effort 'effort-huge'"):
        parse_preset("effort-huge", efforts=True)
    with pytest.raises(tpo.InputError, match="There is no method"):
        parse_preset("effort-high")
