"""From "math?answer=42" to a verifier: the text after `verifier:` in a reward's name."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from tpo import specs
from tpo.errors import InputError
from tpo.rewards.protocol import Reward
from tpo.rewards.verifiers.references import References, field_of, read_file

T = TypeVar("T")


class VerifierOptions:
    """The options of a verifier as they were written; each reader reports what is wrong with its own."""

    def __init__(self, spec: str, given: dict[str, str]) -> None:
        self.spec = spec
        self._given = given

    def text(self, name: str) -> str | None:
        """An option's text, or None."""
        return self._given.get(name)

    def flag(self, name: str) -> bool:
        """True or false; false if not given."""
        value = self._given.get(name, "false").lower()
        if value not in _FLAGS:
            raise self.error(f"{name} is {self._given[name]!r}; it must be true or false")
        return _FLAGS[value]

    def number(self, name: str, default: float) -> float:
        """A number above zero."""
        value = self._given.get(name)
        if value is None:
            return default
        try:
            number = float(value)
        except ValueError:
            number = 0.0
        if not 0 < number < 1e6:
            raise self.error(f"{name} is {value!r}; a number above zero is expected")
        return number

    def references(self, read: Callable[[dict[str, Any]], T]) -> References[T]:
        """The references in `file`, by the query in the field `query`."""
        return References.load(self.file(), read, self.text("query"))

    def file(self) -> str:
        """The name of the file."""
        return self._given["file"]

    def is_table(self) -> bool:
        """Whether the file has a line for each query, which its name shows."""
        return self.file().endswith((".jsonl", ".ndjson"))

    def error(self, fault: str) -> InputError:
        """The error, with the right way to write it."""
        name = self.spec.partition("?")[0]
        example = f" Write for example {KINDS[name].example}." if name in KINDS else ""
        return InputError(f"The reward verifier:{self.spec} cannot be used: {fault}.{example}")


_FLAGS = {"true": True, "yes": True, "1": True, "": True, "false": False, "no": False, "0": False}


class VerifierKind(NamedTuple):
    """A kind of verifier.

    Attributes:
        example: how it is written.
        sources: the options that name a reference; exactly one of them is needed.
        options: the other options.
        make: makes the verifier.
    """

    example: str
    sources: tuple[str, ...]
    options: tuple[str, ...]
    make: Callable[[VerifierOptions], Reward]


def parse_verifier(spec: str) -> Reward:
    """Make a verifier from what stands after `verifier:`.

    Args:
        spec: "name?option=value&option=value"; see docs/verifiers.md and `tpo.specs`.

    Raises:
        InputError: the name or an option is unknown, missing or malformed, or a file cannot be used; near names
            are given.
    """
    name = spec.strip().partition("?")[0]
    kind = KINDS.get(name)
    if kind is None:
        near = specs.did_you_mean(name, KINDS).replace("mean ", "mean verifier:")
        known = ", ".join(one.example for one in KINDS.values())
        raise InputError(f"The verifier {name!r} is unknown.{near} Known ones look like this: {known}.")
    given = specs.parse(spec, f"reward verifier:{name}", (*kind.sources, *kind.options)).options
    options = VerifierOptions(spec.strip(), given)
    sources = [source for source in kind.sources if given.get(source, "").strip()]
    if len(sources) != 1:
        named = "none is" if not sources else f"{' and '.join(sources)} are"
        raise options.error(f"one of {', '.join(kind.sources)} is needed, and {named} given")
    try:
        return kind.make(options)
    except ValueError as error:
        raise options.error(str(error)) from error


def _accepted(options: VerifierOptions) -> Any:
    from tpo.rewards.verifiers.exact import accepted

    answer = options.text("answer")
    if answer is not None:
        return answer
    field = options.text("field") or "answer"
    return options.references(lambda row: accepted(field_of(row, field)))


def _exact(options: VerifierOptions) -> Reward:
    from tpo.rewards.verifiers.exact import Exact

    return Exact(_accepted(options), options.text("take") or "auto", reveal=options.flag("reveal"))


def _math(options: VerifierOptions) -> Reward:
    from tpo.rewards.verifiers.maths import Math

    return Math(_accepted(options), reveal=options.flag("reveal"), seconds=options.number("seconds", 5.0))


def _json_schema(options: VerifierOptions) -> Reward:
    from tpo.rewards.verifiers.json_schema import JsonSchema, needed, schema_of

    needed()
    seconds = options.number("seconds", 5.0)
    if options.is_table():
        field = options.text("field") or "schema"
        return JsonSchema(options.references(lambda row: schema_of(field_of(row, field))), seconds=seconds)
    try:
        schema = json.loads(read_file(options.file()))
    except (ValueError, RecursionError) as error:
        raise options.error(f"the file {options.file()} is no JSON: {error}") from error
    return JsonSchema(schema, seconds=seconds)


def _regex(options: VerifierOptions) -> Reward:
    from tpo.rewards.verifiers.pattern import Regex, pattern_of

    field = options.text("field") or "pattern"
    pattern = options.text("pattern") or options.references(lambda row: pattern_of(field_of(row, field)))
    return Regex(pattern, reveal=options.flag("reveal"))


def _ifeval(options: VerifierOptions) -> Reward:
    from tpo.rewards.verifiers.ifeval import IFEval, instructions_of

    return IFEval(options.references(instructions_of), options.text("mode") or "strict")


def _code(options: VerifierOptions) -> Reward:
    from tpo.rewards.verifiers.code import CodeTests, allowed, suite_of
    from tpo.rewards.verifiers.sandbox import SandboxLimits

    allowed(options.flag("allow_code"))
    field = options.text("field") or "test"
    table = options.is_table()
    tests = options.references(lambda row: suite_of(row, field)) if table else read_file(options.file())
    limits = SandboxLimits(seconds=options.number("seconds", 10.0), memory=int(options.number("memory_mb", 1024)) << 20)
    return CodeTests(tests, allow_code=True, reveal=options.flag("reveal"), limits=limits)


KINDS = {
    "exact": VerifierKind(
        "verifier:exact?answer=Paris", ("answer", "file"), ("field", "query", "take", "reveal"), _exact
    ),
    "math": VerifierKind("verifier:math?answer=42", ("answer", "file"), ("field", "query", "seconds", "reveal"), _math),
    "json-schema": VerifierKind(
        "verifier:json-schema?file=schema.json", ("file",), ("field", "query", "seconds"), _json_schema
    ),
    "regex": VerifierKind("verifier:regex?pattern=^[0-9]+$", ("pattern", "file"), ("field", "query", "reveal"), _regex),
    "ifeval": VerifierKind("verifier:ifeval?file=input_data.jsonl", ("file",), ("query", "mode"), _ifeval),
    "code": VerifierKind(
        "verifier:code?file=tests.py&allow_code=true",
        ("file",),
        ("field", "query", "seconds", "memory_mb", "reveal", "allow_code"),
        _code,
    ),
}
