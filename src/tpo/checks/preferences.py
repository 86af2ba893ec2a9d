"""Human preferences between two answers, from the forms in which they are published."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tpo.dialogues import dialogue
from tpo.errors import InputError
from tpo.messages import QUERY_COLUMNS, Conversation, conversation

KNOWN = "Give prompt, chosen and rejected, or the fields of LLMBar, PandaLM, Auto-J, HH-RLHF, HHH or MT-Bench."


class Pair(NamedTuple):
    """Two answers to a query, and which one people preferred.

    Attributes:
        query: the conversation that both answer.
        first: one answer.
        second: the other.
        human: 1 where people preferred the first, 0 the second, one half where they called it a tie.
    """

    query: Conversation
    first: str
    second: str
    human: float

    @property
    def tied(self) -> bool:
        """Whether people had no preference."""
        return self.human == 0.5

    @property
    def alike_in_length(self) -> bool:
        """Whether the shorter has at least 80 % of the longer's characters."""
        shorter, longer = sorted((len(self.first), len(self.second)))
        return shorter >= 0.8 * longer


def read_pairs(path: Path, *, ties: bool = False) -> list[Pair]:
    """Read human preferences.

    Args:
        path: JSON Lines or a JSON list, gzipped or not, in one of the published forms: chosen and rejected answers
            with a prompt; HH-RLHF (whole dialogues as both); LLMBar (input, output_1, output_2, label 1 or 2);
            PandaLM (three annotators, the majority counts); Auto-J (prompt, response 1, response 2, label 0, 1 or 2);
            HHH as prometheus-eval wraps it (chosen_instruction, rejected_instruction); MT-Bench's human judgements
            (conversation_a, conversation_b, winner, turn), of which every vote is a pair.
        ties: keep pairs that people called a tie, which otherwise are left out.

    Raises:
        InputError: the file cannot be read, or a row has none of these forms; the message names the row.
    """
    pairs = []
    for number, row in enumerate(_rows(path), 1):
        try:
            pair = _form(row)(row)
        except (KeyError, TypeError, IndexError, AttributeError, InputError) as error:
            raise InputError(f"{path}, row {number}: no pair of a known form. {KNOWN}") from error
        if pair is not None and (ties or not pair.tied):
            pairs.append(pair)
    if not pairs:
        raise InputError(f"{path} holds no pair with a preference.")
    return pairs


def preference_files(path: Path) -> list[Path]:
    """The files that hold preferences: a file itself; of a folder those below it whose first row has a known form.

    Raises:
        InputError: there is none.
    """
    if not path.is_dir():
        return [path]
    found = [file for file in sorted(path.rglob("*.json*")) if file.is_file() and _holds_pairs(file)]
    if not found:
        raise InputError(f"No file under {path} holds preferences in a known form. {KNOWN}")
    return found


def _holds_pairs(path: Path) -> bool:
    try:
        row = _rows(path)[0]
        return _form(row)(row) is not None
    except (InputError, KeyError, TypeError, IndexError, AttributeError):
        return False


def _rows(path: Path) -> list[Any]:
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InputError(f"The pairs {path} cannot be read: {error}.") from error
    try:
        if text.lstrip().startswith("["):
            rows: list[Any] = json.loads(text)
            return rows
        return [json.loads(line) for line in _lines(text)]
    except json.JSONDecodeError as error:
        raise InputError(f"The pairs {path} are neither JSON Lines nor a JSON list: {error}.") from error


def _lines(text: str) -> Iterator[str]:
    # str.splitlines would also break at the line separators that JSON allows inside strings.
    return (line for line in text.split("\n") if line.strip())


def _form(row: Any) -> Callable[[dict[str, Any]], Pair | None]:
    for mark, form in FORMS.items():
        if mark in row:
            return form
    raise KeyError("no known form")


def _chosen(row: dict[str, Any]) -> Pair | None:
    query = next((row[name] for name in QUERY_COLUMNS if row.get(name)), None)
    if query is None:
        (messages, chosen), (others, rejected) = dialogue(row["chosen"]), dialogue(row["rejected"])
        # A few published dialogues differ before their last answers, which then answer different queries.
        return Pair(messages, chosen, rejected, 1.0) if messages == others else None
    return Pair(conversation(query), _answer(row["chosen"]), _answer(row["rejected"]), 1.0)


def _answer(value: Any) -> str:
    return str(value[-1]["content"]) if isinstance(value, list) else str(value)


def _llmbar(row: dict[str, Any]) -> Pair:
    return Pair(conversation(row["input"]), row["output_1"], row["output_2"], float(row["label"] == 1))


def _pandalm(row: dict[str, Any]) -> Pair | None:
    votes = [row[f"annotator{number}"] for number in (1, 2, 3)]
    majority = next((vote for vote in (0, 1, 2) if votes.count(vote) >= 2), None)
    if majority is None:  # three opinions
        return None
    query = "\n\n".join(filter(None, [row["instruction"], row["input"]]))
    # One answer of the set is the bare word false, which became a JSON value.
    return Pair(conversation(query), str(row["response1"]), str(row["response2"]), (0.5, 1.0, 0.0)[majority])


def _autoj(row: dict[str, Any]) -> Pair:
    return Pair(conversation(row["prompt"]), row["response 1"], row["response 2"], (1.0, 0.0, 0.5)[row["label"]])


_WRAPPED = re.compile(
    r"###The instruction to evaluate:\n(.*?)\n+###Response to evaluate:\n(.*?)\n+###Score Rubrics:", re.DOTALL
)


def _hhh(row: dict[str, Any]) -> Pair:
    (query, chosen), (_, rejected) = (_unwrapped(row[f"{which}_instruction"]) for which in ("chosen", "rejected"))
    messages, _ = dialogue(f"\n\nHuman: {query}")
    return Pair(messages, chosen, rejected, 1.0)


def _unwrapped(text: str) -> tuple[str, str]:
    found = _WRAPPED.search(text)
    if found is None:
        raise InputError("no instruction and response in it")
    return found[1], found[2]


_WINNERS = {"model_a": 1.0, "model_b": 0.0}


def _mt_bench(row: dict[str, Any]) -> Pair:
    """A vote after the first or the second turn; after the second, each answer stands in its own conversation, and the
    query is that of the first."""
    sides = [row[f"conversation_{side}"][: 2 * row["turn"]] for side in "ab"]
    if row["turn"] == 1:
        query = conversation(sides[0][:-1])
        first, second = (str(side[-1]["content"]) for side in sides)
    else:
        query = conversation(sides[0][:1])
        first, second = ("\n\n".join(_readable(message) for message in side[1:]) for side in sides)
    return Pair(query, first, second, _WINNERS.get(row["winner"], 0.5))


def _readable(message: dict[str, Any]) -> str:
    return f"[user] {message['content']}" if message["role"] == "user" else str(message["content"])


# By the field that gives a form away.
FORMS: dict[str, Callable[[dict[str, Any]], Pair | None]] = {
    "annotator1": _pandalm,
    "output_1": _llmbar,
    "response 1": _autoj,
    "chosen_instruction": _hhh,
    "conversation_a": _mt_bench,
    "chosen": _chosen,
}
