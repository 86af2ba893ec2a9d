"""The playground: a question is answered, and each event of the search is sent to the page by server-sent events.

Events are sent in batches, so that a thousand tokens a second are ten messages and not a thousand. A page that goes
away cancels its work. The latest results are kept in memory, so that an address can lead back to one.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tpo.engine.events import Event, Listener, Retrying, TextGrew
from tpo.engine.lines import LineWriter
from tpo.engine.records import Prompted, Record, Replied, Sampled, Scored, Started
from tpo.engine.result import Result
from tpo.errors import InputError, TPOError
from tpo.messages import conversation, question
from tpo.methods import find_method, methods
from tpo.view.endpoint import NotFound, json_response, one_of, text
from tpo.view.story import records_json

# Seconds between two messages.
BEAT = 0.1
# Bytes of a question with its options.
LONGEST = 256 * 1024
MEDIA_TYPE = "application/json"


# Results that are kept.
KEPT = 50


class PlayOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question with its options; None leaves an option to the server.

    Attributes:
        question: the question.
        method: the method's name.
        width: N.
        depth: D.
        temperature: sampling temperature.
        seed: seed of the search.
        max_tokens: completion tokens per answer.
        critic_max_tokens: completion tokens per critique.
        budget_tokens: tokens of all roles, after which the best answer so far counts.
        reward: the name of a reward that the server's configuration has.
        require: rules that rank before the reward.
    """

    question: str
    method: str
    width: int
    depth: int
    temperature: float | None = None
    seed: int | None = None
    max_tokens: int | None = None
    critic_max_tokens: int | None = None
    budget_tokens: int | None = None
    reward: str | None = None
    require: list[str] = []

    def chat_request(self, model: str) -> dict[str, Any]:
        """The same as a request of the chat protocol, for a server that answers those.

        Args:
            model: the model's name there.
        """
        search = ("method", "width", "depth", "critic_max_tokens", "budget_tokens", "reward")
        sampling = ("temperature", "seed", "max_tokens")
        given = {name: value for name in (*search, *sampling) if (value := getattr(self, name)) is not None}
        aligned = {name: given[name] for name in search if name in given} | (
            {"require": self.require} if self.require else {}
        )
        messages = [{"role": "user", "content": self.question}]
        return {"model": model, "messages": messages, "tpo": aligned} | {n: given[n] for n in sampling if n in given}


Align: TypeAlias = Callable[[Request, PlayOptions, Listener], Awaitable[Result]]


class Play(msgspec.Struct, frozen=True):
    """What answers the playground's questions, and the values that its form has at first.

    Attributes:
        align: answers a request's question with these options, and calls the listener with each event; cancelled when
            the page goes away.
        about: the models and the reward, for people.
        method: the method.
        width: N.
        depth: D.
        most_width: the largest N.
        most_depth: the largest D.
    """

    align: Align
    about: str = ""
    method: str = "tpo"
    width: int = 5
    depth: int = 2
    most_width: int = 32
    most_depth: int = 16

    def form(self) -> dict[str, Any]:
        """What the page's form is made from."""
        listed = [
            {"name": one.name, "has_width": one.has_width, "has_depth": one.has_depth} for one in methods().values()
        ]
        fields = ("about", "method", "width", "depth", "most_width", "most_depth")
        return {"methods": listed} | {field: getattr(self, field) for field in fields}

    def checked(self, options: PlayOptions) -> PlayOptions:
        """The options, where they are within bounds.

        Raises:
            InputError: one is not.
        """
        conversation(options.question)
        if options.method != self.method:  # no client names code to import
            find_method(options.method)
        for dial, value, low, high in (
            ("width", options.width, 1, self.most_width),
            ("depth", options.depth, 0, self.most_depth),
        ):
            if not low <= value <= high:
                raise InputError(f"The {dial} is {value}; here it goes from {low} to {high}.")
        return options


def play_routes() -> list[Route]:
    """Their addresses."""
    return [Route("/api/play", _play, methods=["POST"]), Route("/api/play/result", _result)]


class Played(msgspec.Struct, frozen=True):
    """A result that is kept.

    Attributes:
        story: it, as the page shows it.
        trace: its records, a line each, as a trace has them.
    """

    story: dict[str, Any]
    trace: str


