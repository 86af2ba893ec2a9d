"""What all verifiers share: finding the reference of a query, and checking in a thread of their own."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from tpo.messages import Conversation, text_of
from tpo.rewards.protocol import Score
from tpo.rewards.verifiers.references import References

T = TypeVar("T")


class Verifier(ABC, Generic[T]):
    """A reward that holds an answer against the reference of its query.

    Args:
        kind: what is checked, such as "math".
        references: what answers are compared with.
        settings: options that change a verdict, for the name.
        threads: how many answers are checked at once.

    Attributes:
        version: rises when verdicts change.
        maximum: the score of an answer that passes.
    """

    version = 1
    maximum = 1.0

    def __init__(self, kind: str, references: References[T], settings: Sequence[str] = (), threads: int = 1) -> None:
        self._references = references
        details = ", ".join([*settings, f"references={references.fingerprint}"])
        self._name = f"verifier:{kind}@{self.version}({details})"
        # Threads of its own: a check may wait for a process, and that must not fill the loop's shared pool.
        self._threads = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="tpo-verifier")

    @property
    def name(self) -> str:
        """The kind, its options and a hash of the references; the number is the version."""
        return self._name

    async def score(self, conversations: Sequence[Conversation]) -> list[Score]:
        """Check the last message of each conversation.

        Returns:
            A score for each: 1 for an answer that passes, else 0 or the share of checks passed.

        Raises:
            RewardError: a query has no reference; the message names the query.
        """
        pairs = [(text_of(messages[-1]), self._references.find(messages)) for messages in conversations]
        loop = asyncio.get_running_loop()
        checks = [loop.run_in_executor(self._threads, self.check, answer, reference) for answer, reference in pairs]
        return list(await asyncio.gather(*checks))

    @abstractmethod
    def check(self, answer: str, reference: T) -> Score:
        """Check one answer against one reference; it may take a while, and never raises because of an answer."""


def yes_or_no(part: str, fault: str | None, praise: str) -> Score:
    """The score of a single check: 1 and praise without a fault, else 0 and the fault."""
    kept = float(fault is None)
    return Score(kept, {part: kept}, fault or praise, {part: fault.removeprefix("missing: ")} if fault else {})
