"""Several servers: who serves which query, and who steps in."""

from __future__ import annotations

import asyncio

import pytest

from fakes import FakeModel
from tpo.errors import InputError, ModelError, ModelUnavailable
from tpo.models.fleet import Fleet, Seat, Server, seats
from tpo.models.protocol import Choice, Receiver, Request, Usage
from tpo.scheduling.limiter import Limiter
from tpo.scheduling.pace import FixedPace

GONE = ModelUnavailable("gone", unreachable=True)


def fleet(*models: FakeModel, limit: int = 4) -> Fleet:
    return Fleet([Server(model, Limiter(FixedPace(limit))) for model in models])


def model(answer: str | ModelError = "hi") -> FakeModel:
    return FakeModel(lambda request, index: answer)


async def ask(seat: Seat, n: int = 1) -> list[Choice]:
    choices: list[Choice] = []
    await seat.generate(Request([{"role": "user", "content": "?"}], n=n), Receiver(Usage(), choices.append))
    return choices


async def test_a_query_stays_where_it_is_and_the_next_goes_where_there_is_less_to_do() -> None:
    a, b = model(), model()
    servers = fleet(a, b)
    first, second = servers.seat(), servers.seat()
    for _ in range(3):
        await ask(first)
    await ask(second)
    assert (len(a.requests), len(b.requests)) == (3, 1)
    await first.aclose()
    third = servers.seat()
    await ask(third)
    assert len(a.requests) == 4


async def test_roles_that_share_a_fleet_share_the_server() -> None:
    servers = fleet(model(), model())
    taken = seats({"policy": servers, "critic": servers, "editor": fleet(model())})
    assert taken["policy"] is taken["critic"] is not taken["editor"]


async def test_when_a_server_dies_its_queries_go_to_another() -> None:
    dead, alive = model(GONE), model()
    seat = fleet(dead, alive).seat()
    with pytest.raises(ModelUnavailable):
        await ask(seat)
    assert [choice.text for choice in await ask(seat)] == ["hi"]
    assert (len(dead.requests), len(alive.requests)) == (1, 1)


async def test_a_new_query_does_not_go_to_a_dead_server() -> None:
    dead, alive = model(GONE), model()
    servers = fleet(dead, alive)
    with pytest.raises(ModelUnavailable):
        await ask(servers.seat())
    for _ in range(3):
        await ask(servers.seat())
    assert (len(dead.requests), len(alive.requests)) == (1, 3)


async def test_it_is_down_when_nobody_got_an_answer_and_the_calls_own_fault_when_others_did() -> None:
    broken = FakeModel(lambda request, index: "hi" if request.n == 1 else GONE if index == 1 else "a b c d e f")
    servers = fleet(broken)
    seat = servers.seat()
    with pytest.raises(ModelUnavailable) as alone:
        await ask(seat, n=2)
    assert alone.value.down
    both = await asyncio.gather(ask(seat), ask(seat, n=2), return_exceptions=True)
    assert isinstance(both[1], ModelUnavailable)
    assert not both[1].down


async def test_a_refusal_shows_that_a_server_lives() -> None:
    refusing = FakeModel(lambda request, index: ModelError("no") if request.n == 1 else GONE if index else "a b c d")
    seat = fleet(refusing).seat()
    results = await asyncio.gather(ask(seat), ask(seat, n=2), return_exceptions=True)
    assert isinstance(results[1], ModelUnavailable)
    assert not results[1].down


async def test_a_server_error_of_its_own_is_no_outage() -> None:
    with pytest.raises(ModelUnavailable) as failure:
        await ask(fleet(model(ModelUnavailable("500"))).seat())
    assert not failure.value.down


async def test_no_more_is_in_flight_than_the_limit() -> None:
    slow = model("a b c d e")
    seat = fleet(slow, limit=3).seat()
    await asyncio.gather(*[ask(seat) for _ in range(10)])
    assert slow.most_live == 3


async def test_room_at_one_of_several_servers_is_room() -> None:
    a, b = model("word " * 50), model()
    servers = fleet(a, b, limit=1)
    seat = servers.seat()
    busy = asyncio.ensure_future(ask(seat))
    await asyncio.sleep(0)
    await servers.room()
    assert not busy.done()
    await busy


def test_servers_of_different_models_are_no_fleet() -> None:
    one, other = model(), model()
    other.name = "another"
    with pytest.raises(InputError, match="different models \\(another, fake\\)"):
        fleet(one, other)
