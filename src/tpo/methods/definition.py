"""What a method is: a generator function, the settings that it takes, and the templates that it brings along."""

from __future__ import annotations

import hashlib
import inspect
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from tpo.errors import InputError
from tpo.messages import Conversation
from tpo.methods.actions import Search
from tpo.methods.lifts import Lifts
from tpo.prompts.prompt_set import PromptSet
from tpo.specs import did_you_mean

MAX_WIDTH = 1024
MAX_DEPTH = 100
# Parameters that the engine gives; every other one is a setting of the method's own.
GIVEN = ("width", "depth", "prompts", "rng", "maximum", "lifts")
# Settings that several methods have.
_AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
Price = Annotated[float, msgspec.Meta(ge=0)]
# One size for all waves, or the sizes of the first ones, of which the last repeats.
Wave: TypeAlias = Annotated[int, msgspec.Meta(ge=0)] | Annotated[list[_AtLeastOne], msgspec.Meta(min_length=1)]
Temperature = Annotated[float, msgspec.Meta(ge=0, le=100)]
_MARK = "__tpo_method__"

F = TypeVar("F", bound=Callable[..., Search])
Check: TypeAlias = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of a method: one of its keyword parameters.

    Attributes:
        name: the parameter's name.
        type: its annotation, which values are checked against; bounds stand in `Annotated[int, msgspec.Meta(ge=1)]`.
        default: its value where none is given.
    """

    name: str
    type: Any
    default: Any

    @property
    def kind(self) -> str:
        """The type in words, for people."""
        return _kind(self.type)

    def read(self, value: Any) -> Any:
        """A value of the setting's type; text, as flags and files have it, is converted.

        A list is written "restate,words", and a table "restate=0.5,words=0.2".

        Raises:
            msgspec.ValidationError: it is none.
            ValueError: it is no finite number.
        """
        kinds = {get_origin(one) or one for one in _alternatives(self.type)}
        # Of a number or a list, text with a comma is a list.
        if isinstance(value, str) and (kinds <= {list, dict} or (list in kinds and "," in value)):
            parts = [part.strip() for part in value.split(",") if part.strip()]
            value = dict(part.partition("=")[::2] for part in parts) if dict in kinds else parts
        read = msgspec.convert(value, self.type, strict=False)
        numbers = read.values() if isinstance(read, dict) else read if isinstance(read, list) else [read]
        if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
            raise ValueError("it is no finite number")
        return read


@dataclass(frozen=True, slots=True)
class _Marked:
    """The description of a decorated function."""

    templates: tuple[Path, ...]
    paper: str
    needs_reward: bool | None
    check: Check | None
    costliest: Mapping[str, Any]


def method(
    *,
    templates: Path | str | Sequence[Path | str] = (),
    paper: str = "",
    needs_reward: bool | None = None,
    check: Check | None = None,
    costliest: Mapping[str, Any] | None = None,
) -> Callable[[F], F]:
    """Describe a method beyond its signature. A generator function is a method without this, too.

    Args:
        templates: the folder of templates that the method brings along, or several; a user's prompts folder lies over
            them.
        paper: where the method comes from.
        needs_reward: whether the method compares answers; if not given, methods with a `width` do.
        check: called with the settings that differ from their defaults, before anything is spent; what their types
            cannot say raises an `InputError`.
        costliest: the settings with which a search costs most, for a method that decides by chance between ways of
            different cost; they are used to count what it costs.
    """

    def mark(function: F) -> F:
        folders = [templates] if isinstance(templates, Path | str) else templates
        setattr(
            function, _MARK, _Marked(tuple(Path(one) for one in folders), paper, needs_reward, check, costliest or {})
        )
        return function

    return mark


@dataclass(frozen=True, slots=True)
class Method:
    """A search method.

    Attributes:
        name: as users write it.
        search: the generator function.
        settings: its own settings, by name.
        takes: which of the parameters in `GIVEN` it has.
        templates: the folders of templates that it brings along.
        summary: what it does, in one line.
        paper: where it comes from.
        needs_reward: whether it compares answers, which takes a reward.
        code: a hash of its source for a method that is named by its place in Python code, so that a changed one is
            noticed; empty for a registered one.
        check: refuses settings that make no sense together.
        costliest: the settings with which a search costs most, where chance decides what it costs.
    """

    name: str
    search: Callable[..., Search]
    settings: dict[str, Setting] = field(default_factory=dict)
    takes: frozenset[str] = frozenset()
    templates: tuple[Path, ...] = ()
    summary: str = ""
    paper: str = ""
    needs_reward: bool = True
    code: str = ""
    check: Check | None = None
    costliest: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_width(self) -> bool:
        """Whether it takes `width`; without it one answer is drawn."""
        return "width" in self.takes

    @property
    def has_depth(self) -> bool:
        """Whether it takes `depth`; without it there are no update steps."""
        return "depth" in self.takes

    def learns(self, settings: Mapping[str, Any]) -> bool:
        """Whether a search takes what earlier queries of its run showed; its setting `learn` decides, if it has one.

        Args:
            settings: the method's own, those that differ from their defaults.
        """
        usual = self.settings["learn"].default if "learn" in self.settings else True
        return "lifts" in self.takes and bool(settings.get("learn", usual))

    def start(
        self,
        query: Conversation,
        *,
        width: int,
        depth: int,
        prompts: PromptSet,
        settings: Mapping[str, Any] | None = None,
        seed: int | None = None,
        maximum: float | None = None,
        lifts: Lifts | None = None,
    ) -> Search:
        """Begin a search.

        Args:
            query: the conversation to answer.
            width: N; ignored by a method without width.
            depth: D; likewise.
            prompts: the wording; the method's own templates are added to it.
            settings: the method's own settings, as `chosen_settings` returns them.
            seed: seed of the run, for a method that takes `rng`. The random source depends on nothing but the seed
                and the query, so that a resumed search draws the same.
            maximum: the largest reward that there is, where it is known.
            lifts: by how much the answers to a prompt exceed plain ones, as the earlier queries of the run showed.
        """
        given = {
            "width": width,
            "depth": depth,
            "prompts": prompts.for_method(self.templates),
            "rng": random_source(query, seed) if "rng" in self.takes else None,
            "maximum": maximum,
            "lifts": lifts,
        }
        own = {name: value for name, value in given.items() if name in self.takes}
        return self.search(query, **own, **(settings or {}))

    def chosen_settings(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Check values for the method's settings.

        Args:
            values: by name; text is read as the setting's type.

        Returns:
            those that differ from the defaults, so that a setting which is added later changes no old plan.

        Raises:
            InputError: there is no such setting, or the value does not fit.
        """
        chosen = {}
        for name, value in values.items():
            name = name.replace("-", "_")
            setting = self.settings.get(name)
            if setting is None:
                raise InputError(f"The method {self.name} has no setting {name!r}{self._known(name)}")
            try:
                read = setting.read(value)
            except (msgspec.ValidationError, TypeError, ValueError) as error:
                raise InputError(
                    f"The setting {name} of the method {self.name} is {value!r}, but takes {setting.kind}: {error}."
                ) from None
            if read != setting.default:
                chosen[name] = read
        if self.check is not None:
            self.check(chosen)
        return chosen

    def _known(self, name: str) -> str:
        if not self.settings:
            return ": it has none."
        known = ", ".join(f"{one.name} ({one.kind}, {one.default!r})" for one in self.settings.values())
        return f". It has {known}.{did_you_mean(name, self.settings)}"

    def dials(self, width: int, depth: int) -> tuple[int, int]:
        """The width and depth that a search really has.

        Raises:
            InputError: a dial is out of range.
        """
        for dial, value, low, high in (("width", width, 1, MAX_WIDTH), ("depth", depth, 0, MAX_DEPTH)):
            if not low <= value <= high:
                raise InputError(f"The {dial} is {value}; it must be from {low} to {high}.")
        return (width if self.has_width else 1), (depth if self.has_depth else 0)


