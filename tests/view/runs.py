"""Runs and traces for the page: two small ones that were really made, and a huge one made of their lines."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import msgspec

import tpo
from server.policy import Said, critic, policy
from tpo.rewards.protocol import Score
from tpo.runs.store import KEY

_SEAL = re.compile(rb',"crc":"[0-9a-f]{8}"\}(?=\n)')
# What somebody would like to have run.
EVIL = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">"
# Queries of the judged run: enough for two groups in its charts.
JUDGED = 24
# What somebody could write into a run's files as the name of a model.
ARM = f"arm {EVIL}"
QUESTIONS = ["Name a fruit.", f"Why is the sky blue? {EVIL}", "How do I clean a table?", "Plan a day in Rome."]


async def length(conversations: list[Any]) -> list[float]:
    """The longest answer is the best."""
    return [float(len(conversation[-1]["content"])) for conversation in conversations]


async def answer(body: dict[str, Any], number: int) -> Said:
    """Answers that differ, with markup in them, and a failure for Rome in the end."""
    if critic(body):
        return f"It should say more. {EVIL}"
    text = str(body["messages"])
    if "Rome" in text and number > 40:
        return 422
    return f"Answer {number} {'and more ' * (number % 7)}{EVIL if number % 3 else ''}"


async def make(folder: Path) -> Path:
    """Two runs and a trace.

    Args:
        folder: where to.
    """
    data = folder / "queries.jsonl"
    rows = [{"id": f"q{number}", "prompt": text} for number, text in enumerate(QUESTIONS)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    async with policy(answer) as behind:
        options: Any = {"policy": behind.url, "reward": length, "check": False, "width": 3, "seed": 1}
        await tpo.run_dataset(data, folder / "runs" / "one", **options, depth=2)
        await tpo.run_dataset(data, folder / "runs" / "two", **options, method="best-of-n")
        await tpo.align(QUESTIONS[1], trace=folder / "runs" / "trace.jsonl", **options, depth=1)
    return folder / "runs"


class Shortness:
    """A held-out judge with a name that nobody should run: the shortest answer is the best."""

    name = f"judge {EVIL}"

    async def score(self, conversations: list[Any]) -> list[Score]:
        return [Score(-float(len(conversation[-1]["content"]))) for conversation in conversations]


async def make_judged(folder: Path) -> Path:
    """A run of a panel whose reward pays for length, with a held-out judge; one arm has a name like markup.

    Args:
        folder: where to; the run is its `judged`.
    """
    data = folder.parent / "judged.jsonl"
    data.write_text(
        "".join(json.dumps({"id": f"j{row}", "prompt": f"Question {row}?"}) + "\n" for row in range(JUDGED))
    )
    async with policy(longer) as one, policy(longer) as two:
        options: Any = {"reward": length, "judge": Shortness(), "check": False, "width": 2, "depth": 1, "seed": 1}
        await tpo.run_dataset(data, folder / "judged", policy={"plain": one.url, "evil": two.url}, **options)
    for name in ("answers.jsonl", "journal.jsonl"):
        file = folder / "judged" / name
        content = _SEAL.sub(b"}", file.read_bytes())
        arm = msgspec.json.encode(ARM)
        file.write_bytes(content.replace(b'"arm":"evil"', b'"arm":' + arm).replace(b'"evil":{', arm + b":{"))
    return folder / "judged"


async def longer(body: dict[str, Any], number: int) -> Said:
    """Answers that grow with advice."""
    if critic(body):
        return "Say more."
    text = f"Answer {number} {'and more ' * (2 + number % 3)}"
    advised = "improved_answer" in str(body["messages"])
    return f"<improved_answer>{3 * text}</improved_answer>" if advised else text


def enlarged(run: Path, out: Path, queries: int) -> Path:
    """A run with so many queries, whose lines are those of a small one under other names."""
    shutil.copytree(run, out)
    answers = [json.loads(line) for line in (run / "answers.jsonl").read_text().splitlines()]
    journal: dict[str, list[bytes]] = {}
    for sealed in (run / "journal.jsonl").read_bytes().splitlines(keepends=True):
        line = _SEAL.sub(b"}", sealed)  # which would not fit another key; earlier versions had none
        journal.setdefault(line[KEY].decode(), []).append(line)
    with (out / "answers.jsonl").open("wb") as file, (out / "journal.jsonl").open("wb") as records:
        for row in range(queries):
            like = answers[row % len(answers)]
            key = f"{row:016x}"
            reward = None if like["reward"] is None else like["reward"] + row / queries
            file.write(msgspec.json.encode({**like, "id": f"row-{row}", "row": row, "key": key, "reward": reward}))
            file.write(b"\n")
            # A whole story for the first and the last, and what was asked for the others.
            lines = journal[like["key"]]
            for line in lines if row in (0, queries - 1) else lines[:1]:
                records.write(line[: KEY.start] + key.encode() + line[KEY.stop :])
    return out
