"""Makes text safe for terminals: text from outside cannot move the cursor, retitle the window or hide itself.

A pipe or a file gets every byte as it is.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import IO, Any

REPLACEMENT = "\ufffd"
# C0 but tab and line feed, delete, C1; overrides and isolates of direction; invisible tags; halves of surrogates.
UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def is_safe(text: str) -> bool:
    """Whether a terminal would show all of a text and obey nothing of it."""
    return UNSAFE.search(text) is None


def safe(text: str) -> str:
    """A text without anything that a terminal would obey: each such character becomes a replacement character."""
    return UNSAFE.sub(REPLACEMENT, text.replace("\r\n", "\n"))


class GuardedStream:
    """A terminal's stream whose text is made safe before it is written.

    Args:
        stream: the stream.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text, made safe."""
        self._stream.write(safe(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts, made safe."""
        for line in lines:
            self.write(line)

    @property
    def buffer(self) -> GuardedBytes:
        """The same for bytes."""
        return GuardedBytes(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class GuardedBytes:
    """Bytes on their way to a terminal; each write holds whole characters of UTF-8."""

    def __init__(self, stream: GuardedStream) -> None:
        self._stream = stream

    def write(self, data: bytes) -> int:
        """Write bytes, made safe."""
        self._stream.write(data.decode("utf-8", "replace"))
        return len(data)

    def flush(self) -> None:
        """Write what is held back."""
        self._stream.flush()

    def isatty(self) -> bool:
        """It is a terminal."""
        return True


def guard_streams() -> None:
    """Make everything safe that this process writes to a terminal, other libraries' output included."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and stream.isatty() and not isinstance(stream, GuardedStream):
            setattr(sys, name, GuardedStream(stream))


def unguarded(stream: Any) -> Any:
    """The stream itself, for a console that makes its text safe and writes control sequences of its own."""
    return stream._stream if isinstance(stream, GuardedStream) else stream
