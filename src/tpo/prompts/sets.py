"""The prompt sets that come with tpo, which size of model each is for, and which one a user's options mean."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tpo.errors import PromptError
from tpo.models.sizes import parameters_in
from tpo.options import default
from tpo.specs import did_you_mean

DEFAULT_SET = "default"
# Chooses one by the size of the model that writes the updates.
AUTO = "auto"
# None: the wording that every folder lies over.
SETS: dict[str, Path | None] = {DEFAULT_SET: None, "small": Path(__file__).parent / "small"}
# Below so many parameters the set is for a model. A model of unknown size gets the default one. Llama-3.1-8B gets worse
# by the paper's prompts (its figure 7), and smaller models seldom keep tags or follow several demands at once.
BY_SIZE: tuple[tuple[float, str], ...] = ((9e9, "small"),)


def prompts_folder(options: Mapping[str, Any]) -> Path | None:
    """The folder of the prompt set that options mean; None for the default wording.

    Raises:
        PromptError: there is no such set, and no such folder.
    """
    prompts = options.get("prompts")
    if prompts is None:
        return None
    if prompts == AUTO:
        prompts = set_by_size(options)
    # `Path.exists` raises an error for a text that is too long for a path.
    if isinstance(prompts, str) and prompts not in SETS and not os.path.exists(prompts):  # noqa: PTH110
        hint = did_you_mean(prompts, [*SETS, AUTO])
        raise PromptError(f"The prompts {prompts!r} are no folder, and none of {', '.join([*SETS, AUTO])}.{hint}")
    return SETS[prompts] if isinstance(prompts, str) and prompts in SETS else Path(prompts)


def set_by_size(options: Mapping[str, Any], policy_names: Sequence[str] = ()) -> str:
    """The name of the prompt set for the model that writes the updates.

    Args:
        options: who plays which role.
        policy_names: the names of the models that answer, where they are known otherwise; they count first.
    """
    parameters = _parameters(options, policy_names)
    return next((name for most, name in BY_SIZE if parameters is not None and parameters < most), DEFAULT_SET)


def _parameters(options: Mapping[str, Any], policy_names: Sequence[str]) -> float | None:
    """How many parameters the model that writes the updates has, where a name says so."""
    from tpo.models.panel import ArmSpec, arms_of
    from tpo.models.weights import MODEL

    role = "editor" if options.get("editor") is not None else "policy"
    model = options.get(role) or default("policy")
    arms = arms_of(model) if role == "policy" else None
    lead = ArmSpec(next(iter(arms.values())) if arms else model)
    name = lead.where if isinstance(lead.where, str) else getattr(lead.where, "name", "")
    served = policy_names[:1] if role == "policy" else ()
    known = [*served, lead.model, options.get(f"{role}_model"), MODEL if name == default("policy") else name]
    return next((count for name in known if name and (count := parameters_in(str(name))) is not None), None)
