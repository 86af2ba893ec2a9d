"""A reward written in Python by the user: a function, or an object with a `score` method."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tpo import specs
from tpo.errors import InputError, RewardError
from tpo.messages import Conversation
from tpo.rewards.call import ABSTAINED, as_float, connect, shown
from tpo.rewards.protocol import Score, is_relative, maximum_of
from tpo.rewards.user_code import described, fingerprint, load, path_of


class PythonReward:
    """Scores with the user's own code.

    Args:
        target: a function that takes a list of conversations, each a list of {"role", "content"} messages
            that ends with the answer, and returns a number or a `Score` for each; or an object with such a
            function as `score`, or a class of such objects. It may be async. None instead of a number means
            that this answer gets no score.
        label: what it is called in errors and in the name: found from the target if not given.
        options: keyword arguments for the class, or for every call of the function.

    A plain function runs in a thread of its own, one call at a time: a model inside it needs no lock, and
    the event loop continues meanwhile. An async function is awaited, several calls at once.

    Raises:
        InputError: the target is nothing that scores.
        RewardError: the target is a class, and making an instance of it failed.
    """

    def __init__(self, target: object, label: str | None = None, **options: Any) -> None:
        self._label = label or f"python:{path_of(target)}"
        self._object, self._function = self._scorer(target, options)
        self._is_async = _is_async(self._function)
        self._name = f"{self._label}@{fingerprint(target)}"
        self.relative = is_relative(self._object)
        self.maximum = maximum_of(self._object)
        # One thread, not a lock around many: waiting calls occupy no thread, and code that must stay in
        # the thread it began in (a database, a GPU context) does.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tpo-reward")

    @classmethod
    def load(cls, path: str) -> PythonReward:
        """Load "module:function" or "module:Class?option=value"; modules in the current directory are found.

        Raises:
            InputError: the path is malformed, the module or the function is not there, or an option does not fit.
            RewardError: the module exists but cannot be imported.
        """
        where, _, given = path.partition("?")
        target = load(where)
        if not given:
            return cls(target, f"python:{where}")
        what = f"reward python:{where}"
        types = specs.options_of(target, 0 if inspect.isclass(target) else 1)
        options = specs.typed(specs.parse(path, what, types).options, types, what)
        return cls(target, f"python:{path}", **options)

    @property
    def name(self) -> str:
        """Where the code is and a hash of its source: changed code has another name, and so another journal.

        The hash covers the function or class itself and plain values bound to it, not what it calls.
        """
        return self._name

    async def connect(self) -> None:
        """Let the user's object find out what serves it."""
        await connect(self._object)

    async def aclose(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False)

    async def score(self, conversations: Sequence[Conversation]) -> list[Score | float]:
        """Score each conversation by the user's code.

        Returns:
            What the code returned, as floats and scores. NaN and infinity are not judged here.

        Raises:
            RewardError: the code raised, or returned anything but one number or score for each conversation.
        """
        # Copies, so that code which edits its messages leaves the others' alone.
        given = [[dict(message) for message in messages] for messages in conversations]
        if self._is_async:
            try:
                return _checked(self._label, await self._function(given), len(given))
            except RewardError:
                raise
            except (Exception, SystemExit) as error:
                raise self._failed(error) from error
        context = contextvars.copy_context()
        call = functools.partial(context.run, self._call, given)
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    def _call(self, given: list[Conversation]) -> list[Score | float]:
        # Exceptions are wrapped in here: some (StopIteration, SystemExit) cannot cross a future unharmed.
        try:
            return _checked(self._label, self._function(given), len(given))
        except RewardError:
            raise
        except (Exception, SystemExit) as error:
            raise self._failed(error) from error

    def _scorer(self, target: Any, options: dict[str, Any]) -> tuple[Any, Callable[[list[Conversation]], Any]]:
        """The user's object, and the function that scores."""
        if inspect.isclass(target):
            try:
                target = target(**options)
            except Exception as error:
                how = "with these options" if options else "without options"
                raise RewardError(f"{self._label}: the class cannot be made {how}: {described(error)}.") from error
        elif options:
            target = functools.partial(target, **options)
        scorer = target if inspect.isroutine(target) else getattr(target, "score", target)
        if not callable(scorer):
            kind = type(target).__name__
            raise InputError(f"{self._label} is of type {kind}: a function, or an object with .score, is expected.")
        return target, scorer

    def _failed(self, error: BaseException) -> RewardError:
        return RewardError(f"{self._label} raised {described(error, self._function)}.")


def _checked(label: str, returned: Any, count: int) -> list[Score | float]:
    """What the user's code returned, as one number or score for each of `count` conversations."""
    if inspect.iscoroutine(returned):
        returned.close()
        raise _unusable(label, "a coroutine that is never awaited (declare the function with async def)")
    odd = isinstance(returned, str | bytes | Mapping | Set | Score) or not isinstance(returned, Iterable)
    if odd or getattr(returned, "ndim", 1) != 1:
        raise _unusable(label, _described(returned))
    entries = list(returned)
    if len(entries) != count:
        raise _unusable(label, f"{len(entries)} scores for {count} conversation{'' if count == 1 else 's'}")
    for position, entry in enumerate(entries):
        if entry is None:
            continue
        value = entry.value if isinstance(entry, Score) else entry
        # float() would read "0.5" as a number, and quietly unpack an array of one.
        if isinstance(value, str | bytes) or getattr(value, "ndim", 0) != 0 or not hasattr(value, "__float__"):
            raise _unusable(label, f"a list whose entry {position} is {_described(entry)}")
    return [ABSTAINED if one is None else one if isinstance(one, Score) else as_float(one) for one in entries]


def _unusable(label: str, what: str) -> RewardError:
    return RewardError(f"{label} returned {what}; a list of one number (or tpo Score) a conversation is expected.")


def _described(thing: Any) -> str:
    if thing is None:
        return "None"
    kind = type(thing).__name__
    if hasattr(thing, "shape"):
        return f"{kind} of shape {tuple(thing.shape)}"
    text = " ".join((shown(thing) if isinstance(thing, Score) else f"{kind} {shown(thing)}").split())
    return text if len(text) <= 80 else f"{text[:79]}…"


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)
