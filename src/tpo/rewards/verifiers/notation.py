r"""Reading a final answer: one spelling for each sign, the unit, the base, and whether all of it is known mathematics.

Math-Verify drops what it does not know (`3\mathrm{e}^5` becomes 3) and reads every word as a product of letters. So
only text whose every command and word is known reaches it; everything else is compared as text.
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from typing import NamedTuple


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_SIGNS = {
    "−": "-",
    "–": "-",
    "×": r"\times ",
    "·": r"\cdot ",
    "÷": "/",
    "π": r"\pi ",
    "θ": r"\theta ",
    "∞": r"\infty ",
    "≤": r"\le ",
    "≥": r"\ge ",
    "≠": r"\ne ",
    "≈": r"\approx ",
    "±": r"\pm ",
    "∪": r"\cup ",
    "∩": r"\cap ",
    "∈": r"\in ",
    "∅": r"\emptyset ",
    "°": r"^\circ ",
    "…": r"\ldots ",
    "€": r"\text{ euros}",
    "£": r"\text{ pounds}",
}
_ALIASES = (
    (r"\\[dt]frac(?![a-zA-Z])", r"\\frac"),
    (r"\\(?:varnothing|empty)(?![a-zA-Z])", r"\\emptyset"),
    (r"\\(?:leqslant|leq)(?![a-zA-Z])", r"\\le"),
    (r"\\(?:geqslant|geq)(?![a-zA-Z])", r"\\ge"),
    (r"\\neq(?![a-zA-Z])", r"\\ne"),
    (r"\\[lc]?dots(?:[a-z])?(?![a-zA-Z])|\.\.\.", r"\\ldots"),
    (r"\\(?:left|right|displaystyle|textstyle|[bB]igg?[lr]?|limits|hline)(?![a-zA-Z])", ""),
    (r"\\(?:quad|qquad|thinspace|enspace)(?![a-zA-Z])|\\[,;:! ]|~", " "),
    (r"\\lbrace|\\\{", r"\\{"),
    (r"\\rbrace|\\\}", r"\\}"),
    (r"\\dollar(?![a-zA-Z])|\\\$", "$"),
    (r"\\degree(?![a-zA-Z])", r"^\\circ "),
    (r"\^\{?\\circ\}?", r"\\text{ degrees} "),
    (r"\\%|(?<=\d)\s*\\?text\{\s*percent\s*\}|(?<=\d)\s*\bpercent$|%", r"\\%"),
)
_FACES = re.compile(
    r"\\(?P<face>mathrm|mathbf|mathit|mathsf|mathcal|mathbb|boldsymbol|bm|textbf|textit|textrm|textnormal|text|mbox"
    r"|operatorname\*?)\s*\{(?P<inner>[^{}]*)\}"
)
_UPRIGHT = ("mathrm", "text", "mbox", "textrm", "textnormal")

# Letters that stand for a unit when set upright; every other upright letter is a symbol.
_UNIT_LETTERS = frozenset("mgsLlhNJWVAKCFT")
_UNITS = {
    name: unit
    for unit, names in {
        "m": "m meter meters metre metres",
        "cm": "cm centimeter centimeters centimetre centimetres",
        "mm": "mm millimeter millimeters",
        "km": "km kilometer kilometers kilometre kilometres",
        "in": "in inch inches",
        "ft": "ft foot feet",
        "mi": "mi mile miles",
        "g": "g gram grams",
        "kg": "kg kilogram kilograms",
        "lb": "lb lbs pound pounds",
        "s": "s sec second seconds",
        "min": "min mins minute minutes",
        "h": "h hr hrs hour hours",
        "L": "L l liter liters litre litres",
        "mL": "mL ml milliliter milliliters",
        "deg": "degree degrees deg",
        "rad": "radian radians rad",
        "dollar": "dollar dollars usd",
        "cent": "cent cents",
        "euro": "euro euros",
        "mph": "mph",
    }.items()
    for name in names.split()
}
# Words that change what a number means, so that they are no unit.
_NO_UNITS = _words(
    "a an and or not no is are was be if of to than then plus minus times over by per less more fewer greater most "
    "least half halves third thirds quarter quarters fourth fourths fifth fifths sixth sixths seventh sevenths eighth "
    "eighths ninth ninths tenth tenths hundredth hundredths percent dozen dozens hundred hundreds squared cubed "
    "factorial root pi where when else otherwise from between wrong false incorrect"
)
# Of these, those that only go on with the sentence.
_JOINING = _words("a an is was are be of to per by if from when where")
_MAGNITUDES = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_FUNCTIONS = "arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|log|ln|exp|sqrt"
_READABLE = _words(
    "frac sqrt pi cdot times div pm mp le ge lt gt ne in cup cap infty emptyset setminus begin end { } % \\ log ln exp "
    "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh binom alpha beta gamma delta epsilon varepsilon zeta "
    "eta theta kappa lambda mu nu xi rho sigma tau phi varphi chi psi omega Gamma Delta Theta Lambda Sigma Phi Psi "
    "Omega lfloor rfloor lceil rceil"
)
_ENVIRONMENTS = ("pmatrix", "bmatrix", "vmatrix", "matrix", "cases", "array")
_LONGEST = 2000  # characters of a final answer that is read as mathematics


class ReadAnswer(NamedTuple):
    """A final answer.

    Attributes:
        text: its words and signs, for a comparison as text; letters that stand alone keep their case.
        latex: what Math-Verify reads; None where a part of it is no known mathematics.
        unit: what it is measured in, such as "cm^2"; empty where none is given.
        base: the base that its digits are written in; None where none is given.
    """

    text: str
    latex: str | None
    unit: str = ""
    base: str | None = None


def read(answer: str) -> ReadAnswer:
    """Read a final answer, in LaTeX or in plain text."""
    source = _spelled(answer.strip())
    text = _as_text(source)
    if len(source) > _LONGEST or not source:
        return ReadAnswer(text, None)
    if choice := re.fullmatch(r"\(([A-Za-z])\)", text):
        return ReadAnswer(choice[1].upper(), None)
    body, unit = _unit(_unwrapped(source))
    body, base = _numbers(body), None
    if re.fullmatch(r"\d{1,2}:\d\d", body):  # a time of day
        return ReadAnswer(text, None, unit)
    if ratio := re.fullmatch(r"(\d+)\s*:\s*(\d+)", body):
        body = f"\\frac{{{ratio[1]}}}{{{ratio[2]}}}"
    if match := re.fullmatch(r"([0-9A-Za-z]+)_(?:\{(\d+)\}|(\d))", body):
        body, base = match[1], match[2] or match[3]
        if not body.isdigit():
            return ReadAnswer(f"{body}_{base}", None, unit, base)
    return ReadAnswer(text, body if _readable(body) else None, unit, base)


def differ(answer: ReadAnswer, reference: ReadAnswer) -> bool:
    """Whether unit, base or the case of a letter set an answer apart from a reference.

    A unit that one of them leaves out does not count, nor a base that the answer leaves out.
    """
    if answer.unit and reference.unit and answer.unit != reference.unit:
        return True
    if answer.base and answer.base != (reference.base or "10"):
        return True
    first, second = (_letters(reading.latex or "") for reading in (answer, reference))
    return any(_other_case(letter) in second - first and letter not in second for letter in first)


def number_in(text: str, *, only: bool = False) -> str | None:
    """The result in a text that marks none: the last formula between dollar signs or the last number.

    Args:
        text: the text.
        only: give it only where it is the one number, at the beginning, and no word changes what it means.
    """
    for line in reversed(text.splitlines()):
        if not (line := line.strip()):
            continue
        tokens = [token.strip(".,;:*()") for token in line.split()]
        numbers = [token for token in tokens if re.search(r"\d|[⅐-⅞¼-¾]", token)]
        if only:
            words = {word.strip(".,;:*()").lower() for word in line.split()}
            plain = (
                len(numbers) == 1 and tokens[0] == numbers[0] and not words & (_NO_UNITS - _JOINING | {*_MAGNITUDES})
            )
            return numbers[0] if plain else None
        if not re.search(r"[A-Za-z]{2}", re.sub(r"\\[A-Za-z]+", "", line)) and read(line).latex is not None:
            return line
        formulas: list[str] = [
            formula for formula in re.findall(r"\$([^$]+)\$", line) if read(formula).latex is not None
        ]
        if formulas:
            return formulas[-1]
        if numbers:
            return re.sub(r"^.*=(?=.)", "", numbers[-1])
    return None


def _spelled(text: str) -> str:
    """One spelling for signs that have several."""
    text = re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+", lambda match: f"^{{{match[0].translate(_SUPERSCRIPTS)}}}", text)
    text = re.sub(r"[₀₁₂₃₄₅₆₇₈₉]+", lambda match: f"_{{{match[0].translate(_SUBSCRIPTS)}}}", text)
    text = re.sub(r"[¼-¾⅐-⅞]", _fraction, text)
    text = re.sub(r"√\s*(\d+|[a-z]|(?=[({]))", lambda match: f"\\sqrt{{{match[1]}}}" if match[1] else "\\sqrt", text)
    for sign, latex in _SIGNS.items():
        text = text.replace(sign, latex)
    text = unicodedata.normalize("NFKC", text)
    text = re.sub(
        r"^\s*(?:\*\*|__|`|\\\(|\\\[|\$\$?)(.*?)(?:\*\*|__|`|\\\)|\\\]|\$\$?)[.。]?\s*$", r"\1", text, flags=re.S
    )
    for pattern, spelling in _ALIASES:
        text = re.sub(pattern, spelling, text)
    text = _faces(text)
    text = re.sub(r"^\s*(?:\\approx|approximately|about)(?![a-zA-Z])\s*", "", text)
    return text.strip().rstrip(".。").strip()


def _fraction(match: re.Match[str]) -> str:
    above, _, below = unicodedata.normalize("NFKC", match[0]).partition("⁄")
    return f"\\frac{{{above}}}{{{below}}}"


def _faces(text: str) -> str:
    """Take type faces off symbols and numbers; words, and units behind a number, stay in \\text{}."""

    def plain(match: re.Match[str]) -> str:
        inner, before = match["inner"].strip(), text[: match.start()]
        if not inner:
            return " "
        if not re.fullmatch(r"\(?[A-Za-z]\)?|\\[A-Za-z]+|[-+.\d\s]+", inner):
            return f"\\text{{{match['inner']}}}"
        if match["face"] in _UPRIGHT and inner in _UNIT_LETTERS and re.search(r"[\d}]\s*$", before):
            return f"\\text{{{inner}}}"
        return f" {inner}" if re.search(r"\\[A-Za-z]+$", before) else inner

    return _FACES.sub(plain, text)


def _as_text(source: str) -> str:
    """Words in small letters, letters that stand alone as they are, without commands for text and without spaces."""
    plain = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", source)
    plain = re.sub(r"(?<![\\A-Za-z])[A-Za-z]{3,}", lambda match: match[0].lower(), plain)
    words = " ".join(plain.replace("$", " ").split()).strip('*_`"“”‘’ ')
    words = re.sub(r"(?<=[a-z]{3})!$", "", words)
    return re.sub(r"(?<![A-Za-z\d]) | (?![A-Za-z\d])", "", words)


def _unwrapped(source: str) -> str:
    match = re.fullmatch(r"\(([-+]?[\d.]+)\)", source)
    return match[1] if match else source


def _unit(body: str) -> tuple[str, str]:
    """A quantity without its unit, and the unit."""
    if match := re.fullmatch(r"([-+]?)\s*\$\s*(.*)", body):
        return match[1] + match[2], "dollar"
    if body.endswith("\\%") and body.count("%") == 1:
        return body[:-2].strip(), "%"
    quantity = r"(?P<value>.*?[\d.})a-z])"
    match = re.fullmatch(
        quantity + r"\s*\\text\{\s*(?P<words>[A-Za-z][A-Za-z/. ]*?)\s*\}\s*(?:\^\{?(?P<power>\d)\}?)?", body, re.S
    ) or re.fullmatch(
        r"(?P<value>[-+]?[\d.,{}\\! ]*\d|\\frac\{?\d+\}?\{?\d+\}?)\s*(?P<words>[A-Za-z][A-Za-z/]+(?: [A-Za-z]+){0,3})"
        r"(?:\^\{?(?P<power>\d)\}?)?",
        body,
    )
    if match is None:
        return body, ""
    words = match["words"].replace(".", "").split()
    if len(words) == 1 and words[0].lower() in _MAGNITUDES:
        return f"{match['value']}\\cdot 10^{{{_MAGNITUDES[words[0].lower()]}}}", ""
    if len(words) == 2 and words[0].lower() in _MAGNITUDES and words[1].lower() not in _NO_UNITS:
        return f"{match['value']}\\cdot 10^{{{_MAGNITUDES[words[0].lower()]}}}", _UNITS.get(words[1], words[1].lower())
    power = match["power"] or ""
    if len(words) == 2 and words[0].lower() in ("square", "sq", "cubic"):
        power, words = "3" if words[0].lower() == "cubic" else "2", words[1:]
    if any(word.lower() in _NO_UNITS or word.lower() in _MAGNITUDES for word in words):
        return body, ""
    name = " ".join(_UNITS.get(word) or _UNITS.get(word.lower()) or word.lower().removesuffix("s") for word in words)
    return match["value"].strip(), f"{name}^{power}" if power else name


def _numbers(body: str) -> str:
    """Numbers and plain-text notation in the one form that LaTeX reads in one way."""
    # Thousands: 1,000, 1{,}000, 1\,000 and 12 345 (the small space became a space).
    body = re.sub(r"(?<![\d.,])\d{1,3}(?:\{,\}\d{3})+(?!\d)", lambda match: match[0].replace("{,}", ""), body)
    if re.fullmatch(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?", body):
        body = body.replace(",", "")
    if re.fullmatch(r"[-+]?\d{1,3}(?: \d{3})+(?:\.\d+)?", body):
        body = body.replace(" ", "")
    if match := re.fullmatch(r"([-+]?\d*\.?\d+)[eE]([-+]?\d+)", body):
        body = f"{match[1]}\\times 10^{{{match[2]}}}"
    if match := re.fullmatch(r"([-+]?\d+)\s+(\d+)/(\d+)", body):
        body = f"{match[1]}\\frac{{{match[2]}}}{{{match[3]}}}"
    body = re.sub(r"(\d*)\.(\d*)\\overline\s*\{(\d+)\}", _repeating, body)
    body = body.replace("**", "^").replace("*", r"\cdot ")
    body = re.sub(r"([\^_])(-?\d+)", r"\1{\2}", body)
    body = re.sub(r"(?<!\\)(?<![a-zA-Z])(" + _FUNCTIONS + r")(?![a-zA-Z])", r"\\\1", body)
    body = re.sub(r"(?<!\\)(?<![a-zA-Z])(pi)(?![a-zA-Z])", r"\\pi ", body)
    body = re.sub(r"\\sqrt\s*(?:\(([^()]*)\)|(\d+))", r"\\sqrt{\1\2}", body)
    body = re.sub(r"\\text\{\s*(?:or|and)\s*\}|(?<=[\d}])\s+(?:or|and)\s+", ", ", body)
    return body.strip()


def _repeating(match: re.Match[str]) -> str:
    whole, fixed, period = match[1] or "0", match[2], match[3]
    value = Fraction(
        int(f"{whole}{fixed}{period}") - int(f"{whole}{fixed}"), 10 ** len(fixed) * (10 ** len(period) - 1)
    )
    return f"\\frac{{{value.numerator}}}{{{value.denominator}}}"


def _readable(body: str) -> bool:
    """Whether every part of it is known mathematics, so that Math-Verify leaves none of it out."""
    if not body or body.count("{") != body.count("}") or re.search(r"!!|[?#@~`';\"$]|[^\x00-\x7f]", body):
        return False
    body = re.sub(r"\\(?:begin|end)\{(\w+)\}(?:\{[clr|]*\})?", lambda m: "" if m[1] in _ENVIRONMENTS else "?", body)
    if any(name not in _READABLE for name in re.findall(r"\\([A-Za-z]+|.)", body)):
        return False
    rest = re.sub(r"\\[A-Za-z]+|\\.", "#", body)
    if re.search(r"[A-Za-z]{4,}|[?]|\d\s+[\d.]", rest):
        return False
    # An operator with nothing behind it, or a relation with nothing before it.
    return not re.search(r"(?:[-+/^_=<>(,]|\\cdot|\\times|\\div)\s*$|^\s*[<>=/^_!)]", body)


def _letters(latex: str) -> set[str]:
    """The letters and Greek letters of a formula."""
    symbols: list[str] = re.findall(r"\\[A-Za-z]+|[A-Za-z]", re.sub(r"\\(?:begin|end)\{\w+\}", " ", latex))
    return set(symbols)


def _other_case(letter: str) -> str:
    return letter.swapcase() if len(letter) == 1 else f"\\{letter[1].swapcase()}{letter[2:]}"
