"""The prompt sets that come with tpo, and which size of model each is for."""

from __future__ import annotations

from pathlib import Path

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
