"""Rules that an answer either keeps or breaks, as `--require` takes them: `parse_rule("max-words=80")`."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from tpo.errors import InputError
from tpo.rewards.rule_kinds import KINDS, Check


@dataclass(frozen=True, slots=True)
class Rule:
    """One requirement on an answer.

    Attributes:
        text: the rule as it was written, which is its name in a score's parts.
        wanted: what it requires, in words.
        check: what is wrong with an answer.
    """

    text: str
    wanted: str
    check: Check

    def describe(self) -> str:
        """What the rule requires in plain words, such as "at most 80 words"."""
        return self.wanted

    def broken(self, answer: str) -> str | None:
        """What breaks the rule, such as "the answer has 112 words"; None when the answer keeps it.

        An empty answer breaks every rule: otherwise it would be the surest way to stay below a limit.
        """
        if not answer.strip():
            return "the answer is empty"
        fault = self.check(answer)
        return None if fault is None else f"the answer {fault}"


def parse_rule(rule: str) -> Rule:
    """Read a rule.

    Args:
        rule: "name=value", a bare "json", or "/pattern/" for a regular expression. Spaces around the name
            and the value do not count.

    Raises:
        InputError: the rule is unknown, or its value is missing or does not fit; the message names the
            nearest known rule, or what is expected.
    """
    written = rule.strip()
    slashed = re.fullmatch(r"/(.+)/", written, re.DOTALL)
    name, equals, value = ("regex", "=", slashed[1]) if slashed else written.partition("=")
    name, value = name.strip().lower().replace("_", "-"), value.strip()
    kind = KINDS.get(name)
    if kind is None:
        near = difflib.get_close_matches(name, KINDS, n=1, cutoff=0.5)
        meant = f"{near[0]}={value}" if near and value and KINDS[near[0]].example != near[0] else "".join(near)
        hint = f" Did you mean {meant}?" if near else ""
        known = ", ".join(kind.example for kind in KINDS.values())
        raise InputError(f"The requirement {written!r} is unknown.{hint} Known ones look like this: {known}.")
    if kind.example == name:
        if equals:
            raise InputError(f"The requirement {written!r} has a value, but {name} takes none: write {name}.")
    elif not value:
        raise InputError(f"The requirement {written!r} has no value: write for example {kind.example}.")
    try:
        wanted, check = kind.build(value)
    except ValueError as error:
        raise InputError(f"The requirement {written!r} cannot be used: {error}.") from error
    return Rule(written, wanted, check)
