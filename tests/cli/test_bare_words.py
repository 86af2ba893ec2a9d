"""A word in a command's place: a question is asked, and a file's or a folder's name is not taken for a typing error."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from tpo.cli import align
from tpo.cli.app import app


class Terminal(io.StringIO):
    """A stream with a user at it."""

    def isatty(self) -> bool:
        return True


def command_for(word: str) -> str:
    """The command that a word in a command's place leads to."""
    group: Any = typer.main.get_command(app)
    name, _, arguments = group.resolve_command(typer.Context(group), [word])
    assert arguments == [word]
    return str(name)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "q.txt").write_text("From a file?", encoding="utf-8")
    (tmp_path / "answers").mkdir()
    return tmp_path


@pytest.mark.parametrize("question", ["Why is the sky blue?", "Why?", "Name a fruit.", "Read q.txt"])
def test_a_bare_question_is_asked(question: str) -> None:
    assert command_for(question) == "align"


@pytest.mark.parametrize(("reply", "query"), [(True, "From a file?"), (False, "q.txt")])
def test_a_file_is_asked_about_on_a_terminal(monkeypatch: pytest.MonkeyPatch, reply: bool, query: str) -> None:
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("sys.stderr", Terminal())
    assert command_for("q.txt") == "align"
    monkeypatch.setattr(typer, "confirm", lambda text, **_: reply)
    assert align.read_query("q.txt", None, None) == query


def test_elsewhere_a_file_is_an_error_that_names_both_commands() -> None:
    ran = CliRunner().invoke(app, ["q.txt"])
    shown = " ".join(ran.output.split())
    assert ran.exit_code == 2
    assert "tpo align --file q.txt" in shown and "tpo align q.txt" in shown


def test_a_folder_and_a_typing_error_are_errors() -> None:
    ran = CliRunner().invoke(app, ["answers"])
    assert ran.exit_code == 2 and "tpo view answers" in " ".join(ran.output.split())
    ran = CliRunner().invoke(app, ["algin"])
    assert ran.exit_code == 2 and "No such command 'algin'" in ran.output
    ran = CliRunner().invoke(app, ["x" * 5000])
    assert ran.exit_code == 2 and "No such command" in ran.output
