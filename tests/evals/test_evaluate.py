"""Evaluations as a whole: what is asked, paid, measured and shown; what a kill leaves; what is missing."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import signal
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from cli.test_align import tpo
from evals.servers import Counting, counting
from programs import program
from tpo.errors import InputError
from tpo.evals.evaluate import Wanted, evaluate
from tpo.evals.evaluation import Evaluation, read_evaluation, read_graded, responses_in
from tpo.evals.table import comma_separated, table_of
from tpo.methods.presets import Preset, parse_preset
from tpo.options import RunOptions
from tpo.session.spec import Options
from tpo.stats import difference_of, share_of
from tpo.tables import latex, markdown, web


def policy(text: str, mark: str) -> str:
    if "<improved_answer>" in text:
        return f"<improved_answer>Much better, and longer too. {mark}</improved_answer>"
    return f"Sure: {mark}" if int(mark[0], 16) % 2 else "I'm sorry, but I can't help with that."


def judge(text: str, mark: str) -> str:
    if "full_compliance" in text:
        return "full_refusal" if "I can't help" in text else "full_compliance"
    if "[[A>>B]]" in text:
        return "[[A>B]]"
    return "A" if "letter A or B" in text else "Good.\nGrade: 7"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    files: dict[str, list[dict[str, Any]]] = {
        "ifeval/input_data.jsonl": [
            {"key": n, "prompt": f"P{n}", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
            for n in range(6)
        ],
        "beavertails/test.jsonl": [{"prompt": f"Harm {n}?", "category": "violence"} for n in range(4)],
        "arena_hard/question.jsonl": [{"uid": f"a{n}", "cluster": "c", "prompt": f"Q{n}?"} for n in range(4)],
        "mt_bench/question.jsonl": [
            {"question_id": n, "category": "writing", "turns": [f"First {n}?", f"Then {n}?"]} for n in range(3)
        ],
    }
    for name, rows in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (folder / "xstest").mkdir()
    prompts = "".join(f"{n},Prompt {n}?,homonyms,{'safe' if n % 2 else 'unsafe'}\n" for n in range(8))
    (folder / "xstest" / "xstest_prompts.csv").write_text(f"id,prompt,type,label\n{prompts}")
    return folder


def length(conversations: list[Any]) -> list[float]:
    return [float(len(messages[-1]["content"])) for messages in conversations]


def options(server: Counting, **more: Any) -> Options:
    base = {"policy": server.url, "reward": length, "width": 2, "depth": 1, "seed": 1, "max_tokens": 64}
    return {**base, "check": False, **more}  # type: ignore[typeddict-item]


async def whole(folder: Path, data: Path, server: Counting, **more: Any) -> Evaluation:
    tasks = more.pop("tasks", ["xstest", "ifeval", "beavertails", "arena_hard", "mt_bench"])
    methods = more.pop("methods", ["sample", "tpo"])
    wanted = Wanted(tasks=tasks, methods=methods, out=folder, data=[str(data)], **more)
    return await evaluate(wanted, options(server))


async def test_all_numbers_of_an_evaluation(tmp_path: Path, data: Path) -> None:
    async with counting(policy) as server, counting(judge, "judge") as judging:
        found = await whole(*(tmp_path / "out", data, server), judge=judging.url, held_out=length, against="sample")
        asked, judged = len(server.asked), len(judging.asked)
        again = await whole(*(tmp_path / "out", data, server), judge=judging.url, held_out=length, against="sample")
        assert (len(server.asked), len(judging.asked)) == (asked, judged)
    assert again == found
    assert found == read_evaluation(tmp_path / "out")
    # 8 + 6 + 4 + 4 + 2 × 3 queries; TPO at D1-N2 takes 2 + 2 + 2 calls for each.
    assert asked == 28 + 28 * 6
    xstest = read_graded(tmp_path / "out", "xstest", "sample")
    assert len(xstest.queries) == 8
    met = [one.grade.values["score"] for one in xstest.queries]
    assert found.cell("xstest", "sample").numbers["score"].value == pytest.approx(100 * sum(met) / 8)
    # The judge and the rules agree on these answers.
    assert found.cell("xstest", "sample").numbers["score_by_rules"] == found.cell("xstest", "sample").numbers["score"]
    # TPO answers all that it improved, so that every safe prompt is met.
    assert found.cell("xstest", "tpo").numbers["safe_complied"].value == 100
    beaver = found.cell("beavertails", "tpo")
    assert beaver.numbers["reward"] == beaver.numbers["held_out"]  # the same function here
    gap = beaver.numbers["reward"].value - found.cell("beavertails", "sample").numbers["reward"].value
    assert beaver.against_plain["reward"].value == pytest.approx(gap)
    assert found.cell("beavertails", "sample").against_plain == {}
    # A judge that always prefers what comes first is at 50 with both orders.
    assert found.cell("arena_hard", "tpo").numbers["win_rate"].value == pytest.approx(50)
    assert "compared with" in found.cell("arena_hard", "sample").missing["win_rate"]
    assert found.cell("mt_bench", "sample").numbers["turn_2"].value == 7
    assert found.cell("mt_bench", "sample").answered == 6
    assert found.judge is not None
    assert (found.judge.model, found.judge.questions, found.judge.prompt_tokens) == ("judge", judged, 100 * judged)


async def test_costs_are_counted_from_what_was_really_sent(tmp_path: Path, data: Path) -> None:
    async with counting(policy) as server:
        found = await whole(tmp_path / "out", data, server, tasks=["ifeval", "mt_bench"])
    plain, tpo_ = found.costs["sample"], found.costs["tpo"]
    # A conversation of two turns is one query: (6 + 2 × 3) calls for 9 queries.
    assert plain.queries == 9
    assert plain.calls == pytest.approx(12 / 9)
    assert tpo_.calls == pytest.approx(6 * 12 / 9)
    assert tpo_.tokens == pytest.approx(6 * 12 * 110 / 9)
    assert tpo_.flops == pytest.approx(2 * 1e9 * tpo_.tokens)  # the model is called tiny-1B
    assert found.training is not None
    assert found.training.flops == pytest.approx(8 * 1e9 * 64_000 * 2048)
    assert found.training.queries["tpo"] == pytest.approx(found.training.flops / (tpo_.flops or 0))


async def test_cells_run_at_once_and_share_what_the_server_takes(tmp_path: Path, data: Path) -> None:
    async with counting(policy) as server:
        wanted = Wanted(tasks=["ifeval", "xstest"], methods=["sample", "best-of-2"], out=tmp_path, data=[str(data)])
        await evaluate(wanted, options(server), RunOptions(concurrency=3))
        assert server.most_live == 3


async def test_a_method_without_its_reward_is_refused(tmp_path: Path, data: Path) -> None:
    wanted = Wanted(tasks=["ifeval"], methods=["sample", "best-of-2"], out=tmp_path, data=[str(data)])
    async with counting(policy) as server:
        with pytest.raises(InputError, match="best-of-n needs a reward"):
            await evaluate(wanted, options(server, reward="none"))
        assert not server.asked


async def test_no_answer_is_chosen_that_keeps_fewer_rules_than_another(tmp_path: Path, data: Path) -> None:
    def seldom_short(text: str, mark: str) -> str:
        return "Short." if int(mark[0], 16) < 4 else "It is longer than three words."

    wanted = Wanted(tasks=["ifeval"], methods=["best-of-16"], out=tmp_path, data=[str(data)])
    async with counting(seldom_short) as server:
        asked = options(server, select="soft:0", require=["max-words=3"])
        await evaluate(wanted, asked)
        count = len(server.asked)
        await evaluate(wanted, asked)
        assert len(server.asked) == count
    folder = tmp_path / "ifeval" / "best-of-16"
    assert [answer.text for answer in responses_in(folder).values()] == ["Short."] * 6
    named = json.loads((folder / "run.json").read_text())["asked"]
    assert "max-words=3" in named["reward"] and named["require"] == []  # as in directories that are older


async def test_what_is_not_given_is_reported_in_the_cell(tmp_path: Path, data: Path) -> None:
    async with counting(policy) as server:
        found = await whole(tmp_path / "out", data, server, methods=["tpo"])
    table = table_of(found)
    text = markdown(table)
    for said in ("--judge URL", "--held-out REWARD", "add --method sample"):
        assert said in text
    cells = {heading: part.rows[0][n] for part in table.parts for n, heading in enumerate(part.headings)}
    assert cells["method"] == "tpo D1-N2"
    assert not {"XSTest", "MT-Bench"} & set(cells)  # what nobody measured has no column
    assert sum("--judge URL" in remark for remark in table.remarks) <= 2
    assert cells["IFEval"].startswith("0.0 [0.0, ")  # every improved answer has a comma


async def test_a_judge_can_be_added_later_without_asking_the_policy(tmp_path: Path, data: Path) -> None:
    async with counting(policy) as server, counting(judge, "judge") as judging:
        await whole(tmp_path / "out", data, server, tasks=["xstest"])
        before = len(server.asked)
        found = await whole(tmp_path / "out", data, server, tasks=["xstest"], judge=judging.url)
        assert len(server.asked) == before
    assert found.cell("xstest", "tpo").numbers["score"].value > 0
    assert found.cell("xstest", "tpo").missing == {}


async def test_a_larger_limit_goes_on_and_a_smaller_one_is_refused(tmp_path: Path, data: Path) -> None:
    async with counting(policy) as server:
        await whole(tmp_path / "out", data, server, tasks=["xstest"], methods=["sample"], limit=3)
        await whole(tmp_path / "out", data, server, tasks=["xstest"], methods=["sample"], limit=5)
        assert (len(server.asked), server.twice) == (5, 0)
        with pytest.raises(InputError, match="holds answers to 2 queries"):
            await whole(tmp_path / "out", data, server, tasks=["xstest"], methods=["sample"], limit=3)


async def test_what_cannot_be_evaluated_is_reported(tmp_path: Path, data: Path) -> None:
    async with counting(policy) as server:
        for more, said in (
            ({"tasks": []}, "no benchmark"),
            ({"tasks": ["xstest", "xstest"]}, "named twice"),
            ({"methods": ["tpo", "tpo"]}, "named twice"),
            ({"methods": ["tpi"]}, "Did you mean tpo"),
            ({"against": "revision"}, "none of the methods"),
            ({"judge": "me"}, "is no judge"),
            ({"tasks": ["gsm8k"]}, "holds no such file"),
            ({"limit": 0}, "at least one"),
        ):
            with pytest.raises(InputError, match=said):
                await whole(tmp_path / "out", data, server, **more)
        assert server.asked == []


async def silent(server: Counting, process: asyncio.subprocess.Process) -> None:
    """Wait until the server holds its tongue, and what it had said before is on the disk."""
    assert server.holds_after is not None
    while len(server.answered) < server.holds_after or len(server.asked) == len(server.answered):
        await asyncio.sleep(0.02)
        assert process.returncode is None
    await asyncio.sleep(0.3)


async def killed(server: Counting, command: list[str], cwd: Path) -> None:
    """Run the command line until the server holds its tongue, and kill it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tpo", *command),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=cwd,
    )
    await silent(server, process)
    process.send_signal(signal.SIGKILL)
    await process.wait()


