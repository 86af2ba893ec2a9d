"""`tpo check`: is everything there, what can it do, and does it work?"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from tpo.checks.finding import CheckReport
from tpo.cli.console import USER_ERROR, note, print_json, reporting, stdout
from tpo.cli.flags import is_given, one_or_several
from tpo.config import Config
from tpo.errors import ModelError
from tpo.models.panel import ArmSpec, arms_of, key_role_of

COLOURS = {"ok": "green", "warn": "yellow", "fail": "bold red", "info": "dim"}


@reporting
def check(
    context: typer.Context,
    policy: Annotated[
        list[str] | None,
        typer.Option(help="A model, or several as NAME=MODEL, as for align; none tests the reward alone."),
    ] = None,
    policy_model: Annotated[str | None, typer.Option(help="The policy's model name.")] = None,
    critic: Annotated[str | None, typer.Option(help="The model that criticises; the policy unless given.")] = None,
    critic_model: Annotated[str | None, typer.Option(help="The critic's model name.")] = None,
    editor: Annotated[str | None, typer.Option(help="The model that writes updates; the policy unless given.")] = None,
    editor_model: Annotated[str | None, typer.Option(help="The editor's model name.")] = None,
    reward: Annotated[str, typer.Option(help="The reward, as for align.")] = "surface",
    prefer: Annotated[
        Path | None, typer.Option(help="A preference file, as for align; its checklist is tested too.")
    ] = None,
    pairs: Annotated[
        list[Path] | None,
        typer.Option(
            help="A file of human preferences (repeatable): only measures how often the reward agrees with them."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Test models and a reward: what they are, what they can do, and whether they work.

    The exit code is 0 if nothing failed, and 2 otherwise.
    """
    configured: Config = context.obj
    policies: Any = one_or_several(policy) if policy else "embedded"
    if prefer is not None:
        from tpo.session.preference import with_preference

        models = {"policy": policies, "policy_model": policy_model}
        models |= {"critic": critic, "critic_model": critic_model}
        models["reward"] = reward if is_given(context, "reward") else None
        reward = with_preference({**models, "prefer": prefer})["reward"]
    if pairs:
        asyncio.run(_accuracy(reward, configured, pairs, as_json))
        return
    arms = {name: ArmSpec(where) for name, where in (arms_of(policies) or {"": policies}).items()}
    roles = [CheckedRole("policy", arm.where, arm.model or policy_model, name or None) for name, arm in arms.items()]
    roles += [CheckedRole("critic", critic, critic_model), CheckedRole("editor", editor, editor_model)]
    reports = asyncio.run(_check_all(roles, reward, configured))
    if as_json:
        print_json({"reports": msgspec.to_builtins(reports)})
    else:
        stdout().print(_table(reports))
    if any(report.failures for report in reports):
        raise typer.Exit(USER_ERROR)


class CheckedRole(NamedTuple):
    """A model to check: its role, where it is, its name there, and the arm of a panel that it is."""

    role: str
    where: str | None
    model: str | None = None
    arm: str | None = None


async def _check_all(roles: list[CheckedRole], reward: str, configured: Config) -> list[CheckReport]:
    from tpo.checks.checklist import check_checklist
    from tpo.checks.reward import check_reward, scoring_inside
    from tpo.rewards.prefer.reward import PreferReward
    from tpo.rewards.resolve import resolve

    async with AsyncExitStack() as stack:
        resolved = resolve(reward, named=configured.rewards)  # a wrong name is an error before a model is called
        stack.push_async_callback(resolved.aclose)
        policy = roles[0].where
        reports = []
        for one in roles:
            where = one.where or (policy if one.model else None)
            if where is not None and where != "none":
                reports.append(await _check_role(one, where))
        for scorer in scoring_inside(resolved.reward):
            report = await check_reward(scorer)
            if isinstance(scorer, PreferReward):
                report = CheckReport(report.subject, [*report.findings, *await check_checklist(scorer)])
            reports.append(CheckReport(f"reward: {report.subject}", report.findings))
        return reports


async def _check_role(checked: CheckedRole, where: str) -> CheckReport:
    from tpo.checks.finding import Finding
    from tpo.checks.model import check_model
    from tpo.models.resolve import open_model

    role = checked.role if checked.arm is None else f"{checked.role} {checked.arm}"
    key_role = key_role_of(checked.arm) if checked.arm is not None else None
    try:
        model = await open_model(where, checked.role, checked.model, note, key_role=key_role)
    except ModelError as error:
        return CheckReport(f"{role}: {where}", [Finding("connection", "fail", str(error))])
    try:
        report = await check_model(model)
    finally:
        await model.aclose()
    return CheckReport(f"{role}: {report.subject}", report.findings)


async def _accuracy(name: str, configured: Config, files: list[Path], as_json: bool) -> None:
    from tpo.checks.pairs import agreement, agreement_of_length, difference, share
    from tpo.checks.preferences import read_pairs
    from tpo.rewards.resolve import opened

    rows = []
    async with AsyncExitStack() as stack:
        reward = await opened(name, stack, named=configured.rewards)
        if reward is None:
            return
        for file in files:
            pairs = read_pairs(file)
            ours, length = await agreement(reward, pairs), agreement_of_length(pairs)
            rows.append((file.name, len(pairs), share(ours), share(length), difference(ours, length)))
    headings = ("pairs", "n", "reward", "length alone", "difference")
    if as_json:
        print_json({"reward": reward.name, "rows": [dict(zip(headings, row, strict=True)) for row in rows]})
        return
    table = Table(title=f"Agreement with people in percent, 95 % intervals: {reward.name}")
    for heading in headings:
        table.add_column(heading)
    for row in rows:
        table.add_row(*map(str, row))
    stdout().print(table)


def _table(reports: list[CheckReport]) -> Table:
    table = Table()
    for heading in ("what", "state", "found"):
        table.add_column(heading, overflow="fold")
    for report in reports:
        table.add_section()
        table.add_row(Text(report.subject, style="bold"), "", "")
        for finding in report.findings:
            text = f"{finding.found}\n→ {finding.remedy}" if finding.remedy else finding.found
            table.add_row(Text(f"  {finding.what}"), Text(finding.state, style=COLOURS[finding.state]), Text(text))
    return table
