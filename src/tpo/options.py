"""Every option of a search, a run and an export, written once: type, default, bounds, help and group.

Flags, environment variables (`TPO_WIDTH`), tpo.toml, keyword arguments and the fields of requests are made from these
classes, or are held against them by a test. A field's annotation is its type with an `Option` beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from enum import StrEnum
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from tpo.errors import InputError

# The groups of the help.
QUERY, METHOD, MODELS, REWARD, SAMPLING, OUTPUT = "Query", "Method", "Models", "Reward", "Sampling and limits", "Output"
DATA, SPEED, RESUME, CLUSTER, PAIRS = "Data", "Speed", "Resume", "Many machines", "Which answers"

# Bounds of the two dials.
MAX_WIDTH, MAX_DEPTH = 1024, 100


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """What the forms need to know of an option besides its name, type and default.

    Attributes:
        help: one sentence for the help.
        group: the heading under which the help shows it.
        least: smallest value.
        above: the value is greater than this.
        most: greatest value.
        metavar: what stands for the value in the help.
        flag: the flag's name without dashes, where it is not the option's own.
        words: the words of the flag with the values that they stand for, for an option that is a switch elsewhere.
        in_requests: a client of the server may set it for one request.
    """

    help: str
    group: str
    least: float | None = None
    above: float | None = None
    most: float | None = None
    metavar: str | None = None
    flag: str | None = None
    words: Mapping[str, Any] | None = None
    in_requests: bool = False


class SearchOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of one search: what `tpo.align` and every command that searches take."""

    method: Annotated[
        Any,
        Option(help="tpo, tpo-fused, revision, best-of-n or sample.", group=METHOD, metavar="NAME", in_requests=True),
    ] = "tpo"
    width: Annotated[
        int, Option(help="N: answers per step.", group=METHOD, least=1, most=MAX_WIDTH, in_requests=True)
    ] = 5
    depth: Annotated[int, Option(help="D: update steps.", group=METHOD, least=0, most=MAX_DEPTH, in_requests=True)] = 2
    prompts: Annotated[
        str | Path | None,
        Option(help="A folder of templates that replace the default wording.", group=METHOD, metavar="FOLDER"),
    ] = None
    policy: Annotated[
        Any, Option(help="Who answers: embedded, gguf:PATH, or http://HOST:PORT/v1.", group=MODELS, metavar="MODEL")
    ] = "embedded"
    policy_model: Annotated[
        str | None,
        Option(help="The policy's model name, where several are served.", group=MODELS, metavar="NAME"),
    ] = None
    critic: Annotated[
        Any, Option(help="Who writes loss and gradient, if not the policy.", group=MODELS, metavar="MODEL")
    ] = None
    critic_model: Annotated[str | None, Option(help="The critic's model name.", group=MODELS, metavar="NAME")] = None
    editor: Annotated[
        Any, Option(help="Who writes the updates, if not the policy.", group=MODELS, metavar="MODEL")
    ] = None
    editor_model: Annotated[str | None, Option(help="The editor's model name.", group=MODELS, metavar="NAME")] = None
    reward: Annotated[
        Any,
        Option(
            help="What steers: surface, vllm:URL, hf:NAME, judge:URL, verifier:NAME, python:MODULE:FUNCTION, … or a "
            "name from tpo.toml.",
            group=REWARD,
            metavar="REWARD",
            in_requests=True,
        ),
    ] = "surface"
    require: Annotated[
        Sequence[str],
        Option(
            help="A rule that ranks before the reward (repeatable), such as max-words=80 or bullets=3.",
            group=REWARD,
            metavar="RULE",
            in_requests=True,
        ),
    ] = ()
    score_cache: Annotated[
        str | Path | None, Option(help="A file that keeps scores for later runs.", group=REWARD, metavar="FILE")
    ] = None
    check: Annotated[bool, Option(help="Refuse a broken reward model.", group=REWARD)] = True
    temperature: Annotated[
        float, Option(help="Sampling temperature.", group=SAMPLING, least=0, most=100, in_requests=True)
    ] = 0.7
    top_p: Annotated[float, Option(help="Nucleus mass.", group=SAMPLING, above=0, most=1, in_requests=True)] = 0.95
    seed: Annotated[
        int | None,
        Option(help="Makes the search repeatable.", group=SAMPLING, least=0, most=2**63 - 1, in_requests=True),
    ] = None
    max_tokens: Annotated[
        int, Option(help="Tokens per answer.", group=SAMPLING, least=1, metavar="COUNT", in_requests=True)
    ] = 1024
    critic_max_tokens: Annotated[
        int | None,
        Option(
            help="Tokens per critique; as many as per answer unless given.",
            group=SAMPLING,
            least=1,
            metavar="COUNT",
            in_requests=True,
        ),
    ] = None
    quorum: Annotated[
        int | None,
        Option(
            help="Answers of a step that suffice to go on; all unless given.",
            group=SAMPLING,
            least=1,
            metavar="COUNT",
            in_requests=True,
        ),
    ] = None
    extra: Annotated[
        Mapping[str, Any] | None,
        Option(
            help='Further fields of the requests for answers, such as \'{"stop": ["END"], "top_k": 20}\'.',
            group=SAMPLING,
            metavar="JSON",
        ),
    ] = None
    budget_tokens: Annotated[
        int | None,
        Option(
            help="Tokens of all roles, after which the best so far counts.",
            group=SAMPLING,
            least=1,
            metavar="COUNT",
            in_requests=True,
        ),
    ] = None
    budget_seconds: Annotated[
        float | None,
        Option(
            help="Seconds after which the best so far counts.",
            group=SAMPLING,
            above=0,
            metavar="SECONDS",
            in_requests=True,
        ),
    ] = None


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a dataset is run; none of these decides an answer."""

    column: Annotated[
        str | None, Option(help="The column that holds the query.", group=DATA, metavar="NAME")
    ] = None
    split: Annotated[str | None, Option(help="The split of a dataset.", group=DATA, metavar="NAME")] = None
    skip_bad_rows: Annotated[
        bool,
        Option(
            help="Refuse to begin, or leave out rows without a query.",
            group=DATA,
            flag="on-bad-row",
            words={"stop": False, "skip": True},
        ),
    ] = False
    concurrency: Annotated[
        int | None,
        Option(
            help="Sequences in flight at each server; measured unless given.",
            group=SPEED,
            least=1,
            metavar="COUNT",
        ),
    ] = None
    patience: Annotated[
        float,
        Option(
            help="Seconds for which a server that is down is tried again.", group=SPEED, least=0, metavar="SECONDS"
        ),
    ] = 1800.0
    fresh: Annotated[bool, Option(help="Begin anew; what is there is put aside.", group=RESUME)] = False
    retry_failed: Annotated[bool, Option(help="Try the failed queries again.", group=RESUME)] = False
    input_order: Annotated[
        bool,
        Option(
            help="As queries finish, or in the end as in the data.",
            group=OUTPUT,
            flag="order",
            words={"finished": False, "input": True},
        ),
    ] = False
    parquet: Annotated[bool, Option(help="Write answers.parquet as well.", group=OUTPUT)] = False
    prices: Annotated[
        Sequence[str],
        Option(
            help="What a million tokens cost (repeatable), such as policy=0.15/0.60.",
            group=OUTPUT,
            flag="price",
            metavar="ROLE=PROMPT/COMPLETION",
        ),
    ] = ()


class ExportFormat(StrEnum):
    """What is made of a pool.

    DPO: pairs of a chosen and a rejected answer. SFT: the best answer. KTO: the same answers as for DPO, one a row and
    labelled: the best is desirable, the rejected ones are not.
    """

    DPO = "dpo"
    SFT = "sft"
    KTO = "kto"


class PairRule(StrEnum):
    """Which answers are rejected: the worst, or each that is worse than the best (the worst first)."""

    BEST_WORST = "best-worst"
    BEST_EACH = "best-each"


class ExportOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What is exported."""

    format: Annotated[
        ExportFormat,
        Option(help="Pairs (dpo), the best answers (sft), or answers labelled desirable or not (kto).", group=OUTPUT),
    ]
    plain: Annotated[bool, Option(help="Texts instead of chat messages.", group=OUTPUT)] = False
    pairs: Annotated[
        PairRule,
        Option(help="Reject the worst answer of a query, or each that is worse than the best.", group=PAIRS),
    ] = PairRule.BEST_WORST
    min_gap: Annotated[
        float, Option(help="Least difference of the rewards of a pair.", group=PAIRS, least=0, metavar="REWARD")
    ] = 0.0
    max_pairs: Annotated[
        int | None,
        Option(
            help="Most pairs of a query with best-each, the worst first.", group=PAIRS, least=1, metavar="COUNT"
        ),
    ] = None
    min_reward: Annotated[
        float | None, Option(help="Least reward of a best answer.", group=PAIRS, metavar="REWARD")
    ] = None
    improved_only: Annotated[
        bool, Option(help="Only best answers that beat the query's first sample.", group=PAIRS)
    ] = False
    keep_cut: Annotated[bool, Option(help="Let answers that were cut off be the best as well.", group=PAIRS)] = False

    def check(self) -> None:
        """See that the options go together.

        Raises:
            InputError: they do not, or one is out of range.
        """
        check(self)
        paired = self.min_gap or self.max_pairs is not None or self.pairs is not PairRule.BEST_WORST
        if self.format is ExportFormat.SFT and paired:
            raise InputError("--pairs, --min-gap and --max-pairs are for dpo and kto: sft has no rejected answers.")
        if self.max_pairs is not None and self.pairs is PairRule.BEST_WORST:
            raise InputError("--max-pairs is for --pairs best-each: best-worst gives one pair a query.")