async def test_killed_twice_and_nothing_is_paid_twice(tmp_path: Path, data: Path) -> None:
    async with counting(policy) as server, counting(judge, "judge") as judging:
        command = [
            *("eval", "xstest", "mt_bench", "--data", str(data), "--out", "out", "--method", "tpo"),
            *("--width", "2", "--depth", "1", "--seed", "1", "--policy", server.url),
            *("--judge", judging.url, "--concurrency", "4"),
        ]
        server.holds_after = 20
        await killed(server, command, tmp_path)
        held = len(server.asked) - len(server.answered)
        assert 0 < held <= 4
        server.holds_after, judging.holds_after = None, 5
        await killed(judging, command, tmp_path)
        assert server.twice <= held
        repeated = {mark for mark, count in Counter(server.asked).items() if count > 1}
        assert not repeated & set(server.answered[:20])
        first, holding = judging.answered[:5], len(judging.asked) - len(judging.answered)
        judging.holds_after = None
        ran = await tpo(*command, "--json", "--quiet", cwd=tmp_path)
        assert (ran.code, ran.err) == (0, "")
        # The other benchmark may have been under way when the judge fell silent.
        assert server.twice <= held + 4
        assert judging.twice <= holding
        assert all(Counter(judging.asked)[mark] == 1 for mark in first)
        # 8 + 2 × 3 queries, 6 calls each.
        assert len(set(server.asked)) == 6 * 14
    found = json.loads(ran.out)
    assert {cell["failed"] for cell in found["cells"]} == {0}


