"""The output format of a request as rewards: JSON, a schema, tool calls.

Clients break on an answer of the wrong form, however good it is, so form ranks before any reward.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any
from zlib import crc32

import msgspec

from tpo.engine.events import Event
from tpo.engine.records import Sampled
from tpo.errors import InputError, RewardError
from tpo.messages import Conversation, called_in, text_of
from tpo.methods import Method
from tpo.methods.selection import BEST, Selection
from tpo.rewards.call import score
from tpo.rewards.gate import gated, squash
from tpo.rewards.protocol import Reward, Score
from tpo.rewards.rules import Rule
from tpo.rewards.verifiers.json_schema import JsonSchema, needed, schema_of
from tpo.session.spec import Spec

# Processes that check answers against schemas, however many schemas there are.
CHECKERS = 8
# The longest schema, and the most entries of its lists and objects: checking one takes a second for 1,500 of them.
SCHEMA_BYTES = 65_536
SCHEMA_ENTRIES = 4096


def format_rules(response_format: Mapping[str, Any] | None) -> list[Rule]:
    """The rules of a `response_format`: an answer keeps or breaks them, like those of `require`.

    Raises:
        InputError: it is not a response format; the message begins with the field at fault.
    """
    kind = (response_format or {"type": "text"}).get("type")
    if response_format is None or kind == "text":
        return []
    json = Rule("json-alone", "JSON and nothing else", _no_json)
    if kind == "json_object":
        return [json, Rule("json-object", "a JSON object", _no_object)]
    if kind != "json_schema":
        raise InputError(f"response_format.type is {kind!r}: text, json_object and json_schema are known.")
    named = response_format.get("json_schema")
    schema = named.get("schema") if isinstance(named, Mapping) else None
    if not isinstance(schema, Mapping):
        raise InputError("response_format.json_schema.schema is not a JSON Schema.")
    encoded = msgspec.json.encode(schema)
    if len(encoded) > SCHEMA_BYTES:
        raise InputError(f"response_format.json_schema.schema is longer than {SCHEMA_BYTES} bytes.")
    if encoded.count(b",") >= SCHEMA_ENTRIES and _entries(schema) > SCHEMA_ENTRIES:
        raise InputError(f"response_format.json_schema.schema has more than {SCHEMA_ENTRIES} entries.")
    if wrong := _wrong(encoded):
        raise InputError(f"response_format.json_schema.schema cannot be used: {wrong.rstrip('.')}.")
    checker = _checker(crc32(encoded) % CHECKERS)

    def fault(answer: str) -> str | None:
        if _calls(answer):
            return None
        try:
            score = checker.check(answer, schema)
        except RewardError:  # it refers to another document, which is not fetched
            return None
        return None if score.value == 1 else f"breaks the schema: {score.feedback}"

    return [json, Rule("json-schema", "JSON that keeps the schema", fault)]


def _entries(value: Any) -> int:
    """How many entries the lists and objects of some JSON have together."""
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return len(inner) + sum(_entries(one) for one in inner)


@lru_cache(256)
def _wrong(schema: bytes) -> str | None:
    try:
        needed()
        schema_of(msgspec.json.decode(schema))
    except (InputError, ValueError) as error:
        return str(error)
    return None


@cache
def _checker(number: int) -> JsonSchema:
    return JsonSchema(True)  # each check brings its own schema


def _no_json(answer: str) -> str | None:
    if _calls(answer):
        return None
    try:
        msgspec.json.decode(answer.strip())
    except (msgspec.DecodeError, RecursionError) as error:
        return f"is not JSON: {error}"
    return None


def _no_object(answer: str) -> str | None:
    return None if _calls(answer) or answer.strip().startswith("{") else "is not a JSON object"


def _calls(answer: str) -> bool:
    return bool(called_in(answer))


class Tools:
    """Ranks answers by their use of tools first, then by a reward.

    The side that more of the first answers took (calling tools, or answering in words) wins: they were written before
    any advice, so what most of them do is what the model takes to be right. If the sides are equal, calls win. A call
    of a tool that is not there, or with arguments that are not a JSON object, ranks below everything.

    Args:
        tools: the tools of the request, as OpenAI has them.
        choice: its `tool_choice`: with "required" or a named tool, calls win whatever most do.
        base: the reward that decides between answers of the same side.
    """

    def __init__(self, tools: Sequence[Mapping[str, Any]], choice: Any, base: Reward) -> None:
        functions = [tool.get("function") for tool in tools]
        self._names = {function.get("name") for function in functions if isinstance(function, Mapping)}
        self._called_for = choice == "required" or isinstance(choice, Mapping)
        self._base = base
        self._first: Counter[bool] = Counter()

    @property
    def name(self) -> str:
        """The rule and the reward; the number rises when the rule changes."""
        return f"tools@1({self._base.name})"

    def listen(self, event: Event) -> None:
        """Count calls among the first answers."""
        if isinstance(event, Sampled) and event.step == 0 and event.error is None and event.text:
            self._first[bool(called_in(event.text))] += 1

    relative = True

    async def score(self, conversations: Sequence[Conversation]) -> list[Score]:
        """Score the answers of one pool: in (0, 1), whole thirds for the side."""
        based = await score(self._base, conversations)
        return [self._scored(text_of(talk[-1]), base) for talk, base in zip(conversations, based, strict=True)]

    def _scored(self, answer: str, base: Score) -> Score:
        called = called_in(answer)
        wrong = next((fault for call in called if (fault := self._fault(call))), None)
        wins = bool(called) == (self._called_for or self._first[True] >= self._first[False])
        tier = 0 if wrong else 2 if wins else 1
        fault = wrong or (None if wins else _MINORITY[bool(called)])
        parts = {"tools": tier / 2, self._base.name.partition("@")[0]: base.value, **base.parts}
        missing = ({"tools": fault} if fault else {}) | base.missing
        feedback = ". ".join(filter(None, [fault, base.feedback])) or None
        return Score((tier + squash(base.value)) / 3, parts, feedback, missing)

    def _fault(self, call: Mapping[str, Any]) -> str | None:
        if call["name"] not in self._names:
            return f"it calls {call['name']!r}, which is not among the tools"
        if not isinstance(call["arguments"], dict):
            return f"the arguments for {call['name']} are not a JSON object"
        return None


_MINORITY = {True: "it calls a tool where no tool is needed", False: "it calls no tool where one is needed"}


class OutputFormat(msgspec.Struct, frozen=True):
    """The form that an answer must have.

    Attributes:
        rules: rules that rank before the reward.
        tools: the tools that an answer may call, as OpenAI has them.
        tool_choice: which of them it should call.
    """

    rules: Sequence[Rule] = ()
    tools: Sequence[Mapping[str, Any]] = ()
    tool_choice: Any = None

    def imposed(self, spec: Spec) -> Spec:
        """The spec of a search for such an answer: it chooses the best, since all other rules choose by less."""
        return msgspec.structs.replace(spec, select=Selection(BEST)) if self.rules or self.tools else spec

    def steering(self, method: Method, base: Reward | None) -> Steering:
        """Put the format before a reward.

        Args:
            method: the method that the reward steers.
            base: the reward; None where there is none.

        Raises:
            InputError: the method needs a reward, and there is nothing to choose by.
        """
        if not method.needs_reward:
            return Steering(None)
        reward = gated(base, self.rules) if self.rules else base
        if reward is None:
            raise InputError(f"The method {method.name} needs a reward to choose by; without one there is only sample.")
        if not self.tools:
            return Steering(reward)
        tools = Tools(self.tools, self.tool_choice, reward)
        return Steering(tools, tools)


class Steering(msgspec.Struct, frozen=True):
    """The reward of one search.

    Attributes:
        reward: scores the answers; None where the method needs none.
        tools: the same object where it ranks by tool calls.
    """

    reward: Reward | None
    tools: Tools | None = None

    def listen(self, event: Event) -> None:
        """Called with each event."""
        if self.tools is not None:
            self.tools.listen(event)
