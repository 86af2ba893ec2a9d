"""Benchmark data in its published format: a local file or folder, or the Hub where that is asked for by name.

Nothing is downloaded unless the Hub was named. Where data is missing, the error says what was looked for and where it
is published.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tpo.errors import InputError
from tpo.runs.reading.formats import table_of
from tpo.runs.reading.records import DataTable, Flaw, guarded, listed, readable

T = TypeVar("T")

HUB = "hub:"
QUERIES = "the data"


class Published(NamedTuple):
    """A file that is published.

    Attributes:
        benchmark: whose it is; a folder of this name is looked into.
        what: what is in it, as in "the prompts".
        files: its name, with the names under which it is also around; `*` and `?` stand for anything.
        fields: columns that each row needs; of several with "|" between them, the first that is there.
        where: where to have it.
        hub: the dataset of the Hugging Face Hub, ORG/NAME[:CONFIG][@SPLIT]; None where its layout there is another.
        several: it comes as several files, all of which are read that are there.
    """

    benchmark: str
    what: str
    files: tuple[str, ...]
    fields: tuple[str, ...]
    where: str
    hub: str | None = None
    several: bool = False


class Source:
    """Where the user put the data.

    Args:
        places: a file or folder, or "hub:" for the datasets of the Hub under their usual names; with a benchmark's
            name and "=" before it, for that one alone, also "hub:ORG/NAME[:CONFIG][@SPLIT]".

    Raises:
        InputError: a place is given twice, or empty.
    """

    def __init__(self, places: Iterable[str] = ()) -> None:
        self._places: dict[str, str] = {}
        for place in places:
            name, equals, rest = place.partition("=")
            # A path may hold an equals sign too; a benchmark's name has no slash and no dot.
            key, value = (name, rest) if equals and name.replace("_", "").isalnum() else ("", place)
            if not value.strip():
                raise InputError(f"--data {place!r} names no place: give a folder, TASK=PATH, or {HUB}.")
            if key in self._places:
                raise InputError(f"--data is given twice for {key or 'all benchmarks'}: {self._places[key]}, {value}.")
            self._places[key] = value

    def names(self) -> list[str]:
        """The benchmarks that a place was given for by name."""
        return [name for name in self._places if name]

    def holds(self, published: Published) -> bool:
        """Whether a file that may be absent is there; the Hub is not contacted."""
        place = self._place(published)
        local = place is not None and not place.startswith(HUB)
        return local and bool(_found(Path(str(place)).expanduser(), published))

    def paths(self, published: Published) -> list[Path]:
        """Where a file is, or several that belong together.

        Raises:
            InputError: it is not there.
        """
        place = self._place(published)
        if place is None or place.startswith(HUB):
            raise _missing(published, "no local data was given for it")
        found = _found(Path(place).expanduser(), published)
        if not found:
            there = Path(place).expanduser().exists()
            raise _missing(published, f"{place} {'holds no such file' if there else 'is not there'}")
        return found

    def records(self, published: Published) -> list[dict[str, Any]]:
        """The rows of a file, each with the fields that it must have.

        Raises:
            InputError: it is not there, cannot be read, or is in another format.
        """
        found = [fields for table in self._tables(published) for fields in _rows(table, published)]
        if not found:
            raise InputError(f"{published.what.capitalize()} of {published.benchmark} has no rows.")
        return found

    def table(self, name: str) -> DataTable:
        """The data that was given under a name, in any format that `tpo run` reads.

        Raises:
            InputError: it is not there, or cannot be read.
        """
        place = self._places[name]
        if place.startswith(HUB):
            return _on_hub(place.removeprefix(HUB))
        path = Path(place).expanduser()
        if not path.exists():  # else a name with a slash would be looked for on the Hub
            raise InputError(f"--data {name}={place}: {place} is not there. Give a file, a folder, or {HUB}ORG/NAME.")
        return table_of(str(path), None, None)

    def _tables(self, published: Published) -> list[DataTable]:
        place = self._place(published)
        if place is None or not place.startswith(HUB):
            return [table_of(str(path), None, None) for path in self.paths(published)]
        name = place.removeprefix(HUB) or published.hub
        if name is None:
            raise _missing(published, "the Hub does not have it as a table")
        return [_on_hub(name)]

    def _place(self, published: Published) -> str | None:
        return self._places.get(published.benchmark, self._places.get(""))


def _on_hub(name: str) -> DataTable:
    dataset, _, split = name.partition("@")
    return table_of(dataset, split or None, None)


def chosen(rows: Sequence[T], limit: int | None, seed: int) -> list[T]:
    """So many rows, drawn at random; all in their order without a limit. A larger draw holds a smaller one.

    Raises:
        InputError: the limit is below 1.
    """
    if limit is None:
        return list(rows)
    if limit < 1:
        raise InputError(f"The limit is {limit}: at least one query is needed.")
    drawn = list(range(len(rows)))
    random.Random(seed).shuffle(drawn)
    return [rows[place] for place in drawn[:limit]]


def text_in(fields: Mapping[str, Any], *names: str) -> str:
    """The first of some fields that a row has, as text; empty without any."""
    return next((str(fields[name]) for name in names if fields.get(name) is not None), "")


def _rows(table: DataTable, published: Published) -> Iterator[dict[str, Any]]:
    with readable(table.name):
        columns = table.columns()
    for number, record in enumerate(guarded(table.name, table.records(columns)), 1):
        if isinstance(record, Flaw):
            raise InputError(f"{table.name}: {record.where}: {record.reason}")
        for field in published.fields:
            if all(record.fields.get(name) is None for name in field.split("|")):
                raise InputError(
                    f"{table.name}, row {number}, has no {field.replace('|', ' or ')}; it has "
                    f"{listed(list(record.fields))}. Expected is {published.what} of {published.benchmark} as it is "
                    f"published: {published.where}."
                )
        yield dict(record.fields)


def _found(place: Path, published: Published) -> list[Path]:
    """The files of the first name that any has."""
    if place.is_file():
        return [place] if _fits(place, published) else []
    for folder in (place / published.benchmark, place):
        for name in published.files:
            if files := sorted(path for path in folder.glob(name) if path.is_file()):
                return files if published.several else files[:1]
    return []


def _fits(path: Path, published: Published) -> bool:
    # One file given for a benchmark with two is the queries' unless it is named like the other.
    return published.what == QUERIES or any(path.match(name) for name in published.files)


def _missing(published: Published, why: str) -> InputError:
    return InputError(
        f"{published.what.capitalize()} of {published.benchmark}: {why}. Expected is {published.files[0]} with "
        f"{', '.join(published.fields).replace('|', ' or ')} in each row; it is published at {published.where}. Give "
        f"its folder with --data DIR or --data {published.benchmark}=PATH"
        + (f", or have it from the Hub with --data {HUB}." if published.hub else ".")
    )
