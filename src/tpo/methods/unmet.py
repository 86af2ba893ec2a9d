"""What an answer lacks, by its reward."""

from __future__ import annotations

import re

from tpo.candidate import Candidate

_KEPT = re.compile(r"(?:kept|followed) (?:all \d+|the) (?:requirement|instruction)s?\W*", re.IGNORECASE)
_MISSING = re.compile(r".*?\bmissing: *", re.IGNORECASE | re.DOTALL)


def unmet(candidate: Candidate) -> str:
    """The requirements that an answer fails, in the reward's words; empty where it names none."""
    words = (candidate.feedback or "").strip()
    if kept := _KEPT.match(words):
        words = words[kept.end() :]
    return _MISSING.sub("", words, count=1).strip()


def demands(candidate: Candidate) -> dict[str, str]:
    """The requirements that an answer fails, one by one: the words by the name of the reward's part.

    Where the parts do not say which they are, they are numbered.
    """
    words = [item.strip() for item in unmet(candidate).split(";") if item.strip()]
    names = [name for name, value in candidate.parts.items() if value <= 0]
    if len(names) != len(words):
        names = [str(number) for number in range(len(words))]
    return dict(zip(names, words, strict=True))
