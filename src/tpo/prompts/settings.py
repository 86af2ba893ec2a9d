"""The settings of a prompt set, in its set.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tpo import templates
from tpo.errors import PromptError

SETTINGS = "set.toml"


class Settings(NamedTuple):
    """The settings of a prompt set.

    Attributes:
        tags: what may stand around an updated answer; the first is the one that the update prompt requires.
        conversation: whether loss, gradient and update are one growing conversation, or each stands by itself.
        no_reply: stands in the conversation for a reply without text.
    """

    tags: tuple[str, ...]
    conversation: bool
    no_reply: str


def read_settings(path: Path) -> dict[str, Any]:
    """The settings that a file names.

    Raises:
        PromptError: it is not TOML, or names what is no setting or no value of one.
    """
    try:
        named = tomllib.loads(templates.read(path))
    except tomllib.TOMLDecodeError as error:
        raise PromptError(f"The prompt set's {path} is not TOML: {error}") from error
    if unknown := named.keys() - _KINDS.keys():
        raise PromptError(
            f"The prompt set's {path} sets {', '.join(sorted(unknown))}; it may set only {', '.join(_KINDS)}."
        )
    for setting, value in named.items():
        fits, kind = _KINDS[setting]
        if not fits(value):
            raise PromptError(f"The prompt set's {path} needs {setting} to be {kind}.")
    return named


def _are_tags(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(tag, str) and tag.isidentifier() for tag in value)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


_KINDS: dict[str, tuple[Callable[[object], bool], str]] = {
    "tags": (_are_tags, 'a list of names such as ["improved_answer"]'),
    "conversation": (lambda value: isinstance(value, bool), "true or false"),
    "no_reply": (_is_text, "a text that is not empty"),
}
