"""How many final answers repeat words of ours, and whether answers grow.

    python benchmarks/leaks.py RUN… [--words 8] [--drawn]

A RUN is a directory of `tpo run`; folders of runs are searched. Our words are those of all templates, and those of the
prompt that an answer was drawn by, less what that shows of the query, of answers and of critiques. An answer leaks that
holds so many of our words in a row, unless the query holds the same row. This counts from the journals alone and shares
no code with `tpo.prompts.leaks`, which cuts such words off when an answer lands.

With `--drawn` every answer that was drawn is looked at, whether it was chosen or not: there are many more of them, and
any of them could have been chosen.

Prints a Markdown table, and each leak with its words. The exit code is 1 if there are leaks, or if the answers of a run
are more than 15 % longer or shorter than its first samples.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import tpo
from tpo.candidate import Candidate
from tpo.engine.records import Prompted, Replied, Sampled
from tpo.messages import text_of
from tpo.runs.directory import IDENTITY
from tpo.runs.history import QueryHistory, histories

GROWTH = 0.15
# So many words of an answer in a row are a quotation of it.
QUOTED = 4
# Statements and variables of a template; what is between them is ours.
_TEMPLATING = re.compile(r"\{[{%#].*?[}%#]\}", re.DOTALL)
_WORD = re.compile(r"\w+(?:['’]\w+)*")
# Stands where something was taken out, so that no row of words reaches over it.
_GAP = "\0"


class Leak(NamedTuple):
    """A row of our words in an answer."""

    query: str
    words: str


class Checked(NamedTuple):
    """The answers of a run.

    Attributes:
        answers: how many were looked at.
        leaks: those that repeat our words.
        first: mean characters of the first samples of the same queries.
        length: mean characters of the answers.
    """

    answers: int
    leaks: list[Leak]
    first: float
    length: float

    @property
    def growth(self) -> float:
        """By which part of their length the answers exceed the first samples."""
        return self.length / self.first - 1 if self.first else 0.0


def checked(path: Path, size: int, *, drawn: bool = False) -> Checked:
    """Look at the answers of a run.

    Args:
        path: its directory.
        size: so many of our words in a row are a leak.
        drawn: look at all that were drawn, and not only at the final ones.
    """
    templates = set(_rows_of(_templates(), size))
    leaks: list[Leak] = []
    firsts, answers = [], []
    for history in histories(path):
        result = history.result
        if result is None or not result.answer:
            continue
        firsts.append(len(result.candidates[0].text))
        chosen = [one for one in result.candidates if one.text and (drawn or one.id == result.chosen)]
        for candidate in chosen:
            answers.append(len(candidate.text))
            row = _leaked(history, candidate, templates, size)
            if row is not None:
                leaks.append(Leak(history.id, row))
    return Checked(len(answers), leaks, fmean(firsts or [0]), fmean(answers or [0]))


def _leaked(history: QueryHistory, answer: Candidate, templates: set[str], size: int) -> str | None:
    """The first row of our words in the answer; None where it has none."""
    query = [text_of(message) for message in history.plan.query] if history.plan is not None else []
    of_query = set(_rows_of(query, size))
    ours = (templates | set(_rows_of(_sent(history, answer.id, query), size))) - of_query
    return next((row for row in _rows_of([answer.text], size) if row in ours), None)


def _sent(history: QueryHistory, id: str, query: Sequence[str]) -> list[str]:
    """The prompt that an answer was drawn by, without what it shows of the query, of answers and of critiques.

    A check quotes pieces of answers, so that few words in a row are enough to be theirs.
    """
    drawn = next(one for one in reversed(history.records) if isinstance(one, Sampled) and one.id == id)
    shown = [*query]
    for one in history.records:
        if isinstance(one, Sampled | Replied) and one.turn < drawn.turn:
            shown += [one.text, one.reply or ""]
    theirs = set(_rows_of(shown, QUOTED))
    prompt = next(
        one
        for one in history.records
        if isinstance(one, Prompted) and (one.turn, one.action) == (drawn.turn, drawn.action)
    )
    return [_without(text_of(message), theirs) for message in prompt.messages]


def _without(text: str, theirs: set[str]) -> str:
    """A text with a gap where it has words of others."""
    words = _words(text).split()
    kept = list(words)
    for at in range(len(words) - QUOTED + 1):
        if " ".join(words[at : at + QUOTED]) in theirs:
            kept[at : at + QUOTED] = [_GAP] * QUOTED
    return " ".join(kept)


def _templates() -> Iterator[str]:
    """All that our templates say by themselves."""
    for path in Path(tpo.__file__).parent.rglob("*.jinja"):
        if ".html." not in path.name:
            yield _TEMPLATING.sub(f" {_GAP} ", path.read_text(encoding="utf-8"))


def _words(text: str) -> str:
    return " ".join(word.lower() for word in _WORD.findall(text))


def _rows_of(texts: Iterable[str], size: int) -> Iterator[str]:
    """Every row of so many words that stand together."""
    for text in texts:
        for part in text.split(_GAP):
            words = _words(part).split()
            yield from (" ".join(words[at : at + size]) for at in range(len(words) - size + 1))


def runs_in(places: Iterable[Path]) -> list[Path]:
    """The runs that are meant: each place itself, or all below it."""
    found: dict[Path, None] = {}
    for place in places:
        found |= dict.fromkeys(sorted(path.parent for path in place.rglob(IDENTITY)))
    return list(found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--words", type=int, default=8)
    parser.add_argument("--drawn", action="store_true", help="look at every answer that was drawn")
    given = parser.parse_args(arguments)
    runs = runs_in(given.runs)
    if not runs:
        print("There is no run.", file=sys.stderr)
        return 2
    found = {path: checked(path, given.words, drawn=given.drawn) for path in runs}
    print("| run | answers | with words of ours | first samples, characters | answers, characters | growth |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for path, one in found.items():
        growth = f"{one.growth:+.0%}" + (" (too much)" if abs(one.growth) > GROWTH else "")
        cells = [str(path), str(one.answers), str(len(one.leaks)), f"{one.first:.0f}", f"{one.length:.0f}", growth]
        print(f"| {' | '.join(cells)} |")
    print(f"\n{sum(len(one.leaks) for one in found.values())} of {sum(one.answers for one in found.values())} leak.")
    for path, one in found.items():
        for leak in one.leaks:
            print(f"{path}, {leak.query}: {leak.words}")
    return int(any(one.leaks or abs(one.growth) > GROWTH for one in found.values()))


if __name__ == "__main__":
    sys.exit(main())