async def test_failed_queries_are_counted_and_shown(tmp_path: Path, data: Path) -> None:
    def moody(text: str, mark: str) -> str | None:
        return None if "Prompt 3?" in text else policy(text, mark)

    async with counting(moody) as server:
        command = ("eval", "xstest", "--data", str(data), "--out", "out", "--method", "sample", "--policy", server.url)
        ran = await tpo(*command, cwd=tmp_path)
        assert ran.code == 3
        assert "1 of 8 queries failed" in ran.out
        server.say = policy
        ran = await tpo(*command, "--retry-failed", cwd=tmp_path)
    assert ran.code == 0
    assert "failed" not in ran.out


async def test_the_command_line(tmp_path: Path, data: Path) -> None:
    async with counting(policy) as server:
        command = (
            *("eval", "xstest", "ifeval", "--data", str(data), "--out", "out", "--policy", server.url),
            *("--width", "2", "--depth", "1", "--seed", "1", "--method", "sample", "--method", "tpo", "--quiet"),
        )
        ran = await tpo(*command, cwd=tmp_path)
        assert (ran.code, ran.err) == (0, "")
        assert ran.out.startswith("### tiny-1B, steered by surface")
        asked = len(server.asked)
        for format, file in (("csv", "table.csv"), ("latex", "table.tex"), ("html", "table.html")):
            ran = await tpo(*command, "--format", format, cwd=tmp_path)
            assert ran.out == (tmp_path / "out" / file).read_text()
        assert len(server.asked) == asked
    wrong = await tpo("eval", "xtest", "--out", "out", "--quiet", cwd=tmp_path)
    assert (wrong.code, wrong.out) == (2, "")
    assert "Did you mean xstest?" in wrong.err


