"""The methods by name: those that come with tpo, those of installed packages, and any generator function."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, TypeAlias

from tpo import plugins
from tpo.errors import InputError, PromptError
from tpo.methods.actions import Search
from tpo.methods.definition import Method, method_of
from tpo.methods.selection import TEMPLATES as SELECTING
from tpo.prompts.prompt_set import PromptSet, prompt_set, template_names
from tpo.specs import did_you_mean

GROUP = "tpo.methods"
PYTHON = "python:"

# What a user may give as a method: a name, `python:MODULE:NAME`, or the generator function itself.
MethodSource: TypeAlias = str | Method | Callable[..., Search]

_registered: dict[str, Method] = {}


def register(name: str, function: Callable[..., Search]) -> Method:
    """Give a method a name, by which it can be used everywhere in this process.

    Raises:
        InputError: the function is no method, or the name is another method's or none.
    """
    if not name or ":" in name or name.strip() != name:
        raise InputError(f"A method cannot be called {name!r}: a name has no colon and no blanks around it.")
    made = method_of(function, name)
    if name in _registered and _registered[name].search is not function:
        raise InputError(f"There is a method {name!r} already.")
    _registered[name] = made
    return made


def methods() -> dict[str, Method]:
    """All registered methods by name; those of other packages whose module fails to import are left out."""
    found = dict(_registered)
    for name in _entry_points():
        if name not in found:
            try:
                found[name] = _from_entry_point(name)
            except InputError:
                continue
    return found


def find_method(name: str) -> Method:
    """The registered method of that name.

    Raises:
        InputError: there is none; the message lists those there are.
    """
    if name in _registered:
        return _registered[name]
    if name in _entry_points():
        return _from_entry_point(name)
    known = [*_registered, *(other for other in _entry_points() if other not in _registered)]
    raise InputError(
        f"There is no method {name!r}: choose one of {', '.join(known)}, or python:MODULE:NAME for your own."
        f"{did_you_mean(name, known)}"
    )


def resolve_method(source: MethodSource) -> Method:
    """The method that a user means. `python:` names import code, so no client of a server may choose them.

    Args:
        source: a name, `python:MODULE:NAME`, or the generator function itself.

    Raises:
        InputError: there is none, or it is no method.
    """
    from tpo.rewards import user_code

    if isinstance(source, Method):
        return source
    if isinstance(source, str):
        if not source.startswith(PYTHON):
            return find_method(source)
        function = user_code.load(source.removeprefix(PYTHON), "method")
        return _of_code(function, source)
    for known in _registered.values():
        if known.search is source:
            return known
    if not callable(source):
        raise InputError(f"The method is a {type(source).__name__}: give a name, or a generator function.")
    return _of_code(source, f"{PYTHON}{user_code.path_of(source)}")


def is_method(name: str) -> bool:
    """Whether a method is called that, without importing anything."""
    return name in _registered or name in _entry_points()


def wording(method: Method | None = None, folder: Path | str | None = None) -> PromptSet:
    """The prompt set of a method.

    Args:
        method: the method; None for a set that any method's templates are added to later.
        folder: the user's folder; None for the default wording. It may word the prompts of any registered method.

    Raises:
        PromptError: a template is broken.
    """
    known: set[str] = set()
    if folder is not None:
        known |= template_names(SELECTING)
        for one in methods().values():
            for brought in one.templates:
                if brought.is_dir():
                    known |= template_names(brought)
    if method is None:
        return prompt_set(folder, known)
    if folder is not None:
        for brought in method.templates:
            known |= template_names(brought)
    return prompt_set(folder, known).for_method(method.templates)


def _of_code(function: Any, name: str) -> Method:
    from tpo.rewards.user_code import fingerprint

    return method_of(function, name, fingerprint(function) if callable(function) else "")


@cache
def _entry_points() -> dict[str, EntryPoint]:
    return plugins.registered(GROUP)


@cache
def _from_entry_point(name: str) -> Method:
    function = plugins.load(_entry_points()[name], "method")
    try:
        return method_of(function, name)
    except PromptError as error:
        raise InputError(str(error)) from error