class Entry(NamedTuple):
    """An option with what its class says of it.

    Attributes:
        name: as a keyword argument.
        type: without None.
        optional: it may be None.
        default: `msgspec.NODEFAULT` where it has to be given.
        option: bounds, help and group.
    """

    name: str
    type: Any
    optional: bool
    default: Any
    option: Option

    @property
    def shown(self) -> str:
        """The name as flags and tpo.toml write it."""
        return self.name.replace("_", "-")


T = TypeVar("T", bound=msgspec.Struct)


@cache
def table(kind: type[msgspec.Struct]) -> dict[str, Entry]:
    """The options of a class, by name and in order."""
    hints = get_type_hints(kind, include_extras=True)
    entries = {}
    for field in msgspec.structs.fields(kind):
        annotation, option = get_args(hints[field.name])
        members = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
        rest = [one for one in members if one is not NoneType]
        # A path may be given as text too.
        type_ = Path if Path in rest else rest[0]
        optional = len(rest) < len(members) or annotation is Any
        entries[field.name] = Entry(field.name, type_, optional, field.default, option)
    return entries


def default(name: str) -> Any:
    """The default of a search option."""
    return table(SearchOptions)[name].default


def options_from(kind: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """Options from what a user gave, checked.

    Args:
        kind: the class of options.
        values: values by name.
        where: what the user wrote them in, for errors.

    Raises:
        InputError: an option is unknown, has the wrong type, or is out of range.
    """
    entries = table(kind)
    for name in values:
        if name not in entries:
            near = get_close_matches(name, entries, n=1)
            guess = f" Did you mean {near[0]}?" if near else ""
            raise InputError(f"{where}There is no option {name!r}.{guess} Known are {', '.join(entries)}.")
    made = kind(**values)
    check(made, where)
    return made


def check(options: msgspec.Struct, where: str = "") -> None:
    """See that each option has its type and is within its bounds.

    Args:
        options: the options.
        where: what the user wrote them in, for errors.

    Raises:
        InputError: one has not, or is not.
    """
    for name, entry in table(type(options)).items():
        check_value(entry, getattr(options, name), where)


def check_value(entry: Entry, value: Any, where: str = "") -> None:
    """See that a value has an option's type and is within its bounds.

    Raises:
        InputError: it has not, or is not.
    """
    if value is None and entry.optional:
        return
    if (wanted := _wrong_type(entry.type, value)) is not None:
        raise InputError(f"{where}{entry.shown} is {value!r}; it is {wanted}.")
    option = entry.option
    outside = (
        (option.least is not None and not value >= option.least)
        or (option.above is not None and not value > option.above)
        or (option.most is not None and not value <= option.most)
        or (isinstance(value, float) and math.isnan(value))
    )
    if outside:
        raise InputError(f"{where}{entry.shown} is {value}; it {bounds(option)}.")


def bounds(option: Option) -> str:
    """An option's bounds in words."""
    most = None if option.most is None else ("2**63 - 1" if option.most == 2**63 - 1 else f"{option.most:g}")
    if option.above is not None:
        return f"is above {option.above:g}" + (f" and at most {most}" if most else "")
    if option.least is not None:
        return f"goes from {option.least:g} to {most}" if most else f"is at least {option.least:g}"
    return "is a number"


def _wrong_type(kind: Any, value: Any) -> str | None:
    """What was expected in a value's place; None where it has the type."""
    if kind is Any:
        return None
    origin = get_origin(kind) or kind
    if origin is bool:
        return None if isinstance(value, bool) else "true or false"
    if origin is int:
        return None if isinstance(value, Integral) and not isinstance(value, bool) else "a whole number"
    if origin is float:
        return None if isinstance(value, Real) and not isinstance(value, bool) else "a number"
    if origin is Path:
        return None if isinstance(value, str | Path) else "a path"
    if origin is Mapping:
        return None if isinstance(value, Mapping) else "a table of names and values"
    if origin is Sequence:
        fits = not isinstance(value, str) and all(isinstance(one, str) for one in value)
        return None if fits else "a list of texts"
    if origin is Literal:
        return None if value in get_args(kind) else f"one of {', '.join(get_args(kind))}"
    return None if isinstance(value, origin) else f"of the type {origin.__name__}"
