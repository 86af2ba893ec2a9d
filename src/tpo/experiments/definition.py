"""An experiment as its file describes it, checked before anything is opened.

seeds = [1, 2, 3]
compare = ["best-of-15", "tpo"]

[queries]
benchmark = "ifeval"
data = "data/ifeval"
split = "tune"
limit = 40

[options]
reward = "verifier:ifeval?file={queries}"
max-tokens = 200

[models.135m]
policy = "embedded"

[methods.best-of-15]
method = "best-of-n"
width = 15

[methods.tpo]
method = "tpo"
width = 5
depth = 2
"""

from __future__ import annotations

import hashlib
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from tpo.errors import InputError, PromptError
from tpo.evals.costs import parse_parameters
from tpo.models.panel import ArmSpec
from tpo.models.resolve import check_place
from tpo.options import SearchOptions, table
from tpo.prompts.sets import AUTO, SETS
from tpo.session.spec import Options, Spec, specified
from tpo.specs import did_you_mean

# What stands in a reward's name for the file that holds all queries of the data.
QUERIES_FILE = "{queries}"
# How the name of a file of outcomes ends.
OUTCOMES = ".jsonl"
# Options that the file writes in places of their own.
_ELSEWHERE = frozenset(["seed"])
# Options that name a file or a folder.
_FILES = frozenset(name for name, entry in table(SearchOptions).items() if entry.type is Path)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Queries(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """Which queries are answered.

    The split is a rule and no list: the queries whose hash of `salt` and id is lowest are held out, the rest is for
    tuning, in the order of their hashes. It is the same on every machine, and a larger `limit` keeps a smaller one.

    Attributes:
        benchmark: a benchmark by name, whose grades are reported; None for data with a reward alone.
        data: where its data is, as `tpo eval --data` takes it; or any file that `tpo run` reads.
        column: the column that holds the query, for data without a benchmark.
        split: all, tune or held-out.
        held_out: how many queries are held out.
        salt: of the hashes.
        start: how many queries of the split are passed over.
        limit: how many are answered; all of the split unless given.
    """

    benchmark: str | None = None
    data: str | None = None
    column: str | None = None
    split: str = "all"
    held_out: int = 0
    salt: str = "tpo-"
    start: int = 0
    limit: int | None = None


class ModelSpec(msgspec.Struct, frozen=True):
    """A model of the experiment: its options of a search, and its size for FLOPs."""

    options: dict[str, Any]
    parameters: str | None = None


class Experiment(msgspec.Struct, frozen=True):
    """An experiment.

    Attributes:
        path: its file.
        title: one line above the report.
        queries: which queries are answered.
        options: options of every search, by name.
        models: by label.
        methods: options of a search by label.
        seeds: each cell is run with each.
        baselines: labels of methods that all others are compared with.
        bank: the label of a wide best-of-n, on which selection and stop rules are evaluated.
        judge: a reward that steers nothing, and measures all candidates; None for none.
        adopt: existing runs: folders with {model}, {method} and {seed} in their names, or files of outcomes.
        maximum: the largest reward that there is; found out by itself where verifiers steer.
        notes: sentences for the report: on which machine, when and from which commit adopted runs were made.
    """

    path: Path
    title: str
    queries: Queries
    options: dict[str, Any]
    models: dict[str, ModelSpec]
    methods: dict[str, dict[str, Any]]
    seeds: list[int]
    baselines: list[str]
    bank: str | None
    judge: str | None
    adopt: list[str]
    maximum: float | None
    notes: list[str]

    @property
    def folder(self) -> Path:
        """What relative paths in the file start from."""
        return self.path.parent

    @property
    def data(self) -> str | None:
        """Where the queries are; None for a benchmark without data."""
        return None if self.queries.data is None else beside(self.folder, self.queries.data)

    @property
    def reports_only(self) -> bool:
        """Whether it runs nothing and reads outcomes alone, for which no data is needed."""
        return not self.cells() and all(place.endswith(OUTCOMES) for place in self.adopt)

    def cells(self) -> list[ExperimentCell]:
        """All cells, those of one model in a row."""
        return [ExperimentCell(m, method, seed) for m in self.models for seed in self.seeds for method in self.methods]

    def sizes(self) -> dict[str, float]:
        """Parameters by model, where the file has them."""
        given = {name: model.parameters for name, model in self.models.items() if model.parameters is not None}
        return {name: parse_parameters([f"policy={text}"])["policy"] for name, text in given.items()}

    def spec(self, cell: ExperimentCell, references: Path) -> Spec:
        """What a cell does with a query.

        Args:
            cell: the cell.
            references: the file that all queries of the data were written to.

        Raises:
            InputError: an option is unknown or out of range.
        """
        given: dict[str, Any] = {}
        for layer in (self.options, self.models[cell.model].options, self.methods[cell.method]):
            if {"reward", "prefer"} & layer.keys():  # both say what is rewarded, and the narrower table decides
                given = {name: value for name, value in given.items() if name not in ("reward", "prefer")}
            given |= layer
        given = {name: filled(value, references) for name, value in given.items()}
        options: Options = {**given, "seed": cell.seed}  # type: ignore[typeddict-item]
        try:
            spec = specified(options)
            for role in spec.roles.values():
                for place in _places(role.where):
                    check_place(place)
        except (InputError, PromptError) as error:
            raise InputError(f"{self.where(cell)}: {error}") from error
        return spec

    def check_labels(self, methods: Iterable[str]) -> None:
        """See that what others are compared with, and the bank, are among these methods.

        Raises:
            InputError: one is not.
        """
        known = sorted(methods)
        for label in [*self.baselines, *([self.bank] if self.bank else [])]:
            if label not in known:
                raise InputError(
                    f"{self.path} compares with {label}, which is none of its methods: {', '.join(known)}."
                    f"{did_you_mean(label, known)}"
                )

    def where(self, cell: ExperimentCell) -> str:
        """A cell's place in the file, for errors."""
        return f"{self.path}, model {cell.model}, method {cell.method}"


class ExperimentCell(msgspec.Struct, frozen=True):
    """One method with one model and one seed.

    Attributes:
        model: the model's label.
        method: the method's label.
        seed: of the run.
    """

    model: str
    method: str
    seed: int

    @property
    def folder(self) -> str:
        """The name of its run below the experiment's directory."""
        return f"runs/{self.model}/{self.method}-s{self.seed}"

    def __str__(self) -> str:
        return f"{self.model}, {self.method}, seed {self.seed}"


class _Tables(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """The file's tables, each read further on its own."""

    title: str = ""
    seeds: list[int] = msgspec.field(default_factory=lambda: [1])
    compare: list[str] = []
    bank: str | None = None
    judge: str | None = None
    adopt: list[str] = []
    maximum: float | None = None
    notes: list[str] = []
    queries: Queries | None = None
    options: dict[str, Any] = {}
    models: dict[str, dict[str, Any]] = {}
    methods: dict[str, dict[str, Any]] = {}


def read_experiment(path: Path) -> Experiment:
    """Read an experiment, and check all of it that needs no model.

    Args:
        path: a TOML file.

    Raises:
        InputError: it cannot be read, or holds what is not known; the message says where.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        tables = msgspec.convert(values, _Tables)
    except OSError as error:
        raise InputError(f"The experiment {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"The experiment {path} is not TOML: {error}.") from error
    except msgspec.ValidationError as error:
        raise InputError(f"{path}: {error}. docs/experiments.md lists what the file holds.") from error
    experiment = Experiment(
        path=path,
        title=tables.title or path.stem,
        queries=tables.queries or Queries(),
        options=_options(tables.options, path, "[options]"),
        models={name: _model(values, path, f"[models.{name}]") for name, values in tables.models.items()},
        methods={name: _options(values, path, f"[methods.{name}]") for name, values in tables.methods.items()},
        seeds=tables.seeds,
        baselines=tables.compare,
        bank=tables.bank,
        judge=tables.judge,
        adopt=tables.adopt,
        maximum=tables.maximum,
        notes=tables.notes,
    )
    _check(experiment)
    return experiment


def _check(experiment: Experiment) -> None:
    path = experiment.path
    for name in (*experiment.models, *experiment.methods):
        if not _NAME.fullmatch(name):
            raise InputError(f"{path}: {name!r} names a folder: use letters, digits, points, _ and -.")
    if not experiment.adopt and not (experiment.models and experiment.methods):
        raise InputError(f"{path} has no [models.NAME] or no [methods.NAME], so there is nothing to run.")
    if len(set(experiment.seeds)) < len(experiment.seeds) or not experiment.seeds:
        raise InputError(f"{path}: seeds is {experiment.seeds}; name at least one, and each once.")
    if not experiment.adopt:  # else the methods are known when the adopted runs were found
        experiment.check_labels(experiment.methods)
    if experiment.maximum is not None and not math.isfinite(experiment.maximum):
        raise InputError(f"{path}: maximum is {experiment.maximum}; it must be a number.")
    _check_queries(experiment.queries, path, experiment.reports_only)
    for cell in experiment.cells():
        spec = experiment.spec(cell, Path("queries.jsonl"))
        if cell.method == experiment.bank:
            _check_bank(spec, experiment.where(cell))


def _check_bank(spec: Spec, where: str) -> None:
    """A bank is a sample of what the model writes, whatever the answers are: it draws all that it may."""
    if spec.method.name != "best-of-n":
        raise InputError(f"{where} is the bank, and its method is {spec.method.name}: a bank is a wide best-of-n.")
    given = {**spec.method_settings, "quorum": spec.settings.quorum}
    if stops := [name for name in ("price", "wave", "quorum") if given.get(name) is not None]:
        raise InputError(f"{where} is the bank, and sets {' and '.join(stops)}: a bank stops nowhere; leave that out.")


def _check_queries(queries: Queries, path: Path, reports_only: bool) -> None:
    if queries.split not in ("all", "tune", "held-out"):
        raise InputError(f"{path}, [queries]: split is {queries.split!r}; it must be all, tune or held-out.")
    if queries.split != "all" and queries.held_out < 1:
        raise InputError(f"{path}, [queries]: with a split, held-out says how many queries are held out.")
    if queries.start < 0 or (queries.limit is not None and queries.limit < 1):
        raise InputError(f"{path}, [queries]: start is at least 0, and limit at least 1.")
    if queries.benchmark is None and queries.data is None and not reports_only:
        raise InputError(f"{path}, [queries]: give a benchmark, a data file, or both.")
    if queries.benchmark is not None and queries.column is not None:
        raise InputError(f"{path}, [queries]: column is for data without a benchmark.")


def _model(values: Mapping[str, Any], path: Path, where: str) -> ModelSpec:
    parameters = values.get("parameters")
    if parameters is not None:
        try:
            parse_parameters([f"policy={parameters}"])
        except InputError:
            raise InputError(f"{path}, {where}: parameters is {parameters!r}; write a count such as 135M.") from None
    rest = {name: value for name, value in values.items() if name != "parameters"}
    return ModelSpec(_options(rest, path, where), None if parameters is None else str(parameters))


def _options(values: Mapping[str, Any], path: Path, where: str) -> dict[str, Any]:
    """Options of a search by the names of keyword arguments; the file writes them with hyphens or underscores."""
    known = [name for name in table(SearchOptions) if name not in _ELSEWHERE]
    found = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in known:
            hint = " Write seeds = [1, 2] above all tables." if name == "seed" else did_you_mean(name, known)
            raise InputError(
                f"{path}, {where} sets {key}, which is not an option of a search.{hint} Known: {', '.join(known)}."
            )
        is_file = name in _FILES and isinstance(value, str) and value not in (AUTO, *SETS)
        found[name] = beside(path.parent, value) if is_file else value
    return found


def beside(folder: Path, place: str) -> str:
    """A path from a folder, where that is there; else as it was given, from the current folder."""
    return str(folder / place) if (folder / place).exists() else place


def _places(where: Any) -> list[str]:
    """Where the models of a role are, as texts; other objects are left out."""
    named = [ArmSpec(arm).where for arm in where.values()] if isinstance(where, Mapping) else [where]
    return [part.strip() for text in named if isinstance(text, str) for part in text.strip(", ").split(",")]


def filled(value: Any, references: Path) -> Any:
    """An option's value, with the file that all queries were written to where the name stands for it."""
    return value.replace(QUERIES_FILE, str(references)) if isinstance(value, str) else value


def rank_of(salt: str, id: str) -> str:
    """Where a query stands in the order of a split: SHA-256 of salt and id."""
    return hashlib.sha256(f"{salt}{id}".encode()).hexdigest()
