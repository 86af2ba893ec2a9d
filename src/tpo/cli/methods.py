"""`tpo methods`: the methods that there are, what they take and what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tpo.cli.console import print_json, reporting

if TYPE_CHECKING:
    from tpo.methods import Method


@reporting
def methods(
    name: Annotated[
        str | None, typer.Argument(help="Show one method: a name, or python:MODULE:NAME.", show_default=False)
    ] = None,
    width: Annotated[int, typer.Option(help="The width (N) for the cost.")] = 5,
    depth: Annotated[int, typer.Option(help="The depth (D) for the cost.")] = 2,
    efforts: Annotated[bool, typer.Option("--efforts", help="Show only the levels of --effort.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list, an object a method.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """List the methods with their costs, settings and papers, then the levels of --effort.

    tpo counts the most that a query can cost, by running the method without any model: answers, other replies, and
    stages. A stage is a round trip that waits for the one before.
    """
    from tpo.methods import methods as registered
    from tpo.methods import resolve_method

    if efforts:
        print_json(_efforts()) if as_json else _show_efforts()
        return
    found = [resolve_method(name)] if name is not None else [*registered().values()]
    rows = [_row(one, width, depth) for one in found]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        _show(row)
    if name is None:
        _show_efforts()


def _row(method: Method, width: int, depth: int) -> dict[str, Any]:
    from tpo.methods.cost import cost_of

    n, d = method.dials(width, depth)
    cost = cost_of(method, width, depth)
    return {
        "name": method.name,
        "summary": method.summary,
        "width": n if method.has_width else None,
        "depth": d if method.has_depth else None,
        "settings": [{"name": one.name, "type": one.kind, "default": one.default} for one in method.settings.values()],
        "answers": cost.answers,
        "replies": cost.replies,
        "stages": cost.stages,
        "paper": method.paper,
    }


def _show(row: dict[str, Any]) -> None:
    dials = " ".join(f"{name}={row[key]}" for name, key in (("N", "width"), ("D", "depth")) if row[key] is not None)
    typer.echo(f"{row['name']}: {row['summary']}")
    cost = f"{row['answers']} answers, {row['replies']} other replies, {row['stages']} stages"
    typer.echo(f"  cost{f' at {dials}' if dials else ''}: {cost}")
    for setting in row["settings"]:
        typer.echo(f"  --set {setting['name']}={_as_flag(setting['default'])} ({setting['type']})")
    if row["paper"]:
        typer.echo(f"  paper: {row['paper']}")


def _efforts() -> list[dict[str, Any]]:
    from tpo.methods.cost import cost_of
    from tpo.methods.efforts import PLAIN_PROMPTS, REASONS, TABLE
    from tpo.methods.registry import find_method
    from tpo.options import Effort

    rows = []
    for (kind, size), levels in TABLE.items():
        for effort, level in zip(Effort, levels, strict=True):
            cost = cost_of(find_method(level.method), level.width, level.depth, level.settings)
            rows.append(
                {
                    "reward": kind,
                    "policy": size,
                    "effort": str(effort),
                    "method": level.method,
                    "width": level.width,
                    "depth": level.depth,
                    "settings": dict(level.settings),
                    "critic_max_tokens": level.critique,
                    "prompts": "default" if level.method in PLAIN_PROMPTS else "auto",
                    "answers": cost.answers,
                    "replies": cost.replies,
                    "stages": cost.stages,
                    "reason": REASONS[kind, size],
                }
            )
    return rows


_REWARDS = {
    "rules": "rules that the question does not state (require alone, prefer)",
    "gated": "such rules before another reward (require with a reward)",
    "words": "a verifier",
    "model": "a reward model, or any other number",
    "judge": "a judge",
    "none": "no reward",
}


def _show_efforts() -> None:
    from tpo.methods.efforts import SIZES, SMALL, TINY

    bounds = f"tiny: below {TINY / 1e9:g}B parameters; small: below {SMALL / 1e9:g}B, or unknown"
    typer.echo(f"--effort, by reward and policy ({bounds}):")
    rows = _efforts()
    for kind, reward in _REWARDS.items():
        levels: dict[tuple[str, ...], list[str]] = {}
        for size in SIZES:
            lines = tuple(_effort_line(row) for row in rows if (row["reward"], row["policy"]) == (kind, size))
            levels.setdefault(lines, []).append(size)
        for lines, sizes in levels.items():
            policy = "any" if len(sizes) == len(SIZES) else f"a {' or '.join(sizes)}"
            typer.echo(f"  {reward}, {policy} policy")
            for line in lines:
                typer.echo(f"    {line}")


def _effort_line(row: dict[str, Any]) -> str:
    settings = "".join(f" {name}={_as_flag(value)}" for name, value in row["settings"].items())
    critique = f", critiques of {row['critic_max_tokens']} tokens" if row["critic_max_tokens"] else ""
    prompts = ", prompts auto" if row["prompts"] == "auto" else ""
    cost = f"{row['answers']} answers, {row['replies']} other replies, {row['stages']} stages"
    dials = f"N={row['width']} D={row['depth']}{settings}{critique}{prompts}"
    return f"{row['effort']}: {row['method']} {dials}; at most {cost}"


def _as_flag(value: Any) -> str:
    """A setting's value as `--set` takes it."""
    if isinstance(value, dict):
        return ",".join(f"{name}={one}" for name, one in value.items())
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
