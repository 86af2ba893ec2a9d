"""Folders of templates: the default one, and a user's folder laid over it.

A text is made of `NAME.system.jinja` and `NAME.user.jinja`, one message each; either may be absent. A user's folder
replaces whole texts: where it has any file of one, none of the default's files for it are used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import ChainableUndefined, StrictUndefined, Template, TemplateError, TemplateSyntaxError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tpo.errors import PromptError
from tpo.messages import Conversation, question, readable, text_of

PARTS = ("system", "user")

# A trial value for a variable of any type: an empty text, an empty list, and its own attributes.
ANYTHING = ChainableUndefined()

_environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def files_in(folder: Path, names: Iterable[str] | None, other: str, users: str) -> dict[str, Path]:
    """The template files of a folder, by file name.

    Args:
        folder: where they are.
        names: what may be templated; None for anything.
        other: the one file that may stand beside the templates.
        users: who uses templates, for errors: "method" or "judge".

    Raises:
        PromptError: there is no such folder, it holds no template, or a file that nobody uses.
    """
    allowed = None if names is None else list(names)
    such = f"{allowed[1] if allowed else 'NAME'}.user.jinja"
    if not folder.is_dir():
        raise PromptError(f"There is no template folder {folder}: give one with files such as {such}.")
    files = {path.name: path for path in folder.iterdir() if path.suffix in (".jinja", Path(other).suffix)}
    if allowed is None:
        files = {name: path for name, path in files.items() if path.suffix == ".jinja"}
        unknown = sorted(name for name in files if name.split(".")[1:-1] not in [[part] for part in PARTS])
    else:
        known = {f"{name}.{part}.jinja" for name in allowed for part in PARTS} | {other}
        unknown = sorted(files.keys() - known)
    if unknown:
        one_of = "" if allowed is None else f" one of {', '.join(allowed)}"
        raise PromptError(
            f"The template folder {folder} holds {unknown[0]}, which no {users} uses; files are {other} and "
            f"NAME.PART.jinja, NAME{one_of or ' any name'}, PART one of {', '.join(PARTS)}."
        )
    if not files:
        raise PromptError(f"The template folder {folder} holds no template, such as {such}.")
    return files


def laid_over(base: Mapping[str, Path], own: Mapping[str, Path]) -> dict[str, Path]:
    """A user's files over the default ones."""
    # Whole texts, never half of one: a user's wording without a system message must not inherit the default's.
    replaced = {file.split(".")[0] for file in own}
    return {file: path for file, path in base.items() if file.split(".")[0] not in replaced} | dict(own)


def read(path: Path) -> str:
    """A file's text.

    Raises:
        PromptError: it cannot be read as UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"The template {path} cannot be read as UTF-8: {error}") from error


def compiled(source: str, path: Path, trial: Mapping[str, Any]) -> Template:
    """A template that is known to work.

    Args:
        source: its text.
        path: where that stands, for errors.
        trial: a value for each variable that it may use.

    Raises:
        PromptError: it does not parse, names another variable, or does not render the trial values.
    """
    try:
        unknown = meta.find_undeclared_variables(_environment.parse(source)) - trial.keys()
        if unknown:
            raise PromptError(
                f"The template {path} names {', '.join(sorted(unknown))}, which is no variable; "
                f"it may use {', '.join(trial)}."
            )
        template = _environment.from_string(source)
        template.globals = dict(template.globals)  # copied for each rendering, which is slow for Jinja's chain of two
        # The trial finds what parsing cannot: a filter's arguments, an attribute of a text.
        template.render(trial)
    except TemplateSyntaxError as error:
        raise PromptError(f"The template {path} does not parse: line {error.lineno}: {error.message}.") from error
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise PromptError(f"The template {path} does not render: {error}") from error
    return template


def variables_of(path: Path) -> frozenset[str]:
    """The variables that a template names.

    Raises:
        PromptError: it cannot be read, or does not parse.
    """
    try:
        return frozenset(meta.find_undeclared_variables(_environment.parse(read(path))))
    except TemplateSyntaxError as error:
        raise PromptError(f"The template {path} does not parse: line {error.lineno}: {error.message}.") from error


def rendered(name: str, template: Template, values: Mapping[str, Any]) -> str:
    """A template with real values.

    Raises:
        PromptError: it fails on them.
    """
    try:
        return template.render(values)
    except Exception as error:  # whatever a user's template does with real values
        raise PromptError(f"The template {name} does not render: {type(error).__name__}: {error}") from error


def of_query(query: Conversation) -> dict[str, str]:
    """What every template may use of a query: `query`, `question` and `system`."""
    system = "\n\n".join(text_of(message) for message in query if message["role"] in ("system", "developer"))
    return {"query": readable(query), "question": question(query), "system": system}
