"""The commands by name; a command's code is loaded when the command is used."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import typer
import typer.main
from typer.core import TyperGroup

from tpo.cli.help import HelpfulCommand

HELP_NAMES = {"help_option_names": ["-h", "--help"]}


class Listed(NamedTuple):
    """A command before its code is loaded.

    Attributes:
        place: its module and function.
        summary: one line.
        examples: lines to copy.
        first: parameters of the short help; empty for all.
        configured: its flags may be set in the environment and in tpo.toml.
    """

    place: str
    summary: str
    examples: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    configured: bool = False


SEARCH = ("policy", "policy_model", "reward", "require", "method", "effort", "width", "depth", "seed", "max_tokens")

COMMANDS = {
    "align": Listed(
        "tpo.cli.align:align",
        "Answer one question, aligned.",
        (
            'tpo align "How do I oil a wooden table?"',
            'tpo align "Why?" --policy http://localhost:8000/v1 --reward hf:NAME',
        ),
        ("prompt", "file", "messages", "as_json", "trace", "quiet", *SEARCH),
        configured=True,
    ),
    "chat": Listed("tpo.cli.chat:chat", "Chat over several turns, each answer aligned.", ("tpo chat",), SEARCH, True),
    "run": Listed(
        "tpo.cli.run:run",
        "Answer every query of a dataset, aligned.",
        ("tpo run questions.jsonl --out answers --policy http://localhost:8000/v1",),
        ("data", "out", "column", "retry_failed", "fresh", "concurrency", "as_json", "quiet", *SEARCH),
        configured=True,
    ),
    "serve": Listed(
        "tpo.cli.serve:serve",
        "Serve aligned answers over OpenAI's and Anthropic's APIs.",
        ("tpo serve --policy http://localhost:8000/v1 --reward hf:NAME --port 9000",),
        ("host", "port", "keys", "preset", "deadline", "ui", "quiet", *SEARCH),
        configured=True,
    ),
    "key": Listed("tpo.cli.key:key", "Make and list keys for the clients of a server.", ("tpo key alice",)),
    "view": Listed(
        "tpo.cli.view:view",
        "Show runs and traces in a browser.",
        ("tpo view answers",),
        ("paths", "host", "port", "open", "play", "policy", "reward"),
        configured=True,
    ),
    "check": Listed(
        "tpo.cli.check:check",
        "Test models and a reward.",
        ("tpo check --policy http://localhost:8000/v1 --reward hf:NAME",),
        configured=True,
    ),
    "eval": Listed("tpo.cli.eval:app", "Evaluate methods, judges and rewards."),
    "show": Listed("tpo.cli.show:show", "Show a run, or one of its queries.", ("tpo show answers q1",)),
    "experiment": Listed(
        "tpo.cli.experiment:experiment",
        "Compare methods, models and seeds, in a report.",
        ("tpo experiment recipes/small/experiment.toml --out small",),
    ),
    "runs": Listed("tpo.cli.runs:runs", "List runs.", ("tpo runs experiments",)),
    "export": Listed(
        "tpo.cli.export:export",
        "Make training data from a run.",
        ("tpo export answers --format dpo --out pairs.jsonl",),
    ),
    "report": Listed("tpo.cli.report:report", "Compare runs: tables, figures, a page.", ("tpo report runs/a runs/b",)),
    "replay": Listed("tpo.cli.replay:replay", "Rebuild a result from its trace.", ("tpo replay trace.jsonl --json",)),
    "models": Listed(
        "tpo.cli.models:models",
        "List models for this machine, or fetch one.",
        ("tpo models", "tpo models hub:Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF:q4_k_m"),
    ),
    "methods": Listed("tpo.cli.methods:methods", "List the methods with their settings.", ("tpo methods",)),
    "config": Listed("tpo.cli.config:config", "Show the configuration in force.", ("tpo config > tpo.toml",)),
}


def built(name: str, listed: Listed) -> Any:
    """The command of that name, loaded."""
    module, _, attribute = listed.place.partition(":")
    target = getattr(import_module(module), attribute)
    if isinstance(target, typer.Typer):
        command: Any = typer.main.get_command(target)
        command.name = name
        return command
    return command_of(name, target, listed)


def command_of(name: str, target: Any, listed: Listed) -> Any:
    """A function as a command with its short help."""
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    settings = {**HELP_NAMES, **({"auto_envvar_prefix": "TPO"} if listed.configured else {})}
    single.command(name, cls=HelpfulCommand, context_settings=settings)(target)
    command: Any = typer.main.get_command(single)
    command.examples, command.first = listed.examples, listed.first
    return command


class LazyCommands(MutableMapping[str, Any]):
    """Commands by name, each loaded at its first use."""

    def __init__(self, listed: Mapping[str, Listed]) -> None:
        self._listed = listed
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._built:
            self._built[name] = built(name, self._listed[name])
        return self._built[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._built[name] = command

    def __delitem__(self, name: str) -> None:
        del self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._listed)

    def __len__(self) -> int:
        return len(self._listed)


class TpoGroup(TyperGroup):
    """The commands, and a bare question that is answered as `tpo align` does."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = LazyCommands(COMMANDS)

    def list_commands(self, ctx: Any) -> list[str]:
        """See `click.Group.list_commands`."""
        return list(COMMANDS)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """See `click.Group.resolve_command`."""
        word = args[0]
        if word not in COMMANDS and not word.startswith("-"):
            if is_question(word) or (_is_there(word, Path.is_file) and sys.stdin.isatty() and sys.stderr.isatty()):
                return "align", self.commands["align"], args  # where a user decides what a file's name means
            if _is_there(word, Path.is_file):
                ctx.fail(
                    f"{word} is a file, not a command: tpo align --file {word} answers the question in it, "
                    f"tpo align {word} answers the name as a question."
                )
            if _is_there(word, Path.is_dir):
                ctx.fail(f"{word} is a folder, not a command: tpo view {word} shows the runs in it.")
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """See `click.Command.format_help`."""
        import shutil
        import textwrap

        from tpo.cli.help import WIDEST, rows

        width = min(WIDEST, shutil.get_terminal_size().columns)
        lines = [
            *("Usage: tpo COMMAND …", '       tpo "A question?"', ""),
            *textwrap.wrap(self.help or "", width),
            *("", "Commands:", *rows([(name, listed.summary) for name, listed in COMMANDS.items()], width)),
            *("", "Options:"),
            *rows(
                [
                    ("--config FILE", "The configuration file; ./tpo.toml unless given, if it exists. [TPO_CONFIG]"),
                    ("--version", "Show the version and exit."),
                    ("--install-completion", "Install completion for the current shell."),
                    ("-h, --help", "Show this help; tpo COMMAND -h shows a command's."),
                ],
                width,
            ),
        ]
        formatter.write("\n".join(lines))


def is_question(text: str) -> bool:
    """Whether an argument in a command's place is a question: it has several words, or a question mark."""
    return not text.startswith("-") and (len(text.split()) > 1 or text.rstrip().endswith("?"))


def _is_there(name: str, kind: Callable[[Path], bool]) -> bool:
    try:
        return kind(Path(name))
    except (OSError, ValueError):  # longer than a file's name may be, or with a character that none has
        return False
