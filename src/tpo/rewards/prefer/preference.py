"""What a user prefers, read from a file: a rubric in words, or answers that are liked and disliked."""

from __future__ import annotations

import hashlib
import itertools
import re
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tpo.errors import InputError

MOST_EXAMPLES = 20
MOST_ITEMS = 20
_MARK = re.compile(r"^\s*(?:[-*•+]|\(?\d{1,2}[.)])\s+")
_WEIGHT = re.compile(r"\s*\(weight:? *(\d{1,6}(?:\.\d{1,6})?)\)\s*$", re.IGNORECASE)
_ANSWERS = ("answer", "response", "completion", "text")
_QUERIES = ("prompt", "question", "query")
_EXAMPLE = '{"prompt": "…", "answer": "…", "liked": true}'


class LikedAnswer(NamedTuple):
    """An answer, and whether the user likes it.

    Attributes:
        query: what it answers; empty where the file does not say.
        answer: its text.
        liked: whether the user likes it.
    """

    query: str
    answer: str
    liked: bool


class Preference(NamedTuple):
    """A file with a preference.

    Attributes:
        rubric: the rubric; empty where the file holds examples.
        examples: the examples; empty where the file is a rubric.
        digest: identifies the contents.
    """

    rubric: str
    examples: tuple[LikedAnswer, ...]
    digest: str

    @property
    def weights(self) -> dict[str, float]:
        """The rubric's own list, and the weight of each item; empty where it is prose, or the file holds examples."""
        items: dict[str, float] = {}
        for line in self.rubric.splitlines():
            text = _MARK.sub("", line).strip() if _MARK.match(line) else ""
            weight = _WEIGHT.search(text)
            if item := _WEIGHT.sub("", text):
                items.setdefault(item, float(weight[1]) if weight else 1.0)
        return dict(itertools.islice(items.items(), MOST_ITEMS))


def read_preference(path: Path) -> Preference:
    """Read a preference.

    Args:
        path: a text with a rubric, whose listed items may end in a weight such as "(weight 2)"; or JSON Lines with up
            to 20 answers: an `answer` and whether it is `liked`, or a `chosen` and a `rejected` one; a `prompt` beside
            them.

    Raises:
        InputError: the file cannot be read, is empty, a line of it is no example, or a weight is 0.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"The preference {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"The preference {path} is not UTF-8 text: {error}.") from error
    if not text.strip():
        raise InputError(f"The preference {path} is empty: write a rubric into it, or examples such as {_EXAMPLE}.")
    digest = hashlib.sha256(text.strip().encode()).hexdigest()[:12]
    if not text.lstrip().startswith("{"):
        preference = Preference(text.strip(), (), digest)
        if not all(preference.weights.values()):
            raise InputError(f"{path} has an item with (weight 0): a weight is above 0, or drop the item.")
        return preference
    examples: list[LikedAnswer] = []
    # str.splitlines would also break at the line separators that JSON allows inside strings.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            examples += _examples(line, f"{path}, line {number}")
    if len(examples) > MOST_EXAMPLES:
        raise InputError(f"{path} holds {len(examples)} answers; up to {MOST_EXAMPLES} are used: leave the clearest.")
    if len({example.liked for example in examples}) < 2:
        raise InputError(f"{path} needs both liked and disliked answers, such as {_EXAMPLE}.")
    return Preference("", tuple(examples), digest)


def _examples(line: str, where: str) -> list[LikedAnswer]:
    try:
        row = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InputError(f"{where}: this is not JSON ({error}); {_EXAMPLE} is expected.") from None
    if not isinstance(row, dict):
        raise InputError(f"{where}: {_EXAMPLE} is expected.")
    query = _text(row, _QUERIES) or ""
    chosen, rejected = _text(row, ("chosen",)), _text(row, ("rejected",))
    if chosen and rejected:
        return [LikedAnswer(query, chosen, True), LikedAnswer(query, rejected, False)]
    answer, liked = _text(row, _ANSWERS), row.get("liked")
    if not answer or not isinstance(liked, bool):
        raise InputError(f"{where}: there is no answer with liked true or false, as in {_EXAMPLE}.")
    return [LikedAnswer(query, answer, liked)]


def _text(row: dict[str, Any], names: tuple[str, ...]) -> str | None:
    found = next((row[name] for name in names if isinstance(row.get(name), str) and row[name].strip()), None)
    return found.strip() if found is not None else None
