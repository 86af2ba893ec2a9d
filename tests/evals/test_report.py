"""The report: one page that stands alone, whatever the runs say."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evals.synthetic import climbing, synthetic
from fakes import FakeModel, said
from tpo.cli.app import app
from tpo.evals.evaluate import Wanted, evaluate
from tpo.evals.figures.report import make_report
from tpo.models.protocol import Request

EVIL = "</div><script>alert('x')</script><img src=https://example.com/x onerror=alert(1)> $\\frac{1}$ & \x07"


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


async def test_text_is_shown_and_never_obeyed(tmp_path: Path) -> None:
    def answer(request: Request, index: int) -> str:
        return f"{EVIL} {index}.{len(said(request))}"

    model = FakeModel(answer, name=f"model {EVIL[:40]}")
    await synthetic(tmp_path, "run <script>alert(2)<", model, [EVIL, "Two $x?", "Three?"], width=3, depth=1)
    report = make_report(tmp_path, tmp_path / "report")
    html = report.page.read_text(encoding="utf-8")
    page = Page(html)
    assert stands_alone(page)
    assert "<script>alert('x')</script><img src=https://example.com/x onerror=alert(1)>" in page.text
    assert page.tags["svg"] == len(report.sections[0].plots) >= 4
    assert html.count("<script") == 0
    for svg in report.figures:
        assert svg.stat().st_size > 500


async def test_a_report_of_several_runs(tmp_path: Path) -> None:
    await synthetic(tmp_path, "tpo", climbing(1), width=3, depth=1)
    await synthetic(tmp_path, "bon", climbing(2), method="best-of-n", width=9)
    report = make_report(tmp_path, tmp_path / "report", {"reward": 1e9})
    (section,) = report.sections
    assert {plot.name for plot in section.plots} == {"curves", "scaling", "matched", "stability", "length", "flops"}
    assert section.missing == []
    assert {path.suffix for path in report.figures} == {".pdf", ".png", ".svg"}
    numbers = json.loads((tmp_path / "report" / "report.json").read_text())
    assert set(numbers[0]["figures"]) == {plot.name for plot in section.plots}
    assert str(tmp_path) not in report.page.read_text()


async def test_the_same_runs_give_the_same_report(tmp_path: Path) -> None:
    run = await synthetic(tmp_path, "tpo", climbing(1), width=3, depth=1)
    reports = [make_report(run, tmp_path / name) for name in ("one", "two")]
    first, second = ([path.read_bytes() for path in (one.page, *one.figures)] for one in reports)
    assert first == second


async def test_what_is_missing_is_told_with_what_it_needs(tmp_path: Path) -> None:
    run = await synthetic(tmp_path, "bon", method="best-of-n", width=3)
    ran = CliRunner().invoke(app, ["report", str(run), "--out", str(tmp_path / "r"), "--json"])
    assert ran.exit_code == 0
    assert json.loads(ran.stdout)["page"] == str(tmp_path / "r" / "report.html")
    assert "Reward by step is not drawn; it needs a run with steps" in " ".join(ran.stderr.split())
    page = Page((tmp_path / "r" / "report.html").read_text())
    assert "Reward by step: needs a run with steps" in page.text


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
    report = make_report(tmp_path / "out", tmp_path / "out" / "report")
    (section,) = report.sections
    assert section.group.title == "beavertails"
    assert {run.label for run in section.group.runs} == {"Best-of-6", "TPO D1-N2"}
    assert "matched" in {plot.name for plot in section.plots}
    page = Page(report.page.read_text())
    assert stands_alone(page)
    assert "Difference from sample" in page.text
    # Made again, the report's own folder is no obstacle.
    assert make_report(tmp_path / "out", tmp_path / "out" / "report").page == report.page


def test_mistakes_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = CliRunner().invoke(app, ["report", str(tmp_path / "nowhere")])
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert "holds no run" in ran.stderr
    ran = CliRunner().invoke(app, ["report", str(tmp_path), "--parameters", "policy=huge"])
    assert ran.exit_code == 2
    assert "policy=70B" in ran.stderr


async def test_without_matplotlib_it_says_how_to_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = await synthetic(tmp_path, "one")
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    ran = CliRunner().invoke(app, ["report", str(run)])
    assert ran.exit_code == 2
    assert "pip install 'tpo[plots]'" in " ".join(ran.stderr.split())
