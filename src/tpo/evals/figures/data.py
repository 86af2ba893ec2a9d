"""What figures are made of: for each query of each run, the rewards of its candidates and what they cost.

Runs are read one after another as streams; texts are not kept, so that any size fits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from tpo.engine.result import Result, RoleUsage
from tpo.errors import InputError
from tpo.evals.evaluation import EVALUATION, SECOND_TURNS
from tpo.runs.directory import IDENTITY, Identity
from tpo.runs.history import histories, open_run

ROLES = ("policy", "critic", "editor")


class Seen(NamedTuple):
    """A candidate, without its text.

    Attributes:
        step: 0 for the first samples.
        reward: its reward.
        characters: of its text.
        tokens: completion tokens.
    """

    step: int
    reward: float
    characters: int
    tokens: int


class FinishedQuery(NamedTuple):
    """A query that is over and has rewards.

    Attributes:
        digest: a hash of its messages: data of the same name need not hold the same queries.
        candidates: those with a reward, in the order in which they stand in the pool.
        reward: of the answer.
        characters: of the answer.
        tokens: prompt and completion tokens of policy, critic and editor.
        seconds: from the first call to the end.
        usage: what each role cost.
    """

    digest: int
    candidates: list[Seen]
    reward: float
    characters: int
    tokens: int
    seconds: float
    usage: dict[str, RoleUsage]

    def best_by(self, step: int) -> float:
        """The best reward until a step, which later steps of a search that ended early keep."""
        return max(seen.reward for seen in self.candidates if seen.step <= step)

    @property
    def first(self) -> Seen:
        """The first sample: the policy without alignment."""
        return self.candidates[0]


class Run(NamedTuple):
    """A run.

    Attributes:
        path: its directory.
        identity: what it is.
        queries: by id.
    """

    path: Path
    identity: Identity
    queries: dict[str, FinishedQuery]

    @property
    def method(self) -> str:
        """The method's name."""
        return str(self.identity.recipe.get("method"))

    @property
    def width(self) -> int:
        """N."""
        return int(self.identity.recipe.get("width") or 1)

    @property
    def depth(self) -> int:
        """D."""
        return int(self.identity.recipe.get("depth") or 0)

    @property
    def models(self) -> dict[str, str]:
        """The model in each role."""
        return dict(self.identity.recipe.get("models") or {})

    @property
    def policy(self) -> str:
        """The policy's model."""
        return self.models.get("policy", "policy")

    @property
    def label(self) -> str:
        """Method and dials, as the paper writes them."""
        if self.method in ("tpo", "revision"):
            return f"{self.method.upper() if self.method == 'tpo' else 'Revision'} D{self.depth}-N{self.width}"
        return f"Best-of-{self.width}" if self.method == "best-of-n" else self.method


class Group(NamedTuple):
    """Runs whose rewards can be compared: over the same data, by the same reward.

    Attributes:
        title: what the data is called.
        reward: the reward's name.
        runs: those that have rewards.
    """

    title: str
    reward: str
    runs: list[Run]

    def shared(self, runs: Sequence[Run]) -> list[str]:
        """The ids of queries that all of some runs have, word for word, in a fixed order."""
        queries = [{(id, query.digest) for id, query in run.queries.items()} for run in runs]
        return sorted(id for id, _ in set.intersection(*queries)) if queries else []

    def names(self) -> dict[Path, str]:
        """A label for each run; those that would share one get their policy behind it, then their folder, then a
        number."""
        named = {run.path: run.label for run in self.runs}
        policies = {run.path: run.policy for run in self.runs}
        folders = {run.path: run.path.name for run in self.runs}
        numbers = {run.path: str(number) for number, run in enumerate(self.runs, 1)}
        for more in (policies, folders, numbers):
            labels = list(named.values())
            named = {
                path: f"{label}, {more[path]}" if labels.count(label) > 1 else label for path, label in named.items()
            }
        return named


def read_groups(directory: Path) -> list[Group]:
    """Read the runs of a directory, grouped by what can be compared.

    Args:
        directory: of a run, of several runs at any depth, or of an evaluation.

    Raises:
        InputError: there is no run in it, or none with a reward.
        JournalError: a journal is damaged.
    """
    found: dict[tuple[str, str], list[Run]] = {}
    paths = list(run_paths(directory))
    if not paths:
        raise InputError(
            f"{directory} holds no run: give what `tpo run` or `tpo eval` had as --out, or a folder of them."
        )
    of_evaluation = (directory / EVALUATION).is_file()
    for path in paths:
        identity = open_run(path).identity()
        reward = identity.recipe.get("reward") if identity is not None else None
        if identity is None or reward is None:  # plain sampling has no rewards to draw
            continue
        title = path.parent.name if of_evaluation else PurePath(identity.data).name
        found.setdefault((title, str(reward)), []).append(Run(path, identity, dict(_queries(path))))
    groups = [
        Group(title, reward, runs)
        for (title, reward), every in found.items()
        if (runs := [r for r in every if r.queries])
    ]
    if not groups:
        raise InputError(f"No run in {directory} has a finished query with a reward yet, so there is nothing to draw.")
    return groups


def run_paths(directory: Path) -> Iterator[Path]:
    """The runs in a directory, at any depth; what `--fresh` put aside and second turns are passed over."""
    for file in sorted(directory.rglob(IDENTITY)):
        inside = file.parent.relative_to(directory).parts
        if SECOND_TURNS not in inside and not any(part.startswith("before-") for part in inside):
            yield file.parent


def _queries(path: Path) -> Iterator[tuple[str, FinishedQuery]]:
    for story in histories(path):
        if story.result is not None and story.error is None and story.result.reward is not None:
            query = _query(story.result, str(story.plan.query if story.plan is not None else story.id))
            if query.candidates[:1] and query.candidates[0].step == 0:
                yield story.id, query


def _query(result: Result, query: str) -> FinishedQuery:
    assert result.reward is not None
    seen = [
        Seen(one.step, one.reward, len(one.text), one.tokens) for one in result.candidates if one.reward is not None
    ]
    used = [result.usage[role] for role in ROLES if role in result.usage]
    return FinishedQuery(
        digest=hash(query),
        candidates=seen,
        reward=result.reward,
        characters=len(result.answer),
        tokens=sum(one.prompt_tokens + one.completion_tokens for one in used),
        seconds=result.seconds,
        usage=result.usage,
    )
