"""The lines of journals and traces: JSON objects with a checksum, read strictly and with errors that say what to do.

    {"record":"called",…,"crc":"5f0c11aa"}

`crc` is the CRC-32 of the line without it. Lines of versions before 0.2 have none; they are read as they are. After the
first line that has one, every line must.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from tpo.decoding import prepared
from tpo.errors import JournalError, ModelError

T = TypeVar("T")

_SEAL = b',"crc":"%08x"}'
_SEAL_LENGTH = len(_SEAL % 0)
_SEALED = re.compile(rb',"crc":"([0-9a-f]{8})"\}\Z')
_DEEPEST_REPAIR = 20


class LineWriter(Generic[T]):
    """Turns records into lines that can be read again.

    Args:
        kind: the type of the records.
    """

    def __init__(self, kind: Any) -> None:
        self._encoder = msgspec.json.Encoder()
        self._decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(prepared(kind))

    def line(self, record: T) -> bytes:
        """The line, without its end.

        Raises:
            ModelError: a value in it is not of the declared type, so that the line could not be read again.
        """
        try:
            line = self._encoder.encode(record)
            self._decoder.decode(line)
        except (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise ModelError(f"A backend sent something that no journal can hold ({error}).") from error
        return line[:-1] + _SEAL % zlib.crc32(line)


class LineReader(Generic[T]):
    """Reads lines in their order.

    Args:
        kind: the type of the records.
        what: what a line is, for errors: "record of a trace".
    """

    def __init__(self, kind: Any, what: str) -> None:
        self._kind = kind
        self._decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(prepared(kind))
        self._what = what
        self._sealed = False

    def check(self, line: bytes, where: Callable[[], str]) -> None:
        """Compare a line with its checksum, where it has one.

        Args:
            line: the line, without its end.
            where: names file and line.

        Raises:
            JournalError: the line is damaged.
        """
        seal = _SEALED.search(line[-_SEAL_LENGTH:])
        if seal is not None:
            self._sealed = True
            if zlib.crc32(b"}", zlib.crc32(line[:-_SEAL_LENGTH])) == int(seal[1], 16):
                return
        elif not self._sealed:
            return
        raise JournalError(f"{where()}: the line is damaged: its checksum does not fit. {ADVICE}")

    def read(self, line: bytes, where: Callable[[], str]) -> T:
        """The record in a line that was checked.

        Raises:
            JournalError: it is no record.
        """
        try:
            return self._decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            repaired = self._repaired(line, error) if isinstance(error, msgspec.ValidationError) else None
            if repaired is None:
                raise JournalError(f"{where()}: this is not a {self._what} ({error}). {ADVICE}") from error
            return repaired

    def _repaired(self, line: bytes, error: Exception) -> T | None:
        """Earlier versions wrote values of any type as servers sent them: convert them to the type of the field."""
        value = msgspec.json.decode(line)
        for _ in range(_DEEPEST_REPAIR):
            path = _PATH.search(str(error))
            *parents, name = path[1].split(".") if path is not None else [""]
            if name not in _REPAIRS:
                return None
            holder = value
            for parent in parents:
                holder = holder[parent]
            holder[name] = _REPAIRS[name](holder[name])
            try:
                return msgspec.convert(value, self._kind)  # type: ignore[no-any-return]
            except msgspec.ValidationError as next_error:
                error = next_error
        return None


ADVICE = (
    "Restore a copy of the file if you have one, or delete this line to continue without it: tpo then repeats what the "
    "line recorded."
)
_PATH = re.compile(r" - at `\$\.([\w.]+)[^`]*`")


def _count(value: Any) -> int:
    return max(int(value), 0) if isinstance(value, int | float) else 0


_REPAIRS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("tokens", "prompt_tokens", "cached_tokens", "completion_tokens"), _count),
    "finish_reason": lambda value: "stop",
    **dict.fromkeys(("reasoning", "reply", "message", "logprobs"), lambda value: None),
}
