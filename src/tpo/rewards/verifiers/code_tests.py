"""Reading a file of tests: which of its statements are tests, and what they are called."""

from __future__ import annotations

import ast
from typing import NamedTuple


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
        lines = source.splitlines()[first - 1 : node.end_lineno]
        piece = ast.unparse(node) if name is not None else "\n".join(lines)
        steps.append(SuiteStep("\n" * (first - 1) + piece, name))
    steps.extend(SuiteStep(f"{name}()", name) for name in functions)
    if not shown:
        raise ValueError("there is no test: write functions test_… or assert statements")
    return Suite(tuple(steps), shown)


def _takes_nothing(node: ast.FunctionDef) -> bool:
    arguments = node.args
    needed = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    return needed == 0 and all(default is not None for default in arguments.kw_defaults)
