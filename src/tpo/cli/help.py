"""The help of commands: what one needs first, and everything behind `--help-all`."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Collection, Iterator
from enum import Enum
from typing import Any

from typer import BadParameter
from typer.core import TyperCommand

EVERYTHING = "--help-all"
WIDEST, LEFT = 100, 26
HARD_SPACE = "\u00a0"
# What versions of typer print for a type, and the word that people know.
METAVARS = {
    r"INTEGER(?: RANGE)?|<int(?: range)?>": "COUNT",
    r"FLOAT|<float>": "NUMBER",
    r"<path>|<list\[Path\]>": "FILE",
    r"TEXT|<str>|<list\[str\]>": "NAME",
    r"<([\w|-]+)>": r"\1",
}


class HelpfulCommand(TyperCommand):
    """A command with a short help and a whole one.

    Attributes:
        examples: lines to copy.
        first: names of the parameters that the short help shows; all of them where it is empty.
    """

    examples: tuple[str, ...] = ()
    first: Collection[str] = ()

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See `click.Command.parse_args`."""
        if EVERYTHING in args[: args.index("--") if "--" in args else None]:
            print(help_text(self, ctx, everything=True))
            ctx.exit()
        try:
            return super().parse_args(ctx, args)
        except BadParameter as error:
            # Some versions of typer pass on what pydantic says, with the kind of the error before it.
            error.message = error.message.removeprefix("Value error, ")
            raise

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """See `click.Command.format_help`."""
        formatter.write(help_text(self, ctx, everything=False))


def help_text(command: Any, ctx: Any, *, everything: bool) -> str:
    """The help of a command, as wide as the terminal."""
    width = min(WIDEST, shutil.get_terminal_size().columns)
    usage = " ".join([ctx.command_path, *map(_usage_piece, command.collect_usage_pieces(ctx))])
    paragraphs = [textwrap.fill(" ".join(part.split()), width) for part in (command.help or "").split("\n\n")]
    lines = [*textwrap.wrap(f"Usage: {usage}", width, subsequent_indent="       "), "", paragraphs[0]]
    for paragraph in paragraphs[1:] if everything else []:
        lines += ["", paragraph]
    if command.examples:
        lines += ["", *(f"  {example}" for example in command.examples)]
    shown = [one for one in command.get_params(ctx) if not getattr(one, "hidden", False)]
    chosen = shown if everything or not command.first else [one for one in shown if one.name in command.first]
    groups: dict[str, list[Any]] = {}
    for one in chosen:
        group = "Arguments" if one.param_type_name == "argument" else getattr(one, "rich_help_panel", None) or "Options"
        groups.setdefault(group, []).append(one)
    for group, parameters in groups.items():
        lines += ["", f"{group}:", *(line for one in parameters for line in _parameter(one, ctx, width, everything))]
    if len(chosen) < len(shown):
        more = f"{ctx.command_path} {EVERYTHING} shows {len(shown) - len(chosen)} more options."
        lines += ["", *textwrap.wrap(more, width)]
    return "\n".join(lines)


def _usage_piece(piece: str) -> str:
    """A part of the usage line in one form, whatever the version of typer: NAME, or [NAME] where it may be left out."""
    bare = re.sub(r"^\{(.*)\}(\.\.\.)?$", r"\1", piece).replace("…]...", "…]")
    return bare if "=" in bare or " " in bare else bare.upper()


def rows(entries: Collection[tuple[str, str]], width: int) -> Iterator[str]:
    """Two columns: a name, and a text that is wrapped beside it."""
    left = min(LEFT, width // 3)
    for name, text in entries:
        wrapped = textwrap.wrap(text, max(width - left - 2, 20)) or [""]
        if len(name) + 4 > left:
            yield f"  {name}"
        else:
            yield f"  {name:<{left - 2}}{wrapped.pop(0)}".rstrip()
        for line in wrapped:
            yield f"{' ' * left}{line}".replace(HARD_SPACE, " ")


def _parameter(parameter: Any, ctx: Any, width: int, everything: bool) -> Iterator[str]:
    text = " ".join((getattr(parameter, "help", None) or "").split())
    facts = []
    if (default := default_of(parameter)) is not None:
        facts.append(f"default: {default}")
    if everything and ctx.auto_envvar_prefix and parameter.param_type_name == "option" and parameter.name != "help":
        facts.append(f"{ctx.auto_envvar_prefix}_{parameter.name.upper()}")
    if getattr(parameter, "required", False) and parameter.param_type_name == "option":
        facts.append("required")
    if facts:
        text += f" [{', '.join(facts)}]".replace(" ", HARD_SPACE).replace(HARD_SPACE, " ", 1)
    for line in rows([(names_of(parameter, ctx), text)], width):
        yield line.replace(HARD_SPACE, " ")


def names_of(parameter: Any, ctx: Any) -> str:
    """The names of a parameter with the placeholder of its value."""
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    record = parameter.get_help_record(ctx)
    names = record[0] if record else ", ".join(parameter.opts)
    for pattern, word in METAVARS.items():
        names = re.sub(pattern, word, names)
    return names


def default_of(parameter: Any) -> str | None:
    """The default of a parameter as the help shows it; None where it shows none."""
    value = parameter.default
    if parameter.param_type_name == "argument" or getattr(parameter, "show_default", True) is False:
        return None
    if isinstance(value, bool):
        return str(parameter.opts[0]) if value else None
    if value is None or callable(value) or value in ((), []):
        return None
    if isinstance(value, list):
        return " ".join(map(str, value))
    return str(value.value if isinstance(value, Enum) else value)
