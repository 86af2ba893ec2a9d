"""Datasets of Hugging Face: on the Hub, saved with save_to_disk, or laid out in a folder."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from tpo.errors import InputError
from tpo.runs.reading.arrow import without_gaps
from tpo.runs.reading.records import Flaw, Record
from tpo.runs.reading.splits import chosen_split


class HubDataset:
    """One split of a dataset, read as it comes.

    Args:
        dataset: a `datasets.IterableDataset` or `datasets.Dataset`.
        name: what users know it by.
    """

    def __init__(self, dataset: Any, name: str) -> None:
        self.name = name
        self._dataset = dataset

    def columns(self) -> list[str]:
        return self._columns

    @cached_property
    def _columns(self) -> list[str]:
        with _told(self.name):
            # A stream of JSON or CSV knows its columns only when it has read a row.
            return list(self._dataset.column_names or next(iter(self._dataset), {}))

    def records(self, wanted: Collection[str]) -> Iterator[Record | Flaw]:
        columns = [name for name in self.columns() if name in wanted]
        with _told(self.name):
            # Without the other columns: they may hold pictures or sound, which would be unpacked too.
            rows = iter(self._dataset.select_columns(columns))
        number = 0
        while True:
            with _told(f"{self.name}, after row {number}"):
                fields = next(rows, None)
            if fields is None:
                return
            number += 1
            yield Record(f"{self.name}, row {number}", {key: without_gaps(value) for key, value in fields.items()})


def hub_dataset(path: str, config: str | None, split: str | None, name: str) -> HubDataset:
    """A dataset of the Hub, or a folder laid out like one.

    Raises:
        InputError: it cannot be had, its split is not clear, or the library is not installed.
    """
    library = _datasets(name)
    with _told(name):
        splits = library.load_dataset(path, config, streaming=True)
    return HubDataset(splits[chosen_split(name, splits, split)], name)


def saved_dataset(folder: Path, split: str | None, name: str) -> HubDataset | None:
    """A folder that `save_to_disk` wrote; None where the folder is none.

    Raises:
        InputError: as in `hub_dataset`.
    """
    several = (folder / "dataset_dict.json").is_file()
    if not several and not ((folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()):
        return None
    library = _datasets(name)
    with _told(name):
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
def _told(name: str) -> Iterator[None]:
    """A block that calls the library: what it raises becomes one line, and what it logs on the way is not shown."""
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
