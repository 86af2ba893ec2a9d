"""Limits of one client: requests and tokens a minute, and requests at once.

Both are buckets that fill up evenly (a minute's worth at most), so that there is no moment at which all clients send
again. What a request costs in tokens is known when it is over: it may begin while anything is left, and what it takes
beyond that has to fill up again first.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable

import msgspec

from tpo.server.asgi import App, Header, Message, Receive, Scope, Send, refuse, request_info

MINUTE = 60.0
_CANCEL = re.compile(r"/v1/responses/[^/]+/cancel")
# Sums of parts of a second are not exact, and a client that waited for `Retry-After` must get in.
_ALMOST = 1e-6


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """A client's limits; None is none.

    Attributes:
        requests_per_minute: requests.
        tokens_per_minute: prompt and completion tokens of all roles.
        concurrency: requests under way at once.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None


class Bucket:
    """So many a minute.

    Args:
        most: a minute's worth, which is also what it holds.
        clock: seconds, on any clock.
        used: what is missing at the start.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic, used: float = 0.0) -> None:
        self.most = most
        self._clock = clock
        self._level = most - used
        self._at = clock()

    @property
    def level(self) -> float:
        """What is left; below zero where more was taken than there was."""
        now = self._clock()
        self._level = min(self._level + (now - self._at) * self.most / MINUTE, float(self.most))
        self._at = now
        return self._level

    def take(self, amount: int) -> None:
        """Take so many out."""
        self._level = self.level - amount

    def seconds_until(self, level: float) -> float:
        """How long until there are so many."""
        return max(level - self.level, 0.0) * MINUTE / self.most


class Account:
    """What a client has used of its limits.

    Args:
        limits: its limits.
        clock: seconds, on any clock.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.live = 0
        self._clock = clock
        self._requests: Bucket | None = None
        self._tokens: Bucket | None = None
        self.change(limits)

    def change(self, limits: Limits) -> None:
        """Give the client other limits; what it has used of the ones before counts, in no case for longer than then."""
        self.limits = limits
        self._requests = self._bucket(limits.requests_per_minute, self._requests)
        self._tokens = self._bucket(limits.tokens_per_minute, self._tokens)

    def _bucket(self, most: int | None, before: Bucket | None) -> Bucket | None:
        if not most:
            return None
        used = before.most - before.level if before is not None else 0.0
        if before is not None and most < before.most:
            # A smaller bucket fills up more slowly, and would take longer for as many.
            used *= most / before.most
        return Bucket(most, self._clock, used)

    def refusal(self) -> tuple[str, float] | None:
        """Why another request may not begin now, and in how many seconds it may; None where it may."""
        if self.limits.concurrency is not None and self.live >= self.limits.concurrency:
            return f"This key may have {self.limits.concurrency} requests under way at once.", 1.0
        if self._requests is not None and self._requests.level < 1 - _ALMOST:
            return f"This key may make {self._requests.most} requests a minute.", self._requests.seconds_until(1)
        if self._tokens is not None and self._tokens.level <= 0:
            return f"This key may use {self._tokens.most} tokens a minute.", self._tokens.seconds_until(1)
        return None

    def begin(self) -> None:
        """A request begins."""
        self.live += 1
        if self._requests is not None:
            self._requests.take(1)

    def end(self) -> None:
        """It is over."""
        self.live -= 1

    def spend(self, tokens: int) -> None:
        """It took tokens."""
        if self._tokens is not None:
            self._tokens.take(tokens)

    def headers(self) -> list[Header]:
        """The state of the limits, in OpenAI's headers."""
        headers: list[Header] = []
        for name, bucket in ((b"requests", self._requests), (b"tokens", self._tokens)):
            if bucket is not None:
                left, full = max(math.floor(bucket.level), 0), bucket.seconds_until(bucket.most)
                for kind, value in ((b"limit", bucket.most), (b"remaining", left), (b"reset", f"{full:.3f}s")):
                    headers.append((b"x-ratelimit-%b-%b" % (kind, name), str(value).encode()))
        return headers


class Limited:
    """Refuses requests of a client that has used up its limits.

    Args:
        app: where the others go.
        account_of: the account of a client by its name; None where it has no limits.
    """

    def __init__(self, app: App, account_of: Callable[[str | None], Account | None]) -> None:
        self._app = app
        self._account_of = account_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request (ASGI)."""
        account = None
        # Reading counts for nothing, and neither does ending a response, which a key at its limit has to be able to.
        if scope["type"] == "http" and scope["method"] == "POST" and not _CANCEL.fullmatch(scope["path"]):
            account = self._account_of(request_info(scope).client)
        if account is None:
            await self._app(scope, receive, send)
            return
        refusal = account.refusal()
        if refusal is not None:
            message, wait = refusal
            seconds = max(math.ceil(wait), 1)
            headers = [(b"retry-after", str(seconds).encode()), *account.headers()]
            message = f"{message} Try again in {seconds} s."
            await refuse(send, 429, message, code="rate_limit_exceeded", headers=headers)
            return
        account.begin()
        info = request_info(scope)
        info.spent, info.concurrency = account.spend, account.limits.concurrency

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *account.headers()]
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            account.end()
