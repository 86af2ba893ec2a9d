"""Plain text: a prompt a line."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from tpo.errors import InputError
from tpo.runs.reading.opening import lines, text
from tpo.runs.reading.records import Flaw, Record

COLUMN = "prompt"


class PlainText:
    """A file of prompts; blank lines are passed over."""

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self._path = path
        self._label = Path(name).name

    def columns(self) -> list[str]:
        return [COLUMN]

    def records(self, wanted: Collection[str]) -> Iterator[Record | Flaw]:
        for number, line in lines(self._path):
            where = f"{self._label}, line {number}"
            try:
                yield Record(where, {COLUMN: text(line)})
            except InputError as error:
                yield Flaw(where, str(error))
