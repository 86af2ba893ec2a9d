"""Searching a run's texts: most lines are ruled out as bytes, before they are decoded."""

from __future__ import annotations


class Words:
    """What a search is for, whatever its case.

    Args:
        text: the words, as they stand in a text.
    """

    def __init__(self, text: str) -> None:
        self.folded = text.casefold()
        # JSON writes these characters as they are. Others may be escaped, or have an upper case of another length.
        plain = text.isascii() and text.isprintable() and not set(text) & set('"\\')
        self._bytes = self.folded.encode() if plain else None

    def may_be_in(self, line: bytes) -> bool:
        """Whether a line of JSON has to be decoded: False only where it cannot have the words."""
        return self._bytes is None or self._bytes in line.lower() or not line.isascii()

    def are_in(self, *texts: str) -> bool:
        """Whether one of the texts has the words."""
        return any(self.folded in text.casefold() for text in texts)
