"""Dialogues as HH-RLHF writes them: turns that begin with "Human:" and "Assistant:", each after an empty line."""

from __future__ import annotations

import re

from tpo.errors import InputError
from tpo.messages import Conversation

_TURN = re.compile(r"\n\n(Human|Assistant):[ ]?")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def dialogue(text: str) -> tuple[Conversation, str]:
    """Read a dialogue (Bai et al., 2022, arXiv 2204.05862).

    Args:
        text: as published; an assistant's turn before the first user turn is left out.

    Returns:
        The messages up to where the last answer begins, and that answer; an empty one where the person spoke last.

    Raises:
        InputError: it is no such dialogue.
    """
    before, *parts = _TURN.split(text)
    messages: Conversation = []
    for speaker, turn in zip(parts[::2], parts[1::2], strict=True):
        role = _ROLES[speaker]
        if messages and messages[-1]["role"] == role:  # a person may write twice before there is an answer
            messages[-1]["content"] += f"\n\n{turn.strip()}"
        elif messages or role == "user":
            messages.append({"role": role, "content": turn.strip()})
    answer = str(messages.pop()["content"]) if messages and messages[-1]["role"] == "assistant" else ""
    if before.strip() or not messages or not messages[-1]["content"]:
        raise InputError(f"{text[:60]!r} is no dialogue that begins with a person and ends with an answer.")
    return messages, answer
