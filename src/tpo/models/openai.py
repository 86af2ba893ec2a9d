"""Any server that speaks the OpenAI chat-completions protocol.

Replies are streamed where the text is wanted while it grows: a critique can be watched, tokens are counted while they
come, and closing the connection stops the work upstream. Elsewhere they come in one piece, which costs less. A server
that does only one of the two, or refuses a field, is taken as it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import aiohttp
import msgspec

from tpo.errors import ModelError
from tpo.http.client import ANSWERED, PATIENT, WHOLE, HttpClient, media_type
from tpo.http.endpoint import Endpoint
from tpo.http.failures import ContextOverflow, RequestRefused, server_message
from tpo.models.dialect import Dialect, adapted, omitted
from tpo.models.profiles import Profile, only_one_of
from tpo.models.protocol import Choice, Receiver, Request, Usage
from tpo.models.reply import ReplyBuilder

STREAM = "text/event-stream"


class OpenAIModel:
    """A model behind an OpenAI-compatible endpoint.

    Args:
        endpoint: where it is, and the key for it.
        model: the model's name there.
        profile: how the server behaves.
        context: tokens that a prompt and its answer may take together, where known.
        served: the names that the server lists, for error messages.
        name: what identifies model and server in a journal, where that is not the name at the URL.
        omit: fields that requests go without, besides those of the profile.
        on_note: called with a sentence when the server turns out to refuse a field.

    Raises:
        InputError: a field cannot be left out.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        model: str,
        profile: Profile,
        context: int | None = None,
        served: tuple[str, ...] = (),
        name: str | None = None,
        *,
        omit: Iterable[str] = (),
        on_note: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.model = model
        self._name = name or f"{model} @ {endpoint.shown}"
        self.profile = profile
        self.context = context
        self.endpoint = endpoint
        self._served = served
        self._client = HttpClient(endpoint)
        self._dialect = Dialect(omitted(omit) | frozenset(profile.omit), profile.token_limit)
        self._on_note = on_note
        self._noted: set[str] = set()

    @property
    def name(self) -> str:
        """The model and where it is served."""
        return self._name

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def offers_logprobs(self) -> bool:
        """Whether the server reports the likeliest alternatives of a token, which judges make use of.

        Raises:
            ModelError: the server cannot be reached or refuses.
        """
        found: list[Choice] = []
        messages = [{"role": "user", "content": "Say yes or no."}]
        request = Request(messages, max_tokens=1, temperature=None, top_p=None, stream=False, top_logprobs=2)
        await self.generate(request, Receiver(Usage(), found.append))
        tokens = (found[0].logprobs or {}).get("content") if found else None
        return bool(tokens and tokens[0]["top_logprobs"])

    async def generate(self, request: Request, receiver: Receiver) -> None:
        """Make one call; see `tpo.models.protocol.Model`."""
        try:
            await self._call(request, receiver)
        except ContextOverflow:
            if request.max_tokens is None:
                raise
            # Less is left of the context than the answer may take. Without a limit it gets what is left, which
            # servers know exactly and often do not report.
            await self._unlimited(request, receiver)

    async def _unlimited(self, request: Request, receiver: Receiver) -> None:
        try:
            await self._call(msgspec.structs.replace(request, max_tokens=None), receiver)
        except ContextOverflow as overflow:
            context = overflow.context or self.context
            if overflow.prompt_tokens is None or context is None:
                raise
            raise ContextOverflow(
                f"The prompt has {overflow.prompt_tokens} tokens and {self.name} takes {context} in all: shorten the "
                f"query, or serve the model with a longer context.",
                overflow.prompt_tokens,
                context,
            ) from overflow

    async def _call(self, request: Request, receiver: Receiver) -> None:
        """Send a request, in the form that the server takes."""
        dialect = self._dialect
        changes: list[tuple[str, str]] = []
        while True:
            body = self._body(request, dialect)
            try:
                await self._post(body, request.n, receiver)
            except RequestRefused as refusal:
                step = adapted(dialect, refusal, body)
                if step is None:
                    raise
                dialect = step[0]
                changes.append((step[1], refusal.detail))
            else:
                break
        if changes:  # only what helped is remembered
            self._dialect = self._dialect.merged(dialect)
            self._note(changes)

    def _note(self, changes: list[tuple[str, str]]) -> None:
        for change, detail in changes:
            if change not in self._noted:
                self._noted.add(change)
                detail = self.endpoint.redact(detail)
                self._on_note(f"{self.name} refused a request ({detail}): from now on, requests to it {change}.")

    async def _post(self, body: dict[str, Any], n: int, receiver: Receiver) -> None:
        url = f"{self.endpoint.shown}/chat/completions"
        reply = ReplyBuilder(n, self.profile.usage_per_choice, receiver, url, self.endpoint.secrets)
        streamed = bool(body.get("stream"))
        async with self._client.opened(
            "POST",
            self.endpoint.at("chat/completions"),
            msgspec.json.encode(body),
            PATIENT if streamed else WHOLE,
            shown=url,
            accept=STREAM if streamed else "application/json",
        ) as response:
            if response.status not in ANSWERED:
                raise await self._refused(response, url)
            if media_type(response.headers) == STREAM:
                await reply.stream(response.content.iter_any())
            else:
                await self._whole(response, reply)
            reply.end()

    async def _whole(self, response: aiohttp.ClientResponse, reply: ReplyBuilder) -> None:
        got = await self._client.whole(response)
        if got.body.lstrip().startswith((b"data:", b"event:", b":")):  # a stream under another name
            await reply.stream(_as_stream(got.body))
            return
        if got.body.lstrip()[:1] not in (b"{", b"[") and got.kind != "application/json":
            detail = server_message(got.text)
            raise ModelError(
                f"{reply.url} answered {got.kind or 'untyped data'} instead of a completion ({detail}): is this the "
                f"address of an OpenAI-compatible API, such as http://HOST:PORT/v1?"
            )
        reply.whole(got.body)

    def _body(self, request: Request, dialect: Dialect) -> dict[str, Any]:
        restricted = only_one_of(request.one_of, self.profile.constraint)
        body: dict[str, Any] = {**request.extra, **restricted, "model": self.model, "messages": request.messages}
        # Where usage is counted right for each choice of a stream alone, several come in a stream.
        streamed = request.stream or (self.profile.usage_per_choice and request.n > 1)
        if dialect.stream is not None:
            streamed = dialect.stream
        ours: dict[str, Any] = {
            dialect.limit: request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "stream": True if streamed else None,
            "stream_options": {"include_usage": True} if streamed else None,
            "n": request.n if request.n > 1 else None,
            "seed": request.seed if self.profile.seeds else None,
            "cache_prompt": request.continues if self.profile.prefix else None,
        }
        if top := min(request.top_logprobs, dialect.tops):
            ours |= {"logprobs": True, "top_logprobs": top}
        body.update((name, value) for name, value in ours.items() if value is not None and name not in dialect.omit)
        return body

    async def _refused(self, response: aiohttp.ClientResponse, url: str) -> ModelError:
        got = await self._client.whole(response)
        error = self._client.refused(got, url)
        if got.status == 404 and self._served:
            error.args = (f"{error} (it lists {', '.join(self._served)}; {self.model!r} was requested)",)
        return error


async def _as_stream(body: bytes) -> AsyncIterator[bytes]:
    yield body
