"""A prompt: what to send to which role, and how to read what comes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tpo.messages import Conversation

Role: TypeAlias = Literal["policy", "critic", "editor"]

ROLES: tuple[Role, ...] = ("policy", "critic", "editor")


@dataclass(frozen=True, slots=True)
class Prompt:
    """One rendered prompt.

    Attributes:
        name: the template it came from: answer, loss, gradient, update, or a revision twin.
        role: who is to answer it.
        messages: what is sent.
        read: takes the raw reply and returns the text that counts; never raises.
        chosen: id of the candidate shown as the better one, if any.
        rejected: id of the candidate shown as the worse one, if any.
        continues: it begins with the prompt before it and the reply to that.
    """

    name: str
    role: Role
    messages: Conversation
    read: Callable[[str], str]
    chosen: str | None = None
    rejected: str | None = None
    continues: bool = False
