"""`verifier:code`: off unless allowed, verdicts on tests, and attacks on the sandbox."""

from __future__ import annotations

import asyncio
import os
import tempfile
import warnings
from pathlib import Path

import pytest

from rewards.verifiers.kit import scored
from tpo.errors import InputError
from tpo.messages import answered, conversation
from tpo.rewards.protocol import Score
from tpo.rewards.verifiers import sandbox
from tpo.rewards.verifiers.code import CodeTests, read_suite, suite_of

if os.name != "posix":
    pytest.skip("code cannot be confined on this system", allow_module_level=True)

TESTS = """
from solution import add

ONE = 1

def test_small():
    assert add(ONE, 2) == 3

def test_negative():
    assert add(-1, -2) == -3, "negative numbers"

assert add(0, 0) == 0
"""
GOOD = "def add(a, b):\n    return a + b"


def run(code: str, tests: str = TESTS, seconds: float = 20.0, reveal: bool = False) -> Score:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about what cannot be confined here
        reward = CodeTests(tests, allow_code=True, reveal=reveal, limits=sandbox.SandboxLimits(seconds=seconds))
    return scored(reward, f"First try:\n```python\n1 +\n```\nBetter:\n```python\n{code}\n```\nDone.")


def test_off_unless_allowed() -> None:
    with pytest.raises(InputError, match="add allow_code=true"):
        CodeTests(TESTS)
    with pytest.raises(InputError, match="off until you allow it"):
        CodeTests(TESTS, allow_code="yes")  # type: ignore[arg-type]


def test_the_last_block_is_run_and_passes() -> None:
    score = run(GOOD)
    assert score.value == 1.0
    assert score.parts == {"test_small": 1.0, "test_negative": 1.0, "line 12": 1.0}
    assert score.feedback == "passed all 3 tests"


def test_faults_name_the_test_and_not_what_it_expects() -> None:
    score = run("def add(a, b):\n    return a * b")
    assert score.value == pytest.approx(1 / 3)
    assert score.feedback == (
        "passed 1 of 3 tests; failed: test_small (AssertionError); test_negative (AssertionError: negative numbers)"
    )
    assert list(score.missing) == ["test_small", "test_negative"]
    shown = run("def add(a, b):\n    return a * b", reveal=True).feedback
    assert "`def test_small(): assert add(ONE, 2) == 3`" in str(shown)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def add(a, b) return", "the code does not run: SyntaxError: expected ':' (line 1 of the code)"),
        ("1 / 0", "the code does not run: ZeroDivisionError: division by zero (line 1 of the code)"),
        ("def sub(a, b): ...", "the tests could not be prepared: ImportError: cannot import name 'add'"),
        (GOOD.replace("a + b", "[][a]"), "IndexError: list index out of range (line 2 of the code)"),
        ("class E(Exception):\n    def __str__(self): return 1\nraise E", "an exception that cannot be shown"),
        ("", "the code is empty"),
    ],
)
def test_what_is_wrong_is_reported(code: str, words: str) -> None:
    score = run(code)
    assert score.value == 0.0
    assert words in str(score.feedback)


def test_an_answer_without_code() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reward = CodeTests(TESTS, allow_code=True)
    score = scored(reward, GOOD)
    assert (score.value, len(score.parts)) == (0.0, 3)
    assert "no fenced code block" in str(score.feedback)


BREAKS_ITSELF = [
    pytest.param("import os\nos._exit(0)", id="leaves early"),
    pytest.param("def add(a, b):\n    raise SystemExit(0)", id="exits in a test"),
    pytest.param("import os\nos.kill(os.getpid(), 9)", id="kills itself"),
    pytest.param("import ctypes\nctypes.string_at(0)", id="crashes"),
    pytest.param("x = 'a' * (4 << 30)", id="memory"),
    pytest.param("open('big', 'wb').write(b'x' * (64 << 20))", id="a large file"),
    pytest.param("import sys\nsys.setrecursionlimit(10**8)\ndef f(): return f()\nf()", id="recursion"),
    pytest.param("import threading\nwhile True: threading.Thread(target=input).start()", id="threads"),
    pytest.param("class A:\n    pass\nA.add = 1\ndel __builtins__", id="builtins gone"),
]


