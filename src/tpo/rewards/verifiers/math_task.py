"""Comparing mathematics with math-verify; runs in a `Worker`, since it may take for ever.

math-verify's own time limits are switched off: they rest on SIGALRM, which cannot interrupt the arithmetic that
takes longest (https://github.com/huggingface/Math-Verify). Two numbers are compared here and not by it, since it rounds
to six decimals: 0.0000672 and 0.0000673 are the same to it.
"""

from __future__ import annotations

import logging
import re
from fractions import Fraction
from typing import Any

import sympy  # type: ignore[import-untyped]
from math_verify import LatexExtractionConfig, parse, verify

logging.disable(logging.CRITICAL)  # it logs every text that it cannot read

_LATEX = [LatexExtractionConfig()]
_DIGITS = 40  # that two exact numbers are compared to
_ENOUGH = 6  # significant digits that a rounded decimal must have to stand for a number without a finite decimal form


def compare(request: dict[str, Any]) -> dict[str, Any]:
    """Compare an answer with the right ones.

    Args:
        request: "answer" and "accepted", a text and a list of texts, as `notation.Reading.latex` has them.

    Returns:
        "right": whether the answer equals one of them.
    """
    found = request["answer"]
    return {"right": any(_equal(wanted, found) for wanted in request["accepted"])}


def _equal(wanted: str, found: str) -> bool:
    try:
        one, other = _read(wanted), _read(found)
        if one is None or other is None:
            return False
        if _is_number(one) and _is_number(other):
            return _same_number(wanted, one, found, other)
        if _kind(one) != _kind(other):
            return False
        return bool(verify([one], [other], timeout_seconds=None))
    except MemoryError:
        raise
    except Exception:  # its parsers raise many kinds on text that is no mathematics
        return False


def _read(latex: str) -> Any:
    found = parse(f"\\boxed{{{latex}}}", _LATEX, fallback_mode="no_fallback", parsing_timeout=None)
    if not found:
        return None
    imaginary = [symbol for symbol in getattr(found[0], "free_symbols", ()) if symbol.name == "i"]
    alone = imaginary and found[0].free_symbols == set(imaginary)
    return found[0].subs(dict.fromkeys(imaginary, sympy.I)) if alone else found[0]


def _is_number(expression: Any) -> bool:
    return isinstance(expression, sympy.Expr) and not expression.free_symbols


def _same_number(wanted: str, one: Any, found: str, other: Any) -> bool:
    decimals = [_decimal(text) for text in (wanted, found)]
    if decimals[0] is not None and decimals[1] is not None:
        # What a computer prints for a sum of tenths: 0.30000000000000004.
        printed = max(len(wanted), len(found)) > 16
        return abs(decimals[0] - decimals[1]) <= (abs(decimals[0]) / 10**14 if printed else 0)
    for decimal, number, text in ((decimals[0], other, wanted), (decimals[1], one, found)):
        if decimal is not None and _without_end(number):
            return _rounded(decimal, text, number)
    gap = sympy.N(sympy.nsimplify(one, rational=True) - sympy.nsimplify(other, rational=True), _DIGITS)
    size = max(1, abs(sympy.N(one, 15)))
    return bool(abs(gap) < size * sympy.Float(10) ** (8 - _DIGITS))


def _decimal(text: str) -> Fraction | None:
    return Fraction(text.replace(" ", "")) if re.fullmatch(r"[-+]?\s*(?:\d+\.?\d*|\.\d+)", text) else None


def _without_end(number: Any) -> bool:
    """Whether a number has no finite decimal form: irrational, or a fraction with another prime below the line."""
    exact = sympy.nsimplify(number, rational=True) if number.has(sympy.Float) else sympy.simplify(number)
    if not exact.is_real:
        return False
    if not exact.is_Rational:
        return True
    below = int(exact.q)
    for prime in (2, 5):
        while below % prime == 0:
            below //= prime
    return below > 1


def _rounded(decimal: Fraction, text: str, number: Any) -> bool:
    """Whether a decimal is a number that was rounded to its last digit, or cut off there."""
    if len(re.sub(r"[-+.\s]", "", text).lstrip("0")) < _ENOUGH:
        return False
    unit = sympy.Rational(1, 10 ** len(text.partition(".")[2].strip()))
    given = sympy.Rational(decimal.numerator, decimal.denominator)
    exact = sympy.N(number, _DIGITS)
    cut_off = abs(given) <= abs(exact)
    return bool(abs(exact - given) < unit if cut_off else abs(exact - given) <= unit / 2)


def _kind(expression: Any) -> str:
    """What must be alike before two things that are no numbers are compared."""
    if isinstance(expression, sympy.MatrixBase):
        return f"matrix {expression.shape}"
    if isinstance(expression, sympy.Tuple | tuple):
        return "tuple"
    return "expression"
