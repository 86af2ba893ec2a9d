"""Requirements as a reward: how many of the rules an answer keeps, and which ones it breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tpo.errors import InputError
from tpo.messages import Conversation, text_of
from tpo.rewards.protocol import Score
from tpo.rewards.rules import Rule, parse_rule

# Threads of their own: a rule may wait for a process, and that must not fill the loop's shared pool.
_THREADS = ThreadPoolExecutor(32, thread_name_prefix="tpo-rules")


class Requirements:
    """Scores an answer by the share of rules that it keeps, in [0, 1].

    Args:
        rules: at least one rule, as text ("max-words=80") or parsed; one that stands twice counts once.

    Raises:
        InputError: there is no rule, or one is not understood.
    """

    maximum = 1.0

    def __init__(self, rules: Sequence[Rule | str]) -> None:
        if isinstance(rules, str):
            raise InputError(f"The requirements are the one text {rules!r}: give a list of them.")
        parsed = [parse_rule(rule) if isinstance(rule, str) else rule for rule in rules]
        self.rules = list({rule.text: rule for rule in parsed}.values())
        if not self.rules:
            raise InputError("There is no requirement to check: give at least one, such as max-words=80.")

    @property
    def name(self) -> str:
        """The rules in their order; the number rises when a rule comes to judge differently."""
        return f"require@1({'; '.join(rule.text for rule in self.rules)})"

    async def score(self, conversations: Sequence[Conversation]) -> list[Score]:
        """Check the last message of each conversation.

        Returns:
            A score for each: the share of rules kept, a part for each rule (1.0 kept, 0.0 broken), and in
            words what is missing, for a language model to act on.
        """
        answers = [text_of(messages[-1]) for messages in conversations]
        # In a thread: a regular expression or the language identifier may take a while.
        return await asyncio.get_running_loop().run_in_executor(
            _THREADS, lambda: [self.check(answer) for answer in answers]
        )

    def check(self, answer: str) -> Score:
        """Check one answer."""
        broken = {rule.text: rule.broken(answer) for rule in self.rules}
        parts = {name: float(fault is None) for name, fault in broken.items()}
        missing = {one.text: f"{one.describe()} ({fault})" for one in self.rules if (fault := broken[one.text])}
        return Score(sum(parts.values()) / len(parts), parts, self._words(list(missing.values())), missing)

    def _words(self, missing: list[str]) -> str:
        total = len(self.rules)
        if missing:
            noun = "requirement" if total == 1 else "requirements"
            return f"kept {total - len(missing)} of {total} {noun}; missing: {'; '.join(missing)}"
        return "kept the requirement" if total == 1 else f"kept all {total} requirements"
