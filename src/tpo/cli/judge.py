"""`tpo eval judge`: how far to trust a judge or a reward."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tpo.cli.console import note, print_json, reporting, stdout
from tpo.config import Config

if TYPE_CHECKING:
    from rich.table import Table

    from tpo.checks.preferences import Pair
    from tpo.evals.judge_quality import Opinion, Quality
    from tpo.stats import Estimate

ALL = "all"
# Two tables, for a terminal of 80 columns: by heading, the field of `Quality`.
AGREEMENT = {
    "agreement": "agreement",
    "length\nalone": "length",
    "above\nlength": "above_length",
    "on alike\nlengths": "alike",
}
WEIGHED = {
    "agreement\nby probability": "weighed",
    "above\nlength": "weighed_above_length",
}
BIASES = {
    "longer,\nagainst\npeople": "longer_against_people",
    "shorter,\nagainst\npeople": "shorter_against_people",
    "turned\nby order": "flips",
    "first\nplace": "first_place",
    "ties\nseen": "on_ties",
}


@reporting
def judge(
    context: typer.Context,
    data: Annotated[
        list[Path],
        typer.Argument(
            metavar="PREFERENCES…",
            help="Files with human preferences (LLMBar, PandaLM, Auto-J, HHH, HH-RLHF, MT-Bench, or prompt, chosen and "
            "rejected), or folders with such files.",
        ),
    ],
    judge: Annotated[
        str | None,
        typer.Option(help="The judge: http://HOST:PORT/v1, embedded, gguf:PATH, hub:ORG/REPO.", show_default=False),
    ] = None,
    judge_model: Annotated[str | None, typer.Option(help="The judge's model name, if its server has several.")] = None,
    reward: Annotated[
        str | None, typer.Option(help="A reward to measure instead, as for tpo align.", show_default=False)
    ] = None,
    rubric: Annotated[Path | None, typer.Option(help="A file that describes a good answer, for the judge.")] = None,
    templates: Annotated[
        Path | None, typer.Option(help="A folder of templates that replace the judge's prompts.", metavar="FOLDER")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="Most tokens of a verdict; a thinking model needs thousands.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Most pairs of each file, drawn at random.")] = None,
    subset_seed: Annotated[int, typer.Option(help="Seed of that selection.")] = 0,
    keep: Annotated[
        Path | None,
        typer.Option(help="Keep judgements in this file; the same command then calls the judge only for new pairs."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Measure a judge or a reward against human preferences: agreement, ties, bias for position and for length.

    A judge gets each pair in both orders. Every number is in percent, with its 95 % interval.
    """
    from tpo.errors import InputError

    configured: Config = context.obj
    if (judge is None) == (reward is None):
        raise InputError("Name either a judge (--judge URL) or a reward (--reward REWARD).")
    sets = _read(data, limit, subset_seed)
    if judge is not None:
        name, opinions = asyncio.run(_judge(sets, judge, judge_model, rubric, templates, max_tokens, keep))
    else:
        if given := [
            flag
            for flag, value in (("--rubric", rubric), ("--templates", templates), ("--keep", keep))
            if value is not None
        ]:
            raise InputError(f"{given[0]} needs a judge (--judge URL); here a reward is measured.")
        name, opinions = asyncio.run(_reward(sets, str(reward), configured))
    _show(name, _measured(sets, opinions), as_json=as_json)


def _read(data: Iterable[Path], limit: int | None, seed: int) -> dict[str, list[Pair]]:
    """The pairs of each file, by a name of its own; a file that is given twice is read once."""
    from tpo.checks.preferences import preference_files, read_pairs

    names: dict[Path, str] = {}
    for place in data:
        for file in preference_files(place):
            # The file itself may be a link to one without a name of its own, as in the cache of Hugging Face.
            whole = file.parent.resolve() / file.name
            names.setdefault(whole, str(file.relative_to(place)) if place.is_dir() else file.name)
    sets: dict[str, list[Pair]] = {}
    for file, name in _distinct(names).items():
        pairs = read_pairs(file, ties=True)
        if limit is not None and limit < len(pairs):
            pairs = random.Random(seed).sample(pairs, limit)
        sets[name] = pairs
    return sets


