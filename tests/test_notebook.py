"""Results in a notebook: HTML and short text forms, progress, short errors, and the example notebook, which is run."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import tpo
from server.policy import Said, critic, policy
from tpo.runs.answers import Answer, First
from tpo.runs.history import query_history
from tpo.runs.notebook import progress_text
from tpo.runs.progress import RunProgress
from tpo.runs.status import run_status
from tpo.tables import Part, Table
from view.runs import make_judged

EXAMPLE = Path(__file__).parents[1] / "examples" / "notebook.ipynb"
EVIL = "<script>alert(1)</script>"


async def answer(body: dict[str, Any], number: int) -> Said:
    """Answers of different lengths, with markup in them."""
    if critic(body):
        return f"It should say more. {EVIL}"
    return f"Answer {'and more ' * (number % 5)}{EVIL}"


async def length(conversations: list[Any]) -> list[float]:
    """The longest answer is the best."""
    return [float(len(conversation[-1]["content"])) for conversation in conversations]


async def test_results_have_a_short_text_and_html_without_markup_of_others(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text('{"id": "a", "prompt": "Why?"}\n')
    async with policy(answer) as behind:
        options: Any = {"policy": behind.url, "reward": length, "check": False, "width": 3, "depth": 2}
        async with tpo.Session(**options) as session:
            shown = session._repr_html_()
            assert "open" in shown and "policy" in shown and repr(session).startswith("Session(policy=")
            result = await session.align("Why?")
        report = await tpo.run_dataset(tmp_path / "data.jsonl", tmp_path / "run", **options)
    html = result._repr_html_()
    assert html.count("<details>") >= 3 and "<svg" in html and "Critique" in html
    assert "<script" not in html and "&lt;script&gt;" in html
    assert len(repr(result)) < 300 and repr(result).startswith("Result(reward=")
    assert "1 of 1" in report._repr_html_() and "1 of 1 queries answered" in repr(report)


async def test_a_judge_a_panel_and_warnings_are_in_a_notebook(tmp_path: Path) -> None:
    run = await make_judged(tmp_path / "runs")
    result = query_history(run, "j1").result
    assert result is not None
    for html in (result._repr_html_(), run_status(run).summary._repr_html_()):
        assert "held-out judge" in html and "Models of the panel" in html and "Warning: " in html
        assert "<script" not in html and "arm &lt;script&gt;" in html


def test_an_address_loses_its_key() -> None:
    session = tpo.Session(policy="http://me:secret@host:1/v1?key=hidden", reward="surface")
    for text in (repr(session), session._repr_html_()):
        assert "host:1" in text and "secret" not in text and "hidden" not in text


def test_a_session_for_threads_shows_what_it_holds() -> None:
    with_loop = tpo.SyncSession(policy="http://me:secret@host:1/v1", reward="surface")
    assert repr(with_loop).startswith("SyncSession(policy=")
    assert "host:1" in with_loop._repr_html_() and "secret" not in with_loop._repr_html_()
    with_loop.close()


class Kernel:
    """A notebook's shell; what is displayed in it is kept."""

    kernel = object()

    def __init__(self) -> None:
        self.lines: list[list[str]] = []

    def display(self, data: dict[str, str], **_: Any) -> Any:
        line = [data["text/plain"]]
        self.lines.append(line)
        return SimpleNamespace(update=lambda data, **_: line.append(data["text/plain"]))


async def test_a_session_shows_a_line_for_each_query_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel()
    monkeypatch.setattr("tpo.notebook.shell", lambda: kernel)
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=kernel.display))
    events: list[object] = []
    async with policy(answer) as behind:
        options: Any = {"policy": behind.url, "reward": length, "check": False, "width": 2, "depth": 1}
        async with tpo.Session(**options) as session:
            await asyncio.gather(session.align("Why?"), session.align("Name a fruit."))
            await session.align("Quietly?", on_event=events.append)
    assert sorted(line[0] for line in kernel.lines) == ["tpo, 'Name a fruit.': …", "tpo, 'Why?': …"]
    assert all("4 answers scored, best reward" in line[-1] for line in kernel.lines) and events


def test_a_table_is_shown_as_html_and_markdown() -> None:
    table = Table(EVIL, [Part("Rewards", ["method", "reward"], [[EVIL, "1.0"]])], [], [])
    assert "<script" not in table._repr_html_() and "<th" in table._repr_html_()
    assert "| 1.0 |" in table._repr_markdown_()


def test_the_progress_of_a_run_is_one_line() -> None:
    now = [0.0]
    progress = RunProgress(4, lambda: now[0])
    assert progress_text(progress) == "tpo: 0 of 4 queries answered"
    now[0] = 10.0
    progress.answered(Answer(id="a", key="k", row=0, answer="b", reward=2.0, first=First("a", 1.0, 3)))
    progress.answered(Answer(id="b", key="l", row=1, error="ModelError: gone"))
    shown = progress_text(progress)
    assert shown == "tpo: 2 of 4 queries answered, 1 failed, mean reward 1.000 → 2.000, about 10 s left"


def test_the_version_is_there() -> None:
    assert tpo.__version__.count(".") >= 1 and "__version__" in dir(tpo)


def test_own_errors_are_one_line_in_ipython() -> None:
    pytest.importorskip("IPython")
    code = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_cell("import tpo")
shell.run_cell("tpo.align_sync('Why?', width=0)")
shell.run_cell("1 / 0")
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    whole = ran.stdout + ran.stderr
    assert "InputError" in whole and "ZeroDivisionError" in whole
    assert "session" not in whole.partition("ZeroDivisionError")[0]  # no frame of ours


def test_the_example_notebook_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(EXAMPLE, as_version=4)

    async def run() -> None:
        async with policy(answer) as behind:
            monkeypatch.setenv("TPO_POLICY", behind.url)
            client = nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3")
            await client.async_execute()

    asyncio.run(run())
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type in ("error", "stream")]
    shown = json.dumps([output.get("data") for output in outputs])
    assert "text/html" in shown and "Best reward by step" in shown
    assert "answers scored" in shown and "2 of 2 queries answered" in shown  # progress by default
