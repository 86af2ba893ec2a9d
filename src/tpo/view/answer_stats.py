"""What all answers of a run come to, the rejected ones too: cut off, scored, their lengths, and the rules they keep.

This is counted in the journal, since answers.jsonl has the chosen answers alone. It is read once, and on from there
when the run has grown.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from tpo.decoding import prepared
from tpo.errors import InputError, JournalError
from tpo.rewards.rules import parse_rule
from tpo.runs.store import KEY

_SAMPLED = b'","record":{"record":"sampled"'
_SCORED = b'","record":{"record":"scored"'


class _Text(msgspec.Struct):
    step: int
    text: str
    finish_reason: str
    tokens: int = 0
    error: str | None = None


class _Score(msgspec.Struct):
    id: str
    reward: float | None = None
    parts: dict[str, float] = {}


class _TextLine(msgspec.Struct):
    record: _Text


class _ScoreLine(msgspec.Struct):
    record: _Score


class _StepCount:
    def __init__(self) -> None:
        self.answers = self.failed = self.cut = self.empty = self.characters = self.tokens = self.scored = 0


class AnswerStats:
    """Counts of a journal.

    Args:
        journal: the file.
    """

    def __init__(self, journal: Path) -> None:
        self._path = journal
        self._reading = threading.Lock()
        self._texts = msgspec.json.Decoder(prepared(_TextLine))
        self._scores = msgspec.json.Decoder(prepared(_ScoreLine))
        self._forget(0)

    def _forget(self, inode: int) -> None:
        self._inode = inode
        self._size = 0
        self._steps: dict[int, _StepCount] = {}
        self._rules: dict[str, dict[int, list[int]]] = {}

    @property
    def left(self) -> int:
        """Bytes of the journal that are not counted yet."""
        try:
            return max(self._path.stat().st_size - self._size, 0)
        except OSError:
            return 0

    def counted(self) -> dict[str, Any]:
        """The counts by step.

        Returns:
            `steps`: for each step its answers, those that failed, were cut off at the token limit, are empty, have a
            reward, and the mean length in characters and tokens of those with a text; `rules`: for each rule the
            scored answers that keep it and all of them, by step.

        Raises:
            JournalError: the journal cannot be read.
        """
        with self._reading:
            try:
                self._read_on()
            except FileNotFoundError:
                self._forget(0)
            except OSError as error:
                raise JournalError(f"The journal {self._path} cannot be read: {error.strerror}.") from error
            return {
                "steps": [_step_json(step, count) for step, count in sorted(self._steps.items())],
                "rules": [
                    {
                        "rule": rule,
                        "words": _rule_words(rule),
                        "steps": [[step, *kept] for step, kept in sorted(by.items())],
                    }
                    for rule, by in self._rules.items()
                ],
            }

    def _read_on(self) -> None:
        stat = self._path.stat()
        if stat.st_ino != self._inode or stat.st_size < self._size:
            self._forget(stat.st_ino)
        at = self._size
        with self._path.open("rb") as file:
            file.seek(at)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # it is being written
                at += len(line)
                try:
                    self._take(line)
                except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
                    continue  # damage is reported where the query is shown
        self._size = at

    def _take(self, line: bytes) -> None:
        if line.startswith(_SAMPLED, KEY.stop):
            text = self._texts.decode(line).record
            count = self._steps.setdefault(text.step, _StepCount())
            count.answers += 1
            count.failed += text.error is not None
            count.cut += text.finish_reason == "length"
            count.empty += text.error is None and not text.text.strip()
            count.characters += len(text.text)
            count.tokens += text.tokens
        elif line.startswith(_SCORED, KEY.stop):
            score = self._scores.decode(line).record
            step = int(score.id.partition(".")[0])
            self._steps.setdefault(step, _StepCount()).scored += score.reward is not None
            for part, value in score.parts.items():
                if value in (0.0, 1.0) and _rule_words(part) is not None:
                    kept = self._rules.setdefault(part, {}).setdefault(step, [0, 0])
                    kept[0] += value == 1.0
                    kept[1] += 1


@lru_cache(1000)
def _rule_words(part: str) -> str | None:
    """What a rule requires; None for a part of a score that is no rule."""
    try:
        return parse_rule(part).describe()
    except InputError:
        return None


def _step_json(step: int, count: _StepCount) -> dict[str, Any]:
    texts = count.answers - count.failed - count.empty
    return {
        "step": step,
        "answers": count.answers,
        "failed": count.failed,
        "cut": count.cut,
        "empty": count.empty,
        "scored": count.scored,
        "characters": round(count.characters / texts, 1) if texts else None,
        "tokens": round(count.tokens / texts, 1) if texts else None,
    }
