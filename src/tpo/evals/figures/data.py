"""What figures are made of: for each query of each run, the rewards of its candidates and what they cost.

Runs are read one after another as streams; texts are not kept, so that any size fits.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import msgspec

from tpo.candidate import Rank, rank
from tpo.engine.result import ArmUsage, HeldOut, Result, RoleUsage
from tpo.errors import InputError
from tpo.evals.evaluation import EVALUATION, SECOND_TURNS
from tpo.runs.answers import read_answers
from tpo.runs.directory import IDENTITY, Identity
from tpo.runs.guards import Guards
from tpo.runs.history import histories, open_run

ROLES = ("policy", "critic", "editor")


class CandidateSummary(NamedTuple):
    """A candidate, without its text.

    Attributes:
        step: 0 for the first samples.
        reward: its reward.
        characters: of its text.
        tokens: completion tokens.
        leaked: it repeats words of our prompts, and ranks below all others.
    """

    step: int
    reward: float
    characters: int
    tokens: int
    leaked: bool = False

    @property
    def rank(self) -> Rank:
        """What candidates are ordered by: the best has the largest."""
        return rank(self.reward, leaked=self.leaked)


def best_reward(candidates: Iterable[CandidateSummary]) -> float:
    """The reward of the candidate that a search with these would return."""
    return max(candidates, key=lambda seen: seen.rank).reward


class FinishedQuery(NamedTuple):
    """A query that is over and has rewards.

    Attributes:
        id: the row's id in its own run.
        digest: a hash of its messages: two runs have the same query where it is the same.
        candidates: those with a reward, in the order in which they stand in the pool.
        reward: of the answer.
        characters: of the answer.
        tokens: prompt and completion tokens of policy, critic and editor.
        seconds: from the first call to the end.
        usage: what each role cost.
        held_out: the first sample and the answer by the held-out judge; None where there is none.
        arms: what each model of a panel cost and brought; empty where the policy is one model.
    """

    id: str
    digest: str
    candidates: list[CandidateSummary]
    reward: float
    characters: int
    tokens: int
    seconds: float
    usage: dict[str, RoleUsage]
    held_out: HeldOut | None = None
    arms: Sequence[tuple[str, ArmUsage]] = ()

    def best_by(self, step: int) -> float:
        """The reward of the best until a step, which later steps of a search that ended early keep."""
        return best_reward(seen for seen in self.candidates if seen.step <= step)

    @property
    def first(self) -> CandidateSummary:
        """The first sample: the policy without alignment."""
        return self.candidates[0]


class Run(NamedTuple):
    """A run.

    Attributes:
        path: its directory.
        identity: what it is.
        queries: by an id that is the same in all runs of a group; the row's id, as far as it is free.
        warnings: what a user should know before trusting the reward.
    """

    path: Path
    identity: Identity
    queries: dict[str, FinishedQuery]
    warnings: Sequence[str] = ()

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
    """Runs whose rewards can be compared: over the same queries, by the same reward, whatever the files are called.

    Attributes:
        title: what the data is called, in the first run.
        reward: the reward's name.
        runs: those that have rewards.
    """

    title: str
    reward: str
    runs: list[Run]

    def shared(self, runs: Sequence[Run]) -> list[str]:
        """The ids of queries that all of some runs have, word for word, in a fixed order."""
        return sorted(set.intersection(*(set(run.queries) for run in runs))) if runs else []

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


def read_groups(*directories: Path) -> list[Group]:
    """Read the runs of some directories, grouped by what can be compared.

    Args:
        directories: each of a run, of several runs at any depth, or of an evaluation.

    Raises:
        InputError: one holds no run, or none of them has a reward.
        JournalError: a journal is damaged.
    """
    groups: list[Group] = []
    for path, title in _titled(directories).items():
        identity = open_run(path).identity()
        reward = identity.recipe.get("reward") if identity is not None else None
        if identity is None or reward is None:  # plain sampling has no rewards to draw
            continue
        run = Run(path, identity, {query.id: query for query in _queries(path)}, _warnings(path))
        if run.queries:
            groups = _with_run(groups, Group(title or PurePath(identity.data).name, str(reward), [run]))
    if not groups:
        names = ", ".join(map(str, directories))
        raise InputError(f"No run in {names} has a finished query with a reward yet, so there is nothing to draw.")
    return [group._replace(runs=paired(group.runs)) for group in groups]


def _titled(directories: Sequence[Path]) -> dict[Path, str | None]:
    """The runs, each once; in an evaluation with the benchmark's name."""
    found: dict[Path, tuple[Path, str | None]] = {}
    for directory in directories:
        paths = list(run_paths(directory))
        if not paths:
            raise InputError(
                f"{directory} holds no run: give what `tpo run` or `tpo eval` had as --out, or a folder of them."
            )
        of_evaluation = (directory / EVALUATION).is_file()
        for path in paths:
            found.setdefault(path.resolve(), (path, path.parent.name if of_evaluation else None))
    return dict(found.values())


