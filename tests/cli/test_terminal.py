"""Text from outside cannot command a terminal; what cannot be written is one line and an exit code."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tpo
from cli.test_align import answering, reply
from cli.test_align import tpo as command
from models.server import Received, models, serving
from tpo.cli.terminal import REPLACEMENT, safe

ATTACKS = [
    "\x1b]0;title\x07",
    "\x1b]52;c;ZXZpbA==\x07",
    "\x1b[2J\x1b[H",
    "\x9b2J",
    "\x9d52;c;ZXZpbA==\x9c",
    "\u202eevil\u202c",
    "\u2066x\u2069",
    "a\rb",
    "\U000e0041",
]
# The control sequences that styles and a view that changes in place are made of.
OURS = re.compile(r"\x1b\[[0-9;]*[mAK]|\x1b\[\?25[lh]|\x1b\[\d*[GJ]|\r")


def obeyed(shown: str) -> list[str]:
    """What a terminal would obey and is not ours."""
    return [char for char in OURS.sub("", shown) if safe(char) != char]


@given(st.text() | st.sampled_from(ATTACKS))
def test_nothing_is_left_that_a_terminal_would_obey(text: str) -> None:
    made = safe(text)
    assert not obeyed(made)
    assert safe(made) == made
    kept = [char for char in made if char != REPLACEMENT]
    assert kept == [char for char in text.replace("\r\n", "\n") if safe(char) == char and char != REPLACEMENT]


def on_a_terminal(code: str, *arguments: str) -> str:
    """What a program writes to a terminal of its own."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=follower,
        stderr=follower,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"},
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    process.wait()
    os.close(leader)
    return shown.decode()


EVERY_WAY = """
    import sys
    from tpo.cli.terminal import guard_streams
    guard_streams()
    import typer
    from rich.table import Table
    from rich.text import Text
    from tpo.cli.console import note, print_answer, print_json, reporting, stderr, stdout
    from tpo.cli.live import LineView, LiveView
    from tpo.engine.events import Retrying, TextGrew
    from tpo.errors import TPOError
    for attack in map(eval, sys.argv[1:]):
        note(attack); print_answer(attack); print_json({"a": attack}); typer.echo(attack); print(attack)
        stdout().print(Text(attack)); sys.stdout.buffer.write(attack.encode("utf-8", "surrogatepass"))
        table = Table(attack); table.add_row(Text(attack)); stdout().print(table)
        for view in (LiveView(stderr), LineView(stderr)):
            with view:
                view.listen(TextGrew(0, 0, "answer", 0, attack)); view.listen(TextGrew(0, 0, "loss", 0, attack))
                view.listen(Retrying("policy", attack, 1.0)); view.note(attack); print(attack)
        for error in (TPOError(attack), ValueError(attack)):
            for debug in (False, True):
                @reporting
                def fails(debug):
                    raise error
                try:
                    fails(debug=debug)
                except typer.Exit:
                    pass
"""


@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5))
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_way_of_printing_lets_a_terminal_be_commanded(texts: list[str]) -> None:
    shown = on_a_terminal(EVERY_WAY, *map(ascii, [*ATTACKS, *texts]))
    assert shown.count(REPLACEMENT) > 50, shown[-2000:]
    assert obeyed(shown) == []


async def test_a_pipe_gets_the_answer_as_it_is() -> None:
    text = "\x1b]52;c;ZXZpbA==\x07\u202e\x9b2J"

    def attacking(request: Received) -> bytes:
        return models("m") if request.path.endswith("/models") else reply(text)

    async with serving(attacking) as server:
        ran = await command("align", "How?", "--policy", server.url, "--method", "sample")
    assert (ran.code, ran.out) == (0, f"{text}\n")


def test_consoles_are_made_in_one_module() -> None:
    source = Path(tpo.__file__).parent
    found = [path.name for path in source.rglob("*.py") if re.search(r"(?<!Safe)\bConsole\(", path.read_text())]
    assert found == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("arguments", [["config"], ["config", "--json"], ["runs"]])
def test_a_full_disk_is_one_line(arguments: list[str], tmp_path: Path) -> None:
    if arguments == ["runs"]:
        arguments = ["runs", "--json"]
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "tpo", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            timeout=120,
        )
    assert ran.returncode == 2
    assert ran.stderr == "tpo: error: the output cannot be read or written: No space left on device.\n"


def test_a_reader_that_left_and_a_closed_stdout_are_no_bugs(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    ran = subprocess.run(
        [sys.executable, "-m", "tpo", "config"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        timeout=120,
    )
    os.close(write)
    assert (ran.returncode, ran.stderr) == (141, "")
    closed = f"exec {sys.executable} -m tpo config >&-"
    ran = subprocess.run(["sh", "-c", closed], stderr=subprocess.PIPE, text=True, cwd=tmp_path, timeout=120)
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
    assert "standard output is closed" in ran.stderr


async def test_a_bare_question_is_answered_and_a_files_name_is_noted(tmp_path: Path) -> None:
    (tmp_path / "question.txt").write_text("What?")
    async with serving(answering) as server:
        flags = ("--policy", server.url, "--method", "sample")
        ran = await command("Why is the sky blue?", *flags, cwd=tmp_path)
        assert (ran.code, ran.out[:7]) == (0, "Answer ")
        ran = await command("align", "question.txt", *flags, cwd=tmp_path)
        assert ran.code == 0
        assert "question.txt is the name of a file" in ran.err
        sent = [body["messages"][-1]["content"] for body in server.bodies()]
    assert sent == ["Why is the sky blue?", "question.txt"]
    assert (await command("algin", "How?", cwd=tmp_path)).err.count("Did you mean 'align'?") == 1


async def test_chat_keeps_the_conversation() -> None:
    async with serving(answering) as server:
        ran = await command(
            *("chat", "--policy", server.url, "--method", "sample", "--seed", "1", "--quiet", "--system", "Be brief."),
            stdin=b"One?\nTwo?\n\nThree?\n",
        )
        sent = [[message["role"] for message in body["messages"]] for body in server.bodies()]
    assert (ran.code, ran.err, ran.out.count("\n")) == (0, "", 2)
    assert sent == [["system", "user"], ["system", "user", "assistant", "user"]]


@pytest.mark.parametrize("name", ["align", "chat", "run", "serve", "eval", "export", "check", "view"])
async def test_the_help_has_an_example_and_keeps_every_bracket(name: str) -> None:
    short = await command(name, "-h", COLUMNS="80")
    whole = await command(name, "--help-all", COLUMNS="80")
    assert (short.code, short.err, whole.code) == (0, "", 0)
    assert f"\n  tpo {name}" in short.out
    assert len(short.out.splitlines()) <= 60
    for text in (short.out, whole.out):
        assert all(len(line) <= 80 for line in text.splitlines()), text
    if name in ("align", "run", "serve", "eval"):
        assert "--help-all shows" in short.out
        assert re.search(r"\[default: 0\.95, TPO_TOP_P\]", whole.out)
    if name == "eval":
        assert "--held-out" in short.out and "tpo eval judge" in short.out
