"""The fenced blocks of the README, docs/, recipes/ and examples/, and how each is tested.

A block of shell or Python has a comment before it:

    <!-- runs: fake -->              every command is run in a scratch home, against servers that answer at once
    <!-- runs: embedded -->          the same, on the built-in model
    <!-- runs: tests/FILE.py -->     that file runs it
    <!-- parsed: REASON -->          it is compared with the real command line only

`; not PROGRAM: REASON` after `runs: fake` leaves out the commands of a program that the tests do not have.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md"),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "recipes").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
]
FENCE = re.compile(r"(?:^<!-- ([^\n]+) -->\n)?^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SHELL, PYTHON = {"sh", "bash", "console"}, {"python", "py"}
MARKER = re.compile(r"runs: (?:fake(?:; not [\w.-]+: [^;]+)*|embedded|tests/\S+\.py)$|parsed: \w")


class Block(NamedTuple):
    """A fenced block: its page, the comment before it, its language, and its text."""

    page: Path
    marker: str
    language: str
    text: str

    @property
    def code(self) -> str:
        """What to give to a shell: of a session, the lines after a prompt."""
        if self.language != "console":
            return self.text
        return "\n".join(re.findall(r"^\$ (.+)$", self.text, re.MULTILINE))

    @property
    def runs_here(self) -> bool:
        """Whether it is run against the fakes."""
        return self.marker.startswith("runs: fake")

    def lines(self) -> list[str]:
        """The shell's lines without comments, continued ones joined, and without the programs that are left out."""
        left_out = set(re.findall(r"; not ([\w.-]+):", self.marker))
        lines = [stripped for line in joined(self.code).splitlines() if (stripped := line.strip())]
        return [line for line in lines if not left_out & {Path(words[0]).name for words in simple_commands(line)}]


def joined(code: str) -> str:
    """Shell without comments, each command on one line."""
    return re.sub(r"(^|\s)#.*$", r"\1", code.replace("\\\n", " "), flags=re.MULTILINE)


def simple_commands(code: str) -> Iterator[list[str]]:
    """The commands of a piece of shell, without comments, assignments before them, and redirections."""
    lexer = shlex.shlex(joined(code), posix=True, punctuation_chars="();<>|&\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t", True, ""
    words: list[str] = []
    for word in [*lexer, "\n"]:
        if word.strip("();|&\n"):
            words.append(word)
            continue
        while words and re.match(r"[A-Z_]+=", words[0]):
            words.pop(0)
        if words:
            yield words
        words = []


BLOCKS = [Block(page, *found) for page in PAGES for found in FENCE.findall(page.read_text(encoding="utf-8"))]
COMMANDS = [block for block in BLOCKS if block.language in SHELL]
PROGRAMS = [block for block in BLOCKS if block.language in PYTHON]
