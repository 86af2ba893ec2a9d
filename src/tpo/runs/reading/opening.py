"""Opening a file of text: compressed or not, with a byte order mark or without."""

from __future__ import annotations

import codecs
import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from tpo.errors import InputError

_GZIP = b"\x1f\x8b"


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file after its byte order mark; gzip is known by its first bytes and unpacked.

    Raises:
        InputError: the file is UTF-16.
    """
    with path.open("rb") as raw:
        # BufferedReader.peek may return less than asked for, but never nothing before the end.
        file = cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if raw.peek(2).startswith(_GZIP) else raw
        with file:
            start = file.read(3)
            if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                raise InputError(f"{path} is UTF-16: save it as UTF-8.")
            file.seek(3 if start == codecs.BOM_UTF8 else 0)
            yield file


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file that are not blank, without their ends, each with its number from 1."""
    with opened(path) as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, line.rstrip(b"\r\n")


def start(path: Path) -> bytes:
    """The first of what is in a file after any white space."""
    with opened(path) as file:
        return file.read(1 << 16).lstrip()


def text(line: bytes) -> str:
    """A line as text.

    Raises:
        InputError: it is not UTF-8.
    """
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"The line is not UTF-8 (byte {error.start} of it): save the file as UTF-8.") from error
