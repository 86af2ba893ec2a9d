"""What an answer lacks, by its reward."""

from __future__ import annotations

import re

from tpo.candidate import Candidate

# How our rules, checklists and verifiers begin: with praise, or with a count of what is kept.
_OF = r"(?:requirement|instruction|test)s?\b"
_PRAISE = (
    rf"(?:kept|followed|passed) (?:all \d+|the) {_OF}|the final answer is right|the JSON keeps the schema|"
    r"the answer matches the expected pattern"
)
_COUNT = rf"(?:kept|followed|passed) \d+ of \d+ {_OF}; (?:(?:missing|failed): *)?"
# Where several rewards report, each begins a sentence or a line.
_REPORT = re.compile(rf"(?:^|(?<=\n)|(?<=\. ))(?={_PRAISE}|{_COUNT})", re.IGNORECASE)
_OPENING = re.compile(rf"(?:{_COUNT}|(?:{_PRAISE})\W*)", re.IGNORECASE)
_MISSING = re.compile(r".*?\bmissing: *", re.IGNORECASE | re.DOTALL)


def unmet(candidate: Candidate) -> str:
    """The requirements that an answer fails, in the reward's words; empty where it names none."""
    *joined, last = _REPORT.split((candidate.feedback or "").strip())
    reports = [*(one.rstrip(". \n") for one in joined), last]
    return "; ".join(filter(None, map(_without_opening, reports)))


def _without_opening(report: str) -> str:
    if opening := _OPENING.match(report):
        return report[opening.end() :].strip()
    return _MISSING.sub("", report, count=1).strip()


def demands(candidate: Candidate) -> dict[str, str]:
    """The requirements that an answer fails, one by one: the words by the name of the reward's part.

    Where the reward has them in its feedback alone and the parts do not say which they are, they are numbered.
    """
    if candidate.missing:
        return candidate.missing
    words = [item.strip() for item in unmet(candidate).split(";") if item.strip()]
    names = [name for name, value in candidate.parts.items() if value <= 0]
    if len(names) != len(words):
        names = [str(number) for number in range(len(words))]
    return dict(zip(names, words, strict=True))


def keeps(candidate: Candidate, name: str) -> bool:
    """Whether an answer keeps the requirement of a part of the reward."""
    # The parts of a checklist are probabilities: what counts as missing is the reward's to say.
    return name not in candidate.missing and candidate.parts.get(name, 0.0) > 0
