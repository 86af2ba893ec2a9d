"""A search as OpenTelemetry's spans: one for itself, one for each call of a role, one for each call of the reward.

A call's record comes when the call is over, with its times, so that its span is made and ended there. A critic's reply
comes after that: where contents are wanted, the span is held until then.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self

import msgspec

from tpo.candidate import best_reward
from tpo.engine.events import Event, Retrying, TextGrew
from tpo.engine.records import (
    Called,
    Ended,
    Prompted,
    Record,
    Replied,
    Resumed,
    Sampled,
    SamplingSettings,
    Scored,
    Started,
)
from tpo.messages import Conversation, text_of
from tpo.telemetry.addresses import Address, address_of, arm_key

if TYPE_CHECKING:
    from opentelemetry._logs import Logger
    from opentelemetry.context import Context
    from opentelemetry.metrics import Meter
    from opentelemetry.trace import Span, Tracer

# Roles that score; all others write.
SCORING = ("reward", "judge")
# Characters of an error.
_LONGEST = 500

_Place = tuple[int, int]
# Attributes of a call's span that its metrics have too.
_SHARED = (
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "server.address",
    "server.port",
    "error.type",
)


class Instruments(msgspec.Struct, frozen=True):
    """The metrics of calls.

    Attributes:
        tokens: a counter for each kind of token, by the attribute of a span that holds the same number.
        seconds: how long calls took.
    """

    tokens: dict[str, Any]
    seconds: Any

    @classmethod
    def of(cls, meter: Meter) -> Self:
        """The metrics of a meter."""
        kinds = ("input_tokens", "output_tokens", "cache_read.input_tokens")
        tokens = {
            f"gen_ai.usage.{kind}": meter.create_counter(f"gen_ai.client.inference.usage.{kind}", "{token}")
            for kind in kinds
        }
        return cls(tokens, meter.create_histogram("gen_ai.client.inference.duration", "s"))


class Spans:
    """Listens to one search, and has spans of it.

    Args:
        tracer: OpenTelemetry's.
        reward: the reward's name in the configuration.
        contents: include prompts and answers.
        servers: of each role, where the names of the models do not hold them; a panel's arms stand under `arm_key`.
        past: what the search's journal holds from earlier processes, which have sent spans of their own.
        logger: where scores go; None for nowhere.
        instruments: where numbers of tokens and seconds go; None for nowhere.
    """

    def __init__(
        self,
        tracer: Tracer,
        reward: str,
        *,
        contents: bool,
        servers: Mapping[str, Address] | None = None,
        logger: Logger | None = None,
        instruments: Instruments | None = None,
        past: Iterable[Record] = (),
    ) -> None:
        self._logger = logger
        self._instruments = instruments
        self._servers = servers or {}
        self._tracer = tracer
        self._reward = reward
        self._contents = contents
        self._search: Span | None = None
        self._within: Context | None = None
        self._began = 0
        self._latest = 0
        self._models: dict[str, str] = {}
        self._settings = SamplingSettings()
        self._prompts: dict[_Place, Prompted] = {}
        self._landed: dict[_Place, list[Sampled]] = {}
        self._held: dict[_Place, tuple[Span, int]] = {}
        self._first: set[str] = set()
        self._scores: dict[str, Scored] = {}
        self._started: Started | None = None
        for record in past:
            self._recall(record)

    def _recall(self, record: Record) -> None:
        """Take what an earlier process recorded."""
        match record:
            case Started():
                self._started = record
            case Prompted():
                self._prompts[record.turn, record.action] = record
            case Sampled() if record.step == 0:
                self._first.add(record.id)
            case Scored():
                self._scores[record.id] = record

    def __call__(self, event: Event) -> None:
        """Take an event."""
        if isinstance(event, TextGrew):  # by far the most there is, and nothing to us
            return
        match event:
            case Started():
                self._start(event)
            case Resumed():
                self._resume(event)
            case Prompted():
                self._prompts[event.turn, event.action] = event
            case Sampled():
                self._landed.setdefault((event.turn, event.action), []).append(event)
                if event.step == 0:
                    self._first.add(event.id)
            case Called():
                self._call(event)
            case Scored():
                self._score(event)
            case Replied():
                self._reply(event)
            case Retrying():
                self._note(
                    "tpo.retry", {"tpo.role": event.role, "tpo.wait": event.wait, "tpo.error": _cut(event.error)}
                )
            case Ended():
                self._end(event)
            case _:
                pass

    def close(self) -> None:
        """End what is open: a search that has not ended was given up."""
        for span, at in self._held.values():
            span.end(at)
        self._held.clear()
        if self._search is not None:
            self._search.set_attributes({"tpo.stop": "left", "error.type": "client_left"})
            self._close(self._search)

    def _start(self, started: Started) -> None:
        from opentelemetry.trace import set_span_in_context

        plan = started.plan
        self._models = {str(role): model for role, model in plan.models.items()}
        self._settings = plan.settings
        self._began = time.time_ns()
        attributes: dict[str, str | int] = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": plan.method,
            "tpo.width": plan.width,
            "tpo.depth": plan.depth,
            "tpo.reward.name": self._reward,
        }
        # The moment that the calls' times count from: a clock read twice would let a call begin before its search.
        self._search = self._tracer.start_span(
            f"invoke_agent {plan.method}", attributes=attributes, start_time=self._began
        )
        self._within = set_span_in_context(self._search)

    def _resume(self, resumed: Resumed) -> None:
        if self._started is not None:
            self._start(self._started)
        # The calls' times count from the beginning in an earlier process.
        self._began = time.time_ns() - int(resumed.seconds * 1e9)

    def _call(self, called: Called) -> None:
        place = (called.turn, called.action)
        scoring = called.role in SCORING
        attributes = self._of_reward(called) if scoring else self._of_model(called, place)
        attributes |= {"tpo.role": called.role, "tpo.retry": called.retry}
        if called.error is not None:
            attributes["error.type"] = "cancelled" if called.cut_short else "call_failed"
        usage = called.usage
        counts = {
            "gen_ai.usage.input_tokens": usage.prompt_tokens,
            "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
            "gen_ai.usage.output_tokens": usage.completion_tokens,
        }
        span = self._span(called, attributes | {name: count for name, count in counts.items() if count})
        if not scoring:
            self._count(attributes, counts, called.seconds)
        answers = [] if scoring else self._answers(called, place)
        if answers:
            span.set_attribute("gen_ai.response.finish_reasons", [answer.finish_reason for answer in answers])
            self._write(span, [(answer.reply or answer.text, answer.finish_reason) for answer in answers])
        if called.error is not None:
            _fail(span, attributes["error.type"], called.error)
        end = self._at(called.began + called.seconds)
        self._latest = max(self._latest, end)
        prompt = self._prompts.get(place)
        is_critique = called.role not in SCORING and prompt is not None and prompt.width is None
        if self._contents and is_critique and called.error is None:
            self._held[place] = (span, end)
        else:
            span.end(end)

    def _of_model(self, called: Called, place: _Place) -> dict[str, Any]:
        """The attributes of a call of a model."""
        model, _, where = self._models.get(called.role, "").partition(" @ ")
        served = self._servers.get(called.role if called.arm is None else arm_key(called.arm)) or address_of(where)
        prompt = self._prompts.get(place)
        settings = self._settings
        most = settings.critic_max_tokens if called.role == "critic" else settings.max_tokens
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": "chat",
            # The protocol's name in the conventions, whichever server it is.
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": served.model or model,
            "gen_ai.request.temperature": settings.temperature,
            "gen_ai.request.top_p": settings.top_p,
            "gen_ai.request.max_tokens": most,
            "tpo.waited": called.waited,
        }
        if served.host:
            attributes["server.address"] = served.host
        if served.port:
            attributes["server.port"] = served.port
        if prompt is not None:
            attributes |= {"tpo.step": prompt.step, "tpo.stage": prompt.name}
            if self._contents:
                attributes["gen_ai.input.messages"] = _messages(prompt.messages)
        return attributes

    def _of_reward(self, called: Called) -> dict[str, Any]:
        """The attributes of a call of the reward, or of the judge."""
        return {"gen_ai.evaluation.name": self._scorer(called.role), "tpo.stage": called.role}

    def _scorer(self, role: str) -> str:
        return self._reward if role == "reward" else role

    def _count(self, attributes: Mapping[str, Any], counts: Mapping[str, int], seconds: float) -> None:
        if self._instruments is None:
            return
        shared = {name: attributes[name] for name in _SHARED if name in attributes}
        self._instruments.seconds.record(seconds, shared)
        of_tokens = {name: value for name, value in shared.items() if name != "error.type"}
        for name, count in counts.items():
            # No server reports their modality.
            self._instruments.tokens[name].add(count, of_tokens | {"gen_ai.token.modality": "unknown"})

    def _answers(self, called: Called, place: _Place) -> list[Sampled]:
        """The answers of a call; none where several calls overlapped and counts do not show which is whose."""
        landed = self._landed.get(place, [])
        tokens = called.usage.completion_tokens
        if sum(answer.tokens for answer in landed) == tokens:
            return self._landed.pop(place, [])
        for answer in landed:
            if answer.tokens == tokens:
                landed.remove(answer)
                return [answer]
        return []

    def _score(self, scored: Scored) -> None:
        values: dict[str, Any] = {"gen_ai.evaluation.name": self._reward, "tpo.candidate": scored.id}
        self._scores[scored.id] = scored
        if scored.reward is not None:
            values["gen_ai.evaluation.score.value"] = scored.reward
        if scored.error is not None:
            values["tpo.error"] = _cut(scored.error)
        if self._contents and scored.feedback:
            values["gen_ai.evaluation.explanation"] = scored.feedback
        self._emit("gen_ai.evaluation.result", values)

    def _emit(self, name: str, values: dict[str, Any]) -> None:
        """Emit an event, which belongs to the search."""
        if self._logger is None or self._within is None:
            return
        from opentelemetry._logs import LogRecord, SeverityNumber

        now = time.time_ns()
        self._logger.emit(
            LogRecord(
                timestamp=now,
                observed_timestamp=now,
                context=self._within,
                severity_number=SeverityNumber.INFO,
                attributes=values,
                event_name=name,
            )
        )

    def _reply(self, replied: Replied) -> None:
        span, end = self._held.pop((replied.turn, replied.action), (None, 0))
        if span is not None:
            self._write(span, [(replied.reply or replied.text, None)])
            span.end(end)

    def _end(self, ended: Ended) -> None:
        if self._search is None:
            return
        values: dict[str, Any] = {"tpo.stop": ended.stop}
        before = best_reward(self._scores[id] for id in self._first if id in self._scores)
        if before is not None:
            values["tpo.reward.before"] = before
        if ended.chosen is not None:
            values["tpo.candidate"] = ended.chosen
            after = self._scores.get(ended.chosen)
            if after is not None and after.reward is not None:
                values["tpo.reward.after"] = after.reward
        self._search.set_attributes(values)
        if ended.error is not None:
            _fail(self._search, "search_failed", ended.error)
        self._close(self._search)

    def _close(self, search: Span) -> None:
        # The calls' times are rounded, so that the last of them may seem to end after this moment.
        search.end(max(time.time_ns(), self._latest))
        self._search = None

    def _span(self, called: Called, attributes: dict[str, Any]) -> Span:
        from opentelemetry.trace import SpanKind

        scoring = called.role in SCORING
        what = f"score {self._scorer(called.role)}" if scoring else f"chat {attributes['gen_ai.request.model']}"
        begin = self._at(called.began)
        return self._tracer.start_span(what, self._within, SpanKind.CLIENT, attributes, start_time=begin)

    def _at(self, seconds: float) -> int:
        # OpenTelemetry's times are the wall clock's, in nanoseconds.
        return self._began + int(seconds * 1e9)

    def _note(self, name: str, values: dict[str, Any]) -> None:
        if self._search is not None:
            self._search.add_event(name, values)

    def _write(self, span: Span, values: Iterable[tuple[str, str | None]]) -> None:
        if self._contents:
            messages = [_message("assistant", text) | ({"finish_reason": why} if why else {}) for text, why in values]
            span.set_attribute("gen_ai.output.messages", msgspec.json.encode(messages).decode())


def _messages(conversation: Conversation) -> str:
    messages = [_message(str(message.get("role", "")), text_of(message)) for message in conversation]
    return msgspec.json.encode(messages).decode()


def _message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def _fail(span: Span, kind: str, message: str) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR, _cut(message)))


def _cut(text: str) -> str:
    return text[:_LONGEST]
