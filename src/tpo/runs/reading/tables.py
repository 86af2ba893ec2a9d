"""Parquet, and datasets of Hugging Face: on the Hub, saved with save_to_disk, or laid out in a folder."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from tpo.errors import InputError
from tpo.messages import without_nulls
from tpo.runs.reading.records import DataRecord, Flaw, chosen_split

_AT_ONCE = 128
# The names that the Hub gives to the files of a split: train.parquet, test-00000-of-00002.parquet.
_SHARD = re.compile(r"(.+?)-\d+-of-\d+")
_SPLIT = re.compile(r"(train|training|validation|valid|val|dev|test|eval)(?![a-zA-Z])")


class Parquet:
    """One split in Parquet files.

    Args:
        paths: the files, in the order in which they are read.
        name: the name of the data for messages.

    Raises:
        InputError: pyarrow is not installed.
    """

    def __init__(self, paths: Sequence[Path], name: str) -> None:
        self.name = name
        self._paths = paths
        self._library = _pyarrow(name)

    def columns(self) -> list[str]:
        return self._columns(self._paths[0])

    def records(self, wanted: Collection[str]) -> Iterator[DataRecord | Flaw]:
        for path in self._paths:
            yield from self._file(path, wanted)

    def _columns(self, path: Path) -> list[str]:
        try:
            with self._library.parquet.ParquetFile(path) as file:
                return list(file.schema_arrow.names)
        except (self._library.ArrowException, OSError, ValueError) as error:
            raise _damaged(path, error) from error

    def _file(self, path: Path, wanted: Collection[str]) -> Iterator[DataRecord]:
        # Only the wanted columns are unpacked: other columns may hold pictures, or dates that Python cannot hold.
        columns = [name for name in self._columns(path) if name in wanted]
        number = 0
        try:
            with self._library.parquet.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=_AT_ONCE, columns=columns):
                    for fields in batch.to_pylist():
                        number += 1
                        yield DataRecord(f"{path.name}, row {number}", {k: without_nulls(v) for k, v in fields.items()})
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


class HubDataset:
    """One split of a dataset, read as it comes.

    Args:
        dataset: a `datasets.IterableDataset` or `datasets.Dataset`.
        name: its name for messages.
    """

    def __init__(self, dataset: Any, name: str) -> None:
        self.name = name
        self._dataset = dataset

    def columns(self) -> list[str]:
        return self._columns

    @cached_property
    def _columns(self) -> list[str]:
        with _one_line_errors(self.name):
            # A stream of JSON or CSV knows its columns only when it has read a row.
            return list(self._dataset.column_names or next(iter(self._dataset), {}))

    def records(self, wanted: Collection[str]) -> Iterator[DataRecord | Flaw]:
        columns = [name for name in self.columns() if name in wanted]
        with _one_line_errors(self.name):
            # Without the other columns: they may hold pictures or sound, which would be unpacked too.
            rows = iter(self._dataset.select_columns(columns))
        number = 0
        while True:
            with _one_line_errors(f"{self.name}, after row {number}"):
                fields = next(rows, None)
            if fields is None:
                return
            number += 1
            yield DataRecord(f"{self.name}, row {number}", {key: without_nulls(value) for key, value in fields.items()})


def hub_dataset(path: str, config: str | None, split: str | None, name: str) -> HubDataset:
    """A dataset of the Hub, or a folder laid out like one.

    Raises:
        InputError: it cannot be read, it has several splits, or the library is not installed.
    """
    library = _datasets(name)
    with _one_line_errors(name):
        splits = library.load_dataset(path, config, streaming=True)
    return HubDataset(splits[chosen_split(name, splits, split)], name)


def saved_dataset(folder: Path, split: str | None, name: str) -> HubDataset | None:
    """A folder that `save_to_disk` wrote; None for any other folder.

    Raises:
        InputError: as in `hub_dataset`.
    """
    several = (folder / "dataset_dict.json").is_file()
    if not several and not ((folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()):
        return None
    library = _datasets(name)
    with _one_line_errors(name):
        loaded = library.load_from_disk(str(folder))
    splits = loaded if several else {str(loaded.split or "train"): loaded}
    return HubDataset(splits[chosen_split(name, splits, split)], name)


def _datasets(name: str) -> ModuleType:
    try:
        import datasets
    except ImportError as error:
        raise InputError(f"Reading {name} needs the library datasets: pip install 'tpo[datasets]'.") from error
    library: ModuleType = datasets
    return library


@contextmanager
def _one_line_errors(name: str) -> Iterator[None]:
    """Run a block that calls the library: its errors become one line, and its log lines are not shown."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    # The library raises errors of its own, of pyarrow, of its file systems and plain ones, with no common base.
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise InputError(
            f"The dataset {name} cannot be read: {lines[0].rstrip('.')}. If it is on the Hub, check its name "
            "(org/name, or org/name:config), the network, and whether you are logged in."
        ) from error
    finally:
        logger.setLevel(level)
