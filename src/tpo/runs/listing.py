"""The runs that there are in some directories."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tpo.errors import InputError
from tpo.runs.directory import IDENTITY
from tpo.runs.standing import Standing


def run_directories(directories: Iterable[Path]) -> Iterator[Path]:
    """The directories of runs among these and one level below, each once.

    Raises:
        InputError: a directory cannot be read.
    """
    seen = set()
    for directory in directories:
        try:
            below = sorted(one for one in directory.iterdir() if one.is_dir())
        except OSError as error:
            raise InputError(f"{directory} cannot be read: {error.strerror}.") from error
        for path in (directory, *below):
            if path.resolve() not in seen and (path / IDENTITY).is_file():
                seen.add(path.resolve())
                yield path


def outline(one: Standing) -> dict[str, Any]:
    """A run in one flat object, for a list of them."""
    recipe, summary = one.identity.recipe, one.summary
    return {
        "directory": str(one.directory),
        "data": one.identity.data,
        "method": recipe.get("method"),
        "width": recipe.get("width"),
        "depth": recipe.get("depth"),
        "policy": (recipe.get("models") or {}).get("policy"),
        "reward": recipe.get("reward"),
        "done": summary.done + summary.failed,
        "total": summary.total if one.counted else None,
        "failed": summary.failed,
        "first_reward": summary.first.value if summary.first else None,
        "answer_reward": summary.reward.value if summary.reward else None,
        "began": one.identity.began,
        "state": str(one.state),
    }