@pytest.mark.parametrize("code", BREAKS_ITSELF)
def test_code_that_breaks_itself_fails(code: str) -> None:
    score = run(code, seconds=3.0)
    assert score.value == 0.0
    assert score.feedback
    assert run(GOOD).value == 1.0


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("while True: pass", id="loop"),
        pytest.param("import time\ntime.sleep(10**6)", id="sleep"),
        pytest.param("while True: print('x' * 100_000)", id="output"),
        pytest.param("import signal, time\nsignal.pthread_sigmask(0, range(1, 30))\ntime.sleep(10**6)", id="masked"),
        pytest.param(
            "import os\nfor f in range(3, 64):\n    try:\n        while True: os.write(f, b'x' * 10**5)\n"
            "    except OSError: pass\nwhile True: pass",
            id="a flooded report",
        ),
    ],
)
def test_endless_code_is_stopped(code: str) -> None:
    score = run(code, seconds=1.5)
    assert score.value == 0.0
    assert "did not finish within 1.5 s" in str(score.feedback) or "ended in the middle" in str(score.feedback)


def test_a_test_that_hangs_is_named_before_those_it_kept_from_running() -> None:
    score = run("def add(a, b):\n    while True: pass", seconds=1.5)
    assert str(score.feedback).startswith("passed 0 of 3 tests; failed: line 12 (it did not finish within 1.5 s)")
    assert "test_small (it was not run)" in str(score.feedback)


@pytest.mark.parametrize(
    "marker",
    ['{"end": "test_small", "fault": null}', '{"loaded": null}\\n{"done": true}', "passed all 3 tests", "0" * 32],
)
def test_a_forged_report_does_not_count(marker: str) -> None:
    code = (
        f"import os\ntext = b'\\n{marker}\\n'\nfor f in range(64):\n    try: os.write(f, text)\n"
        f"    except OSError: pass\nprint(text.decode())\nos._exit(0)"
    )
    assert run(code).value == 0.0


def test_no_environment_is_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TPO_SECRET", "hunter2")
    code = "import os\nraise Exception(str(sorted(os.environ)))"
    feedback = str(run(code).feedback)
    assert "'HOME'" in feedback
    assert "TPO_SECRET" not in feedback
    parents = "import os\nraise Exception(open(f'/proc/{os.getppid()}/environ').read().count('hunter2'))"
    if sandbox.launch().files:
        assert "Exception: 1 " not in str(run(parents).feedback)


def test_files_outside_are_out_of_reach(tmp_path: Path) -> None:
    if not sandbox.launch().files:
        pytest.skip("this system has no Landlock, so files cannot be protected")
    kept = tmp_path / "kept"
    kept.write_text("secret")
    kept.chmod(0o666)
    tmp_path.chmod(0o777)
    for attack in (
        "os.remove(path)",
        "open(path, 'w')",
        "shutil.rmtree(os.path.dirname(path))",
        "print(open(path).read())",
    ):
        code = f"import os, shutil\npath = {str(kept)!r}\n{attack}"
        assert "PermissionError" in str(run(code).feedback), attack
    assert kept.read_text() == "secret"
    assert run("open('mine', 'w').write('x')\n" + GOOD).value == 1.0


def test_the_network_is_out_of_reach() -> None:
    if sandbox.launch().network == "open":
        pytest.skip("this system has neither namespaces nor Landlock for the network")
    code = """
import socket
server = socket.socket()
try:
    socket.create_connection(("192.0.2.1", 80), timeout=5)
except TimeoutError:
    raise Exception("sent")
"""
    feedback = str(run(code).feedback)
    assert "OSError" in feedback or "PermissionError" in feedback