def method_of(function: Any, name: str, code: str = "") -> Method:
    """Read a method off a generator function.

    Args:
        function: the function. Its first parameter is the query; `prompts` and whichever others of `GIVEN` it needs
            are keyword parameters, and so are its settings, which have annotations and defaults.
        name: what to call it.
        code: a hash of its source, where the name alone does not identify it.

    Raises:
        InputError: it is not a method; the message says why.
    """
    if not callable(function) or not inspect.isgeneratorfunction(inspect.unwrap(function)):
        raise InputError(
            f"{name} is not a method: a method is a generator function, such as "
            f"def merge(query, *, width, prompts): … that yields Sample and Ask and returns an Outcome."
        )
    try:
        hints = get_type_hints(function, include_extras=True)
    except Exception as error:
        raise InputError(f"{name} is not a method: its annotations cannot be read ({error}).") from error
    parameters = [*inspect.signature(function).parameters.values()]
    others = parameters[1:]
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if not parameters or parameters[0].kind not in positional:
        raise InputError(f"{name} is not a method: its first parameter has to be the query.")
    names = {one.name for one in others}
    if "prompts" not in names:
        raise InputError(f"{name} is not a method: it lacks the parameter prompts, by which it renders what it sends.")
    settings = {}
    for one in others:
        if one.kind in (one.VAR_KEYWORD, one.VAR_POSITIONAL) or one.name in GIVEN:
            continue
        if one.default is one.empty or one.name not in hints:
            lacks = "default" if one.default is one.empty else "annotation"
            raise InputError(
                f"{name} is not a method: its parameter {one.name} has no {lacks}. A setting of a method's own "
                f"needs both; the engine gives {', '.join(GIVEN)}."
            )
        settings[one.name] = Setting(one.name, hints[one.name], one.default)
    marked: _Marked = getattr(function, _MARK, _Marked((), "", None, None, {}))
    takes = frozenset(names & set(GIVEN))
    return Method(
        name,
        function,
        settings,
        takes,
        marked.templates,
        (inspect.getdoc(function) or "").partition("\n")[0],
        marked.paper,
        "width" in takes if marked.needs_reward is None else marked.needs_reward,
        code,
        marked.check,
        marked.costliest,
    )


