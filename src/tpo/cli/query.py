"""Where the query comes from: the command line, a file, or standard input."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import typer

from tpo.cli.console import note
from tpo.errors import InputError


def read_query(prompt: str | None, file: Path | None, messages: Path | None) -> str | list[dict[str, Any]]:
    """The query that a user gave in one of three ways.

    Args:
        prompt: the question itself; `-` reads it from standard input.
        file: a file that holds the question.
        messages: a JSON file that holds chat messages.

    Raises:
        InputError: none or several were given, or a file cannot be used.
    """
    given = [
        name for name, value in (("PROMPT", prompt), ("--file", file), ("--messages", messages)) if value is not None
    ]
    if not given:
        raise InputError("There is no prompt: give one, or - for standard input, or --file FILE, or --messages FILE.")
    if len(given) > 1:
        raise InputError(f"There is more than one prompt ({' and '.join(given)}): give one of them.")
    if messages is not None:
        return _chat(messages)
    if file is not None:
        return _text(file)
    if prompt == "-":
        return _decoded(sys.stdin.buffer.read(), "Standard input")
    assert prompt is not None
    return _text(Path(prompt)) if _means_file(prompt) else prompt


def _means_file(prompt: str) -> bool:
    """Whether a prompt that is a file's name means its contents: on a terminal the user decides, elsewhere no."""
    try:
        if prompt.split() != [prompt] or not Path(prompt).is_file():
            return False
    except OSError:  # longer than a file's name may be
        return False
    if sys.stdin.isatty() and sys.stderr.isatty():
        return typer.confirm(f"{prompt} is a file. Is the question in it?", default=True, err=True)
    note(f"{prompt} is the name of a file, and taken as the question itself; --file {prompt} reads the file")
    return False


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"The file {path} cannot be read: {error.strerror}.") from error
    return _decoded(data, f"The file {path}")


def _decoded(data: bytes, what: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{what} is not UTF-8 (byte {error.start}): save it as UTF-8.") from error


def _chat(path: Path) -> list[dict[str, Any]]:
    shape = '[{"role": "user", "content": "…"}]'
    try:
        value = json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}: this is no JSON ({error.msg}); {shape} is expected.") from error
    if isinstance(value, dict):  # the body of a chat request
        value = value.get("messages")
    if not isinstance(value, list):
        raise InputError(f"{path} holds no chat messages: {shape} is expected.")
    return value
