"""The job of a worker as plain data, with nothing open, to be sent to other machines.

Names stay as the user wrote them (`hf:…`, a URL, a folder) and are opened where they are used. The contents of files
that only this machine may have are sent: the prompts folder, and the module of a `python:` reward. Everything else that
is named by a path has to exist at the same path on each node.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from importlib.machinery import PathFinder
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from tpo.config import NamedReward
from tpo.errors import InputError
from tpo.methods import resolve_method
from tpo.options import default
from tpo.prompts.sets import DEFAULT_SET, prompts_folder
from tpo.rewards.resolve import DEFAULT, resolve
from tpo.session.effort import with_effort
from tpo.session.preference import with_preference
from tpo.session.spec import Spec, specified

# Kinds of in-process rewards; one actor of the cluster holds such a reward for all workers.
IN_PROCESS = ("hf", "python")
KEYS = ("TPO_", "OPENAI_API_KEY", "HF_TOKEN", "HF_ENDPOINT", "OMP_NUM_THREADS")
MOST_BYTES = 32 << 20
ROLES = ("policy", "critic", "editor")
# Options that are sent in another form.
_APART = ("prompts", "require", "rewards", "score_cache")


class JobSpec(msgspec.Struct, frozen=True):
    """How to do one run, for processes on other machines.

    Attributes:
        options: the options of `tpo.align` as plain data, the prompts left out.
        named: rewards that a configuration file names.
        prompts: the files of the prompts folder; None for the default wording.
        prompts_name: that folder's name.
        modules: the source files of a `python:` reward, by path.
        folder: the working directory.
        environment: keys for servers, and settings of tpo.
        concurrency: sequences in flight at each server, all workers together; None finds out what it takes.
        patience: seconds for which an endpoint that is down or overloaded is tried again.
        version: tpo's version.
    """

    options: dict[str, Any]
    named: dict[str, NamedReward]
    prompts: dict[str, bytes] | None
    prompts_name: str
    modules: dict[str, bytes]
    folder: str
    environment: dict[str, str]
    concurrency: int | None = None
    patience: float = 0.0
    version: str = ""

    @property
    def reward(self) -> str:
        """The reward as the user wrote it."""
        return self.options.get("reward") or DEFAULT

    @property
    def shares_reward(self) -> bool:
        """Whether the reward is held by actors for all workers, instead of being opened by each."""
        return not self.kinds.isdisjoint(IN_PROCESS)

    @property
    def kinds(self) -> set[str]:
        """The kinds of rewards that the reward is made of."""
        return {term.partition(":")[0] for term in _terms(self.reward, self.named)}


def job_spec(options: Mapping[str, Any], named: Mapping[str, NamedReward]) -> JobSpec:
    """Make the job from the options of a run.

    Args:
        options: the options of `tpo.align`.
        named: rewards that a configuration file names.

    Raises:
        InputError: something was given that cannot leave this process.
    """
    filled = with_effort(with_preference({**options, "rewards": named}))
    plain = {name: value for name, value in filled.items() if name not in _APART}
    plain["method"] = resolve_method(plain.get("method", default("method"))).name
    plain["require"] = tuple(options.get("require") or ())
    if options.get("score_cache") is not None:
        raise InputError(
            "A score cache is one file on one machine, so it does not go with --ray; the run's own journal keeps all "
            "scores anyway."
        )
    for name in (*ROLES, "reward", "judge"):
        given = plain.get(name)
        parts = given.values() if isinstance(given, Mapping) else given if isinstance(given, list | tuple) else [given]
        if not all(isinstance(one, str | None) for one in parts):
            raise InputError(
                f"The {name} is an object of this process, which cannot go to other machines: name it by text, such as "
                f"{'python:MODULE:FUNCTION' if name in ('reward', 'judge') else 'http://HOST:PORT/v1'}."
            )
    prompts = prompts_folder(filled)
    made = JobSpec(
        plain,
        dict(named),
        _contents(prompts) if prompts is not None else None,
        (prompts.name or prompts.resolve().name) if prompts is not None else "",
        {},
        str(Path.cwd()),
        {name: value for name, value in os.environ.items() if name.startswith(KEYS)},
        version=version("tpo"),
    )
    return msgspec.structs.replace(made, modules=_modules(made))


def settled(made: JobSpec) -> None:
    """Prepare this process for a job: keys, code, and the working directory where it exists.

    Raises:
        InputError: another version of tpo is installed here.
    """
    if made.version != version("tpo"):
        raise InputError(
            f"tpo is {version('tpo')} here and {made.version} where the run was started: install the same."
        )
    os.environ.update(made.environment)
    if Path(made.folder).is_dir():
        os.chdir(made.folder)
    if made.modules:
        sys.path.insert(0, str(_unpacked(made.modules)))


def spec_of(made: JobSpec) -> Spec:
    """The search for a query, the reward still as text.

    Raises:
        InputError: something is out of range or unknown.
        PromptError: a template is broken.
    """
    prompts = _unpacked(made.prompts, made.prompts_name) if made.prompts is not None else DEFAULT_SET
    return specified({**made.options, "prompts": prompts, "rewards": made.named})  # type: ignore[typeddict-item]


def with_reward(made: JobSpec, spec: Spec) -> Spec:
    """The same with the reward found.

    Raises:
        InputError: the reward is unknown.
        RewardError: it cannot be loaded.
    """
    if not spec.method.needs_reward:
        return spec
    return msgspec.structs.replace(spec, reward=resolve(made.reward, spec.require, named=made.named))


def _terms(spec: str, named: Mapping[str, NamedReward], above: frozenset[str] = frozenset()) -> set[str]:
    """What a reward is made of, as text."""
    spec = spec.strip()
    if spec not in named or spec in above:
        return {spec}
    what = named[spec]
    parts = [*(what.sum or ()), *(what.min or ()), *what.gates, *([what.use] if what.use else [])]
    return {term for part in parts for term in _terms(part, named, above | {spec})}


def _modules(made: JobSpec) -> dict[str, bytes]:
    """The source of what `python:` rewards and methods name, and the method's templates, in the working directory."""
    found: dict[str, bytes] = {}
    method = resolve_method(made.options["method"])
    here = Path(made.folder).resolve()
    for templates in (brought.resolve() for brought in method.templates):
        if not templates.is_relative_to(here):
            continue
        within = templates.relative_to(here).as_posix()
        found |= {f"{within}/{name}": data for name, data in _contents(templates).items()}
    judge = made.options.get("judge")
    judged = _terms(judge, made.named) if judge else ()
    for term in (*_terms(made.reward, made.named), *judged, method.name):
        kind, _, path = term.partition(":")
        top = path.partition(":")[0].partition(".")[0]
        spec = PathFinder.find_spec(top, [made.folder]) if kind == "python" and top else None
        if spec is None:
            continue
        places = list(spec.submodule_search_locations or ())
        if places:
            found |= {f"{top}/{name}": data for name, data in _contents(Path(places[0])).items()}
        elif spec.origin is not None and spec.origin.endswith(".py"):
            found[Path(spec.origin).name] = _read(Path(spec.origin))
    return found


def _contents(folder: Path) -> dict[str, bytes]:
    """The files in a folder and below it."""
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.")
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    files: dict[str, bytes] = {}
    size = 0
    for path in paths:
        size += path.stat().st_size
        if size > MOST_BYTES:
            raise InputError(
                f"The folder {folder} holds more than {MOST_BYTES >> 20} MB, too much to send to every worker: install "
                f"it on all nodes, or put it where all of them see it."
            )
        files[path.relative_to(folder).as_posix()] = _read(path)
    return files


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error


def _unpacked(files: Mapping[str, bytes], within: str = "") -> Path:
    """A new folder with these files, for as long as the process lives."""
    folder = Path(tempfile.mkdtemp(prefix="tpo-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name, data in files.items():
        path = folder / within / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder / within