def named_settings(given: Mapping[str, Any] | Sequence[str]) -> dict[str, Any]:
    """The method's own settings by name.

    Args:
        given: a mapping, or texts such as "best=3".

    Raises:
        InputError: it is neither, or a text is not NAME=VALUE.
    """
    if isinstance(given, Mapping):
        return dict(given)
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise InputError(f"The settings are {given!r}; they are a table such as {{best = 3}}, or texts such as best=3.")
    settings = {}
    for text in given:
        name, sign, value = text.partition("=") if isinstance(text, str) else ("", "", "")
        if not sign or not name.strip():
            raise InputError(f"The setting {text!r} is not a NAME=VALUE, such as best=3.")
        settings[name.strip()] = value.strip()
    return settings


def random_source(query: Conversation, seed: int | None, *use: str) -> random.Random:
    """A random source that depends on nothing but the query, the run's seed, and what it is used for.

    Args:
        query: the query.
        seed: the run's seed.
        use: tells it apart from the random source of the method.
    """
    text = msgspec.json.encode((seed, query, *use), enc_hook=repr)
    return random.Random(int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big"))


def _alternatives(hint: Any) -> list[Any]:
    """The types that a hint allows, without their bounds."""
    hint = _unbounded(hint)
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return [_unbounded(part) for part in parts]


def _unbounded(hint: Any) -> Any:
    return hint.__origin__ if hasattr(hint, "__metadata__") else hint


def _kind(hint: Any) -> str:
    """A type in words: what stands in `Literal` is one of several texts, and bounds are left out."""
    hint = _unbounded(hint)
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Literal:
        return " | ".join(map(str, parts))
    if origin in (Union, UnionType):
        return " | ".join("None" if part is NoneType else _kind(part) for part in parts)
    if origin in (list, dict):
        return f"{origin.__name__}[{', '.join(map(_kind, parts))}]"
    return str(getattr(hint, "__name__", hint)) if isinstance(hint, type) else str(hint).replace("typing.", "")
