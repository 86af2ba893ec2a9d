"""Training data from a run: the pools of its queries as pairs, answers or labelled answers, as TRL's trainers read
them, written as JSON Lines or Parquet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from tpo.candidate import Candidate
from tpo.engine.state import CUT_SHORT
from tpo.errors import InputError
from tpo.messages import Conversation, Message, text_of
from tpo.methods.pool import preference
from tpo.options import ExportFormat, ExportOptions, PairRule
from tpo.runs.directory import ANSWERS, CLOCK, IDENTITY, JOURNAL, LOCK, STDIN, SUMMARY
from tpo.runs.history import QueryHistory
from tpo.runs.parquet import ROWS, require_parquet


class Export:
    """Makes rows of stories, and counts.

    Args:
        options: what is exported.

    Attributes:
        rows: rows so far.
        used: queries that gave rows.
        seen: queries so far.
        left_out: queries that gave none, by reason.

    Raises:
        InputError: the options contradict each other.
    """

    def __init__(self, options: ExportOptions) -> None:
        options.check()
        self._options = options
        self.rows = self.used = self.seen = 0
        self.left_out: Counter[str] = Counter()

    def of(self, stories: Iterable[QueryHistory]) -> Iterator[dict[str, Any]]:
        """The rows of all queries."""
        for story in stories:
            self.seen += 1
            made = self._rows(story)
            if isinstance(made, str):
                self.left_out[made] += 1
                continue
            self.used += 1
            for row in made:
                self.rows += 1
                yield row

    def _rows(self, story: QueryHistory) -> list[dict[str, Any]] | str:
        """The rows of one query, or why there are none."""
        if story.result is None or story.plan is None or story.error is not None:
            return "that failed"
        messages = _messages(story.plan.query)
        if messages is None:
            return "with tool calls, or with more than text"
        if self._options.plain and [message["role"] for message in messages] != ["user"]:
            return "that are chats, which are no plain text (without --plain they are exported)"
        best = self._best(story)
        if isinstance(best, str):
            return best
        row = {"id": story.id, "prompt": messages[0]["content"] if self._options.plain else messages}
        if self._options.format is ExportFormat.SFT:
            return [row | {"completion": self._answer(best), "score": best.reward}]
        rejected = self._rejected(best, story.result.candidates)
        if not rejected:
            return "without a worse answer" + (" by so much" if self._options.min_gap else "")
        if self._options.format is ExportFormat.DPO:
            return [row | self._pair(best, worse) for worse in rejected]
        labelled = [(best, True), *((worse, False) for worse in rejected)]
        return [row | {"completion": self._answer(one), "label": label, "score": one.reward} for one, label in labelled]

    def _best(self, story: QueryHistory) -> Candidate | str:
        """The chosen answer, or why there is none."""
        assert story.result is not None
        candidates = story.result.candidates
        first = candidates[0]
        unscored = story.plan is not None and story.plan.reward is None
        usable = [one for one in candidates if _usable(one, unscored)]
        if not usable and any(_calls(one) for one in candidates):
            return "whose answers call tools"
        if not usable:
            return "without an answer that has a reward"
        clean = [one for one in usable if one.leaked is None]
        if not clean:
            return "whose answers all repeat words of tpo's prompts"
        whole = [one for one in clean if self._options.keep_cut or not _cut(one)]
        if not whole:
            return "whose answers were all cut off (--keep-cut takes them)"
        best = max(whole, key=preference)  # the earliest of equals
        least = self._options.min_reward
        if least is not None and (best.reward is None or best.reward < least):
            return f"with no answer of reward {least:g} or more"
        if self._options.improved_only and (first.reward is None or preference(best) <= preference(first)):
            return "whose answer is no better than the first sample"
        return best

    def _rejected(self, best: Candidate, candidates: Sequence[Candidate]) -> list[Candidate]:
        if best.reward is None:
            return []
        worse = [
            one
            for one in candidates
            if _usable(one)
            and _reward(one) < best.reward
            and best.reward - _reward(one) >= self._options.min_gap
            and one.text.strip() != best.text.strip()
        ]
        by_text = {one.text.strip(): one for one in sorted(worse, key=_reward, reverse=True)}
        rejected = sorted(by_text.values(), key=_reward)
        return rejected[: 1 if self._options.pairs is PairRule.BEST_WORST else self._options.max_pairs]

    def _pair(self, chosen: Candidate, rejected: Candidate) -> dict[str, Any]:
        return {
            "chosen": self._answer(chosen),
            "rejected": self._answer(rejected),
            "score_chosen": chosen.reward,
            "score_rejected": rejected.reward,
        }

    def _answer(self, candidate: Candidate) -> str | list[Message]:
        return candidate.text if self._options.plain else [{"role": "assistant", "content": candidate.text}]


def _usable(candidate: Candidate, unscored: bool = False) -> bool:
    scored = unscored or candidate.reward is not None
    whole = candidate.error is None and bool(candidate.text.strip())
    return scored and whole and not _calls(candidate) and candidate.finish_reason != "content_filter"


def _calls(candidate: Candidate) -> bool:
    """Whether it calls a tool: its text shows the call, and is no answer to train on."""
    return bool(candidate.message and (candidate.message.get("tool_calls") or candidate.message.get("function_call")))


def _cut(candidate: Candidate) -> bool:
    return candidate.finish_reason == "length" or candidate.finish_reason in CUT_SHORT


def _reward(candidate: Candidate) -> float:
    return -float("inf") if candidate.reward is None else candidate.reward


def _messages(query: Conversation) -> list[Message] | None:
    """The messages with nothing but text, which all chat templates take; None where that would lose something."""
    messages = []
    for message in query:
        parts = message.get("content")
        only_text = isinstance(parts, str) or (
            isinstance(parts, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in parts)
        )
        if not only_text or message.get("tool_calls") or message["role"] in ("tool", "function"):
            return None
        messages.append({"role": message["role"], "content": text_of(message)})
    return messages


PARQUET = ".parquet"
_OWN = (IDENTITY, JOURNAL, ANSWERS, SUMMARY, LOCK, CLOCK, STDIN, "answers.parquet")


def write_stream(rows: Iterable[dict[str, Any]], stream: IO[bytes]) -> None:
    """Write rows as JSON, one a line.

    Raises:
        BrokenPipeError: the reader left.
        InputError: standard output cannot be written.
    """
    for row in rows:
        with _explained():
            stream.write(msgspec.json.encode(row) + b"\n")
    with _explained():
        stream.flush()


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise InputError(f"Standard output cannot be written: {error.strerror or error}.") from error


def write_file(rows: Iterator[dict[str, Any]], path: Path, options: ExportOptions, run: Path) -> None:
    """Write rows to a file, which gets its name only when it is complete.

    Args:
        rows: the rows.
        path: the file; Parquet if it ends in .parquet, else JSON Lines.
        options: what is exported, for the columns.
        run: the run's directory, whose own files are never written over.

    Raises:
        InputError: the file cannot be written, or is the run's own, or pyarrow is not installed.
    """
    if path.name in _OWN and path.parent.resolve() == run.resolve():
        raise InputError(f"{path} is a file of the run itself: name another --out.")
    beside = path.with_name(f"{path.name}.new")
    try:
        if path.is_dir():
            raise InputError(f"{path} is a directory: name a file.")
        if path.suffix.lower() == PARQUET:
            _write_parquet(rows, beside, options)
        else:
            with beside.open("wb") as file:
                for row in rows:
                    file.write(msgspec.json.encode(row) + b"\n")
        beside.replace(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def _write_parquet(rows: Iterator[dict[str, Any]], path: Path, options: ExportOptions) -> None:
    pyarrow = require_parquet()
    message = pyarrow.struct([("role", pyarrow.string()), ("content", pyarrow.string())])
    kinds = {
        "text": pyarrow.string(),
        "number": pyarrow.float64(),
        "truth": pyarrow.bool_(),
        "messages": pyarrow.list_(message),
    }
    schema = pyarrow.schema([(column.name, kinds[column.kind]) for column in columns(options)])
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        while part := list(islice(rows, ROWS)):
            writer.write_batch(pyarrow.RecordBatch.from_pylist(part, schema=schema))


class ExportColumn(NamedTuple):
    """A column of a table."""

    name: str
    kind: str


def columns(options: ExportOptions) -> list[ExportColumn]:
    """The columns of the rows, and what each holds: text, messages, number or truth."""
    content = "text" if options.plain else "messages"
    rest = {
        ExportFormat.DPO: [
            ("chosen", content),
            ("rejected", content),
            ("score_chosen", "number"),
            ("score_rejected", "number"),
        ],
        ExportFormat.SFT: [("completion", content), ("score", "number")],
        ExportFormat.KTO: [("completion", content), ("label", "truth"), ("score", "number")],
    }[options.format]
    return [ExportColumn("id", "text"), ExportColumn("prompt", content), *(ExportColumn(*column) for column in rest)]
