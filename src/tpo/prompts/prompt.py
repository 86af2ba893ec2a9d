"""A prompt: what to send to which role, and how to read what comes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from tpo.messages import Conversation
from tpo.prompts.scaffold import Scaffold

Role: TypeAlias = Literal["policy", "critic", "editor"]

ROLES: tuple[Role, ...] = ("policy", "critic", "editor")


@dataclass(frozen=True, slots=True)
class Prompt:
    """One rendered prompt.

    Attributes:
        name: the template it came from: answer, loss, gradient, update, one of their twins, or a method's own.
        role: who replies.
        messages: what is sent.
        read: takes the raw reply and returns the text that counts; never raises.
        chosen: id of the candidate shown as the better one, if any.
        rejected: id of the candidate shown as the worse one, if any.
        continues: it begins with the prompt before it and the reply to that.
        scaffold: which of its words are ours; None where none is.
    """

    name: str
    role: Role
    messages: Conversation
    read: Callable[[str], str]
    chosen: str | None = None
    rejected: str | None = None
    continues: bool = False
    scaffold: Scaffold | None = field(default=None, compare=False, repr=False)
