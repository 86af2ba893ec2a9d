"""`tpo align`: answer one query, aligned."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tpo.cli.console import INTERRUPTED, note, print_answer, print_json, reporting, stderr
from tpo.cli.query import read_query
from tpo.config import Config
from tpo.rewards.resolve import resolve_reward

if TYPE_CHECKING:
    from tpo.engine.events import Event
    from tpo.engine.result import Result

QUERY, METHOD, ROLES, REWARD, LIMITS, OUTPUT = "Query", "Method", "Models", "Reward", "Sampling and limits", "Output"
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@reporting
def align(
    context: typer.Context,
    prompt: Annotated[str | None, typer.Argument(help="The question; - reads it from standard input.")] = None,
    file: Annotated[Path | None, typer.Option(help="A file that holds the question.", rich_help_panel=QUERY)] = None,
    messages: Annotated[
        Path | None, typer.Option(help="A JSON file with chat messages.", rich_help_panel=QUERY)
    ] = None,
    method: Annotated[str, typer.Option(help="tpo, revision, best-of-n or sample.", rich_help_panel=METHOD)] = "tpo",
    width: Annotated[int, typer.Option(help="N: answers per step.", rich_help_panel=METHOD)] = 5,
    depth: Annotated[int, typer.Option(help="D: update steps.", rich_help_panel=METHOD)] = 2,
    prompts: Annotated[
        Path | None,
        typer.Option(help="A folder of templates that replace the default wording.", rich_help_panel=METHOD),
    ] = None,
    policy: Annotated[
        str,
        typer.Option(help="Who answers: embedded, gguf:PATH, or http://HOST:PORT/v1.", rich_help_panel=ROLES),
    ] = "embedded",
    policy_model: Annotated[
        str | None, typer.Option(help="The policy's model name, where several are served.", rich_help_panel=ROLES)
    ] = None,
    critic: Annotated[
        str | None, typer.Option(help="Who writes loss and gradient [default: the policy].", rich_help_panel=ROLES)
    ] = None,
    critic_model: Annotated[str | None, typer.Option(help="The critic's model name.", rich_help_panel=ROLES)] = None,
    editor: Annotated[
        str | None, typer.Option(help="Who writes the updates [default: the policy].", rich_help_panel=ROLES)
    ] = None,
    editor_model: Annotated[str | None, typer.Option(help="The editor's model name.", rich_help_panel=ROLES)] = None,
    reward: Annotated[
        str,
        typer.Option(
            help="What steers: surface, vllm:URL, hf:NAME, judge:URL, verifier:NAME, python:MODULE:FUNCTION, …, or a "
            "name from tpo.toml.",
            rich_help_panel=REWARD,
        ),
    ] = "surface",
    require: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RULE",
            help="A rule that ranks before the reward (repeatable), such as max-words=80 or bullets=3.",
            rich_help_panel=REWARD,
        ),
    ] = None,
    score_cache: Annotated[
        Path | None, typer.Option(help="Keep scores in this file for later runs.", rich_help_panel=REWARD)
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check/--no-check", help="Refuse a broken reward model.", rich_help_panel=REWARD),
    ] = True,
    temperature: Annotated[float, typer.Option(help="Sampling temperature.", rich_help_panel=LIMITS)] = 0.7,
    top_p: Annotated[float, typer.Option(help="Nucleus mass.", rich_help_panel=LIMITS)] = 0.95,
    seed: Annotated[int | None, typer.Option(help="Makes the run repeatable.", rich_help_panel=LIMITS)] = None,
    max_tokens: Annotated[int, typer.Option(help="Tokens per answer.", rich_help_panel=LIMITS)] = 1024,
    critic_max_tokens: Annotated[
        int | None, typer.Option(help="Tokens per critique [default: --max-tokens].", rich_help_panel=LIMITS)
    ] = None,
    budget_tokens: Annotated[
        int | None,
        typer.Option(help="Tokens of all roles, after which the best so far counts.", rich_help_panel=LIMITS),
    ] = None,
    budget_seconds: Annotated[
        float | None, typer.Option(help="Seconds after which the best so far counts.", rich_help_panel=LIMITS)
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the whole result as one JSON object.", rich_help_panel=OUTPUT)
    ] = False,
    trace: Annotated[
        Path | None,
        typer.Option(
            help="Write everything that happens to this JSON Lines file; goes on where a broken-off run stopped.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress and no notes on stderr.", rich_help_panel=OUTPUT)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.", rich_help_panel=OUTPUT)] = False,
) -> None:
    """Answer a question, aligned with a reward: sample, score, criticise, rewrite, and keep the best.

    The answer alone goes to stdout. Keys for servers come from TPO_API_KEY, or TPO_POLICY_API_KEY, TPO_CRITIC_API_KEY
    and TPO_EDITOR_API_KEY.
    """
    query = read_query(prompt, file, messages)
    configured: Config = context.obj
    scorer = None
    if method != "sample":
        scorer = resolve_reward(reward, require or (), named=configured.rewards, cache=score_cache)
    options: dict[str, Any] = {
        "method": method,
        "width": width,
        "depth": depth,
        "prompts": prompts,
        "policy": policy,
        "policy_model": policy_model,
        "critic": critic,
        "critic_model": critic_model,
        "editor": editor,
        "editor_model": editor_model,
        "reward": scorer,
        "check": check,
        "temperature": temperature,
        "top_p": top_p,
        "seed": seed,
        "max_tokens": max_tokens,
        "critic_max_tokens": critic_max_tokens,
        "budget_tokens": budget_tokens,
        "budget_seconds": budget_seconds,
        "trace": trace,
    }
    if method != "sample" and reward == "surface" and not quiet:
        note(
            "the reward is 'surface', a demonstration that looks at form, not at truth; "
            "steer with a real one by --reward python:MODULE:FUNCTION"
        )
    result = asyncio.run(_run(query, options, quiet))
    if as_json:
        print_json(result.to_dict())
    else:
        print_answer(result.answer)
    if result.stop == "interrupt":
        raise typer.Exit(INTERRUPTED)


async def _run(query: str | list[dict[str, Any]], options: dict[str, Any], quiet: bool) -> Result:
    from tpo import api
    from tpo.cli.live import view_of
    from tpo.engine.limits import Stopper

    stopper = Stopper()
    begun = asyncio.Event()
    task, loop = asyncio.current_task(), asyncio.get_running_loop()

    def interrupt() -> None:
        for name in SIGNALS:  # a second Ctrl-C is not to be argued with
            loop.remove_signal_handler(name)
        stopper.stop("interrupt")
        if not begun.is_set() and task is not None:
            task.cancel()

    with suppress(NotImplementedError):  # Windows has no signal handlers in its loop; Ctrl-C raises there
        for name in SIGNALS:
            loop.add_signal_handler(name, interrupt)
    try:
        with view_of(stderr, quiet) as view:

            def on_event(event: Event) -> None:
                begun.set()
                view.listen(event)

            return await api.align(query, **options, stopper=stopper, on_event=on_event, on_note=view.note)
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
