"""`tpo show`: the state of a run, or the history of one of its queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

from tpo.cli.console import print_json, reporting, stdout
from tpo.cli.summary import summary_table, table_or_lines
from tpo.cli.terminal import safe
from tpo.engine.result import ARM_HEADINGS, arm_row, held_out_line, held_out_warning
from tpo.messages import Conversation, text_of

if TYPE_CHECKING:
    from tpo.candidate import Candidate
    from tpo.engine.records import Prompted
    from tpo.engine.result import Result, Step
    from tpo.runs.history import QueryHistory
    from tpo.runs.status import RunStatus

INDENT = 2


@reporting
def show(
    directory: Annotated[Path, typer.Argument(help="The directory of a run.", show_default=False)],
    id: Annotated[str | None, typer.Argument(help="The id of a query.", show_default=False)] = None,
    prompts: Annotated[bool, typer.Option("--prompts", help="Show the prompts as they were sent.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Show the summary of a run, or with an ID the answer to that query and every step of its search.

    It only reads the run, so you can use it while the run works.
    """
    from tpo.errors import InputError
    from tpo.runs.history import query_history
    from tpo.runs.status import run_status

    if id is not None:
        _show_query(query_history(directory, id), prompts=prompts, as_json=as_json)
    elif prompts:
        raise InputError("--prompts shows the prompts of one query: give its id.")
    else:
        _show_run(run_status(directory), as_json=as_json)


def _show_run(found: RunStatus, *, as_json: bool) -> None:
    import msgspec

    if as_json:
        counts = {} if found.counted else {"total": None, "left": None}
        head = {"directory": str(found.directory), "state": str(found.state)}
        print_json(head | msgspec.to_builtins(found.summary) | counts)
    else:
        console = stdout()
        console.print(summary_table(found.summary, found.directory))
        console.print(Text(_run_state(found)))


def _run_state(found: RunStatus) -> str:
    summary = found.summary
    over = f"{summary.left} of {summary.total} queries are left" if found.counted else "some queries may be left"
    return {
        "running": "running: a process works on it",
        "finished": "finished: all queries have their answers",
        "failed": f"finished, but {summary.failed} of {summary.total} queries failed; --retry-failed tries them again",
        "unfinished": f"unfinished: {over}; the command that began it can continue it",
    }[found.state]


def _show_query(history: QueryHistory, *, prompts: bool, as_json: bool) -> None:
    if as_json:
        print_json(_as_json(history, prompts=prompts))
        return
    console = stdout(soft_wrap=True)
    for part in history_parts(history, prompts=prompts):
        part.print(console)


def _as_json(history: QueryHistory, *, prompts: bool) -> dict[str, Any]:
    import msgspec

    from tpo.engine.records import Prompted

    value: dict[str, Any] = {"id": history.id, "key": history.key, "error": history.error}
    if history.result is not None:
        value |= history.result.to_dict()
    else:
        ended = history.ended or history.answer
        value |= {"answer": None, "reward": None, "stop": ended.stop if ended else "interrupt", "steps": []}
    if prompts:
        value["prompts"] = [msgspec.to_builtins(r) for r in history.records if isinstance(r, Prompted)]
    return value


class Block(NamedTuple):
    """Something to print, so many levels deep."""

    content: RenderableType
    level: int = 0

    def print(self, console: Console) -> None:
        """Print it: wrapped and indented on a terminal; elsewhere lines stay whole."""
        if not isinstance(self.content, Text) or not self.level:
            console.print(self.content)
        elif console.is_terminal:
            console.print(Padding(self.content, (0, 0, 0, INDENT * self.level)), soft_wrap=False)
        else:
            margin = " " * (INDENT * self.level)
            lines = [Text(margin) + line if line.plain else line for line in self.content.split(allow_blank=True)]
            console.print(Text("\n").join(lines))


def history_parts(history: QueryHistory, *, prompts: bool) -> Iterator[Block]:
    """A query's answer, and after it the question, the steps and the costs.

    Args:
        history: what was recorded.
        prompts: with the prompts as they were sent.
    """
    yield Block(Text(f"query {history.id}", style="bold"))
    yield Block(Text(_query_state(history)))
    result, plan = history.result, history.plan
    if result is not None:
        yield Block(Text(f"\nanswer {result.chosen}, reward {_number(result.reward)}", style="bold"))
        yield Block(_text(result.answer), 1)
        yield from _measured(result)
    if plan is not None:
        size = f"{plan.method}, width {plan.width}, depth {plan.depth}, reward {plan.reward or 'none'}"
        yield Block(Text(f"\nquestion ({size})", style="bold"))
        yield from _messages(plan.query, 1)
    yield from _steps(history, prompts)
    if errors := _errors(history):
        yield Block(Text("\nerrors", style="bold"))
        for (role, error), count in errors.items():
            yield Block(_text(f"{role}: {count} × {error}", style="red"), 1)
    if result is not None and any(used.calls for used in result.usage.values()):
        yield Block(Text("\ncosts (calls, tokens, seconds)", style="bold"))
        yield Block(_costs(result))
    if result is not None and result.arms:
        yield Block(Text("\nmodels of the panel", style="bold"))
        rows = [(safe(name), *row) for name, *row in map(arm_row, result.arms.items())]
        yield Block(table_or_lines(ARM_HEADINGS, rows))


