"""What the update steps of finished runs did: which rules they mended and broke, and what a gate would have followed.

    python benchmarks/steps.py RUN…

A RUN is a directory of `tpo run`, or a folder of such; their reward has to say in words and parts what an answer fails
(`verifier:ifeval`, `--prefer`). For each step after the first, with the best answer before it:

- mended: the share of the step's answers that keep the one requirement which a minimal pair names (`contrast=minimal`),
  whatever the step was really advised to do, so that methods are compared by the same requirement;
- broken: the share of the step's answers that break a requirement which the best answer kept;
- followed, replaced: steps whose critique names what the answer fails, and steps whose critique does not (what
  `gate=true` distinguishes), and in how many of them an answer exceeded the best one.

Predictions that these numbers decide are in recipes/small/gate.toml and minimal-pairs.toml.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tpo.candidate import Candidate
from tpo.engine.records import Replied
from tpo.methods.contrast import is_useful, one_demand, rejected_by
from tpo.methods.pool import Pool
from tpo.methods.unmet import demands, keeps
from tpo.runs.directory import IDENTITY
from tpo.runs.history import QueryHistory, histories

# How the names of prompts end whose replies are advice.
ADVICE = ("gradient", "fused_loss")


class Step(NamedTuple):
    """One update step.

    Attributes:
        mended: the share of its answers that keep the named requirement; None where none is named.
        broken: the share of its answers that break what the best answer kept; None where it kept nothing.
        gained: an answer exceeded the best one.
        useful: the critique names what the best answer fails; None without a critique.
    """

    mended: float | None
    broken: float | None
    gained: bool
    useful: bool | None


def steps_of(history: QueryHistory) -> Iterator[Step]:
    """The update steps of a search."""
    candidates = history.result.candidates if history.result is not None else []
    advice = {one.step: one.text for one in history.records if isinstance(one, Replied) and one.name.endswith(ADVICE)}
    for step in sorted({one.step for one in candidates} - {0}):
        pool = Pool()
        pool.add(one for one in candidates if one.step < step)
        fresh = [one for one in candidates if one.step == step and one.reward is not None]
        if fresh and pool.candidates and pool.chosen.reward is not None:
            yield _step(pool, fresh, advice.get(step))


def _step(pool: Pool, fresh: Sequence[Candidate], critique: str | None) -> Step:
    best = pool.chosen
    wanted = one_demand(best, rejected_by("minimal", pool))
    named = next((name for name, words in demands(best).items() if words == wanted and name in best.parts), None)
    kept = [name for name in best.parts if keeps(best, name)]
    mended = [keeps(one, named) for one in fresh] if named is not None else []
    broken = [any(not keeps(one, name) for name in kept) for one in fresh] if kept else []
    gained = max(one.reward or 0.0 for one in fresh) > (best.reward or 0.0)
    useful = is_useful(critique, best) if critique is not None else None
    return Step(_share(mended), _share(broken), gained, useful)


def _share(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None


def row_of(path: Path) -> list[str]:
    """A run's line of the table."""
    steps = [step for history in histories(path) for step in steps_of(history)]
    followed, replaced = ([step for step in steps if step.useful is useful] for useful in (True, False))
    return [
        str(path),
        str(len(steps)),
        _mean(step.mended for step in steps),
        _mean(step.broken for step in steps),
        *(f"{len(some)}, {_mean(float(step.gained) for step in some)}" for some in (followed, replaced)),
    ]


def _mean(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{100 * sum(known) / len(known):.0f} % (n {len(known)})" if known else "–"


def main(arguments: Sequence[str]) -> int:
    """Print the table."""
    runs = [path.parent for place in arguments for path in sorted(Path(place).rglob(IDENTITY))]
    if not runs:
        print(__doc__, file=sys.stderr)
        return 2
    print("| run | steps | mended | broken | followed: steps, gained | replaced: steps, gained |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for path in runs:
        print(f"| {' | '.join(row_of(path))} |")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
