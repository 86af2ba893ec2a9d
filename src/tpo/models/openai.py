"""Any server that speaks the OpenAI chat-completions protocol, over streamed HTTP.

Everything is streamed: answers can be scored as they land, a critique can be watched as it is written, tokens are
counted while they come, and closing the connection stops the work upstream.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aiohttp
import httpx
import msgspec

from tpo.errors import ModelError
from tpo.http.endpoint import Endpoint
from tpo.http.failures import ContextOverflow, explained, refused, server_message, unsent
from tpo.models.profiles import Profile
from tpo.models.protocol import Receiver, Request
from tpo.models.reply import Reply, choices_in, decoded, read_stream

# A loaded server may queue a request for minutes before its first token.
TIMEOUT = httpx.Timeout(600.0, connect=10.0)
# An answer that comes in one piece is silent until it is done.
WHOLE_TIMEOUT = aiohttp.ClientTimeout(total=7200.0, sock_connect=10.0)
JSON = {"Content-Type": "application/json"}


class OpenAIModel:
    """A model behind an OpenAI-compatible endpoint.

    Args:
        endpoint: where it is, and the key for it.
        model: the model's name there.
        profile: how the server behaves.
        context: tokens that a prompt and its answer may take together, where known.
        served: the names that the server listed, for error messages.
        name: what identifies model and server in a journal, where that is not the name at the URL.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        model: str,
        profile: Profile,
        context: int | None = None,
        served: tuple[str, ...] = (),
        name: str | None = None,
    ) -> None:
        self.model = model
        self._name = name or f"{model} @ {endpoint.shown}"
        self.profile = profile
        self.context = context
        self.endpoint = endpoint
        self._served = served
        self._client = endpoint.client(TIMEOUT)
        self._session: aiohttp.ClientSession | None = None

    @property
    def name(self) -> str:
        """The model and where it is served."""
        return self._name

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def offers_logprobs(self) -> bool:
        """Whether the server tells the likeliest alternatives of a token, which judges make use of.

        Raises:
            ModelError: the server cannot be asked.
        """
        url = f"{self.endpoint.shown}/chat/completions"
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": "Say yes or no."}],
            self.profile.token_limit: 1,
            "logprobs": True,
            "top_logprobs": 2,
        }
        with explained(url):
            response = await self._client.post(self.endpoint.at("chat/completions"), json=body)
        if response.status_code == 400:  # a server that does not know the field
            return False
        if response.status_code != 200:
            raise self._refused(response, url)
        if "json" not in response.headers.get("content-type", ""):
            return False
        choices = choices_in(decoded(response.content, url))
        told = (choices[0].get("logprobs") or {}).get("content") if choices else None
        return bool(told and told[0].get("top_logprobs"))

    async def generate(self, request: Request, receiver: Receiver) -> None:
        """Make one call; see `tpo.models.protocol.Model`."""
        try:
            await self._call(request, receiver)
        except ContextOverflow:
            # Less is left of the context than the answer may take. Without a limit it gets what is left, which
            # servers know exactly and often do not tell.
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
        url = f"{self.endpoint.shown}/chat/completions"
        reply = Reply(request.n, self.profile.usage_per_choice, receiver, url)
        body = msgspec.json.encode(self._body(request))
        with explained(url):
            if self._streamed(request):
                await self._stream(body, reply)
            else:
                await self._whole(body, reply)
        reply.end()

    async def _stream(self, body: bytes, reply: Reply) -> None:
        headers = {**JSON, "Accept": "text/event-stream"}
        address = self.endpoint.at("chat/completions")
        async with self._client.stream("POST", address, content=body, headers=headers) as response:
            if response.status_code != 200:
                await response.aread()
                raise self._refused(response, reply.url)
            if _kind(response.headers) == "text/event-stream":
                await read_stream(response, reply)
            else:  # a server that does not stream
                self._take(_kind(response.headers), await response.aread(), reply)

    async def _whole(self, body: bytes, reply: Reply) -> None:
        try:
            await self._post(body, reply)
        except aiohttp.ClientOSError as error:
            if not unsent(error):
                raise
            await self._post(body, reply)

    async def _post(self, body: bytes, reply: Reply) -> None:
        if self._session is None:
            self._session = self.endpoint.session()
        address = self.endpoint.at("chat/completions")
        async with self._session.post(address, data=body, headers=JSON, timeout=WHOLE_TIMEOUT) as response:
            content = await response.read()
            if response.status != 200:
                raise self._refused(
                    httpx.Response(response.status, headers=response.headers, content=content), reply.url
                )
            self._take(_kind(response.headers), content, reply)

    def _take(self, kind: str, content: bytes, reply: Reply) -> None:
        if kind != "application/json":
            said = server_message(content.decode(errors="replace"))
            raise ModelError(
                f"{reply.url} answered {kind or 'untyped data'} instead of a completion ({said}): is this the address "
                f"of an OpenAI-compatible API, such as http://HOST:PORT/v1?"
            )
        reply.whole(decoded(content, reply.url))

    def _body(self, request: Request) -> dict[str, Any]:
        body: dict[str, Any] = {
            **request.extra,
            "model": self.model,
            "messages": request.messages,
        }
        sampling = {"temperature": request.temperature, "top_p": request.top_p}
        body |= {name: value for name, value in sampling.items() if value is not None}
        if self._streamed(request):
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        if request.max_tokens is not None:
            body[self.profile.token_limit] = request.max_tokens
        if request.n > 1:
            body["n"] = request.n
        if request.seed is not None and self.profile.seeds:
            body["seed"] = request.seed
        if self.profile.prefix:
            body["cache_prompt"] = request.continues
        return body

    def _streamed(self, request: Request) -> bool:
        # Where usage is counted right for each choice of a stream alone, several come in a stream.
        return request.stream or (self.profile.usage_per_choice and request.n > 1)

    def _refused(self, response: httpx.Response, url: str) -> ModelError:
        error = refused(response, url, self.endpoint.key_variable)
        if response.status_code == 404 and self._served:
            served = ", ".join(self._served)
            return ModelError(self.endpoint.redact(f"{url} does not serve {self.model!r}; it serves {served}."))
        error.args = (self.endpoint.redact(str(error)),)
        return error


def _kind(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()
