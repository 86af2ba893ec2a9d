"""Parquet: a file, or a folder of files that together are one dataset."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from types import ModuleType

from tpo.errors import InputError
from tpo.runs.reading.arrow import without_gaps
from tpo.runs.reading.records import Flaw, Record
from tpo.runs.reading.splits import chosen_split

_AT_ONCE = 128
# The names that the Hub gives to the files of a split: train.parquet, test-00000-of-00002.parquet.
_SHARD = re.compile(r"(.+?)-\d+-of-\d+")
_SPLIT = re.compile(r"(train|training|validation|valid|val|dev|test|eval)(?![a-zA-Z])")


class Parquet:
    """One split in Parquet files.

    Args:
        paths: the files, in the order in which they are read.
        name: what users know the data by.

    Raises:
        InputError: pyarrow is not installed.
    """

    def __init__(self, paths: Sequence[Path], name: str) -> None:
        self.name = name
        self._paths = paths
        self._library = _pyarrow(name)

    def columns(self) -> list[str]:
        return self._columns(self._paths[0])

    def records(self, wanted: Collection[str]) -> Iterator[Record | Flaw]:
        for path in self._paths:
            yield from self._file(path, wanted)

    def _columns(self, path: Path) -> list[str]:
        try:
            with self._library.parquet.ParquetFile(path) as file:
                return list(file.schema_arrow.names)
        except (self._library.ArrowException, OSError, ValueError) as error:
            raise _damaged(path, error) from error

    def _file(self, path: Path, wanted: Collection[str]) -> Iterator[Record]:
        # Only what is asked for is unpacked: other columns may hold pictures, or dates that Python cannot hold.
        columns = [name for name in self._columns(path) if name in wanted]
        number = 0
        try:
            with self._library.parquet.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=_AT_ONCE, columns=columns):
                    for fields in batch.to_pylist():
                        number += 1
                        yield Record(f"{path.name}, row {number}", {k: without_gaps(v) for k, v in fields.items()})
        except (self._library.ArrowException, OSError, ValueError) as error:
            raise _damaged(path, error) from error


def parquet_folder(folder: Path, name: str, split: str | None) -> Parquet | None:
    """The Parquet files of a folder; None where it holds none.

    Raises:
        InputError: they belong to several splits, and none was named; or pyarrow is not installed.
    """
    files = sorted(path for path in folder.glob("*.parquet") if path.is_file() and path.name[0] not in "._")
    if not files:
        return None
    splits: dict[str, list[Path]] = {}
    for path in files:
        splits.setdefault(_split_of(path.stem), []).append(path)
    return Parquet(splits[chosen_split(name, splits, split)], name)


def _split_of(stem: str) -> str:
    found = _SHARD.fullmatch(stem) or _SPLIT.match(stem)
    return found[1] if found else "train"


def _pyarrow(name: str) -> ModuleType:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise InputError(f"Reading {name} needs pyarrow: pip install 'tpo[datasets]'.") from error
    library: ModuleType = pyarrow
    return library


def _damaged(path: Path, error: Exception) -> InputError:
    why = str(error).strip().splitlines() or [type(error).__name__]
    return InputError(f"{path} cannot be read as Parquet, or no further: {why[0].rstrip('.')}.")
