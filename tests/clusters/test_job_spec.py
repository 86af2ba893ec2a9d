"""What goes to other machines, and what cannot; none of this needs Ray."""

from __future__ import annotations

import pickle
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tpo.candidate import Candidate
from tpo.config import NamedReward
from tpo.errors import InputError, JournalError, ModelError, RewardError, RewardUnavailable, TPOError
from tpo.http.failures import ContextOverflow, KeyRefused, RequestRefused
from tpo.rewards.judges.client import DoesNotFit
from tpo.runs.ray import Cluster
from tpo.runs.ray.job_spec import job_spec, spec_of
from tpo.runs.ray.wire import failure_of
from tpo.session.backends import open_reward
from tpo.session.spec import specified


def test_a_prompts_folder_goes_along(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "answer.system.jinja").write_text("Be brief.")
    made = pickle.loads(pickle.dumps(job_spec({"prompts": folder}, {})))
    (folder / "answer.system.jinja").unlink()
    folder.rmdir()
    spec = spec_of(made)
    assert spec.prompts.name.startswith("mine@")
    assert spec.prompts.render("answer", [{"role": "user", "content": "Hi"}]).messages[0]["content"] == "Be brief."


def test_the_search_is_the_same_elsewhere() -> None:
    options = {"method": "best-of-n", "width": 4, "seed": 3, "policy": "http://a/v1", "budget_tokens": 100}
    made = pickle.loads(pickle.dumps(job_spec(options, {})))
    here, there = specified(options), spec_of(made)  # type: ignore[arg-type]
    assert (here.method, here.width, here.settings, here.budget) == (
        there.method,
        there.width,
        there.settings,
        there.budget,
    )
    assert (here.roles, here.prompts.name) == (there.roles, there.prompts.name)


@pytest.mark.parametrize(("prompts", "name"), [(None, "small"), ("default", "default")])
def test_the_prompts_of_an_effort_are_the_same_elsewhere(prompts: str | None, name: str) -> None:
    options = {"effort": "high", "policy": "http://a/v1", "policy_model": "a-8B", "prompts": prompts}
    assert spec_of(job_spec(options, {})).prompts.name.partition("@")[0] == name


def test_the_module_of_a_python_reward_goes_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.py").write_text("a = 1")
    (tmp_path / "many" / "deep").mkdir(parents=True)
    (tmp_path / "many" / "__init__.py").write_text("")
    (tmp_path / "many" / "deep" / "er.py").write_text("b = 2")
    assert job_spec({"reward": "python:one:a"}, {}).modules == {"one.py": b"a = 1"}
    named = {"both": NamedReward(sum={"python:many.deep.er:b": 1.0, "surface": 1.0})}
    assert job_spec({"reward": "both"}, named).modules == {"many/__init__.py": b"", "many/deep/er.py": b"b = 2"}
    assert job_spec({"reward": "python:json:loads"}, {}).modules == {}


@pytest.mark.parametrize(
    ("reward", "shared"),
    [(None, False), ("surface", False), ("vllm:http://a", False), ("hf:x", True), ("python:a:b", True), ("mix", True)],
)
def test_rewards_of_a_process_are_held_by_actors(reward: str | None, shared: bool) -> None:
    named = {"mix": NamedReward(min=["inner", "vllm:http://a"]), "inner": NamedReward(use="hf:x")}
    assert job_spec({"reward": reward}, named).shares_reward == shared


async def test_no_answer_is_chosen_that_keeps_fewer_rules_where_actors_hold_the_reward() -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from tpo.runs.ray.worker import _with_actors

    options: dict[str, Any] = {
        "method": "best-of-n",
        "width": 2,
        "select": "soft:0",
        "reward": "python:a:b",
        "require": ["max-words=3"],
    }
    candidates = [
        Candidate("0", 0, "It is short", reward=0.6, parts={"max-words=3": 1.0}),
        Candidate("1", 0, "It is too long for that", reward=0.4, parts={"max-words=3": 0.0}),
    ]
    for seed in range(20):
        made = job_spec({**options, "seed": seed}, {})
        spec = _with_actors(spec_of(made), [], ("gate@1(require@1(max-words=3), b)", False, None))
        search = spec.search([{"role": "user", "content": "Hi"}])
        next(search)
        with pytest.raises(StopIteration) as ended:
            search.send(candidates)
        assert ended.value.value.chosen is candidates[0]
    async with AsyncExitStack() as stack:
        reward = await open_reward(spec, stack)
        assert reward is not None and reward.name == "gate@1(require@1(max-words=3), b)"  # no second gate


@pytest.mark.parametrize("name", ["reward", "policy", "critic"])
def test_objects_cannot_go(name: str) -> None:
    with pytest.raises(InputError, match=f"The {name} is an object of this process"):
        Cluster("auto", {name: lambda conversations: []})


def test_a_score_cache_cannot_go() -> None:
    with pytest.raises(InputError, match="score cache"):
        Cluster("auto", {"score_cache": Path("x")})


def test_numbers_of_workers_are_checked() -> None:
    with pytest.raises(InputError, match="ray-workers is 0"):
        Cluster("auto", {}, workers=0)


def test_errors_arrive_as_they_were() -> None:
    error = failure_of(RewardUnavailable("busy", 3.0, too_much=True)).error()
    assert isinstance(error, RewardUnavailable) and error.too_much and error.retry_after == 3.0
    assert isinstance(failure_of(JournalError("full")).error(), JournalError)
    bug = failure_of(KeyError("x"), "on node1").error()
    assert isinstance(bug, RuntimeError) and "on node1: KeyError" in str(bug)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (KeyRefused("no", 401), ModelError),
        (RequestRefused("no"), ModelError),
        (ContextOverflow("no", 9, 8), ModelError),
        (DoesNotFit("no"), RewardError),
    ],
)
def test_errors_of_other_modules_arrive_as_no_bugs(error: TPOError, kind: type[TPOError]) -> None:
    arrived = failure_of(error, "on node1").error()
    assert type(arrived) is kind and str(arrived) == "on node1: no"


def test_a_method_of_ones_own_goes_along_with_its_templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wordings").mkdir()
    (tmp_path / "wordings" / "again.user.jinja").write_text("{{ question }} Again.")
    (tmp_path / "carried_method.py").write_text(
        "from pathlib import Path\n"
        "from tpo.methods import Outcome, Sample, method\n"
        "@method(templates=Path(__file__).parent / 'wordings')\n"
        "def search(query, *, width, prompts):\n"
        "    drawn = yield Sample(prompts.render('again', query, role='policy'), width)\n"
        "    return Outcome(drawn[0], 'depth')\n"
    )
    made = job_spec({"method": "python:carried_method:search", "reward": "surface"}, {})
    assert made.options["method"] == "python:carried_method:search"
    assert made.modules.keys() == {"carried_method.py", "wordings/again.user.jinja"}
