"""Which format some data is in; standard input is kept in a file, since a run reads its data more than once."""

from __future__ import annotations

import filecmp
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from tpo.errors import InputError
from tpo.runs.reading.json_files import JsonLines, JsonList, json_file
from tpo.runs.reading.records import DataTable, readable
from tpo.runs.reading.tables import Parquet, hub_dataset, parquet_folder, saved_dataset
from tpo.runs.reading.text import Delimited, PlainText, start

FORMATS: dict[str, Callable[[Path, str], DataTable]] = {
    ".jsonl": JsonLines,
    ".ndjson": JsonLines,
    ".json": json_file,
    ".csv": Delimited,
    ".tsv": lambda path, name: Delimited(path, name, "\t"),
    ".txt": PlainText,
    ".parquet": lambda path, name: Parquet([path], name),
}

_HUB_NAME = re.compile(r"([\w-][\w.-]*)/[\w-][\w.-]*")


def table_of(spec: str, split: str | None, spool: Path | None) -> DataTable:
    """The data that a user named.

    Args:
        spec: as in `open_data`.
        split: the split of a dataset that has several.
        spool: the file in which standard input is kept.

    Raises:
        InputError: there is none, or its format is unknown.
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


def _file(path: Path, name: str) -> DataTable:
    if not path.is_file():
        raise InputError(f"{name} is no plain file, so it cannot be read twice: save it to one, or pipe it in with -.")
    suffix = Path(path.stem if path.suffix == ".gz" else path.name).suffix.lower()
    if suffix not in FORMATS:
        raise InputError(
            f"The format of {name} is not known by its ending: {', '.join(FORMATS)} are read (all but the last with "
            ".gz too)."
        )
    return FORMATS[suffix](path, name)


def _folder(folder: Path, config: str | None, split: str | None, name: str) -> DataTable:
    table = saved_dataset(folder, split, name) or parquet_folder(folder, name, split)
    if table is not None:
        return table
    if not any(path.is_file() for path in folder.rglob("*")):
        raise InputError(f"The folder {name} is empty: give a file, or a folder that holds a dataset.")
    return hub_dataset(str(folder), config, split, name)


def _elsewhere(spec: str, split: str | None) -> DataTable:
    """A name that is neither a file nor a folder."""
    name, _, config = spec.partition(":")
    if config and Path(name).is_dir():
        return hub_dataset(name, config, split, spec)
    hub = _HUB_NAME.fullmatch(name)
    suffixes = {suffix.lower() for suffix in Path(name).suffixes}
    if hub is None or Path(hub[1]).is_dir() or suffixes & {*FORMATS, ".gz"}:
        raise InputError(f"There is no file or folder {spec}. A dataset of the Hugging Face Hub is named org/name.")
    return hub_dataset(name, config or None, split, spec)


STDIN = "standard input"
# JSON begins like this, and hardly any prompt does: a file of broken JSON must not be read as prompts.
_OBJECT = re.compile(rb'\{\s*(["}]|$)')
_LIST = re.compile(rb"\[\s*(\{|$)")


def standard_input(spool: Path | None) -> DataTable:
    """The data in standard input: JSON lines or a JSON list by how it begins, else a prompt a line.

    Args:
        spool: where it is kept. If it exists from an earlier start, standard input may be empty.

    Raises:
        InputError: there is no place to keep it, it cannot be kept, or it is not what was kept earlier.
    """
    if spool is None:
        raise InputError("Standard input cannot be read twice: save it to a file and give that.")
    if not spool.exists() or not sys.stdin.isatty():
        try:
            _keep(spool)
        except OSError as error:
            raise InputError(f"Standard input cannot be kept in {spool}: {error.strerror or error}.") from error
    return _by_its_start(spool)


def _keep(spool: Path) -> None:
    part = spool.with_name(f"{spool.name}.part")
    with part.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.flush()
        os.fsync(file.fileno())
    if part.stat().st_size == 0 and not spool.exists():
        part.unlink()
        raise InputError("Standard input is empty: pipe in a prompt a line, or JSON lines.")
    # The file gets its name when it is whole: after a crash, what has the name can be trusted.
    if not spool.exists():
        part.replace(spool)
        return
    new = part.stat().st_size > 0 and not filecmp.cmp(part, spool, shallow=False)
    part.unlink()
    if new:
        raise InputError(
            f"Standard input is not what this run was started with, which is kept in {spool}: "
            "give the same, or nothing, or choose another --out."
        )


def _by_its_start(spool: Path) -> DataTable:
    first = start(spool)
    if _LIST.match(first):
        return JsonList(spool, STDIN)
    if _OBJECT.match(first):
        return JsonLines(spool, STDIN)
    return PlainText(spool, STDIN)
