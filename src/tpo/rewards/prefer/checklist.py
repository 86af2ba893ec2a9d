"""A checklist: yes-or-no questions about an answer, written by a model from a preference, and kept by its contents.

After RLCF (arXiv 2507.18624) and TICK (arXiv 2410.03608): small, objective, positive questions, each about one thing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tpo.messages import Conversation
from tpo.rewards.prefer.preference import Preference

# Raised when a checklist is written or read in another way: the same words then mean another reward.
VERSION = 1
# Against answers that fulfil all items and miss the request.
UNIVERSAL = "Does the answer do what the request asks for, without padding?"
MOST_WRITTEN = 7
_ITEM = re.compile(r"^\s*(?:\**\s*)?(?:[-*•+]|\(?\d{1,2}[.):])\s*\**\s*(.+?)\s*$")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


def writing_prompt(preference: Preference) -> Conversation:
    """The request for a checklist."""
    task = (
        f"Write a checklist of at most {MOST_WRITTEN} yes-or-no questions that tell good answers from bad ones. Each "
        "question is about one thing that can be seen in an answer alone, and a good answer gets yes. Write one "
        "question a line, each line beginning with its number and ending with a question mark, and nothing else."
    )
    if preference.rubric:
        return [{"role": "user", "content": f"This is what makes an answer good:\n\n{preference.rubric}\n\n{task}"}]
    shown = [
        f"{'LIKED' if one.liked else 'DISLIKED'}{f' answer to: {one.query}' if one.query else ''}\n{one.answer}"
        for one in preference.examples
    ]
    examples = "\n\n---\n\n".join(shown)
    head = "A reader liked some of these answers and disliked the others."
    return [{"role": "user", "content": f"{head}\n\n{examples}\n\n---\n\nFind what sets them apart. {task}"}]


def read_checklist(reply: str) -> list[str]:
    """The questions in a model's reply; empty where it holds none."""
    found = [match[1].strip(" *\"'") for line in reply.splitlines() if (match := _ITEM.match(line))]
    questions = [item for item in found if item.endswith("?") and 3 <= len(item.split()) <= 60]
    return list(dict.fromkeys(questions))[:MOST_WRITTEN]


def sentences_of(rubric: str) -> list[str]:
    """A rubric's sentences as items, for a model that writes no checklist."""
    parts = [part.strip() for part in _SENTENCE.split(rubric)]
    return list(dict.fromkeys(part for part in parts if len(part.split()) >= 2))[:MOST_WRITTEN]


def digest_of(items: Sequence[str]) -> str:
    """Identifies a checklist."""
    return hashlib.sha256("\0".join([str(VERSION), *items]).encode()).hexdigest()[:12]


class ChecklistFile:
    """Where a written checklist is kept, so that the same preference and writer always mean the same reward.

    Args:
        folder: the folder.
        preference: what it is written from.
        writer: the model that writes it.
    """

    def __init__(self, folder: Path, preference: Preference, writer: str) -> None:
        key = hashlib.sha256(f"{VERSION}\0{preference.digest}\0{writer}".encode()).hexdigest()[:16]
        self.path = folder / "checklists" / f"{key}.json"

    def read(self) -> list[str] | None:
        """The items; None where there are none, or the file is damaged."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=list[str]) or None
        except (OSError, msgspec.DecodeError):
            return None

    def write(self, items: Sequence[str]) -> None:
        """Keep the items; a folder that cannot be written costs only that they are written again."""
        beside = self.path.with_suffix(".new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(msgspec.json.encode(list(items)))
            beside.replace(self.path)
        except OSError:
            beside.unlink(missing_ok=True)