def _distinct(names: Mapping[Path, str]) -> dict[Path, str]:
    """The names; those of several files get more of their paths, as does one that is called like the row of all."""
    found = dict(names)
    while alike := [file for file, name in found.items() if name == ALL or list(found.values()).count(name) > 1]:
        for file in alike:
            found[file] = str(Path(*file.parts[-len(Path(found[file]).parts) - 1 :]))
    return found


async def _judge(
    sets: Mapping[str, list[Pair]],
    spec: str,
    model: str | None,
    rubric: Path | None,
    templates: Path | None,
    max_tokens: int | None,
    keep: Path | None,
) -> tuple[str, dict[str, list[Opinion]]]:
    from tpo.evals.judge_quality import judged
    from tpo.evals.judging import open_judge
    from tpo.rewards.judges.pairwise import VERDICT_TOKENS
    from tpo.rewards.judges.wording import Wording

    wording = Wording("pairwise", None, rubric, templates)
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        opened = await open_judge(spec, model, keep or Path(folder) / "judgements.jsonl", stack, note)
        found = {}
        for name, pairs in sets.items():
            note(f"{name}: {len(pairs)} pairs, in both orders")
            found[name] = await judged(opened, pairs, wording, max_tokens or VERDICT_TOKENS)
        return opened.name, found


async def _reward(
    sets: Mapping[str, list[Pair]], spec: str, configured: Config
) -> tuple[str, dict[str, list[Opinion]]]:
    from tpo.errors import InputError
    from tpo.evals.judge_quality import scored
    from tpo.rewards.resolve import opened

    async with AsyncExitStack() as stack:
        reward = await opened(spec, stack, named=configured.rewards)
        if reward is None:
            raise InputError("The reward 'none' scores nothing, so there is nothing to measure.")
        return reward.name, {name: await scored(reward, pairs) for name, pairs in sets.items()}


def _measured(sets: Mapping[str, list[Pair]], opinions: Mapping[str, list[Opinion]]) -> dict[str, Quality]:
    from tpo.evals.judge_quality import quality

    found = {name: quality(pairs, opinions[name]) for name, pairs in sets.items()}
    if len(sets) > 1:
        every = [pair for pairs in sets.values() for pair in pairs]
        found[ALL] = quality(every, [one for name in sets for one in opinions[name]])
    return found


def _show(name: str, found: Mapping[str, Quality], *, as_json: bool) -> None:
    import msgspec
    from rich.text import Text

    if as_json:
        print_json({"measured": name, "sets": msgspec.to_builtins(found)})
        return
    console = stdout()
    console.print(Text(f"{name}, compared with what people preferred: percent, with 95 % intervals\n"))
    console.print(_table("pairs", "pairs", AGREEMENT, found))
    if any(one.weighed is not None for one in found.values()):
        console.print(_table("pairs", "pairs", WEIGHED, found))
    console.print(_table("ties", "ties", BIASES, found))
    unread = sum(one.unread for set_name, one in found.items() if set_name != ALL or len(found) == 1)
    if unread:
        note(f"{unread} verdicts could not be read or are missing; each counts as no preference")


def _table(heading: str, count: str, columns: Mapping[str, str], found: Mapping[str, Quality]) -> Table:
    """A row for each set; a cell is a number above its interval. Columns without any number are left out."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE, show_edge=False)
    table.add_column("set", overflow="fold")
    table.add_column(heading, justify="right")
    shown = {
        title: field
        for title, field in columns.items()
        if any(getattr(one, field) is not None for one in found.values())
    }
    for title in shown:
        table.add_column(title, justify="right", no_wrap=True)
    for set_name, one in found.items():
        if set_name == ALL:
            table.add_section()
        numbers = [_text(getattr(one, field), signed=field.endswith("above_length")) for field in shown.values()]
        table.add_row(Text(set_name), str(getattr(one, count)), *numbers)
    return table


def _text(number: Estimate | None, *, signed: bool) -> str:
    if number is None:
        return "–"
    sign = "+" if signed else ""
    low, high = number.low, number.high
    return f"{number.value:{sign}.1f}" + ("" if low is None or high is None else f"\n{low:{sign}.1f}, {high:{sign}.1f}")
