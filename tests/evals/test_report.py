"""The report: one page that stands alone, whatever the runs say."""

from __future__ import annotations

import csv
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evals.synthetic import QUERIES, climbing, synthetic
from fakes import FakeModel, FakeReward, said
from tpo.cli.app import app
from tpo.evals.evaluate import Wanted, evaluate
from tpo.evals.figures import plot as plotting
from tpo.evals.figures.comparison import compare, parts_of
from tpo.evals.figures.data import CandidateSummary, FinishedQuery, Group, Run, read_groups
from tpo.evals.figures.report import make_report
from tpo.models.protocol import Request
from tpo.runs.answers import read_answers
from tpo.runs.directory import Identity
from tpo.stats import difference_of
from view.runs import ARM, make_judged

EVIL = "</div><script>alert('x')</script><img src=https://example.com/x onerror=alert(1)> $\\frac{1}$ & \x07"


@pytest.fixture
def one_format(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures as SVG alone: fonts make a PDF cost as much as everything else together."""
    monkeypatch.setattr(plotting, "FORMATS", ("svg",))


class Page(HTMLParser):
    """What a browser would make of a page.

    Attributes:
        tags: how often each element is there.
        attributes: all of them.
        text: what is shown.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: dict[str, int] = {}
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def stands_alone(page: Page) -> bool:
    """Whether nothing in it runs, and nothing comes from elsewhere."""
    runs = {"script", "iframe", "object", "embed", "link", "img", "base", "form"} & set(page.tags)
    handlers = [name for name, _ in page.attributes if name.startswith("on")]
    linked = [value for name, value in page.attributes if name.endswith(("src", "href")) and not value.startswith("#")]
    return not (runs or handlers or linked)


@pytest.mark.usefixtures("one_format")
async def test_markup_in_texts_is_shown_and_never_runs(tmp_path: Path) -> None:
    def answer(request: Request, index: int) -> str:
        return f"{EVIL} {index}.{len(said(request))}"

    model = FakeModel(answer, name=f"model {EVIL[:40]}")
    await synthetic(tmp_path, "run <script>alert(2)<", model, [EVIL, "Two $x?", "Three?"], width=3, depth=1)
    report = make_report([tmp_path], tmp_path / "report")
    html = report.page.read_text(encoding="utf-8")
    page = Page(html)
    assert stands_alone(page)
    assert "<script>alert('x')</script><img src=https://example.com/x onerror=alert(1)>" in page.text
    assert page.tags["svg"] == len(report.sections[0].plots) >= 4
    assert html.count("<script") == 0
    assert all(path.stat().st_size > 500 for path in report.figures if path.suffix != ".csv")


async def test_a_report_of_several_runs(tmp_path: Path) -> None:
    await synthetic(tmp_path, "tpo", climbing(1), width=3, depth=1)
    await synthetic(tmp_path, "bon", climbing(2), method="best-of-n", width=9)
    report = make_report([tmp_path], tmp_path / "report", {"reward": 1e9})
    (section,) = report.sections
    assert {plot.name for plot in section.plots} == {"curves", "scaling", "matched", "stability", "length", "flops"}
    assert section.missing == []
    assert {path.suffix for path in report.figures} == {".pdf", ".png", ".svg", ".csv"}
    assert all(path.read_bytes() for path in (*report.figures, *report.tables))
    for plot in section.plots:
        rows = list(csv.DictReader((tmp_path / "report" / "figures" / f"{plot.name}.csv").open()))
        assert len(rows) == len(plot.marks) > 0
    assert b"/Type /Font" in (tmp_path / "report" / "figures" / "curves.pdf").read_bytes()
    assert "<text" not in (tmp_path / "report" / "figures" / "curves.svg").read_text()  # letters are shapes there
    page = Page(report.page.read_text())
    targets = {value for name, value in page.attributes if name == "id"}
    links = [value.removeprefix("#") for name, value in page.attributes if name == "href" and value.startswith("#data")]
    assert len(links) >= len(section.plots) + 1
    assert set(links) <= targets
    numbers = json.loads((tmp_path / "report" / "report.json").read_text())
    assert set(numbers[0]["figures"]) == {plot.name for plot in section.plots}
    assert str(tmp_path) not in report.page.read_text()


async def test_the_same_runs_give_the_same_report(tmp_path: Path) -> None:
    run = await synthetic(tmp_path, "tpo", climbing(1), width=3, depth=1)
    reports = [make_report([run], tmp_path / name) for name in ("one", "two")]
    first, second = ([path.read_bytes() for path in (one.page, *one.figures)] for one in reports)
    assert first == second


@pytest.mark.usefixtures("one_format")
async def test_what_is_missing_is_reported_with_what_it_needs(tmp_path: Path) -> None:
    run = await synthetic(tmp_path, "bon", method="best-of-n", width=3)
    ran = CliRunner().invoke(app, ["report", str(run), "--out", str(tmp_path / "r"), "--json"])
    assert ran.exit_code == 0
    assert json.loads(ran.stdout)["page"] == str(tmp_path / "r" / "report.html")
    assert "Reward by step is not drawn; it needs a run with steps" in " ".join(ran.stderr.split())
    page = Page((tmp_path / "r" / "report.html").read_text())
    assert "Reward by step: needs a run with steps" in page.text


@pytest.mark.usefixtures("one_format")
async def test_an_evaluation_is_reported_with_its_table(tmp_path: Path) -> None:
    data = tmp_path / "data" / "beavertails"
    data.mkdir(parents=True)
    rows = [{"prompt": f"Harm {n}?", "category": "violence"} for n in range(4)]
    (data / "test.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))

    def scores(conversations: list[Any]) -> list[float]:
        return [float(messages[-1]["content"].split()[-1]) for messages in conversations]

    methods = ["sample", "best-of-6", "tpo"]
    wanted = Wanted(tasks=["beavertails"], methods=methods, out=tmp_path / "out", data=[str(tmp_path / "data")])
    options = {"policy": climbing(1), "reward": scores, "width": 2, "depth": 1, "seed": 1, "check": False}
    await evaluate(wanted, options)  # type: ignore[arg-type]
    report = make_report([tmp_path / "out"], tmp_path / "out" / "report")
    (section,) = report.sections
    assert section.group.title == "beavertails"
    assert {run.label for run in section.group.runs} == {"Best-of-6", "TPO D1-N2"}
    assert "matched" in {plot.name for plot in section.plots}
    page = Page(report.page.read_text())
    assert stands_alone(page)
    assert "Difference from sample" in page.text
    # Made again, the report's own folder is no obstacle.
    assert make_report([tmp_path / "out"], tmp_path / "out" / "report").page == report.page


async def test_calls_are_those_of_policy_critic_and_editor(tmp_path: Path) -> None:
    await synthetic(tmp_path, "plain", width=2, depth=1)
    await synthetic(tmp_path, "judged", width=2, depth=1, judge=FakeReward(lambda text: 1.0, "judge"))
    (group,) = read_groups(tmp_path)
    assert {one.calls.value for one in compare(group).means} == {6.0}


@pytest.mark.usefixtures("one_format")
async def test_a_judge_a_panel_and_warnings_are_in_all_forms(tmp_path: Path) -> None:
    run = await make_judged(tmp_path / "runs")
    report = make_report([run], tmp_path / "report")
    html = report.page.read_text(encoding="utf-8")
    page = Page(html)
    assert stands_alone(page) and "<script" not in html
    text = " ".join(page.text.split())
    assert "judge <script>" in text and "gain by the judge" in text and "reward up, judge down (%)" in text
    assert "models of the panel, over all queries" in text and ARM in text
    assert "Warning, judged.jsonl, TPO D1-N2: the reward rises by" in text
    assert "judge" in {plot.name for plot in report.sections[0].plots}
    table = (tmp_path / "report" / "table.md").read_text(encoding="utf-8")
    assert "answers chosen" in table and "exploits the reward" in table
    numbers = json.loads((tmp_path / "report" / "report.json").read_text())
    assert len(numbers[0]["warnings"]["TPO D1-N2"]) == 2
    gains = numbers[0]["figures"]["judge"]["lines"]["TPO D1-N2"]
    assert gains["x"] == sorted(gains["x"]) and gains["y"] == sorted(gains["y"], reverse=True)


def test_mistakes_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = CliRunner().invoke(app, ["report", str(tmp_path / "nowhere")])
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert "holds no run" in ran.stderr
    ran = CliRunner().invoke(app, ["report", str(tmp_path), "--parameters", "policy=huge"])
    assert ran.exit_code == 2
    assert "policy=70B" in ran.stderr


async def test_without_matplotlib_there_are_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = await synthetic(tmp_path, "one")
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    ran = CliRunner().invoke(app, ["report", str(run), "--format", "markdown"])
    assert ran.exit_code == 0
    assert ran.stdout.startswith("### one")
    assert "pip install 'tpo[plots]'" in " ".join(ran.stderr.split())
    assert not (run / "report" / "figures").exists()


async def test_runs_over_the_same_queries_stand_in_one_group_whatever_the_files_are_called(tmp_path: Path) -> None:
    one = await synthetic(tmp_path / "here", "tpo", climbing(1), width=3, depth=1)
    two = await synthetic(tmp_path / "there", "bon", climbing(2), QUERIES[::-1], method="best-of-n", width=3)
    file = two / "run.json"
    file.write_text(file.read_text().replace("data.jsonl", "other.jsonl"))
    await synthetic(tmp_path / "there", "other", climbing(3), ["Else?", "What?", "Apples?", "Why?", "Who?"])
    first, second = read_groups(one, two, tmp_path / "there")
    assert [run.path.name for run in first.runs] == ["tpo", "bon"]  # a run that is given twice is there once
    assert [run.path.name for run in second.runs] == ["other"]
    assert len(first.shared(first.runs)) == len(QUERIES)
    # The rows have other ids in the other file: they are paired by their text.
    theirs = {answer.id: answer.reward for answer in read_answers(two / "answers.jsonl")}
    (pair,) = compare(first).pairs
    ours = {answer.id: answer.reward or 0 for answer in read_answers(one / "answers.jsonl")}
    ids = sorted(ours, key=lambda id: int(id.removeprefix("q")))
    by_text = dict(zip(ids[::-1], (theirs[id] or 0 for id in ids), strict=True))
    assert pair.difference == difference_of([by_text[id] for id in sorted(ids)], [ours[id] for id in sorted(ids)])
    assert (pair.label, pair.against, pair.queries) == ("Best-of-3", "TPO D1-N3", len(QUERIES))


async def test_a_query_that_stands_in_the_data_twice_is_paired_in_its_order(tmp_path: Path) -> None:
    for name in ("one", "two"):
        await synthetic(tmp_path, name, climbing(1), ["Same?", "Same?", "Other?"])
    (group,) = read_groups(tmp_path)
    assert group.shared(group.runs) == ["q0", "q1", "q2"]


def made(path: str, rewards: list[float], **recipe: Any) -> Run:
    queries = {
        f"q{n}": FinishedQuery(f"q{n}", str(n), [CandidateSummary(0, min(reward, 0.0), 5, 2)], reward, 5, 10, 1.0, {})
        for n, reward in enumerate(rewards)
    }
    given = {"method": "tpo", "width": 2, "depth": 1, "models": {"policy": path}, **recipe}
    return Run(Path(path), Identity("data.jsonl", {}, given, {}, "0", ""), queries)


def test_significance_is_marked_after_holm() -> None:
    plain = [float(n % 5) for n in range(20)]
    better = [reward + 1 + n % 2 for n, reward in enumerate(plain)]
    jittered = [reward + (0.1 if n % 2 else -0.1) - 0.00001 for n, reward in enumerate(plain)]
    group = Group("data", "reward", [made("a", plain), made("b", better), made("c", jittered)])
    means, pairs = parts_of(group, compare(group))
    shown = {(row[0].split()[-1], row[1].split()[-1]): row[2] for row in pairs.rows}
    assert shown["b", "a"].endswith("*")
    assert not shown["c", "a"].endswith("*")
    assert shown["c", "a"].startswith("0.000 [")  # and not "-0.000"
    assert [row[-1] for row in means.rows] == ["20"] * 3


def test_many_runs_are_compared_with_the_first() -> None:
    group = Group("data", "reward", [made(f"m{n}", [1.0, 2.0]) for n in range(7)])
    assert {pair.against for pair in compare(group).pairs} == {"TPO D1-N2, m0"}
    assert len(compare(group).pairs) == 6
