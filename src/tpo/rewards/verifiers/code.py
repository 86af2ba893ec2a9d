"""`verifier:code`: the code in an answer passes unit tests, run in a sandbox.

A file of tests is read here: which of its statements are tests, and what they are called.
"""

from __future__ import annotations

import ast
import os
import re
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

from tpo.errors import InputError, RewardError
from tpo.rewards.protocol import Score
from tpo.rewards.verifiers import sandbox
from tpo.rewards.verifiers.answers import clipped, last_code
from tpo.rewards.verifiers.references import References, as_references, field_of
from tpo.rewards.verifiers.verifier import Verifier


class SuiteStep(NamedTuple):
    """A piece of a test file to run.

    Attributes:
        source: Python; blank lines in front keep its line numbers.
        test: the name of the test that it is; None for what prepares the tests.
    """

    source: str
    test: str | None


class Suite(NamedTuple):
    """The tests of one query.

    Attributes:
        steps: what to run, in order.
        shown: the text of each test, by name, for feedback that may reveal it.
    """

    steps: tuple[SuiteStep, ...]
    shown: dict[str, str]


def read_suite(source: str) -> Suite:
    """Find the tests in Python code.

    Args:
        source: functions named test_… without arguments, and statements at the top that assert something or call
            something (HumanEval's `check(candidate)`, MBPP's asserts) are tests. Everything else prepares them.

    Raises:
        ValueError: it is no Python, or has no test.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise ValueError(f"the tests are no Python: {error}") from error
    steps: list[SuiteStep] = []
    shown: dict[str, str] = {}
    functions: list[str] = []
    # str.splitlines would also break at a form feed and at line separators inside strings, where Python does not.
    lines = re.split("\r\n?|\n", source)
    for node in tree.body:
        text = ast.get_source_segment(source, node) or ast.unparse(node)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
            if not _takes_nothing(node):
                raise ValueError(f"the test {node.name} takes arguments; write what it needs inside of it")
            functions.append(node.name)
            shown[node.name] = text
        is_call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
        name = f"line {node.lineno}" if isinstance(node, ast.Assert) or is_call else None
        if name is not None:
            name = name if name not in shown else f"{name}, column {node.col_offset + 1}"
            shown[name] = text
        decorated = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(one.lineno for one in decorated)])
        piece = ast.unparse(node) if name is not None else "\n".join(lines[first - 1 : node.end_lineno])
        steps.append(SuiteStep("\n" * (first - 1) + piece, name))
    steps.extend(SuiteStep(f"{name}()", name) for name in functions)
    if not shown:
        raise ValueError("there is no test: write functions test_… or assert statements")
    return Suite(tuple(steps), shown)


def _takes_nothing(node: ast.FunctionDef) -> bool:
    arguments = node.args
    needed = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    return needed == 0 and all(default is not None for default in arguments.kw_defaults)


_SHOWN = 3
_NOT_RUN = "it was not run"
# How faults begin that are of the code as a whole; names of tests do not.
_OF_ALL = "the "


class CodeTests(Verifier[Suite]):
    """The share of unit tests that the last fenced code block of an answer passes.

    The code runs in a process of its own; `sandbox` describes how it is confined, and `isolation` how well that works
    on this system. Tests and code share the process: code that is written to deceive its tests can.

    Args:
        tests: Python code with tests (see `read_suite`), or tests for each query.
        allow_code: must be True: the caller agrees that code written by a model runs on this machine.
        reveal: whether the feedback shows the tests that fail, and so what they expect.
        limits: what one answer may use.

    Raises:
        InputError: `allow_code` is not set, the tests cannot be used, or the system cannot confine code.
    """

    version = 2

    def __init__(
        self,
        tests: str | References[Suite],
        *,
        allow_code: bool = False,
        reveal: bool = False,
        limits: sandbox.SandboxLimits | None = None,
    ) -> None:
        allowed(allow_code)
        references = tests if isinstance(tests, References) else as_references(_suite(tests))
        self._limits = limits or sandbox.SandboxLimits()
        self.isolation = sandbox.launch()
        doors = self.isolation.open_doors()
        if doors:
            warnings.warn(f"verifier:code: on this system the code can {' and '.join(doors)}.", stacklevel=2)
        settings = [f"{self._limits.seconds:g} s", *(["reveal"] if reveal else [])]
        super().__init__("code", references, settings, threads=min(4, os.cpu_count() or 1))
        self._reveal = reveal

    def check(self, answer: str, reference: Suite) -> Score:
        """Run one answer's code."""
        code = last_code(answer)
        if code is None or not code.strip():
            fault = "there is no fenced code block (```python … ```) to run" if code is None else "the code is empty"
            return Score(0.0, dict.fromkeys(reference.shown, 0.0), fault, dict.fromkeys(reference.shown, fault))
        steps = [step._asdict() for step in reference.steps]
        outcome = sandbox.run({"code": code, "steps": steps}, self._limits)
        faults = self._faults(reference, outcome)
        parts = {name: float(name not in faults) for name in reference.shown}
        value = sum(parts.values()) / len(parts)
        missing = self._missing(faults, reference)
        return Score(value, parts, self._words(missing, len(parts)), missing)

    def _faults(self, suite: Suite, outcome: sandbox.SandboxRun) -> dict[str, str]:
        """What is wrong, by test; all tests carry the same fault if the code stopped before them."""
        events = outcome.events
        if not any("confined" in event for event in events):
            raise RewardError("verifier:code: the sandbox did not start; try again, or allow it more time.")
        loaded = next((event for event in events if "loaded" in event), None)
        setup = next((event["setup"] for event in events if "setup" in event), None)
        if setup is not None:
            stopped = f"the tests could not be prepared: {setup}"
        elif loaded is None or loaded["loaded"] is not None:
            stopped = f"the code does not run: {loaded['loaded'] if loaded else self._end(outcome)}"
        else:
            stopped = _NOT_RUN
        faults = dict.fromkeys(suite.shown, stopped)
        for event in events:
            if event.get("start") in faults:
                faults[event["start"]] = self._end(outcome)
            if event.get("end") in faults:
                fault = event.get("fault")
                if fault is None:
                    del faults[event["end"]]
                else:
                    faults[event["end"]] = str(fault)
        return faults

    def _end(self, outcome: sandbox.SandboxRun) -> str:
        if outcome.timed_out:
            return f"it did not finish within {self._limits.seconds:g} s"
        return "the program ended in the middle of it, by exiting, crashing, or using too much memory or time"

    def _missing(self, faults: dict[str, str], suite: Suite) -> dict[str, str]:
        messages = list(dict.fromkeys(faults.values()))
        if len(messages) == 1 and messages[0].startswith(_OF_ALL):
            return dict.fromkeys(faults, clipped(messages[0]))
        # A test that was not run explains less than the one that kept it from running.
        first = sorted(faults.items(), key=lambda fault: fault[1] == _NOT_RUN)
        return {name: self._line(name, fault, suite) for name, fault in first}

    def _words(self, missing: dict[str, str], total: int) -> str:
        noun = "test" if total == 1 else "tests"
        if not missing:
            return f"passed {'the' if total == 1 else f'all {total}'} {noun}"
        lines = list(dict.fromkeys(missing.values()))
        passed = f"passed {total - len(missing)} of {total} {noun}"
        if lines[0].startswith(_OF_ALL):
            return f"{passed}; {lines[0]}"
        more = len(lines) - _SHOWN
        return f"{passed}; failed: {'; '.join([*lines[:_SHOWN], *([f'and {more} more'] if more > 0 else [])])}"

    def _line(self, name: str, fault: str, suite: Suite) -> str:
        shown = f" `{clipped(suite.shown[name])}`" if self._reveal else ""
        return f"{name}{shown} ({clipped(fault)})"


def allowed(allow_code: bool) -> None:
    """Make sure that the user agreed to run code.

    Raises:
        InputError: they did not; the message has the option.
    """
    if allow_code is not True:
        raise InputError(
            "verifier:code runs code that a model wrote on this machine, so it is off until you allow it: "
            "add allow_code=true (in Python, allow_code=True)."
        )


def _suite(tests: str) -> Suite:
    try:
        return read_suite(tests)
    except ValueError as error:
        raise InputError(f"The tests cannot be used: {error}.") from error


def suite_of(row: Mapping[str, Any], field: str) -> Suite:
    """The tests of a line: Python, or a list of statements (MBPP); with "entry_point", HumanEval's `check` is called.

    Raises:
        ValueError: there are none.
    """
    value = field_of(row, field)
    pieces = value if isinstance(value, list) else [value]
    if not all(isinstance(piece, str) for piece in pieces):
        raise ValueError(f"the tests in {field!r} are neither text nor a list of texts")
    source = "\n".join(pieces)
    entry = row.get("entry_point")
    if isinstance(entry, str) and entry.isidentifier():
        source += f"\n\ncheck({entry})\n"
    return read_suite(source)
