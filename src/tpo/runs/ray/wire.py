"""The messages between workers and the process that holds the run's directory."""

from __future__ import annotations

import msgspec

from tpo import errors
from tpo.engine.records import Record
from tpo.errors import RewardUnavailable, TPOError
from tpo.runs.answers import Answer


class Failure(msgspec.Struct, frozen=True):
    """An error that is sent to another process.

    Attributes:
        kind: the name of its class in `tpo.errors`, or of the nearest one above it there; empty for a bug.
        text: its message.
        retry_after: see `RewardUnavailable`.
        too_much: see `RewardUnavailable`.
    """

    kind: str
    text: str
    retry_after: float | None = None
    too_much: bool = False

    def error(self) -> Exception:
        """The error again."""
        found = getattr(errors, self.kind, None) if self.kind else None
        if found is RewardUnavailable:
            return RewardUnavailable(self.text, self.retry_after, too_much=self.too_much)
        if isinstance(found, type) and issubclass(found, TPOError):
            return found(self.text)
        return RuntimeError(self.text)


def failure_of(error: BaseException, where: str = "") -> Failure:
    """An error as it is sent.

    Args:
        error: the error.
        where: put before its text.
    """
    kind = next((one.__name__ for one in type(error).__mro__ if one.__module__ == errors.__name__), "")
    text = str(error) if kind else f"{type(error).__name__}: {error}"
    text = f"{where}: {text}" if where else text
    if isinstance(error, RewardUnavailable):
        return Failure(kind, text, error.retry_after, error.too_much)
    return Failure(kind, text)


class Begin(msgspec.Struct, frozen=True, tag="begin"):
    """A worker has received queries.

    Attributes:
        worker: its name, another one for each process.
        queries: their keys and ids.
    """

    worker: str
    queries: list[tuple[str, str]]


class Post(msgspec.Struct, frozen=True, tag="post"):
    """What happened at a worker since its last report.

    Attributes:
        worker: its name.
        number: counts its reports, since one may arrive twice.
        records: what goes into the journal, each with its query's key.
        answers: finished queries; all of their records arrived before, or are in this report.
        load: sequences in flight and their limit, at each server.
        notes: what a user should know.
        failure: why it cannot continue.
    """

    worker: str
    number: int
    records: list[tuple[str, Record]] = []
    answers: list[Answer] = []
    load: list[tuple[int, int]] = []
    notes: list[str] = []
    failure: Failure | None = None


class CoordinatorReply(msgspec.Struct, frozen=True):
    """The coordinator's reply to a worker.

    Attributes:
        past: for `Begin`: what was done of each query already; a query that is over is left out.
        place: the worker's place among all that are alive, and how many these are.
        stop: break off.
        dismissed: the worker was considered dead, and its queries were given to another one.
    """

    past: dict[str, list[Record]] = {}
    place: tuple[int, int] = (0, 1)
    stop: bool = False
    dismissed: bool = False


encode = msgspec.msgpack.Encoder().encode
decode_message = msgspec.msgpack.Decoder(Begin | Post).decode
decode_reply = msgspec.msgpack.Decoder(CoordinatorReply).decode
