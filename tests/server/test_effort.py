"""Effort in the server: by the model's name, by `reasoning_effort`, by `tpo.effort`; the policy's own is set apart."""

from __future__ import annotations

from typing import Any

import pytest

from server.conftest import Serve
from server.policy import drawing, saying
from tpo.methods.efforts import TABLE
from tpo.options import Effort, ServeOptions
from tpo.server.request_options import with_dials
from tpo.session.spec import specified

LOW, MEDIUM, HIGH, MAX = (level.width for level in TABLE["model", "small"])


async def test_a_models_name_a_field_and_tpo_choose_the_same(serve: Serve) -> None:
    async with serve(saying("Ho")) as up:
        for model, body in (
            ("small:effort-low", {}),
            ("effort-low", {}),
            ("small", {"tpo": {"effort": "low"}}),
            ("small:effort-high", {"tpo": {"effort": "low"}}),
            ("small:effort-low", {"reasoning_effort": "high"}),
        ):
            answer = (await up.chat(model, **body)).json()
            assert (answer["tpo"]["method"], answer["tpo"]["width"]) == ("best-of-n", LOW), (model, body)
        assert all("reasoning_effort" not in body for body in up.policy.bodies)


async def test_a_presets_method_keeps_its_name_and_takes_the_efforts_size(serve: Serve) -> None:
    async with serve(saying("Ho")) as up:
        answer = (await up.chat("small:best-of-n", reasoning_effort="medium")).json()
        assert (answer["tpo"]["method"], answer["tpo"]["width"]) == ("best-of-n", MEDIUM)
        answer = (await up.chat("small:best-of-2", reasoning_effort="high")).json()
        assert answer["tpo"]["width"] == 2


async def test_responses_have_it_in_reasoning(serve: Serve) -> None:
    async with serve(saying("Ho")) as up:
        body = {"model": "small:best-of-n", "input": "Hi", "reasoning": {"effort": "minimal"}}
        answer = (await up.client.post("/responses", json=body)).json()
        assert answer["tpo"]["width"] == LOW


async def test_the_policys_own_effort_reaches_the_policy(serve: Serve) -> None:
    async with serve(saying("Ho")) as up:
        await up.chat("small:effort-low", tpo={"policy_effort": "minimal"})
        assert {body["reasoning_effort"] for body in up.policy.bodies} == {"minimal"}
        await up.chat("small", reasoning_effort="high")  # a plain model is passed through
        assert up.policy.bodies[-1]["reasoning_effort"] == "high"


async def test_a_level_stays_within_the_servers_bounds(serve: Serve) -> None:
    async with serve(saying("Ho"), serving=ServeOptions(max_width=6)) as up:
        answer = (await up.chat("small:effort-max")).json()
        assert answer["tpo"]["width"] == 6


@pytest.mark.parametrize(("search", "tags"), [({}, False), ({"prompts": "default"}, True)])
async def test_a_level_picks_prompts_by_the_size_of_the_model_that_answers(
    serve: Serve, search: dict[str, str], tags: bool
) -> None:
    async with serve(drawing([f"draft {n}" for n in range(7)]), names=("a-8B",), **search) as up:
        answer = (await up.chat("a-8B:effort-medium")).json()
        assert answer["tpo"]["method"] == "fusion"
        merges = [prompt for prompt in up.policy.prompts if "draft 0" in prompt]
        assert merges
        assert all(("improved_answer" in prompt) == tags for prompt in merges)


def test_an_arm_has_the_prompts_of_its_own_size() -> None:
    usual: Any = {"policy": {"a": "a-8B@http://x/v1", "b": "b-70B@http://y/v1"}, "reward": "surface", "prompts": None}
    for model, name in (("a-8B", "small"), ("b-70B", "default")):
        chosen: Any = with_dials(usual, None, ServeOptions(), (model,), {}, Effort.HIGH)
        assert specified(chosen).prompts.name.partition("@")[0] == name


async def test_an_unknown_level_is_refused_in_one_line(serve: Serve) -> None:
    async with serve(saying("Ho")) as up:
        answer = await up.chat("small:tpo", reasoning_effort="huge")
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "reasoning_effort"
        assert "known are low, medium, high, max" in answer.json()["error"]["message"]
        assert (await up.chat("small:tpo", tpo={"effort": "huge"})).status_code == 400
        assert (await up.chat("small:effort-huge")).status_code == 404


async def test_the_list_of_models_names_what_each_level_costs(serve: Serve) -> None:
    async with serve(saying("Ho")) as up:
        cards = {card["id"]: card for card in (await up.client.get("/models")).json()["data"]}
        assert "tpo" not in cards["small"]
        assert cards["small:effort-medium"]["tpo"] == {
            "method": "best-of-n",
            "width": MEDIUM,
            "depth": 0,
            "answers": MEDIUM,
            "other_replies": 0,
            "stages": 1,
        }
        assert cards["small:tpo-d2-n5"]["tpo"]["stages"] == 7
        assert (await up.client.get("/models/small:effort-max")).json()["tpo"]["width"] == 32  # the server's bound