class PlayResults:
    """The latest results of the playground, by ids that nobody can guess."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Played] = OrderedDict()

    def keep(self, played: Played) -> str:
        """Keep a result; returns its id."""
        id = secrets.token_hex(8)
        self._kept[id] = played
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return id

    def get(self, id: str) -> Played:
        """A result.

        Raises:
            NotFound: it is not kept any more.
        """
        if id not in self._kept:
            raise NotFound("This result is not kept any more: answer the question again.")
        return self._kept[id]


async def _result(request: Request) -> Response:
    """A result: its story, or its trace as a file."""
    results: PlayResults = request.app.state.results
    played = results.get(text(request, "id"))
    if one_of(request, "form", "story", "trace") == "story":
        return json_response(played.story)
    headers = {"Content-Disposition": 'attachment; filename="trace.jsonl"', "Cache-Control": "no-store"}
    return Response(played.trace, headers=headers, media_type="application/jsonl")


async def _play(request: Request) -> Response:
    play: Play | None = request.app.state.play
    if play is None:
        raise NotFound("This page has no playground.")
    # A form of another site can send plain text at once, and JSON only after a preflight request.
    if request.headers.get("content-type", "").partition(";")[0].strip() != MEDIA_TYPE:
        return json_response({"error": f"Send the question as {MEDIA_TYPE}."}, 415)
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LONGEST:
            return json_response({"error": f"The question is longer than {LONGEST} bytes."}, 413)
    try:
        options = msgspec.json.decode(body, type=PlayOptions)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"The options of the question cannot be read: {error}.") from None
    return StreamingResponse(_messages(request, play, play.checked(options)), media_type="text/event-stream")


async def _messages(request: Request, play: Play, options: PlayOptions) -> AsyncIterator[bytes]:
    waiting: list[dict[str, Any]] = []
    happened = asyncio.Event()

    def listen(event: Event) -> None:
        shown = _shown(event)
        if shown is None:
            return
        last = waiting[-1] if waiting else {}
        same = ("happened", "turn", "action", "index")
        if shown["happened"] == "grew" and all(last.get(key) == shown[key] for key in same):
            last["text"] += shown["text"]
        else:
            waiting.append(shown)
        happened.set()

    async def work() -> Result:
        return await play.align(request, options, listen)

    working = asyncio.ensure_future(work())
    working.add_done_callback(lambda _: happened.set())
    try:
        while not working.done():
            happened.clear()
            message = _message("events", waiting) if waiting else b": \n\n"
            waiting.clear()  # before it is sent, which lets more happen
            yield message
            with suppress(TimeoutError):
                await asyncio.wait_for(happened.wait(), 5.0)
            await asyncio.sleep(BEAT)
        if waiting:
            yield _message("events", waiting)
        try:
            result = working.result()
            story = records_json(question(conversation(options.question)), result.trace)
            results: PlayResults = request.app.state.results
            yield _message("story", story | {"result": results.keep(Played(story, _trace(result)))})
        except TPOError as error:
            yield _message("error", {"error": str(error)})
        except Exception as error:  # the reader learns what kind; the log of the process has the rest
            yield _message("error", {"error": f"Something broke here ({type(error).__name__})."})
            raise
    finally:
        working.cancel()
        with suppress(BaseException):
            await working


def _trace(result: Result) -> str:
    lines: LineWriter[Record] = LineWriter(Record)
    return "".join(lines.line(record).decode() + "\n" for record in result.trace)


def _message(name: str, value: object) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(value) + b"\n\n"


# What the page gets of an event.
_PROMPTED = ("step", "name", "role", "width", "chosen", "rejected")
_GREW = ("turn", "action", "index", "name", "text")
_SAMPLED = ("step", "index", "id", "text", "tokens", "error", "leaked")


def _shown(event: Event) -> dict[str, Any] | None:
    """The fields of an event that the page draws; None for an event that it does not draw."""
    match event:
        case Started(plan=plan):
            models = {str(role): model for role, model in plan.models.items()}
            return {"happened": "started", "models": models, "reward": plan.reward, "method": plan.method}
        case Prompted():
            return {"happened": "prompted"} | {field: getattr(event, field) for field in _PROMPTED}
        case TextGrew():
            return {"happened": "grew"} | {field: getattr(event, field) for field in _GREW}
        case Sampled():
            return {"happened": "sampled"} | {field: getattr(event, field) for field in _SAMPLED}
        case Scored():
            return {"happened": "scored", "id": event.id, "reward": event.reward, "error": event.error}
        case Replied():
            return {"happened": "replied", "step": event.step, "name": event.name, "text": event.text}
        case Retrying():
            return {"happened": "retrying", "role": event.role, "error": event.error, "wait": event.wait}
        case _:
            return None
