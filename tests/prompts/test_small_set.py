"""The prompt set for small models: plain turns, one short demand each, no tags; and when it is chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tpo.candidate import Candidate
from tpo.errors import PromptError
from tpo.messages import conversation
from tpo.methods import find_method
from tpo.methods.cost import cost_of
from tpo.methods.registry import _registered, wording
from tpo.methods.selection import TEMPLATES
from tpo.prompts import PromptSet
from tpo.prompts.sets import SETS, prompts_folder

SMALL = SETS["small"]
GOOD = Candidate("0.0", 0, "GOOD", 0.9, feedback="CHECK")
BAD = Candidate("0.1", 0, "BAD", 0.1)
SHOWN: dict[str, Any] = {
    "drafts": [GOOD, BAD],
    "segments": [GOOD],
    "tries": [{"text": BAD, "advice": "ADVICE"}],
    "analysis": "ADVICE",
    "first": GOOD,
    "second": BAD,
    "failed": "CHECK",
}


def prompts() -> PromptSet:
    folders = [folder for name in _registered for folder in find_method(name).templates] + [TEMPLATES]
    return PromptSet(SMALL, folders, [path.name.split(".")[0] for path in (SMALL or Path()).glob("*.jinja")])


@pytest.mark.parametrize("path", sorted((SMALL or Path()).glob("*.jinja")), ids=lambda path: path.name)
def test_every_prompt_is_short_and_plain(path: Path) -> None:
    name = path.name.split(".")[0]
    prompt = prompts().render(
        name, conversation("QUERY"), chosen=GOOD, rejected=BAD, loss="ADVICE", gradient="ADVICE", **SHOWN
    )
    assert [message["role"] for message in prompt.messages] == ["user"]
    text = prompt.messages[0]["content"]
    assert "<" not in text
    ours = [word for word in text.split() if word not in ("QUERY", "GOOD", "BAD", "ADVICE", "CHECK")]
    assert len(ours) <= 40
    assert "\n\n\n" not in text
    assert prompt.read(" A plain reply. ") == "A plain reply." if prompt.role == "editor" else True


@pytest.mark.parametrize("name", list(_registered))
def test_every_method_runs_with_it(name: str) -> None:
    method = find_method(name)
    assert cost_of(method, 3, 2, prompts=wording(method, SMALL)).answers > 0


def test_an_update_without_advice_is_the_question_alone() -> None:
    update = prompts().render("update", conversation("QUERY"), chosen=GOOD, rejected=BAD, loss="", gradient="")
    assert update.messages[0]["content"].strip() == "QUERY"


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ({}, None),
        ({"prompts": "default"}, None),
        ({"prompts": "small"}, SMALL),
        ({"prompts": str(SMALL)}, SMALL),
        ({"prompts": Path("small")}, Path("small")),
        ({"prompts": "auto"}, SMALL),
        ({"prompts": "auto", "policy": "http://host/v1"}, None),
        ({"prompts": "auto", "policy": "http://host/v1", "policy_model": "Qwen2.5-1.5B-Instruct"}, SMALL),
        ({"prompts": "auto", "policy": "http://host/v1", "policy_model": "Llama-3.1-70B"}, None),
        ({"prompts": "auto", "editor": "http://host/v1", "editor_model": "Llama-3.1-70B"}, None),
        ({"prompts": "auto", "policy": {"a": "a-1B@http://x/v1", "b": "big-70B@http://y/v1"}}, SMALL),  # the lead's
        ({"prompts": "auto", "policy": ["a=big-70B@http://x/v1", "b=embedded"]}, None),
        ({"prompts": "auto", "policy": "gguf:/models/Qwen2.5-0.5B-Instruct.gguf"}, SMALL),
    ],
)
def test_which_set_options_mean(options: dict[str, Any], chosen: Path | None) -> None:
    assert prompts_folder(options) == chosen


def test_a_name_that_is_no_set_and_no_folder_is_refused_with_the_nearest() -> None:
    with pytest.raises(
        PromptError, match=r"'smal' are no folder, and none of default, small, auto\. Did you mean small"
    ):
        prompts_folder({"prompts": "smal"})
    with pytest.raises(PromptError, match="are no folder"):
        prompts_folder({"prompts": "Make the answer better. " * 200})  # longer than any path
