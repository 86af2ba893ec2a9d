"""A run as the page sees it: its answers as columns, and the way from a query to its line and its story.

The answers are read once, and on from there when the run has grown. Some 140 bytes a query are kept in memory, so that
a run of 100,000 queries takes 14 MB; texts are read from the files when they are shown. What is searched of them is
kept without its case, in a temporary file where it is long.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec
import numpy as np

from tpo.decoding import prepared
from tpo.errors import JournalError
from tpo.runs.answers import Answer
from tpo.runs.history import QueryHistory, history_of, open_run, query_history
from tpo.runs.status import RunStatus, run_status
from tpo.runs.summary import Count
from tpo.view.answer_stats import AnswerStats
from tpo.view.columns import ColumnBuilder, Columns, Integers
from tpo.view.journal_index import JournalIndex
from tpo.view.search import SearchTexts

# Searches whose hits are kept, so that turning a page does not search again.
REMEMBERED = 16


class RunIndex:
    """One run.

    Args:
        path: its directory.

    Raises:
        InputError: it is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.directory = open_run(path)
        self._journal = JournalIndex(self.directory.journal)
        self.answer_stats = AnswerStats(self.directory.journal)
        self._reading = threading.Lock()
        self._decoder = msgspec.json.Decoder(prepared(Answer))
        self._found: OrderedDict[tuple[str, int, int], Integers] = OrderedDict()
        self._forget(0)

    def _forget(self, inode: int) -> None:
        self._inode = inode
        self._size = 0
        self._count = Count()
        self._texts = SearchTexts()
        self._builder = ColumnBuilder()
        self._columns = self._builder.snapshot()

    def columns(self) -> Columns:
        """The answers that there are now.

        Raises:
            JournalError: they are damaged.
        """
        return self._current()[0]

    def status(self) -> RunStatus:
        """How the run stands.

        Raises:
            InputError: it is no run any more.
            JournalError: its answers are damaged.
        """
        return run_status(self.path, lambda directory: self._current()[1])

    def _current(self) -> tuple[Columns, Count]:
        with self._reading:
            try:
                self._read_on()
            except FileNotFoundError:
                self._forget(0)
            except OSError as error:
                raise JournalError(f"{self.directory.answers} cannot be read: {error.strerror}.") from error
            return self._columns, self._count

    def _read_on(self) -> None:
        stat = self.directory.answers.stat()
        # A sorted file, or one without the answers that are tried again, is another file.
        if stat.st_ino != self._inode or stat.st_size < self._size:
            self._forget(stat.st_ino)
        if stat.st_size == self._size:
            return
        at = self._size
        for line in lines_of(self.directory.answers, at):
            answer = self._decoded(line, at)
            self._builder.add(at, answer)
            self._texts.add(answer.id, answer.answer or "")
            self._count.take(answer)
            at += len(line)
        if at > self._size:
            self._size, self._columns = at, self._builder.snapshot()

    def _decoded(self, line: bytes, at: int) -> Answer:
        try:
            return self._decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise JournalError(
                f"{self.directory.answers}, byte {at}: this is no answer of a run ({error}). Remove the file and run "
                f"the same command again: it is made anew from the journal."
            ) from error

    def answers(self, places: Iterable[int]) -> list[Answer]:
        """The answers whose lines begin at these places.

        Raises:
            JournalError: the file cannot be read.
        """
        try:
            with self.directory.answers.open("rb") as file:
                found = []
                for place in places:
                    file.seek(place)
                    found.append(self._decoded(file.readline(), place))
                return found
        except OSError as error:
            raise JournalError(f"{self.directory.answers} cannot be read: {error.strerror}.") from error

    def answer(self, id: str) -> Answer | None:
        """The answer of a query; None where it has none (yet)."""
        columns = self.columns()
        places = columns.at[columns.name == hash(id)]
        return next((answer for answer in self.answers(places) if answer.id == id), None)

    def id_of_row(self, row: int) -> str | None:
        """The id of the query in a row of the data; None where it has no answer (yet)."""
        columns = self.columns()
        return next((answer.id for answer in self.answers(columns.at[columns.row == row].tolist())), None)

    def number_of(self, columns: Columns, id: str) -> int | None:
        """Where among the columns a query is; None where it has no answer (yet)."""
        numbers = np.flatnonzero(columns.name == hash(id)).tolist()
        answers = self.answers(columns.at[numbers].tolist())
        return next((number for number, answer in zip(numbers, answers, strict=True) if answer.id == id), None)

    def story(self, id: str) -> QueryHistory:
        """The story of a query, finished or not.

        Raises:
            InputError: the run has begun no query with that id.
            JournalError: the journal is damaged.
        """
        answer = self.answer(id)
        if answer is None:
            return query_history(self.path, id)
        return history_of(self.directory, answer, self._journal.of(answer.key))

    def questions(self, answers: Iterable[Answer]) -> list[str | None]:
        """The questions of some answers; None for one that the journal lacks.

        Raises:
            JournalError: the journal cannot be read.
        """
        return self._journal.questions([answer.key for answer in answers])

    def search(self, text: str) -> Integers:
        """Which queries have the words in their id, question or answer, whatever their case.

        Args:
            text: what to search for, as plain text.

        Returns:
            their numbers among the columns, ascending.

        Raises:
            InputError: the texts have no room in a temporary file.
            JournalError: a file cannot be read.
        """
        columns = self.columns()
        key = (text.casefold(), self._inode, len(columns.at))
        if key not in self._found:
            asked = np.isin(columns.key, self._journal.search(text))
            answered = np.array(self._texts.find(text), dtype=np.int64)
            asked[answered[answered < len(asked)]] = True  # an answer may have arrived meanwhile
            self._found[key] = np.flatnonzero(asked)
            while len(self._found) > REMEMBERED:
                self._found.popitem(last=False)
        return self._found[key]


def lines_of(path: Path, at: int) -> Iterator[bytes]:
    """The whole lines of a file from a place on."""
    with path.open("rb") as file:
        file.seek(at)
        for line in file:
            if not line.endswith(b"\n"):
                return
            yield line


def ordered(columns: Columns, numbers: Integers, by: Callable[[Columns], np.ndarray], *, down: bool) -> Integers:
    """Numbers in the order of a column; those without a value come last, equals in the order of the data."""
    values = by(columns)[numbers].astype(np.float64)
    keys = -values if down else values
    order: Integers = np.lexsort((columns.row[numbers], keys))  # NaN sorts last
    return numbers[order]
