"""The prompt sets that come with tpo, which size of model each is for, and which one a user's options mean."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tpo.models.sizes import parameters_in
from tpo.options import default

DEFAULT_SET = "default"
# Chooses one by the size of the model that writes the updates.
AUTO = "auto"
# None: the wording that every folder lies over.
SETS: dict[str, Path | None] = {DEFAULT_SET: None, "small": Path(__file__).parent / "small"}
# Below so many parameters the set is for a model. A model of unknown size gets the default one. Llama-3.1-8B gets worse
# by the paper's prompts (its figure 7), and smaller models seldom keep tags or follow several demands at once.
BY_SIZE: tuple[tuple[float, str], ...] = ((9e9, "small"),)


def folder_of(prompts: Path | str | None, parameters: float | None = None) -> Path | None:
    """The folder of a prompt set.

    Args:
        prompts: a folder, or the name of a set; None for the default wording.
        parameters: how many the model has that writes the updates, where that is known.

    Returns:
        the folder; None for the default wording.
    """
    if prompts == AUTO:
        prompts = next((name for most, name in BY_SIZE if parameters is not None and parameters < most), None)
    if prompts is None:
        return None
    return SETS[prompts] if isinstance(prompts, str) and prompts in SETS else Path(prompts)


def prompts_folder(options: Mapping[str, Any]) -> Path | None:
    """The folder of the prompt set that options mean; None for the default wording."""
    prompts = options.get("prompts")
    return folder_of(prompts, _parameters(options) if prompts == AUTO else None)


def _parameters(options: Mapping[str, Any]) -> float | None:
    """How many parameters the model that writes the updates has, where a name says so."""
    from tpo.models.weights import MODEL

    role = "editor" if options.get("editor") is not None else "policy"
    model = options.get(role) or default("policy")
    name = model if isinstance(model, str) else getattr(model, "name", "")
    known = [options.get(f"{role}_model"), MODEL if name == default("policy") else name]
    return next((count for name in known if name and (count := parameters_in(str(name))) is not None), None)
