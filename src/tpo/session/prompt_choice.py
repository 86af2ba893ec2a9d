"""Which prompt set a user's options mean, read off names before any server is reached, like the level of effort."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tpo.models.sizes import parameters_in
from tpo.options import default
from tpo.prompts.sets import AUTO, folder_of


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