def _measured(result: Result) -> Iterator[Block]:
    """What the held-out judge found, which the trace has and the search did not use."""
    if result.held_out is not None:
        yield Block(_text(f"\nheld-out judge: {result.held_out.judge}", style="bold"))
        yield Block(_text(held_out_line(result) or ""), 1)
    if (warning := held_out_warning(result)) is not None:
        yield Block(_text(f"warning: {warning}", style="yellow"), 1)


def _query_state(history: QueryHistory) -> str:
    if history.error is not None:
        return safe(f"failed: {history.error}")
    if history.ended is None:
        return "open: it has not ended yet" if history.records else "not begun: there is no record of it"
    return f"ended: {history.ended.stop}, {history.ended.seconds:.1f} s"


def _messages(messages: Conversation, level: int) -> Iterator[Block]:
    for message in messages:
        yield Block(Text(f"{message['role']}:", style="cyan"), level)
        calls = message.get("tool_calls")
        text = "\n".join(filter(None, [text_of(message), f"[tool calls: {calls}]" if calls else ""]))
        yield Block(_text(text), level + 1)


def _steps(history: QueryHistory, prompts: bool) -> Iterator[Block]:
    from tpo.engine.records import Prompted

    sent: dict[int, list[Prompted]] = {}
    for record in history.records if prompts else ():
        if isinstance(record, Prompted):
            sent.setdefault(record.step, []).append(record)
    steps = {step.step: step for step in history.result.steps} if history.result else {}
    uses = _uses(list(steps.values()))
    for number in sorted(steps.keys() | sent.keys()):
        yield Block(Text(f"\nstep {number}", style="bold"))
        for prompt in sent.get(number, ()):
            width = f", {prompt.width} answers" if prompt.width else ""
            yield Block(Text(f"prompt {prompt.name} to the {prompt.role}{width}:", style="magenta"), 1)
            yield from _messages(prompt.messages, 2)
        if number in steps:
            yield from _step(steps[number], uses)


def _step(step: Step, uses: dict[str, list[str]]) -> Iterator[Block]:
    if step.chosen is not None:
        compared = f", compared with {step.rejected}" if step.rejected else ""
        yield Block(Text(f"starts from {step.chosen}{compared}"), 1)
    for name, text in (("loss", step.loss), ("gradient", step.gradient)):
        if text is not None:
            yield Block(Text(f"{name}:", style="cyan"), 1)
            yield Block(_text(text), 2)
    for candidate in step.candidates:
        yield from _candidate(candidate, uses.get(candidate.id, []))


def _uses(steps: list[Step]) -> dict[str, list[str]]:
    """What later steps used each candidate for."""
    uses: dict[str, list[str]] = {}
    for step in steps:
        for part, id in (("chosen", step.chosen), ("rejected", step.rejected)):
            if id is not None:
                uses.setdefault(id, []).append(f"{part} for step {step.step}")
    return uses


def _candidate(candidate: Candidate, uses: list[str]) -> Iterator[Block]:
    writer = [f"by {safe(candidate.arm)}"] if candidate.arm is not None else []
    facts = [
        f"reward {_number(candidate.reward)}",
        *writer,
        candidate.finish_reason,
        f"{candidate.tokens} tokens",
        *uses,
    ]
    yield Block(Text(f"{candidate.id}: {', '.join(facts)}", style="green"), 1)
    if candidate.parts:
        parts = ", ".join(f"{name} {_number(value)}" for name, value in candidate.parts.items())
        yield Block(_text(f"parts: {parts}", style="dim"), 2)
    if candidate.feedback:
        yield Block(_text(f"feedback: {candidate.feedback}", style="dim"), 2)
    if candidate.leaked:
        leaked = f"repeats words of the prompt, so it ranks below the others: {candidate.leaked}"
        yield Block(_text(leaked, style="red"), 2)
    if candidate.error:
        yield Block(_text(f"error: {candidate.error}", style="red"), 2)
    if candidate.text:
        yield Block(_text(candidate.text), 2)


def _errors(history: QueryHistory) -> Counter[tuple[str, str]]:
    """Calls that failed or were cut short, whether or not they were repeated."""
    from tpo.engine.records import Called

    return Counter((r.role, r.error) for r in history.records if isinstance(r, Called) and r.error is not None)


def _costs(result: Result) -> RenderableType:
    headings = ("role", "calls", "retries", "prompt", "cached", "completion", "seconds", "waited")
    rows = []
    for role, used in result.usage.items():
        if used.calls:
            counts = (used.calls, used.retries, used.prompt_tokens, used.cached_tokens, used.completion_tokens)
            rows.append((role, *map(str, counts), f"{used.seconds:.1f}", f"{used.waited:.1f}"))
    return table_or_lines(headings, rows)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


def _text(text: str, style: str = "") -> Text:
    return Text(safe(text), style=style)
