"""What an answer lacks, by its reward."""

from __future__ import annotations

import re

from tpo.candidate import Candidate

# Where several rewards report, each begins a sentence or a line.
_REPORT = re.compile(
    r"(?:^|(?<=\n)|(?<=\. ))(?=(?:kept|followed) (?:all \d+|\d+ of \d+|the) (?:requirement|instruction))",
    re.IGNORECASE,
)
_KEPT = re.compile(r"^(?:kept|followed) (?:all \d+|the) (?:requirement|instruction)s?\W*", re.IGNORECASE)
_MISSING = re.compile(r".*?\bmissing: *", re.IGNORECASE | re.DOTALL)


def unmet(candidate: Candidate) -> str:
    """The requirements that an answer fails, in the reward's words; empty where it names none."""
    *joined, last = _REPORT.split((candidate.feedback or "").strip())
    reports = [*(one.rstrip(". \n") for one in joined), last]
    missing = [_MISSING.sub("", _KEPT.sub("", one), count=1).strip() for one in reports]
    return "; ".join(filter(None, missing))


def demands(candidate: Candidate) -> dict[str, str]:
    """The requirements that an answer fails, one by one: the words by the name of the reward's part.

    Where the parts do not say which they are, they are numbered.
    """
    words = [item.strip() for item in unmet(candidate).split(";") if item.strip()]
    names = [name for name, value in candidate.parts.items() if value <= 0]
    if len(names) != len(words):
        names = [str(number) for number in range(len(words))]
    return dict(zip(names, words, strict=True))
