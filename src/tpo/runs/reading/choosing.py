"""Which format some data is in."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from tpo.errors import InputError
from tpo.runs.reading.delimited import Delimited
from tpo.runs.reading.hub import hub_dataset, saved_dataset
from tpo.runs.reading.json_list import json_file
from tpo.runs.reading.jsonl import JsonLines
from tpo.runs.reading.parquet import Parquet, parquet_folder
from tpo.runs.reading.plain import PlainText
from tpo.runs.reading.records import Table, readable
from tpo.runs.reading.stdin import standard_input

FORMATS: dict[str, Callable[[Path, str], Table]] = {
    ".jsonl": JsonLines,
    ".ndjson": JsonLines,
    ".json": json_file,
    ".csv": Delimited,
    ".tsv": lambda path, name: Delimited(path, name, "\t"),
    ".txt": PlainText,
    ".parquet": lambda path, name: Parquet([path], name),
}

_HUB_NAME = re.compile(r"([\w-][\w.-]*)/[\w-][\w.-]*")


def table_of(spec: str, split: str | None, spool: Path | None) -> Table:
    """The data that a user named.

    Args:
        spec: as in `open_data`.
        split: the split of a dataset that has several.
        spool: the file in which standard input is kept.

    Raises:
        InputError: there is none, or none in a format that is known.
    """
    if not spec.strip() or "\0" in spec:
        raise InputError("The data has no name: give a file, a folder, a dataset of the Hub, or - for standard input.")
    path = Path(spec).expanduser()
    with readable(spec):
        if path.is_dir():
            return _folder(path, None, split, spec)
        if spec == "-" or path.exists():
            _no_split(spec, split)
            return standard_input(spool) if spec == "-" else _file(path, spec)
        return _elsewhere(spec, split)


def _no_split(spec: str, split: str | None) -> None:
    if split is not None:
        raise InputError(f"{spec} has no splits, so --split {split} means nothing for it: leave it out.")


def _file(path: Path, name: str) -> Table:
    if not path.is_file():
        raise InputError(f"{name} is no plain file, so it cannot be read twice: save it to one, or pipe it in with -.")
    suffix = Path(path.stem if path.suffix == ".gz" else path.name).suffix.lower()
    if suffix not in FORMATS:
        raise InputError(
            f"The format of {name} is not known by its ending: {', '.join(FORMATS)} are read (all but the last with "
            ".gz too)."
        )
    return FORMATS[suffix](path, name)


def _folder(folder: Path, config: str | None, split: str | None, name: str) -> Table:
    table = saved_dataset(folder, split, name) or parquet_folder(folder, name, split)
    if table is not None:
        return table
    if not any(path.is_file() for path in folder.rglob("*")):
        raise InputError(f"The folder {name} is empty: give a file, or a folder that holds a dataset.")
    return hub_dataset(str(folder), config, split, name)


def _elsewhere(spec: str, split: str | None) -> Table:
    """A name that is no file and no folder as it stands."""
    name, _, config = spec.partition(":")
    if config and Path(name).is_dir():
        return hub_dataset(name, config, split, spec)
    hub = _HUB_NAME.fullmatch(name)
    suffixes = {suffix.lower() for suffix in Path(name).suffixes}
    if hub is None or Path(hub[1]).is_dir() or suffixes & {*FORMATS, ".gz"}:
        raise InputError(f"There is no file or folder {spec}. A dataset of the Hugging Face Hub is named org/name.")
    return hub_dataset(name, config or None, split, spec)
