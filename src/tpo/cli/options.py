"""The flags that every command which searches has in common: who answers, what steers, how, and how far."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import msgspec
import typer

from tpo.config import Config
from tpo.errors import InputError
from tpo.session.spec import Options

F = TypeVar("F", bound=Callable[..., Any])

QUERY, METHOD, ROLES, REWARD, LIMITS, OUTPUT = "Query", "Method", "Models", "Reward", "Sampling and limits", "Output"


class SearchFlags:
    """The flags, with their defaults."""

    method: Annotated[
        str, typer.Option(help="tpo, tpo-fused, revision, best-of-n or sample.", rich_help_panel=METHOD)
    ] = "tpo"
    width: Annotated[int, typer.Option(help="N: answers per step.", rich_help_panel=METHOD)] = 5
    depth: Annotated[int, typer.Option(help="D: update steps.", rich_help_panel=METHOD)] = 2
    prompts: Annotated[
        Path | None,
        typer.Option(help="A folder of templates that replace the default wording.", rich_help_panel=METHOD),
    ] = None
    policy: Annotated[
        str,
        typer.Option(help="Who answers: embedded, gguf:PATH, or http://HOST:PORT/v1.", rich_help_panel=ROLES),
    ] = "embedded"
    policy_model: Annotated[
        str | None, typer.Option(help="The policy's model name, where several are served.", rich_help_panel=ROLES)
    ] = None
    critic: Annotated[
        str | None, typer.Option(help="Who writes loss and gradient, if not the policy.", rich_help_panel=ROLES)
    ] = None
    critic_model: Annotated[str | None, typer.Option(help="The critic's model name.", rich_help_panel=ROLES)] = None
    editor: Annotated[
        str | None, typer.Option(help="Who writes the updates, if not the policy.", rich_help_panel=ROLES)
    ] = None
    editor_model: Annotated[str | None, typer.Option(help="The editor's model name.", rich_help_panel=ROLES)] = None
    reward: Annotated[
        str,
        typer.Option(
            help="What steers: surface, vllm:URL, hf:NAME, judge:URL, verifier:NAME, python:MODULE:FUNCTION, …, or a "
            "name from tpo.toml.",
            rich_help_panel=REWARD,
        ),
    ] = "surface"
    require: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RULE",
            help="A rule that ranks before the reward (repeatable), such as max-words=80 or bullets=3.",
            rich_help_panel=REWARD,
        ),
    ] = None
    score_cache: Annotated[
        Path | None, typer.Option(help="Keep scores in this file for later runs.", rich_help_panel=REWARD)
    ] = None
    check: Annotated[
        bool,
        typer.Option("--check/--no-check", help="Refuse a broken reward model.", rich_help_panel=REWARD),
    ] = True
    temperature: Annotated[float, typer.Option(help="Sampling temperature.", rich_help_panel=LIMITS)] = 0.7
    top_p: Annotated[float, typer.Option(help="Nucleus mass.", rich_help_panel=LIMITS)] = 0.95
    seed: Annotated[int | None, typer.Option(help="Makes the run repeatable.", rich_help_panel=LIMITS)] = None
    max_tokens: Annotated[int, typer.Option(help="Tokens per answer.", rich_help_panel=LIMITS)] = 1024
    critic_max_tokens: Annotated[
        int | None, typer.Option(help="Tokens per critique, if not as many.", rich_help_panel=LIMITS)
    ] = None
    quorum: Annotated[
        int | None,
        typer.Option(help="Answers of a step that suffice to go on; all unless given.", rich_help_panel=LIMITS),
    ] = None
    extra: Annotated[
        str | None,
        typer.Option(
            metavar="JSON",
            help='Further fields of the requests for answers, such as \'{"stop": ["END"], "top_k": 20}\'.',
            rich_help_panel=LIMITS,
        ),
    ] = None
    budget_tokens: Annotated[
        int | None,
        typer.Option(help="Tokens of all roles, after which the best so far counts.", rich_help_panel=LIMITS),
    ] = None
    budget_seconds: Annotated[
        float | None, typer.Option(help="Seconds after which the best so far counts.", rich_help_panel=LIMITS)
    ] = None


def takes_search_flags(command: F) -> F:
    """Give a command all of these flags in the place of its `**flags`, but for those that it has itself."""
    hints = get_type_hints(SearchFlags, include_extras=True)
    signature = inspect.signature(command, eval_str=True)
    flags = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=getattr(SearchFlags, name), annotation=hint)
        for name, hint in hints.items()
        if name not in signature.parameters
    ]
    own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in signature.parameters.values()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    ordered = [*(p for p in own if not _is_output(p)), *flags, *(p for p in own if _is_output(p))]
    command.__signature__ = signature.replace(parameters=ordered)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in ordered}
    return command


def _is_output(parameter: inspect.Parameter) -> bool:
    # The help shows groups in the order of their first flags, and what comes out comes last.
    (option,) = getattr(parameter.annotation, "__metadata__", (None,))
    return getattr(option, "rich_help_panel", None) == OUTPUT


def search_options(flags: Mapping[str, Any], configured: Config, say: Callable[[str], None]) -> Options:
    """What the flags ask for, as options of `tpo.align`.

    Args:
        flags: the search's flags.
        configured: what stands in tpo.toml and the environment.
        say: called with each sentence that a user should read.

    Raises:
        InputError: `--extra` is no JSON object.
    """
    options: dict[str, Any] = {**flags, "extra": _object(flags.get("extra"))}
    options["require"] = options.get("require") or ()
    options["rewards"] = configured.rewards
    if options["method"] != "sample" and options["reward"] == "surface":
        say(
            "the reward is 'surface', a demonstration that looks at form, not at truth; "
            "steer with a real one by --reward python:MODULE:FUNCTION"
        )
    return options  # type: ignore[return-value]


def _object(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise InputError(f"--extra is no JSON ({error}): {text[:80]!r}") from None
    if not isinstance(value, dict):
        raise InputError(f'--extra is {text!r}; a JSON object is expected, such as {{"top_k": 20}}.')
    return value
