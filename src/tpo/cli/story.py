"""A query's story as people read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tpo.candidate import Candidate
from tpo.cli.terminal import safe
from tpo.engine.records import Called, Prompted
from tpo.engine.result import Result, Step
from tpo.messages import Conversation, text_of
from tpo.runs.history import QueryHistory


def story_parts(story: QueryHistory, *, prompts: bool) -> Iterator[RenderableType]:
    """The whole story, part by part.

    Args:
        story: the story.
        prompts: with the prompts as they were sent.
    """
    yield Text(f"query {story.id}", style="bold")
    yield Text(_stands(story))
    if story.plan is not None:
        plan = story.plan
        yield Text(
            f"{plan.method}, width {plan.width}, depth {plan.depth}, reward {plan.reward or 'none'}", style="dim"
        )
        yield from _messages(plan.query)
    yield from _steps(story, prompts)
    for (role, error), count in _troubles(story).items():
        yield _text(f"{role}: {count} × {error}", style="red")
    if story.result is not None:
        yield _costs(story.result)
        yield Text(f"answer {story.result.chosen}, reward {_number(story.result.reward)}", style="bold")
        yield _text(story.result.answer)


def _stands(story: QueryHistory) -> str:
    if story.error is not None:
        return safe(f"failed: {story.error}")
    if story.ended is None:
        return "open: it has not ended yet" if story.records else "nothing is written down about it"
    return f"ended: {story.ended.stop}, {story.ended.seconds:.1f} s"


def _messages(messages: Conversation) -> Iterator[Text]:
    for message in messages:
        yield Text(f"{message['role']}:", style="cyan")
        calls = message.get("tool_calls")
        yield _text("\n".join(filter(None, [text_of(message), f"[tool calls: {calls}]" if calls else ""])))


def _steps(story: QueryHistory, prompts: bool) -> Iterator[Text]:
    sent: dict[int, list[Prompted]] = {}
    for record in story.records if prompts else ():
        if isinstance(record, Prompted):
            sent.setdefault(record.step, []).append(record)
    steps = {step.step: step for step in story.result.steps} if story.result else {}
    played = _played(list(steps.values()))
    for number in sorted(steps.keys() | sent.keys()):
        yield Text(f"\nstep {number}", style="bold")
        for prompt in sent.get(number, ()):
            width = f", {prompt.width} answers" if prompt.width else ""
            yield Text(f"prompt {prompt.name} to the {prompt.role}{width}:", style="magenta")
            yield from _messages(prompt.messages)
        if number in steps:
            yield from _step(steps[number], played)


def _step(step: Step, played: dict[str, list[str]]) -> Iterator[Text]:
    if step.chosen is not None:
        compared = f", compared with {step.rejected}" if step.rejected else ""
        yield Text(f"sets out from {step.chosen}{compared}")
    for name, said in (("loss", step.loss), ("gradient", step.gradient)):
        if said is not None:
            yield Text(f"{name}:", style="cyan")
            yield _text(said)
    for candidate in step.candidates:
        yield from _candidate(candidate, played.get(candidate.id, []))


def _played(steps: list[Step]) -> dict[str, list[str]]:
    """What became of each candidate."""
    played: dict[str, list[str]] = {}
    for step in steps:
        for part, id in (("chosen", step.chosen), ("rejected", step.rejected)):
            if id is not None:
                played.setdefault(id, []).append(f"{part} for step {step.step}")
    return played


def _candidate(candidate: Candidate, played: list[str]) -> Iterator[Text]:
    facts = [f"reward {_number(candidate.reward)}", candidate.finish_reason, f"{candidate.tokens} tokens", *played]
    yield Text(f"{candidate.id}: {', '.join(facts)}", style="green")
    if candidate.parts:
        parts = ", ".join(f"{name} {_number(value)}" for name, value in candidate.parts.items())
        yield _text(f"parts: {parts}", style="dim")
    if candidate.feedback:
        yield _text(f"feedback: {candidate.feedback}", style="dim")
    if candidate.leaked:
        yield _text(f"repeats words of the prompt, so it ranks below the others: {candidate.leaked}", style="red")
    if candidate.error:
        yield _text(f"error: {candidate.error}", style="red")
    yield _text(candidate.text)


def _troubles(story: QueryHistory) -> Counter[tuple[str, str]]:
    """Calls that failed or were cut short, whether or not they were repeated."""
    return Counter((r.role, r.error) for r in story.records if isinstance(r, Called) and r.error is not None)


def _costs(result: Result) -> Table:
    table = Table(box=box.SIMPLE, show_edge=False)
    headings = ("role", "calls", "retries", "prompt tokens", "cached", "completion tokens", "seconds", "waited")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "role" else "right")
    for role, used in result.usage.items():
        if used.calls:
            counts = (used.calls, used.retries, used.prompt_tokens, used.cached_tokens, used.completion_tokens)
            table.add_row(role, *map(str, counts), f"{used.seconds:.1f}", f"{used.waited:.1f}")
    return table


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


def _text(text: str, style: str = "") -> Text:
    return Text(safe(text), style=style)
