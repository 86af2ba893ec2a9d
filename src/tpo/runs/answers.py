"""`answers.jsonl`: the answer to each query, a line each, written as queries end.

It is a view of the journal: a line that a crash destroyed is written again from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import msgspec

from tpo.engine.result import ArmUsage, HeldOut, Result, RoleUsage, best_by_step
from tpo.errors import JournalError
from tpo.runs.rows import QueryRow


class First(msgspec.Struct, frozen=True):
    """The first sample: the policy without alignment."""

    answer: str
    reward: float | None
    tokens: int


class StepRewards(msgspec.Struct, frozen=True):
    """Rewards after a step.

    Attributes:
        step: 0 for the first samples.
        best: the best reward so far.
        mean: the mean reward of the step's own answers.
    """

    step: int
    best: float | None
    mean: float | None


class Answer(msgspec.Struct, frozen=True):
    """The answer to one query, or its error.

    Attributes:
        id: the row's id.
        key: its key in the journal.
        row: the row's position in the data, from 0.
        answer: the chosen answer; None where there is none.
        reward: its reward.
        tokens: its completion tokens.
        first: the first sample.
        steps: rewards by step.
        stop: why the search ended.
        usage: what each role cost.
        seconds: from its first call to its end.
        error: why there is no answer, or what ended the search before its time.
        held_out: the first sample and the answer by the held-out judge; None where there is none.
        arms: what each arm of a panel cost and brought; empty where the policy is one model.
    """

    id: str
    key: str
    row: int
    answer: str | None = None
    reward: float | None = None
    tokens: int = 0
    first: First | None = None
    steps: list[StepRewards] = []
    stop: str | None = None
    usage: dict[str, RoleUsage] = {}
    seconds: float = 0.0
    error: str | None = None
    held_out: HeldOut | None = None
    arms: dict[str, ArmUsage] = {}


class AnswerKey(msgspec.Struct):
    """A line of which only the key is read, which is faster."""

    key: str


def answer_of(row: QueryRow, key: str, result: Result | None, error: str | None = None) -> Answer:
    """The line for a query that is over.

    Args:
        row: the query.
        key: its key in the journal.
        result: its result, or the best before it failed.
        error: why it failed.
    """
    if result is None:
        return Answer(row.id, key, row.number, stop="error", error=error)
    first = result.candidates[0]
    chosen = next(candidate for candidate in result.candidates if candidate.id == result.chosen)
    return Answer(
        id=row.id,
        key=key,
        row=row.number,
        answer=result.answer if result.answer.strip() or not error else None,
        reward=result.reward,
        tokens=chosen.tokens,
        first=First(first.text, first.reward, first.tokens),
        steps=_steps(result),
        stop="error" if error else result.stop,
        usage={role: usage for role, usage in result.usage.items() if usage.calls},
        seconds=result.seconds,
        error=error,
        held_out=result.held_out,
        arms=result.arms,
    )


def _steps(result: Result) -> list[StepRewards]:
    steps = []
    for step, best in zip(result.steps, best_by_step(result.steps), strict=True):
        rewards = [candidate.reward for candidate in step.candidates if candidate.reward is not None]
        steps.append(StepRewards(step.step, best, fmean(rewards) if rewards else None))
    return steps


_decoder = msgspec.json.Decoder(Answer)
_encoder = msgspec.json.Encoder()


def encoded(answer: Answer) -> bytes:
    """The line, without its end."""
    return _encoder.encode(answer)


def read_answers(path: Path) -> Iterator[Answer]:
    """The answers in a file, in its order; a torn last line is left out.

    Raises:
        JournalError: the file cannot be read, or a line is no answer.
    """
    for number, line in enumerate(_lines(path), 1):
        try:
            yield _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise JournalError(
                f"{path}, line {number}: this is not an answer of a run ({error}). Delete this line, or the whole "
                f"file, and run the same command again: what is missing is made again from the journal."
            ) from error


def _lines(path: Path) -> Iterator[bytes]:
    if not path.exists():
        return
    try:
        with path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield line
    except OSError as error:
        raise JournalError(f"{path} cannot be read: {error.strerror}.") from error


class _Row(msgspec.Struct):
    row: int


def sort_by_row(path: Path) -> None:
    """Put the answers into the order of the data, whatever their number."""
    decoder = msgspec.json.Decoder(_Row)
    places: list[tuple[int, int, int]] = []
    at = 0
    for line in _lines(path):
        places.append((decoder.decode(line).row, at, len(line)))
        at += len(line)
    if places == sorted(places):
        return
    beside = path.with_name(f"{path.name}.new")
    try:
        with path.open("rb") as source, beside.open("wb") as target:
            for _, start, length in sorted(places):
                source.seek(start)
                target.write(source.read(length))
        beside.replace(path)
    except OSError as error:
        raise JournalError(f"{path} cannot be written: {error.strerror}.") from error


def keep_only(path: Path, kept: set[str]) -> None:
    """Leave only the answers with these keys, once each."""
    beside = path.with_name(f"{path.name}.new")
    left = set(kept)
    try:
        with beside.open("wb") as target:
            for answer in read_answers(path):
                if answer.key in left:
                    left.discard(answer.key)
                    target.write(encoded(answer) + b"\n")
        beside.replace(path)
    except OSError as error:
        raise JournalError(f"{path} cannot be written: {error.strerror}.") from error
