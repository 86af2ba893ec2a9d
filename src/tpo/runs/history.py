"""The history of each query of a run, read from its journal.

Nothing here writes or locks anything, so it works while `tpo run` is writing to the directory. A journal is read as a
stream, whatever its size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from difflib import get_close_matches
from io import BytesIO
from itertools import islice
from pathlib import Path

import msgspec

from tpo.engine.records import Ended, Plan, Record, Resumed, Started
from tpo.engine.result import Result, result_of
from tpo.errors import InputError, JournalError
from tpo.runs.answers import Answer, AnswerKey, read_answers
from tpo.runs.directory import IDENTITY, RunDirectory
from tpo.runs.store import KEY, read_lines

_ENDED = b'","record":{"record":"ended"'


class QueryHistory(msgspec.Struct, frozen=True):
    """Everything recorded about one query.

    Attributes:
        id: the row's id.
        key: its key in the journal.
        records: what happened, in that order.
        result: its result, or the best so far; None where no answer has landed.
        answer: its line in answers.jsonl; None where it has none yet.
    """

    id: str
    key: str
    records: list[Record]
    result: Result | None
    answer: Answer | None

    @property
    def plan(self) -> Plan | None:
        """How the query is searched; None where the journal holds nothing about it."""
        first = self.records[0] if self.records else None
        return first.plan if isinstance(first, Started) else None

    @property
    def ended(self) -> Ended | None:
        """How the search ended; None while it is open, or is being retried."""
        last = next((r for r in reversed(self.records) if isinstance(r, Ended | Resumed)), None)
        return last if isinstance(last, Ended) else None

    @property
    def error(self) -> str | None:
        """Why the query failed; None where it did not."""
        if self.answer is not None:
            return self.answer.error
        return self.ended.error if self.ended is not None else None


def open_run(path: Path) -> RunDirectory:
    """The directory of a run.

    Raises:
        InputError: the path is no run.
    """
    if not (path / IDENTITY).is_file():
        what = "has no " + IDENTITY if path.is_dir() else "is a file" if path.exists() else "is not there"
        raise InputError(f"{path} is not a directory of a run: it {what}. Give what `tpo run` had as --out.")
    return RunDirectory(path)


def query_history(path: Path, id: str) -> QueryHistory:
    """The history of one query, finished or not.

    Args:
        path: the run's directory.
        id: the row's id.

    Raises:
        InputError: this is no run, or it has not begun a query with that id; the message names similar ids.
        JournalError: the journal is damaged.
    """
    directory = open_run(path)
    ids = []
    for answer in read_answers(directory.answers):
        if answer.id == id:
            return history_of(directory, answer)
        ids.append(answer.id)
    finding = Lookup(id)
    for line in read_lines(directory.journal, finding.wanted):
        finding.take(line.key, line.id, line.record)
    if finding.key is None:
        raise InputError(f"{path} has begun no query {id!r}{near(id, [*ids, *finding.others])}.")
    return _history(id, finding.key, finding.records, None)


def history_of(directory: RunDirectory, answer: Answer, span: tuple[int, int | None] = (0, None)) -> QueryHistory:
    """The history of a query that is over.

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
    return _history(answer.id, answer.key, records, answer)


def histories(path: Path) -> Iterator[QueryHistory]:
    """The histories of all queries that are over, each once, in the order in which they ended.

    Memory holds only the records of queries that are open at the same place of the journal, and of failed ones that
    were retried.

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
                    yield _history(id, line.key, records, answers.of(line.key))


def _history(id: str, key: str, records: list[Record], answer: Answer | None) -> QueryHistory:
    return QueryHistory(id, key, records, result_in(records), answer)


def result_in(records: Sequence[Record]) -> Result | None:
    """The result that records lead to; None where they hold no answer yet."""
    try:
        return result_of(records) if records else None
    except JournalError:
        return None


def _count_ends(journal: Path) -> Counter[str]:
    """How often each query ended: more than once where a finished search was continued."""
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


class _Answers:
    """The answers of a run by key; memory holds only their offsets."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[str, int] = {}
        decoder, at = msgspec.json.Decoder(AnswerKey), 0
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


SHOWN = 5
# Comparing with each of a million ids would take a minute.
LOOKED_THROUGH = 20_000


class Lookup:
    """Finds a query that has no answer yet by its id, which stands in the first record of each query.

    Args:
        id: the row's id.

    Attributes:
        key: its key in the journal; None until it is found.
        records: its records.
        others: the ids of other queries.
    """

    def __init__(self, id: str) -> None:
        self.key: str | None = None
        self.records: list[Record] = []
        self.others: list[str] = []
        self._id = id
        self._seen: set[str] = set()

    def wanted(self, key: str) -> bool:
        """Whether a line with this key is to be read."""
        if key in self._seen:
            return key == self.key
        self._seen.add(key)
        return True

    def take(self, key: str, id: str | None, record: Record) -> None:
        """Add a line of the journal."""
        if id == self._id and key != self.key:
            # A row whose query was changed before it had an answer has another key: the last one counts.
            self.key, self.records = key, []
        if key == self.key:
            self.records.append(record)
        elif id is not None:
            self.others.append(id)


def near(id: str, ids: Iterable[str]) -> str:
    """The end of a sentence about an unknown id: the most similar ids that exist."""
    known = list(dict.fromkeys(ids))
    close = get_close_matches(id, known[:LOOKED_THROUGH], SHOWN)
    close += islice((one for one in known if one.startswith(id) and one not in close), SHOWN)
    if close:
        return f"; near are {', '.join(close[:SHOWN])}"
    return f"; its ids are like {', '.join(known[:SHOWN])}" if known else "; none at all, so far"
