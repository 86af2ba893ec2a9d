"""Searching a run's texts: most lines are ruled out as bytes, before they are decoded."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

# ASCII without what JSON escapes, and characters of the East, which have no case.
_PLAIN = re.compile(r"[ !#-\[\]-~\u2e80-\ua4cf\uac00-\ud7a3]+")


class Words:
    """What a search is for, whatever its case.

    Args:
        text: the words, as they stand in a text.
    """

    def __init__(self, text: str) -> None:
        self.folded = text.casefold()
        # The longest stretch that JSON writes as it is, and that has one lower case.
        self._bytes = max(_PLAIN.findall(self.folded), key=len, default="").encode() or None
        self._odd = _folding_to_ascii()

    def may_be_in(self, line: bytes) -> bool:
        """Whether JSON has to be decoded: False only where it cannot have the words.

        Args:
            line: one line, or several at once.
        """
        wanted = self._bytes
        if wanted is None or wanted in line.lower():
            return True
        return not line.isascii() and self._odd.search(line) is not None

    def among(self, lines: Iterable[bytes]) -> list[tuple[int, bytes]]:
        """The lines that may have the words, with their numbers: `may_be_in` for very many lines."""
        wanted, odd = self._bytes, self._odd.search
        if wanted is None:
            return list(enumerate(lines))
        return [
            (number, line)
            for number, line in enumerate(lines)
            if wanted in line.lower() or (not line.isascii() and odd(line))
        ]

    def are_in(self, *texts: str) -> bool:
        """Whether one of the texts has the words."""
        return any(self.folded in text.casefold() for text in texts)


@cache
def _folding_to_ascii() -> re.Pattern[bytes]:
    """The characters beyond ASCII that become ASCII ones without their case, such as ß and the Kelvin sign.

    Only these can make a text that is not ASCII contain words that its bytes do not.
    """
    odd = [one for one in map(chr, range(128, 0x10000)) if any(map(str.isascii, one.casefold()))]
    return re.compile(b"|".join(re.escape(one.encode()) for one in odd))