class _Cells(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)


async def test_formats_hold_the_same_and_break_nothing(tmp_path: Path, data: Path) -> None:
    async with counting(policy, "x|<script>alert(1)</script>_&1B") as server:
        found = await whole(tmp_path / "out", data, server, tasks=["xstest", "ifeval"])
    table = table_of(found, details=True)
    (number,) = {
        part.rows[0][part.headings.index("IFEval")]
        for part in table.parts
        if part.caption.startswith("Results") and "IFEval" in part.headings
    }
    assert all(number in text for text in (markdown(table), web(table), latex(table)))
    page = _Cells()
    page.feed(web(table))
    assert "script" not in page.tags
    assert page.tags.count("td") == sum(len(row) - 1 for part in table.parts for row in part.rows)
    blocks = [block for block in markdown(table).replace("\\|", "").split("\n\n") if block.startswith("|")]
    assert [{line.count("|") - 1 for line in block.splitlines()} for block in blocks] == [
        {len(part.headings)} for part in table.parts
    ]
    assert r"with 95 \% intervals" in latex(table)
    rows = list(csv.DictReader(comma_separated(found).splitlines()))
    assert len(rows) == 2 * (6 + 4)
    (cell,) = [row for row in rows if (row["method"], row["column"]) == ("tpo", "prompt_strict")]
    assert float(cell["value"]) == found.cell("ifeval", "tpo").numbers["prompt_strict"].value


def test_presets() -> None:
    assert parse_preset("tpo") == Preset("tpo", "tpo")
    assert parse_preset("tpo-d5-n20") == Preset("tpo-d5-n20", "tpo", 20, 5)
    assert parse_preset("revision-n3") == Preset("revision-n3", "revision", 3)
    assert parse_preset("best-of-30") == Preset("best-of-30", "best-of-n", 30)
    for text, said in (("sample-n2", "names a width"), ("best-of-n-d1", "names a depth"), ("tpo-n1-n2", "twice")):
        with pytest.raises(InputError, match=said):
            parse_preset(text)
    with pytest.raises(InputError, match="no method"):
        parse_preset("nothing-n2")


def test_intervals_of_few_queries_are_wide() -> None:
    none, some = share_of([0.0] * 5, 100), share_of([1.0, 0.0] * 50, 100)
    assert (none.value, none.low) == (0.0, 0.0)
    assert none.high == pytest.approx(43.4, abs=0.1)  # Wilson's, by hand: z²/(n+z²)
    assert [some.low, some.high] == pytest.approx([40.4, 59.6], abs=0.1)
    assert share_of([0.5, 0.7], 100).value == pytest.approx(60)
    same = difference_of([1.0, 0.0], [1.0, 0.0], 100)
    assert same.value == 0
    assert same.low is not None
    assert same.high is not None
    assert same.low == -same.high < -30
    many = difference_of([1.0] * 200 + [0.0] * 200, [0.0] * 400, 100)
    assert many.value == pytest.approx(50)
    assert [many.low, many.high] == pytest.approx([45, 55], abs=0.5)


@pytest.mark.skipif(os.name == "nt", reason="no such signals there")
async def test_an_interrupt_keeps_what_was_done(tmp_path: Path, data: Path) -> None:
    async with counting(policy) as server:
        server.holds_after = 3
        command = ["eval", "xstest", "--data", str(data), "--out", "out", "--method", "sample", "--policy", server.url]
        process = await asyncio.create_subprocess_exec(
            *(*program(), *command),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=tmp_path,
        )
        await silent(server, process)
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
        assert (process.returncode, out) == (130, b"")
        assert b"the same command continues" in err
        server.holds_after = None
        done = set(server.answered)
        assert (await tpo(*command, "--quiet", cwd=tmp_path)).code == 0
        assert all(Counter(server.asked)[mark] == 1 for mark in done)
