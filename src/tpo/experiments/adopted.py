"""Runs that exist already, and take the place of runs that an experiment would make."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from tpo.errors import InputError
from tpo.evals.figures.data import run_paths
from tpo.experiments.definition import OUTCOMES, Experiment, ExperimentCell
from tpo.runs.directory import Identity, RunDirectory, differences
from tpo.runs.recipe import BACKENDS, recipe_without_backends

_FIELD = re.compile(r"\{(\w+)\}")


class AdoptedRun(NamedTuple):
    """A run that exists already.

    Attributes:
        path: its directory.
        cell: the cell that it belongs to.
        identity: what it is.
    """

    path: Path
    cell: ExperimentCell
    identity: Identity


def adopted_runs(experiment: Experiment) -> Iterator[AdoptedRun]:
    """Find the runs that an experiment adopts.

    A place such as `runs/{model}/{slice}/{method}-s{seed}` says where model, method and seed stand in a folder's name;
    another field stands for anything. What the name does not hold is taken from the run itself.

    Raises:
        InputError: a place holds no run.
    """
    for place in experiment.adopt:
        if place.endswith(OUTCOMES):
            continue
        pattern = _pattern(experiment.folder / place)
        base = Path(str(experiment.folder / place).partition("{")[0])
        base = base if base.is_dir() else base.parent
        found = 0
        for path in run_paths(base) if base.is_dir() else ():
            match = pattern.fullmatch(str(path))
            identity = RunDirectory(path).identity() if match is not None else None
            if match is not None and identity is not None:
                found += 1
                yield AdoptedRun(path, _cell(match.groupdict(), identity, path), identity)
        if not found:
            raise InputError(f"{experiment.path} adopts {place}, and no run is there: {base} was searched.")


def outcome_files(experiment: Experiment) -> list[Path]:
    """The files of outcomes that an experiment adopts."""
    return [experiment.folder / place for place in experiment.adopt if place.endswith(OUTCOMES)]


def mismatch(run: AdoptedRun, experiment: Experiment, references: Path) -> str | None:
    """How an adopted run differs from what the experiment would run in its place; None where it does not."""
    if run.cell.model not in experiment.models or run.cell.method not in experiment.methods:
        return None
    wanted = recipe_without_backends(experiment.spec(run.cell, references))
    before = {name: value for name, value in run.identity.recipe.items() if name not in BACKENDS}
    found = differences(before, wanted)
    return f"{run.path} is adopted for {run.cell}, though {'; '.join(found)}" if found else None


def _pattern(place: Path) -> re.Pattern[str]:
    parts, last = [], 0
    text = str(place)
    for field in _FIELD.finditer(text):
        kind = r"\d+" if field[1] == "seed" else "[^/]+"
        parts += [re.escape(text[last : field.start()]), f"(?P<{field[1]}>{kind})"]
        last = field.end()
    return re.compile("".join([*parts, re.escape(text[last:])]))


def _cell(fields: dict[str, str], identity: Identity, path: Path) -> ExperimentCell:
    recipe = identity.recipe
    seed = fields.get("seed", msgspec.convert(recipe.get("settings") or {}, dict).get("seed"))
    return ExperimentCell(
        fields.get("model", str((recipe.get("models") or {}).get("policy", "policy"))),
        fields.get("method", path.name),
        int(seed or 0),
    )
