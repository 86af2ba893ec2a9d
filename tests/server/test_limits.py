"""What one client may ask for."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.raw import Address, Echo, listening, request, statuses, until
from server.test_keys import Clock
from tpo.server.asgi import App, Receive, Scope, Send, begin_request, request_info
from tpo.server.limits import MINUTE, Account, Bucket, Limited, Limits

CLOSE = b"Connection: close"


@given(st.integers(1, 10_000), st.lists(st.tuples(st.floats(0, 100), st.integers(0, 500)), max_size=40))
def test_a_bucket_holds_a_minutes_worth_and_fills_evenly(most: int, story: list[tuple[float, int]]) -> None:
    clock = Clock()
    bucket = Bucket(most, clock)
    taken = 0
    for seconds, amount in story:
        clock.later(seconds)
        assert bucket.level <= most
        bucket.take(amount)
        taken += amount
    passed = clock.now - 1000.0
    assert bucket.level >= most - taken - 1e-6
    assert bucket.level <= most + passed * most / MINUTE - taken + 1e-6 or bucket.level <= most
    wait = bucket.seconds_until(most)
    clock.later(wait)
    assert bucket.level == pytest.approx(most)


@given(st.integers(1, 2000), st.lists(st.floats(0.0, 30.0), min_size=1, max_size=60))
def test_who_waits_as_long_as_retry_after_gets_in(most: int, pauses: list[float]) -> None:
    clock = Clock()
    account = Account(Limits(requests_per_minute=most), clock)
    for pause in pauses:
        clock.later(pause)
        refusal = account.refusal()
        if refusal is not None:
            assert refusal[1] > 0
            clock.later(refusal[1])
            assert account.refusal() is None
        account.begin()
        account.end()


def test_other_limits_count_what_was_used_before() -> None:
    clock = Clock()
    account = Account(Limits(60, 100, 2), clock)
    for _ in range(2):
        account.begin()
    account.spend(130)
    account.change(Limits(40, 200, 1))
    assert account.refusal() == ("This key may have 1 requests under way at once.", 1.0)
    left = {name: value for name, value in account.headers() if b"remaining" in name}
    # Of smaller limits the same share, of larger ones the same number.
    assert left == {b"x-ratelimit-remaining-requests": b"38", b"x-ratelimit-remaining-tokens": b"70"}
    account.spend(470)
    account.change(Limits(tokens_per_minute=2, concurrency=3))
    # 400 too many of 200 a minute take two minutes, as 4 too many of two a minute do; one more takes half a minute.
    refusal = account.refusal()
    assert refusal is not None
    assert refusal[1] == pytest.approx(150)
    # Without limits in between nothing is counted.
    account.change(Limits(concurrency=3))
    account.change(Limits(40))
    assert account.headers()[1] == (b"x-ratelimit-remaining-requests", b"40")


@given(st.integers(1, 500), st.lists(st.floats(0.0, 2.0), max_size=300))
def test_never_more_than_a_minutes_worth_ahead(most: int, pauses: list[float]) -> None:
    clock = Clock()
    account = Account(Limits(requests_per_minute=most), clock)
    let_in = 0
    for pause in pauses:
        clock.later(pause)
        if account.refusal() is None:
            account.begin()
            let_in += 1
    assert let_in <= most + (clock.now - 1000.0) * most / MINUTE + 1e-3


def test_tokens_are_known_afterwards() -> None:
    clock = Clock()
    account = Account(Limits(tokens_per_minute=600), clock)
    account.begin()
    account.spend(1_800)  # far more than there was: it is given, and paid for
    account.end()
    refusal = account.refusal()
    assert refusal is not None
    message, wait = refusal
    assert "600 tokens a minute" in message
    assert wait == pytest.approx(120.1)
    clock.later(wait)
    assert account.refusal() is None
    account.spend(0)
    assert account.refusal() is None


def test_at_once() -> None:
    account = Account(Limits(concurrency=2), Clock())
    account.begin()
    account.begin()
    assert account.refusal() is not None
    account.end()
    assert account.refusal() is None


def test_what_is_reported_of_the_limits() -> None:
    clock = Clock()
    account = Account(Limits(60, 1000, 5), clock)
    account.begin()
    account.spend(1500)
    said = {name.decode(): value.decode() for name, value in account.headers()}
    assert said == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1.000s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "90.000s",
    }
    assert Account(Limits(concurrency=3), clock).headers() == []


def only(account: Account) -> Callable[[str | None], Account | None]:
    """The account of everybody."""
    return lambda name: account


def named(app: App, name: str = "alice") -> App:
    """As if a key had been known."""

    async def known(scope: Scope, receive: Receive, send: Send) -> None:
        begin_request(scope, "req").client = name
        await app(scope, receive, send)

    return known


async def posted(at: Address) -> bytes:
    return await at.say(request("POST", "/v1/chat/completions", CLOSE, body=b"{}"))


async def test_requests_on_the_wire() -> None:
    clock = Clock()
    account = Account(Limits(requests_per_minute=2), clock)
    async with listening(named(Limited(Echo(), only(account)))) as at:
        first, second, third = [await posted(at) for _ in range(3)]
        assert [statuses(answer) for answer in (first, second, third)] == [[200], [200], [429]]
        assert b"x-ratelimit-remaining-requests: 1" in first
        assert b"x-ratelimit-remaining-requests: 0" in third
        assert b"retry-after: 30" in third
        assert b"rate_limit_exceeded" in third
        for _ in range(5):  # looking costs nothing
            assert statuses(await at.say(request("GET", "/v1/models", CLOSE))) == [200]
        clock.later(30)
        assert statuses(await posted(at)) == [200]
        # A path of any other kind is no way around.
        assert statuses(await at.say(request("POST", "/ui/api/play", CLOSE, body=b"{}"))) == [429]


async def test_somebody_without_limits() -> None:
    async with listening(named(Limited(Echo(), lambda name: None))) as at:
        answer = await posted(at)
        assert statuses(answer) == [200]
        assert b"x-ratelimit" not in answer


async def test_tokens_on_the_wire() -> None:
    account = Account(Limits(tokens_per_minute=100), Clock())

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request_info(scope).spend(250)
        await Echo()(scope, receive, send)

    async with listening(named(Limited(app, only(account)))) as at:
        answer = await posted(at)
        assert statuses(answer) == [200]
        assert b"x-ratelimit-remaining-tokens: 0" in answer
        refused = await posted(at)
        assert statuses(refused) == [429]
        assert b"retry-after: %d" % math.ceil(151 * 60 / 100) in refused


@pytest.mark.parametrize("ends", ["answered", "left", "failed"])
async def test_at_once_on_the_wire_however_a_request_ends(ends: str) -> None:
    account = Account(Limits(concurrency=1), Clock())
    echo = Echo(go=asyncio.Event())

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await echo(scope, receive, send)
        if ends == "failed":
            raise RuntimeError("a bug")

    async with listening(named(Limited(app, only(account)))) as at:
        reader, writer = await at.connect()
        writer.write(request("POST", "/v1/x", body=b"{}"))
        await echo.arrived.wait()
        assert account.live == 1
        assert statuses(await posted(at)) == [429]
        if ends == "left":
            writer.transport.abort()
        else:
            assert echo.go is not None
            echo.go.set()
            await reader.readline()
        await until(lambda: account.live == 0)
        writer.close()
