"""The runs and traces that the page shows, by name.

A name in a URL is looked up among what was found, and never made into a path: nothing outside can be named.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from tpo.errors import InputError
from tpo.runs.directory import IDENTITY
from tpo.runs.status import run_directories
from tpo.view.endpoint import NotFound
from tpo.view.run_index import RunIndex

# How a trace begins (`tpo.engine.records.Started`).
TRACE = b'{"record":"started"'


class Sources:
    """Runs and traces.

    Args:
        paths: directories of runs, directories with runs or traces in them or one level below, and traces.

    Raises:
        InputError: a path is not there, or is a file that is no trace.
    """

    def __init__(self, paths: Sequence[Path] = ()) -> None:
        self._directories = [path for path in paths if path.is_dir()]
        self._files = [path for path in paths if not path.is_dir()]
        for path in self._files:
            if not path.is_file():
                raise InputError(f"{path} is not there. Give directories of runs, or traces of tpo align.")
            if not _is_trace(path):
                raise InputError(f"{path} is no trace: give a file that `tpo align --trace` wrote, or a directory.")
        self._open: dict[Path, RunIndex] = {}
        self._opening = threading.Lock()

    def runs(self) -> dict[str, Path]:
        """The runs that there are now, by name."""
        return self._named(run_directories(self._directories))

    def traces(self) -> dict[str, Path]:
        """The traces that there are now, by name."""
        return self._named(self._traces())

    def run(self, name: str) -> RunIndex:
        """A run.

        Raises:
            InputError: there is none of that name.
        """
        path = self.runs().get(name)
        if path is None:
            raise NotFound(f"There is no run {name!r} here (any more).")
        with self._opening:
            if path not in self._open:
                self._open[path] = RunIndex(path)
            return self._open[path]

    def trace(self, name: str) -> Path:
        """A trace.

        Raises:
            InputError: there is none of that name.
        """
        path = self.traces().get(name)
        if path is None:
            raise NotFound(f"There is no trace {name!r} here (any more).")
        return path

    def _traces(self) -> Iterator[Path]:
        yield from self._files
        for directory in self._directories:
            for path in (*sorted(directory.glob("*.jsonl")), *sorted(directory.glob("*/*.jsonl"))):
                if not (path.parent / IDENTITY).exists() and _is_trace(path):
                    yield path

    def _named(self, paths: Iterator[Path]) -> dict[str, Path]:
        """Paths by their names below the directory that was given; a number distinguishes equal names."""
        named: dict[str, Path] = {}
        for path in paths:
            root = self._root(path)
            if root is None:
                continue
            name = path.resolve().name if path in (root, *self._files) else path.relative_to(root).as_posix()
            number = 2
            unique = name
            while unique in named:
                unique, number = f"{name} ({number})", number + 1
            named[unique] = path
        return named

    def _root(self, path: Path) -> Path | None:
        """The directory that a path was found in; None for one that a link leads out of it."""
        if path in self._files:
            return path.parent
        root = next(one for one in self._directories if path.is_relative_to(one))
        return root if path.resolve().is_relative_to(root.resolve()) else None


def _is_trace(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(TRACE)) == TRACE
    except OSError:
        return False
