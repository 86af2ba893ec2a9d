"""Searching a run's texts: they are kept once, without their case, and a search goes through them block by block."""

from __future__ import annotations

import tempfile
import threading
from array import array
from bisect import bisect_right
from typing import NamedTuple

from tpo.errors import InputError

# Bytes that are searched at once.
BLOCK = 1 << 20
# Bytes that stay in memory; a longer text goes to a temporary file without a name.
IN_MEMORY = 32 << 20
# What stands between two texts of an entry, and between two entries: no text in UTF-8 has it.
_END = b"\xff"


def folded(*texts: str) -> bytes:
    """Texts without their case, as they are searched."""
    return _END.join(text.casefold().encode("utf-8", "surrogatepass") for text in texts)


class _Block(NamedTuple):
    """Some entries, one after another.

    Attributes:
        at: where they begin in the file.
        first: the number of the first of them.
        ends: where each of them ends, within the block.
    """

    at: int
    first: int
    ends: array[int]


class SearchTexts:
    """Texts by the number of their entry, which only grows.

    A full disk fails the search and nothing else.
    """

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115
        self._lock = threading.Lock()
        self._blocks: list[_Block] = []
        self._size = 0
        self._entries = 0
        self._error: OSError | None = None
        self._open()

    def __del__(self) -> None:
        self._file.close()

    def _open(self) -> None:
        self._tail, self._ends = bytearray(), array("l")

    def add(self, *texts: str) -> None:
        """Add an entry."""
        entry = folded(*texts) + _END
        with self._lock:
            self._tail += entry
            self._ends.append(len(self._tail))
            self._entries += 1
            if len(self._tail) >= BLOCK:
                self._write()

    def _write(self) -> None:
        try:
            self._file.seek(self._size)
            self._file.write(self._tail)
        except OSError as error:
            self._error = self._error or error
        self._blocks.append(_Block(self._size, self._entries - len(self._ends), self._ends))
        self._size += len(self._tail)
        self._open()

    def find(self, words: str) -> array[int]:
        """The numbers of the entries that have the words, whatever their case; ascending.

        Raises:
            InputError: there was no room for the temporary file.
        """
        wanted = folded(words)
        found = array("q")
        with self._lock:
            if self._error is not None:
                raise InputError(
                    f"The search has no room for its texts in {tempfile.gettempdir()}: {self._error.strerror}. "
                    f"Make room there, or set TMPDIR to another folder, and start again."
                )
            for block in self._blocks:
                self._file.seek(block.at)
                _find(self._file.read(block.ends[-1]), wanted, block.ends, block.first, found)
            if self._ends:
                _find(bytes(self._tail), wanted, self._ends, self._entries - len(self._ends), found)
        return found


def _find(content: bytes, wanted: bytes, ends: array[int], first: int, found: array[int]) -> None:
    at = content.find(wanted)
    while at >= 0:
        entry = bisect_right(ends, at)
        if entry == len(ends):
            return  # an empty search is found behind the last entry too
        found.append(first + entry)
        at = content.find(wanted, ends[entry])
