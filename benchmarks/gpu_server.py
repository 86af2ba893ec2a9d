"""A server like vLLM on a GPU that pretends its GPU (`gpu_engine.py`), to see whether a client keeps one full.

    python benchmarks/gpu_server.py [--port 0] [--slots 64] [--queue 128] [--spread 0.8] [--pace 1] [...]

It is real in everything that a client meets: a process of its own, HTTP on the loopback interface, OpenAI's protocol
streamed or not, `n`, a prefix cache, 429 when its queue is full, and failures where they are asked for. What it says is
decided by prompt and seed; a request without a seed gets another answer each time that it is repeated.

Besides OpenAI's there are `GET /stats` (what it did since the last reset: `Stats` and `gpu_engine.Measured`, with
`mean_live` sequences while there were any, `elapsed_seconds`, and the process's own `cpu_seconds`), `POST /reset`
(zeroes them, and empties the prefix cache), `POST /blip` (`Blip`: a status, or slower answers, for some seconds), and
with --keep `GET /asked` (the bodies of all requests that were taken, to replay them).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import hashlib
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, cast

import httptools
import msgspec

import gpu_engine

MODEL = "fake-gpu"
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 429: "Too Many Requests", 500: "Internal Server Error"}
encode = msgspec.json.encode


class Message(msgspec.Struct):
    """A chat message."""

    role: str
    content: str


class Blip(msgspec.Struct):
    """Trouble that begins now.

    Attributes:
        seconds: how long it lasts.
        status: what completions are answered; None for slower answers.
        slower: each step takes so many times as long.
    """

    seconds: float
    status: int | None = None
    slower: float = 1.0


class StreamOptions(msgspec.Struct):
    """Whether a stream ends with its usage."""

    include_usage: bool = False


class Chat(msgspec.Struct):
    """What of a chat-completions request is looked at."""

    messages: list[Message]
    model: str = MODEL
    n: int = 1
    seed: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None

    def prompt(self) -> str:
        """The conversation as the model gets it: the turns so far are a prefix of the next prompt."""
        return "".join(f"<{message.role}>{message.content}" for message in self.messages) + "<assistant>"


@dataclass
class Stats:
    """What clients did. A request is taken unless it is refused, wrong, or answered 500 by plan."""

    requests: int = 0  # completions asked for, taken or not
    answered: int = 0  # that got their whole answer
    finished: int = 0  # sequences
    refused: int = 0  # with 429
    errors: int = 0  # 500, by plan
    drops: int = 0  # connections cut in the middle, by plan
    cancelled: int = 0  # given up by the client
    distinct: int = 0  # different bodies among those taken
    repeated: int = 0  # taken though the same body had been taken before
    answered_again: int = 0  # answered though the same body had been answered before


class Stage:
    """The engine on the event loop's clock, and the books."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        settings = {each.name: getattr(options, each.name) for each in fields(gpu_engine.Settings)}
        self.settings = gpu_engine.Settings(**settings)
        self.loop = asyncio.get_running_loop()
        self.engine = gpu_engine.Engine(self.settings, self.loop.time())
        self._timer: asyncio.TimerHandle | None = None
        self.status: int | None = None
        self._echo = re.compile(options.echo) if options.echo else None
        self.reset()

    def reset(self) -> None:
        """Start the books anew."""
        self.stats = Stats()
        self.engine.advance(self.loop.time())
        self.engine.measured = gpu_engine.Measured()
        self.engine.cache.clear()
        self.asked: list[msgspec.Raw] = []
        self.seen: dict[bytes, int] = {}
        self.answered: set[bytes] = set()
        self._dice = random.Random(self.options.failure_seed)
        self._since = self.loop.time(), time.process_time()

    def shown(self) -> dict[str, Any]:
        """The books."""
        now, measured = self.loop.time(), self.engine.measured
        self.engine.advance(now)
        self.rearm()
        return {
            **asdict(self.stats),
            **asdict(measured),
            "mean_live": measured.live_seconds / measured.busy_seconds if measured.busy_seconds else 0.0,
            "live": self.engine.live,
            "queued": self.engine.queued,
            "elapsed_seconds": now - self._since[0],
            "cpu_seconds": time.process_time() - self._since[1],
        }

    def blip(self, body: bytes) -> None:
        """Begin trouble."""
        blip = msgspec.json.decode(body, type=Blip)
        self.status = blip.status
        self._slow_down(blip.slower)
        self.loop.call_later(blip.seconds, self._end_blip, blip.slower)

    def _end_blip(self, slower: float) -> None:
        self.status = None
        self._slow_down(1 / slower)

    def _slow_down(self, factor: float) -> None:
        self.engine.advance(self.loop.time())
        self.engine.slow_down(factor)
        self.rearm()

    def failure(self) -> str | None:
        """How this request fails: decided by its number alone."""
        drawn = self._dice.random()
        if drawn < self.options.error_share:
            return "error"
        return "drop" if drawn < self.options.error_share + self.options.drop_share else None

    def take(self, body: bytes) -> tuple[bytes, int]:
        """Write a request down: what identifies it, and how often it was taken before."""
        digest = hashlib.blake2b(body, digest_size=16).digest()
        times = self.seen.get(digest, 0)
        self.seen[digest] = times + 1
        self.stats.distinct += not times
        self.stats.repeated += bool(times)
        if self.options.keep:
            self.asked.append(msgspec.Raw(body))
        return digest, times

    def echoed(self, prompt: str, text: str) -> str:
        """An answer that begins with what of the prompt is to be echoed; as long as it was."""
        found = self._echo.search(prompt) if self._echo is not None else None
        return text if found is None else (found[0] + " " + text)[: len(text)]

    def rearm(self) -> None:
        """Wake up when the engine has something to do."""
        due = self.engine.due()
        if due is None or (self._timer is not None and self._timer.when() <= due):
            return  # a timer that rings too early only looks again
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_at(due, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self.engine.advance(self.loop.time())
        self.rearm()


class Reply:
    """The answer to one completions request, as its sequences grow."""

    def __init__(self, connection: Connection, chat: Chat, body: bytes, drop: bool) -> None:
        self.connection, self.chat, self.drop = connection, chat, drop
        self.stage = stage = connection.stage
        self.digest, times = stage.take(body)
        self.id, self.created = f"chatcmpl-{self.digest.hex()}-{times}", int(time.time())
        self.sent_head = False
        seed = times if chat.seed is None else chat.seed
        prompt = chat.prompt()
        interval = max(1, stage.options.stream_interval) if chat.stream else 0
        limit = chat.max_tokens if chat.max_completion_tokens is None else chat.max_completion_tokens
        self.sequences: list[gpu_engine.Sequence] = []
        self.finish: list[str] = []
        for index in range(chat.n):
            text, tokens, cut = gpu_engine.answer(stage.settings, prompt, seed + index, limit)
            text = stage.echoed(prompt, text)
            if drop:
                tokens = (tokens + 1) // 2
                text = text[: gpu_engine.CHARACTERS * tokens]
            self.sequences.append(gpu_engine.Sequence(prompt, text, tokens, interval, self.on_tokens))
            self.finish.append("length" if cut else "stop")
        self.missing = chat.n
        self.reported_tokens = [0] * chat.n

    def start(self) -> None:
        """Hand all to the engine."""
        for sequence in self.sequences:
            self.stage.engine.submit(sequence, self.stage.loop.time())
        self.stage.rearm()

    def cancel(self) -> None:
        """Take all back."""
        for sequence in self.sequences:
            self.stage.engine.cancel(sequence, self.stage.engine.now)

    def on_tokens(self, sequence: gpu_engine.Sequence, tokens: int) -> None:
        """The engine has so many tokens of a sequence."""
        if self.connection.reply is not self:
            return  # cut off, or gone
        ended = tokens == sequence.tokens
        if ended and self.drop:
            self.stage.stats.drops += 1
            self.connection.cut()
            return
        self.missing -= ended
        self.stage.stats.finished += ended
        if self.chat.stream:
            self._stream(sequence, tokens, ended)
        elif not self.missing:
            self.connection.answer(200, encode(self._whole()))
        if not self.missing:
            self.stage.stats.answered += 1
            self.stage.stats.answered_again += self.digest in self.stage.answered
            self.stage.answered.add(self.digest)
            self.connection.done()

    def _stream(self, sequence: gpu_engine.Sequence, tokens: int, ended: bool) -> None:
        index = self.sequences.index(sequence)
        parts = []
        if not self.sent_head:
            self.sent_head = True
            parts.append(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n")
            parts.append(b"Transfer-Encoding: chunked\r\n\r\n")
            parts.extend(
                self._event(self._chunk(at, {"role": "assistant", "content": ""})) for at in range(self.chat.n)
            )
        per = gpu_engine.CHARACTERS
        text = sequence.text[per * self.reported_tokens[index] : per * tokens]
        self.reported_tokens[index] = tokens
        parts.append(self._event(self._chunk(index, {"content": text}, self.finish[index] if ended else None)))
        if not self.missing:
            if self.chat.stream_options and self.chat.stream_options.include_usage:
                parts.append(
                    self._event({**self._named("chat.completion.chunk"), "choices": [], "usage": self._usage()})
                )
            parts.append(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
        self.connection.transport.write(b"".join(parts))

    def _event(self, value: dict[str, Any]) -> bytes:
        data = encode(value)
        return b"%x\r\ndata: %b\n\n\r\n" % (len(data) + 8, data)

    def _chunk(self, index: int, delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**self._named("chat.completion.chunk"), "choices": [choice]}

    def _whole(self) -> dict[str, Any]:
        replies = [{"role": "assistant", "content": sequence.text} for sequence in self.sequences]
        choices = [
            {"index": index, "message": message, "logprobs": None, "finish_reason": finish}
            for index, (message, finish) in enumerate(zip(replies, self.finish, strict=True))
        ]
        return {**self._named("chat.completion"), "choices": choices, "usage": self._usage()}

    def _named(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": MODEL}

    def _usage(self) -> dict[str, Any]:
        first = self.sequences[0]  # a prompt counts once, whatever n is
        prompt, completion = gpu_engine.tokens_in(first.prompt), sum(each.tokens for each in self.sequences)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": first.cached},
        }


class Connection(asyncio.Protocol):
    """One client's connection: a request at a time."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.reply: Reply | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._path, self._body = b"", b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client came."""
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """A client went: nobody reads what it had asked for."""
        if self.reply is not None:
            self.stage.stats.cancelled += 1
            self._give_up()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.cut()

    def on_url(self, url: bytes) -> None:
        """A request begins (httptools; a long URL comes in pieces)."""
        self._path += url

    def on_body(self, body: bytes) -> None:
        """A piece of a body (httptools)."""
        self._body += body

    def on_message_complete(self) -> None:
        """A request is there (httptools)."""
        method, path, body = self._parser.get_method(), self._path.partition(b"?")[0], self._body
        self._path, self._body, self._last = b"", b"", not self._parser.should_keep_alive()
        if self.reply is not None:
            self.cut()  # pipelining, which no client of such servers does
        elif (method, path) == (b"POST", b"/v1/chat/completions"):
            self._complete(body)
        elif (method, path) == (b"POST", b"/blip"):
            self.stage.blip(body)
            self.answer(200, b"{}")
            self.done()
        else:
            self._page(method, path)

    def _page(self, method: bytes, path: bytes) -> None:
        card = {"id": MODEL, "object": "model", "created": 0, "owned_by": "vllm", "max_model_len": 32768}
        pages: dict[tuple[bytes, bytes], Callable[[], Any]] = {
            (b"GET", b"/v1/models"): lambda: {"object": "list", "data": [card]},
            (b"GET", b"/version"): lambda: {"version": "0.0.0+fake"},
            (b"GET", b"/health"): dict,
            (b"GET", b"/stats"): self.stage.shown,
            (b"GET", b"/asked"): lambda: self.stage.asked,
            (b"POST", b"/reset"): self.stage.reset,
        }
        if (method, path) not in pages:
            return self._error(404, "Not Found", "NotFoundError")
        self.answer(200, encode(pages[method, path]()))
        return self.done()

    def _complete(self, body: bytes) -> None:
        stage = self.stage
        stage.stats.requests += 1
        try:
            chat = msgspec.json.decode(body, type=Chat)
        except msgspec.DecodeError as error:
            return self._error(400, str(error), "BadRequestError")
        if chat.model != MODEL:
            return self._error(404, f"The model `{chat.model}` does not exist.", "NotFoundError")
        if chat.n < 1:
            return self._error(400, "n must be at least 1.", "BadRequestError")
        if stage.status == 429:
            stage.stats.refused += 1
            return self._error(429, "Too many requests, by plan.", "RateLimitError")
        if stage.status is not None:
            stage.stats.errors += 1
            return self._error(stage.status, "Failed by plan.", "InternalServerError")
        stage.engine.advance(stage.loop.time())
        if stage.engine.room() < chat.n:
            stage.stats.refused += 1
            return self._error(429, "The server's queue is full.", "RateLimitError")
        failure = stage.failure()
        if failure == "error":
            stage.stats.errors += 1
            return self._error(500, "Failed by plan.", "InternalServerError")
        self.reply = Reply(self, chat, body, drop=failure == "drop")
        return self.reply.start()

    def _error(self, status: int, message: str, kind: str) -> None:
        error = {"message": message, "type": kind, "param": None, "code": status}
        retry = b"Retry-After: 1\r\n" if status == 429 and self.stage.options.retry_after else b""
        self.answer(status, encode({"error": error}), retry)
        self.done()

    def answer(self, status: int, body: bytes, headers: bytes = b"") -> None:
        """Send a response in one piece."""
        head = (
            f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        )
        self.transport.write(head.encode() + headers + b"\r\n" + body)

    def done(self) -> None:
        """The request is answered: the connection is free for the next one."""
        self.reply = None
        if self._last:
            self.transport.close()

    def cut(self) -> None:
        """End the connection without a word."""
        self._give_up()
        self.transport.abort()

    def _give_up(self) -> None:
        reply, self.reply = self.reply, None
        if reply is not None:
            reply.cancel()
            self.stage.rearm()


def parser(**more: Any) -> argparse.ArgumentParser:
    """The flags; those of the engine are its settings. `add_help=False` makes it a parent for other programs."""
    kind = argparse.RawDescriptionHelpFormatter
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=kind, **more)
    flags.add_argument("--port", type=int, default=0, help="0 for any free one")
    engine = flags.add_argument_group("the GPU and its model (see Settings in gpu_engine.py)")
    for each in fields(gpu_engine.Settings):
        engine.add_argument(f"--{each.name.replace('_', '-')}", type=type(each.default), default=each.default)
    flags.add_argument("--stream-interval", type=int, default=32, help="tokens of a chunk; the first has one")
    flags.add_argument("--retry-after", action="store_true", help="send Retry-After: 1 with a 429")
    flags.add_argument("--error-share", type=float, default=0.0, help="of requests that are answered 500")
    flags.add_argument("--drop-share", type=float, default=0.0, help="of requests whose connection is cut half-way")
    flags.add_argument("--failure-seed", type=int, default=0, help="decides which requests these are")
    flags.add_argument("--echo", default="", help="a pattern: an answer begins with what of its prompt matches first")
    flags.add_argument("--keep", action="store_true", help="keep the bodies of requests for GET /asked")
    return flags


async def serve(options: argparse.Namespace) -> None:
    """Serve until somebody ends the process."""
    stage = Stage(options)
    server = await stage.loop.create_server(lambda: Connection(stage), "127.0.0.1", options.port, backlog=2048)
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    print(f"listening on http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def running(**options: float | bool | str) -> Iterator[str]:
    """A server in its own process, for as long as the context lasts; yields its URL, which ends in /v1.

    Options are the flags with underscores, `running(slots=32, keep=True)`.
    """
    flags = [
        f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}")
        for name, value in options.items()
        if value is not False
    ]
    command = [sys.executable, str(Path(__file__).resolve()), *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.startswith("listening on "):
                raise RuntimeError(f"The server did not start: {' '.join(command)}")
            yield line.removeprefix("listening on ").strip()
        finally:
            process.terminate()


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(parser().parse_args(arguments)))


if __name__ == "__main__":
    main()
