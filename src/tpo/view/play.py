"""The playground: a question is answered while somebody watches, by server-sent events.

What happens is sent in batches, so that a thousand tokens a second are ten messages and not a thousand. A page that
goes away cancels its work.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tpo.engine.events import Event, Listener, Retrying, TextGrew
from tpo.engine.records import Prompted, Replied, Sampled, Scored, Started
from tpo.engine.result import Result
from tpo.errors import InputError, TPOError
from tpo.messages import conversation, question
from tpo.methods import find_method, methods
from tpo.view.answering import NotHere, said
from tpo.view.telling import told

# Seconds between two messages.
BEAT = 0.1
# Bytes of a question with its options.
LONGEST = 256 * 1024
MEDIA_TYPE = "application/json"


class PlayOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody asks for.

    Attributes:
        question: the question.
        method: the method's name.
        width: N.
        depth: D.
    """

    question: str
    method: str
    width: int
    depth: int


Align: TypeAlias = Callable[[Request, PlayOptions, Listener], Awaitable[Result]]


class Play(msgspec.Struct, frozen=True):
    """What answers, and what the form is filled with at first.

    Attributes:
        align: answers a request's question with these options, and tells the listener of everything that happens;
            cancelled when the page goes away.
        about: who answers and what steers, for people.
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
        """What the page needs to know."""
        listed = [
            {"name": one.name, "has_width": one.has_width, "has_depth": one.has_depth} for one in methods().values()
        ]
        fields = ("about", "method", "width", "depth", "most_width", "most_depth")
        return {"methods": listed} | {field: getattr(self, field) for field in fields}

    def checked(self, options: PlayOptions) -> PlayOptions:
        """What is asked for, if it can be had.

        Raises:
            InputError: it cannot.
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
    """Its address."""
    return [Route("/api/play", _play, methods=["POST"])]


async def _play(request: Request) -> Response:
    play: Play | None = request.app.state.play
    if play is None:
        raise NotHere("There is no playground here.")
    # A form of another page can send plain text unasked, and JSON only after asking.
    if request.headers.get("content-type", "").partition(";")[0].strip() != MEDIA_TYPE:
        return said({"error": f"Send the question as {MEDIA_TYPE}."}, 415)
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LONGEST:
            return said({"error": f"The question is longer than {LONGEST} bytes."}, 413)
    try:
        options = msgspec.json.decode(body, type=PlayOptions)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"This is no question with its options: {error}.") from None
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
            yield _message("story", told(question(conversation(options.question)), result.trace, result, None))
        except TPOError as error:
            yield _message("error", {"error": str(error)})
        except Exception as error:  # the reader learns what kind; the log of the process has the rest
            yield _message("error", {"error": f"Something broke here ({type(error).__name__})."})
            raise
    finally:
        working.cancel()
        with suppress(BaseException):
            await working


def _message(name: str, value: object) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(value) + b"\n\n"


# What the page gets of an event.
_PROMPTED = ("step", "name", "role", "width", "chosen", "rejected")
_GREW = ("turn", "action", "index", "name", "text")
_SAMPLED = ("step", "index", "id", "text", "tokens", "error")


def _shown(event: Event) -> dict[str, Any] | None:
    """What the page needs to draw an event; None where that is nothing."""
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