def _with_run(groups: Sequence[Group], new: Group) -> list[Group]:
    """The groups with a run more: those that share queries with it become one."""
    joined = [group for group in groups if group.reward == new.reward and _overlap(group.runs, new.runs[0])]
    if not joined:
        return [*groups, new]
    runs = [run for group in joined for run in group.runs]
    one = joined[0]._replace(runs=[*runs, *new.runs])
    return [one if group is joined[0] else group for group in groups if group is joined[0] or group not in joined]


def _overlap(runs: Iterable[Run], new: Run) -> bool:
    """Whether a run shares half of its queries with one of some runs, or that one half of its with it.

    A few common queries, such as "Hello", do not make one group of two data sets.
    """
    own = {query.digest for query in new.queries.values()}
    others = ({query.digest for query in run.queries.values()} for run in runs)
    return any(2 * len(own & other) >= min(len(own), len(other)) for other in others)


def paired(runs: Sequence[Run]) -> list[Run]:
    """The runs with the same id for the same query, which is that of the first run that has it.

    A query that stands in the data several times is paired in its order.
    """
    ids: dict[tuple[str, int], str] = {}
    taken: set[str] = set()
    found = []
    for run in runs:
        queries: dict[str, FinishedQuery] = {}
        met: dict[str, int] = {}
        for query in run.queries.values():
            number = met[query.digest] = met.get(query.digest, 0) + 1
            key = (query.digest, number)
            if key not in ids:
                ids[key] = next(id for id in _spellings(query.id) if id not in taken)
                taken.add(ids[key])
            queries[ids[key]] = query
        found.append(run._replace(queries=queries))
    return found


def _spellings(id: str) -> Iterator[str]:
    yield id
    yield from (f"{id}~{number}" for number in itertools.count(2))


def run_paths(directory: Path) -> Iterator[Path]:
    """The runs in a directory, at any depth; what `--fresh` put aside and second turns are passed over."""
    for file in sorted(directory.rglob(IDENTITY)):
        inside = file.parent.relative_to(directory).parts
        if SECOND_TURNS not in inside and not any(part.startswith("before-") for part in inside):
            yield file.parent


def _warnings(path: Path) -> list[str]:
    guards = Guards()
    for answer in read_answers(open_run(path).answers):
        if answer.error is None:
            guards.take(answer)
    return guards.warnings


def _queries(path: Path) -> Iterator[FinishedQuery]:
    for history in histories(path):
        if history.result is not None and history.error is None and history.result.reward is not None:
            query = _query(history.id, history.result, history.plan.query if history.plan is not None else history.id)
            if query.candidates[:1] and query.candidates[0].step == 0:
                yield query


def _query(id: str, result: Result, query: Any) -> FinishedQuery:
    assert result.reward is not None
    seen = [
        CandidateSummary(one.step, one.reward, len(one.text), one.tokens, one.leaked is not None)
        for one in result.candidates
        if one.reward is not None
    ]
    used = [result.usage[role] for role in ROLES if role in result.usage]
    return FinishedQuery(
        id=id,
        digest=hashlib.blake2b(msgspec.json.encode(query, order="sorted"), digest_size=16).hexdigest(),
        candidates=seen,
        reward=result.reward,
        characters=len(result.answer),
        tokens=sum(one.prompt_tokens + one.completion_tokens for one in used),
        seconds=result.seconds,
        usage=result.usage,
        held_out=result.held_out,
        arms=list(result.arms.items()),
    )
