"""The flags of commands, made from the table of options."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
import typer

from tpo.config import Config
from tpo.errors import InputError
from tpo.options import Entry, SearchOptions, table
from tpo.options.groups import OUTPUT

if TYPE_CHECKING:
    from tpo.session.spec import Options

F = TypeVar("F", bound=Callable[..., Any])
S = TypeVar("S", bound=msgspec.Struct)


def takes(*kinds: type[msgspec.Struct], without: Collection[str] = ()) -> Callable[[F], F]:
    """Give a command a flag for each option of these classes, in place of its `**flags`.

    A parameter of the command's own replaces the flag of the same name; of two classes' options with the same flag
    the later class's counts.

    Args:
        kinds: classes of options.
        without: options that the command does not use.
    """

    def with_flags(command: F) -> F:
        signature = inspect.signature(command, eval_str=True)
        own = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in signature.parameters.values()
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        entries = {entry.flag: entry for kind in kinds for entry in table(kind).values() if entry.name not in without}
        flags = [_parameter(entry) for flag, entry in entries.items() if flag not in signature.parameters]
        # The help shows groups in the order of their first flags, and what comes out comes last.
        ordered = sorted([*own, *flags], key=lambda parameter: _group(parameter) == OUTPUT)
        command.__signature__ = signature.replace(parameters=ordered)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in ordered}
        return command

    return with_flags


def chosen(kind: type[S], flags: Mapping[str, Any]) -> S:
    """The options of a class from the flags of a command; what the command has no flag for keeps its default."""
    return kind(**values_of(kind, flags))


def values_of(kind: type[msgspec.Struct], flags: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a class's options by name, from the flags of a command."""
    values = {}
    for entry in table(kind).values():
        if entry.flag not in flags:
            continue
        value = flags[entry.flag]
        if entry.option.words is not None:
            value = entry.option.words[value]
        elif entry.kind is Sequence:
            value = tuple(value or ())
        elif entry.option.repeatable:
            value = one_or_several(value)
        elif entry.kind is Mapping:
            value = _json_object(entry.flag, value)
        values[entry.name] = value
    return values


def search_options(context: typer.Context, flags: Mapping[str, Any], on_note: Callable[[str], None]) -> Options:
    """The options of `tpo.align` from the flags of a command; other options among the flags are left out.

    Args:
        context: the command's context, with the configuration file, which names rewards.
        flags: the command's flags.
        on_note: called with each sentence that a user should read.

    Raises:
        InputError: `--extra` is no JSON object.
    """
    from tpo.session.effort import DIALS

    configured: Config = context.obj
    options = {**values_of(SearchOptions, flags), "rewards": configured.rewards}
    if options.get("effort") is not None:
        options = {name: value for name, value in options.items() if name not in DIALS or is_given(context, name)}
    if options.get("prefer") and not is_given(context, "reward"):
        options.pop("reward", None)  # its default would seem to be another reward beside the preference
    if options.get("method") != "sample" and options.get("reward") == "surface":
        on_note(
            "the reward is 'surface', a demonstration that scores form, not truth; "
            "choose a real one with --reward, such as python:MODULE:FUNCTION"
        )
    return options  # type: ignore[return-value]


def is_given(context: typer.Context, name: str) -> bool:
    """Whether the user gave an option of a search by its flag, in the environment or in the configuration file."""
    source = context.get_parameter_source(table(SearchOptions)[name].flag)
    return source is not None and source.name not in ("DEFAULT", "PROMPT")


def as_text(entry: Entry | None, value: Any) -> Any:
    """A value of tpo.toml as a flag would have it."""
    if entry is not None and entry.option.repeatable:
        if isinstance(value, Mapping):
            return [f"{name}={one}" for name, one in value.items()]
        return list(value) if isinstance(value, list) else [value]
    return json.dumps(value) if entry is not None and entry.kind is Mapping and isinstance(value, Mapping) else value


def _parameter(entry: Entry) -> inspect.Parameter:
    option, name = entry.option, entry.shown
    # One switch where the default is false, two where it is true.
    names = (
        [] if entry.type is not bool or option.words else [f"--{name}/--no-{name}" if entry.default else f"--{name}"]
    )
    flag = typer.Option(*names, help=option.help, rich_help_panel=option.group, metavar=option.metavar)
    default: Any = inspect.Parameter.empty if entry.default is msgspec.NODEFAULT else entry.default
    type_: Any = str if entry.kind in (Any, Mapping) or option.named else entry.kind
    if option.words is not None:
        words: Any = StrEnum
        type_ = words(entry.flag, {word.upper(): word for word in option.words})
        default = next(type_(word) for word, value in option.words.items() if value == entry.default)
    elif entry.kind is Sequence:
        type_, default = list[str] | None, None
    elif option.repeatable:
        type_, default = list[str], [default]
    elif entry.optional:
        type_ = type_ | None
    annotation = Annotated[type_, flag]
    return inspect.Parameter(entry.flag, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _group(parameter: inspect.Parameter) -> Any:
    (flag,) = getattr(parameter.annotation, "__metadata__", (None,))
    return getattr(flag, "rich_help_panel", None)


def one_or_several(values: Sequence[str]) -> Any:
    """One text, or several with names. The environment's value was split at its blanks, which a path may have."""
    if any(NAMED.match(value) for value in values):
        return tuple(values)
    return " ".join(values)


# A name before a value; a URL has no equals sign before its slashes.
NAMED = re.compile(r"[A-Za-z0-9][\w.\-]*=")


def _json_object(name: str, text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise InputError(f"--{name} is not JSON ({error}): {text[:80]!r}") from None
    if not isinstance(value, dict):
        raise InputError(f'--{name} is {text!r}; a JSON object is expected, such as {{"top_k": 20}}.')
    return value
