"""The stories of a run's queries, read off its journal: for people who look at one, and for what is made of all.

Nothing here writes or locks anything, so that it may be done while `tpo run` is at work in the directory. A journal is
read as a stream, whatever its size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from io import BytesIO
from pathlib import Path

import msgspec

from tpo.engine.records import Ended, Plan, Record, Resumed, Started
from tpo.engine.result import Result, result_of
from tpo.errors import InputError, JournalError
from tpo.runs.answers import Answer, read_answers
from tpo.runs.directory import IDENTITY, RunDirectory
from tpo.runs.finding import Finding, near
from tpo.runs.store import KEY, read_lines

_ENDED = b'","record":{"record":"ended"'


class Story(msgspec.Struct, frozen=True):
    """All that is known of one query.

    Attributes:
        id: the row's id.
        key: what the journal knows it by.
        records: what happened, in that order.
        result: what came of it, or has come so far; None where no answer has landed.
        answer: its line in answers.jsonl; None where it has none (yet).
    """

    id: str
    key: str
    records: list[Record]
    result: Result | None
    answer: Answer | None

    @property
    def plan(self) -> Plan | None:
        """What is done with the query; None where nothing was written down about it."""
        first = self.records[0] if self.records else None
        return first.plan if isinstance(first, Started) else None

    @property
    def ended(self) -> Ended | None:
        """How it ended; None while it is open, or is being tried again."""
        last = next((r for r in reversed(self.records) if isinstance(r, Ended | Resumed)), None)
        return last if isinstance(last, Ended) else None

    @property
    def error(self) -> str | None:
        """Why it failed."""
        if self.answer is not None:
            return self.answer.error
        return self.ended.error if self.ended is not None else None


def open_run(path: Path) -> RunDirectory:
    """The directory of a run that was begun.

    Raises:
        InputError: it is none.
    """
    if not (path / IDENTITY).is_file():
        what = "has no " + IDENTITY if path.is_dir() else "is a file" if path.exists() else "is not there"
        raise InputError(f"{path} is no directory of a run: it {what}. Give what `tpo run` had as --out.")
    return RunDirectory(path)


def story(path: Path, id: str) -> Story:
    """The story of one query, finished or not.

    Args:
        path: the run's directory.
        id: the row's id.

    Raises:
        InputError: this is no run, or it has not begun a query with that id; the message names ids that are near.
        JournalError: the journal is damaged.
    """
    directory = open_run(path)
    ids = []
    for answer in read_answers(directory.answers):
        if answer.id == id:
            return story_of(directory, answer)
        ids.append(answer.id)
    finding = Finding(id)
    for line in read_lines(directory.journal, finding.wanted):
        finding.take(line.key, line.id, line.record)
    if finding.key is None:
        raise InputError(f"{path} has begun no query {id!r}{near(id, [*ids, *finding.others])}.")
    return _told(id, finding.key, finding.records, None)


def story_of(directory: RunDirectory, answer: Answer, span: tuple[int, int | None] = (0, None)) -> Story:
    """The story of a query that is over.

    Args:
        directory: the run's directory.
        answer: the query's line in answers.jsonl.
        span: where in the journal its records are, as `read_lines` takes it; the whole file unless given.

    Raises:
        JournalError: the journal is damaged.
    """
    records: list[Record] = []
    for line in read_lines(directory.journal, lambda key: key == answer.key, span):
        records.append(line.record)
        if isinstance(line.record, Ended) and (line.record.stop, line.record.seconds) == (answer.stop, answer.seconds):
            break  # nothing follows, and the rest of the file may be long
    return _told(answer.id, answer.key, records, answer)


def stories(path: Path) -> Iterator[Story]:
    """The stories of all queries that are over, each once and in the order in which they ended.

    Only the records of queries that are open at the same place of the journal are kept, and those of failed ones that
    were tried again.

    Args:
        path: the run's directory.

    Raises:
        InputError: this is no run.
        JournalError: the journal is damaged.
    """
    directory = open_run(path)
    left = _count_ends(directory.journal)
    begun: dict[str, tuple[str, list[Record]]] = {}
    with closing(_Answers(directory.answers)) as answers:
        for line in read_lines(directory.journal, lambda key: left[key] > 0):
            if line.key not in begun:
                begun[line.key] = (line.id or "", [])
            begun[line.key][1].append(line.record)
            if isinstance(line.record, Ended):
                left[line.key] -= 1
                if not left[line.key]:
                    id, records = begun.pop(line.key)
                    yield _told(id, line.key, records, answers.of(line.key))


def _told(id: str, key: str, records: list[Record], answer: Answer | None) -> Story:
    return Story(id, key, records, _result(records), answer)


def _result(records: Sequence[Record]) -> Result | None:
    try:
        return result_of(records) if records else None
    except JournalError:  # no answer in it yet
        return None


def _count_ends(journal: Path) -> Counter[str]:
    """How often each query ended: more than once where a finished one was gone on with."""
    ends: Counter[str] = Counter()
    if not journal.exists():
        return ends
    try:
        with journal.open("rb") as file:
            for line in file:
                if line.startswith(_ENDED, KEY.stop) and line.endswith(b"\n"):
                    ends[line[KEY].decode("ascii", "replace")] += 1
    except OSError as error:
        raise JournalError(f"The journal {journal} cannot be read: {error.strerror}.") from error
    return ends


class _Key(msgspec.Struct):
    key: str


class _Answers:
    """The answers of a run by key; only their places are kept."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[str, int] = {}
        decoder, at = msgspec.json.Decoder(_Key), 0
        try:
            self._file = path.open("rb") if path.exists() else BytesIO()
            for line in self._file:
                if line.endswith(b"\n"):
                    self._places[decoder.decode(line).key] = at
                at += len(line)
        except (OSError, msgspec.DecodeError) as error:
            raise JournalError(f"{path} cannot be read: {error}.") from error

    def of(self, key: str) -> Answer | None:
        if key not in self._places:
            return None
        try:
            self._file.seek(self._places[key])
            return msgspec.json.decode(self._file.readline(), type=Answer)
        except (OSError, msgspec.DecodeError) as error:
            raise JournalError(f"{self._path} cannot be read: {error}.") from error

    def close(self) -> None:
        self._file.close()
