"""What an evaluation costs: parameters by the models' names, and floating-point operations by the tokens."""

from __future__ import annotations

import pytest

from tpo.engine.result import RoleUsage
from tpo.errors import InputError
from tpo.evals.costs import cost_of, parse_parameters
from tpo.models.sizes import parameters_in


def test_parameters_are_read_off_names() -> None:
    known = {"Llama-3.1-70B-Instruct": 70e9, "SmolLM2-135M-Instruct.Q8_0": 135e6, "Qwen3-30B-A3B": 3e9, "x-1.5b": 1.5e9}
    assert {name: parameters_in(name) for name in known} == known
    assert [parameters_in(name) for name in ("Mixtral-8x7B", "gpt-4", "a-7B-b-8B")] == [None] * 3
    assert parse_parameters(["policy=70B", "reward=8e9"]) == {"policy": 70e9, "reward": 8e9}
    for wrong in ("policy", "policy=big", "judge=1B", "policy=0"):
        with pytest.raises(InputError, match="not understood"):
            parse_parameters([wrong])


def test_the_paper_s_figures_come_out() -> None:
    usage = RoleUsage(calls=15, prompt_tokens=0, completion_tokens=15 * 4096)
    cost = cost_of([{"policy": usage}], 1.0, 1, {"policy": 70e9})
    assert cost is not None
    assert cost.flops == pytest.approx(9.3e15, rel=0.1)  # attention makes up the difference
    cached = RoleUsage(calls=1, prompt_tokens=100, cached_tokens=90, completion_tokens=10)
    cost = cost_of([{"policy": cached, "critic": cached}], 1.0, 1, {"policy": 1.0})
    assert cost is not None
    assert (cost.flops, cost.unknown) == (None, ["critic"])
    assert cost_of([], 0.0, 0, {}) is None


def test_a_held_out_judge_is_no_cost_of_the_method() -> None:
    usage = RoleUsage(calls=3, prompt_tokens=10, completion_tokens=10)
    one, other = (
        cost_of([usages], 1.0, 1, {"policy": 1.0}) for usages in ({"policy": usage}, {"policy": usage, "judge": usage})
    )
    assert one == other and one is not None and one.flops is not None