def test_a_fork_bomb_ends_with_its_run() -> None:
    if not sandbox.launch().processes:
        pytest.skip("the number of processes cannot be limited for root here")
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    assert run(bomb, seconds=2.0).value == 0.0
    assert run(GOOD).value == 1.0


def test_a_process_that_stays_behind_is_ended() -> None:
    # The child leaves the process group; it would hold the report open, and the run would take all its time.
    child = "os.setsid(); time.sleep(10**6)"
    code = f"import os, time\ntry:\n    if os.fork() == 0: {child}\nexcept OSError: pass\n{GOOD}"
    assert run(code).value == 1.0


def test_scratch_folders_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    # Not pytest's own folder: that is private, so the other user could not work in it.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        monkeypatch.setattr("tempfile.tempdir", folder)
        score = run("import os\nos.mkdir('a')\nopen('a/b', 'w').close()\nos.chmod('a', 0)\n" + GOOD)
        assert score.value == 1.0
        assert list(Path(folder).iterdir()) == []


@pytest.mark.parametrize("without", ["unshare", "other user"])
def test_lesser_systems_still_confine(monkeypatch: pytest.MonkeyPatch, without: str) -> None:
    if without == "unshare":
        monkeypatch.setattr("shutil.which", lambda name: None)
    else:
        monkeypatch.setattr(sandbox, "_NOBODY", 0)
    sandbox.launch.cache_clear()
    try:
        launched = sandbox.launch()
        assert run(GOOD).value == 1.0
        assert run("import os\nos._exit(0)").value == 0.0
        assert without != "unshare" or (launched.prefix == () and launched.network != "blocked")
    except InputError as error:
        assert "run it as an ordinary user" in str(error)
    finally:
        sandbox.launch.cache_clear()


def test_open_doors_are_reported() -> None:
    open_wide = sandbox.Launch((), False, "open", False, False)
    assert open_wide.open_doors() == [
        "use the network",
        "read and write the files of this user",
        "start any number of processes",
    ]
    assert sandbox.Launch((), False, "blocked", True, True).open_doors() == []


async def test_several_answers_at_once_come_back_in_order() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reward = CodeTests(TESTS, allow_code=True)
    query = conversation("Add.")
    answers = [f"```\n{GOOD}\n```", "no code", f"```\n{GOOD.replace('+', '-')}\n```"]
    scores = await asyncio.wait_for(reward.score([answered(query, answer) for answer in answers]), 120)
    assert [score.value for score in scores] == [1.0, 0.0, pytest.approx(1 / 3)]


def test_humaneval_and_mbpp_forms() -> None:
    humaneval = suite_of({"test": "def check(candidate):\n    assert candidate(1) == 2\n", "entry_point": "f"}, "test")
    assert list(humaneval.shown.values()) == ["check(f)"]
    mbpp = suite_of({"test_list": ["assert f(1) == 2", "assert f(2) == 3"]}, "test_list")
    assert list(mbpp.shown) == ["line 1", "line 2"]


@pytest.mark.parametrize(
    ("tests", "words"),
    [
        ("def test_a(", "no Python"),
        ("x = 1", "there is no test"),
        ("def test_a(fixture): ...", "test_a takes arguments"),
    ],
)
def test_unusable_tests_name_what_is_wrong(tests: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        CodeTests(tests, allow_code=True)


def test_two_tests_on_a_line_and_defaults() -> None:
    suite = read_suite("assert 1; assert 2\ndef test_a(x=1, *, y=2): ...")
    assert list(suite.shown) == ["line 1", "line 1, column 11", "test_a"]


@pytest.mark.parametrize("text", ["'a\u2028b'", "'a\x85b'", "1\x0c", "'a'\r\n\r\n"])
def test_lines_are_those_of_python(text: str) -> None:
    suite = read_suite(f"x = {text}\ndef test_a():\n    assert x\n\ndef test_b():\n    assert x\n")
    values: dict[str, object] = {}
    for step in suite.steps:
        exec(step.source, values)
    assert {"x", "test_a", "test_b"} <= values.keys()
