"""Stored responses: fetched, followed, continued, cancelled, deleted, and made in the background."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from server.conftest import Serve, Up, length
from server.kit import running
from server.policy import Answer, Said, critic, drawing, policy, saying
from tpo import replay
from tpo.errors import JournalError
from tpo.options import ServeOptions
from tpo.server.app import AppOptions
from tpo.server.errors import ApiError
from tpo.server.keyfile import make_key
from tpo.server.keys import Keys
from tpo.server.limits import Limits
from tpo.server.service import Setup
from tpo.server.store import history
from tpo.server.store.folder import ResponseStore

openai = pytest.importorskip("openai", reason="the openai package is not installed")

MODEL = "small:best-of-2"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def stored_in(store: Path) -> list[str]:
    """The ids of the responses in a folder."""
    return [path.name for path in store.glob("resp_*")]


@asynccontextmanager
async def up(serve: Serve, store: Path, answer: Answer, **more: Any) -> AsyncIterator[tuple[Up, Any]]:
    """A server with a store, and OpenAI's client for it."""
    async with (
        serve(answer, serving=ServeOptions(store=store), **more) as server,
        openai.AsyncOpenAI(base_url=server.url, api_key="none", max_retries=0) as client,
    ):
        yield server, client


def held(go: asyncio.Event, then: Answer) -> Answer:
    """Answer when it is time."""

    async def answer(body: dict[str, Any], number: int) -> Said:
        await go.wait()
        return await then(body, number)

    return answer


def stuck_critic(stuck: asyncio.Event, go: asyncio.Event) -> Answer:
    """Answer at once, each answer longer than the one before, and criticise when it is time."""

    async def answer(body: dict[str, Any], number: int) -> Said:
        if critic(body):
            stuck.set()
            await go.wait()
            return "Say more."
        return "a" * (number + 1)

    return answer


async def done(client: Any, id: str) -> Any:
    """The response once it is complete."""
    async for event in await client.responses.retrieve(id, stream=True):
        last = event
    return last.response


async def test_a_background_response_is_polled_until_it_is_complete(serve: Serve, store: Path) -> None:
    go = asyncio.Event()
    async with up(serve, store, held(go, drawing(["a", "bbb"]))) as (server, client):
        begun = await client.responses.create(model=MODEL, input="Hi", background=True, metadata={"a": "b"})
        assert begun.status == "queued" and begun.background and begun.store and begun.output == []
        await asyncio.wait_for(server.policy.asked.wait(), 10)
        assert (await client.responses.retrieve(begun.id)).status == "in_progress"
        go.set()
        finished = await done(client, begun.id)
        again = await client.responses.retrieve(begun.id)
        assert again.status == finished.status == "completed" and again.output_text == "bbb"
        assert again.metadata == {"a": "b"} and again.usage.total_tokens == 30 and again.tpo["reward"] == 3.0
        assert again.to_dict() == finished.to_dict()


async def test_a_stream_goes_on_from_a_cursor(serve: Serve, store: Path) -> None:
    async with up(serve, store, drawing(["a", "bbb"])) as (_, client):
        stream = await client.responses.create(model="small:tpo", input="Hi", background=True, stream=True)
        events = [event async for event in stream]
        assert [event.type for event in events[:3]] == [
            "response.created",
            "response.queued",
            "response.in_progress",
        ]
        assert [event.sequence_number for event in events] == [*range(len(events))]
        assert events[-1].type == "response.completed" and events[-1].response.output_text == "bbb"
        id = events[0].response.id
        for after in (0, 4, len(events) - 2):
            rest = [event async for event in await client.responses.retrieve(id, stream=True, starting_after=after)]
            assert [event.to_dict() for event in rest] == [event.to_dict() for event in events[after + 1 :]]


async def test_cancelling_ends_with_the_best_so_far(serve: Serve, store: Path) -> None:
    stuck = asyncio.Event()
    async with up(serve, store, stuck_critic(stuck, asyncio.Event())) as (_, client):
        begun = await client.responses.create(model="small:tpo", input="Hi", background=True)
        await asyncio.wait_for(stuck.wait(), 10)
        ended = await client.responses.cancel(begun.id)
        assert ended.status == "cancelled" and ended.output_text == "aaa" and ended.tpo["stop"] == "interrupt"
        assert (await client.responses.cancel(begun.id)).to_dict() == ended.to_dict()
        assert (await done(client, begun.id)).status == "cancelled"


@pytest.mark.parametrize("model", ["small:tpo", "small"])
async def test_cancelling_before_the_first_answer(serve: Serve, store: Path, model: str) -> None:
    async with up(serve, store, held(asyncio.Event(), saying("a"))) as (server, client):
        begun = await client.responses.create(model=model, input="Hi", background=True)
        await asyncio.wait_for(server.policy.asked.wait(), 10)
        ended = await client.responses.cancel(begun.id)
        assert ended.status == "cancelled" and ended.output_text == ""


async def test_deleting_forgets_and_ends_the_work(serve: Serve, store: Path) -> None:
    async with up(serve, store, held(asyncio.Event(), saying("a"))) as (server, client):
        begun = await client.responses.create(model=MODEL, input="Hi", background=True)
        await asyncio.wait_for(server.policy.asked.wait(), 10)
        await client.responses.delete(begun.id)
        await asyncio.wait_for(server.policy.gone.wait(), 10)
        for call in (client.responses.retrieve, client.responses.delete, client.responses.cancel):
            with pytest.raises(openai.NotFoundError):
                await call(begun.id)
    assert not stored_in(store)


async def test_a_conversation_goes_on_from_a_stored_response(serve: Serve, store: Path) -> None:
    async with up(serve, store, saying("One.", "Two.")) as (server, client):
        first = await client.responses.create(model="small", input="Count.", instructions="Be brief.")
        assert first.store and first.output_text == "One."
        second = await client.responses.create(model="small", input="Go on.", previous_response_id=first.id)
        assert second.previous_response_id == first.id and second.output_text == "Two."
        told = [(message["role"], message["content"]) for message in server.policy.bodies[-1]["messages"]]
        # Instructions are those of one request.
        assert told == [("user", "Count."), ("assistant", "One."), ("user", "Go on.")]
        listed = [item async for item in client.responses.input_items.list(second.id, order="asc", limit=2)]
        assert [item.content[0].text for item in listed] == ["Count.", "One.", "Go on."]
        assert [item.role for item in listed] == ["user", "assistant", "user"]
        items = [{"type": "item_reference", "id": first.output[0].id}, {"role": "user", "content": "And?"}]
        await client.responses.create(model="small", input=items)
        assert [message["content"] for message in server.policy.bodies[-1]["messages"]] == ["One.", "And?"]


async def test_a_streamed_response_is_there_when_its_stream_ends(serve: Serve, store: Path) -> None:
    async with up(serve, store, drawing(["a", "bbb"])) as (_, client):
        events = [event async for event in await client.responses.create(model=MODEL, input="Hi", stream=True)]
        again = await client.responses.retrieve(events[-1].response.id)
        assert again.to_dict() == events[-1].response.to_dict()
        kept = await client.responses.create(model=MODEL, input="Hi", store=False)
        assert not kept.store
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(kept.id)


async def test_nobody_reads_another_keys_responses(serve: Serve, store: Path, tmp_path: Path) -> None:
    keys = {name: make_key(tmp_path / "keys.toml", name, Limits(), operator=name == "olga") for name in ("al", "olga")}
    more = {"options": AppOptions(keys=Keys(tmp_path / "keys.toml"))}
    async with up(serve, store, saying("a"), **more) as (server, _):
        al, olga = (openai.AsyncOpenAI(base_url=server.url, api_key=key, max_retries=0) for key in keys.values())
        mine = await al.responses.create(model="small", input="Hi")
        assert (await al.responses.retrieve(mine.id)).output_text == "a"
        for call in (olga.responses.retrieve, olga.responses.delete, olga.responses.cancel):
            with pytest.raises(openai.NotFoundError):
                await call(mine.id)
        with pytest.raises(openai.NotFoundError):
            await olga.responses.input_items.list(mine.id)
        with pytest.raises(openai.BadRequestError) as refused:
            await olga.responses.create(model="small", input="Hi", previous_response_id=mine.id)
        assert refused.value.code == "previous_response_not_found"
        items = [{"type": "item_reference", "id": mine.output[0].id}]
        with pytest.raises(openai.BadRequestError):
            await olga.responses.create(model="small", input=items)


async def test_background_work_counts_for_its_key(serve: Serve, store: Path, tmp_path: Path) -> None:
    key = make_key(tmp_path / "keys.toml", "al", Limits(concurrency=1))
    more = {"options": AppOptions(keys=Keys(tmp_path / "keys.toml"))}
    go = asyncio.Event()
    async with up(serve, store, held(go, saying("a")), **more) as (server, _):
        client = openai.AsyncOpenAI(base_url=server.url, api_key=key, max_retries=0)
        begun = await client.responses.create(model=MODEL, input="Hi", background=True)
        with pytest.raises(openai.RateLimitError):
            await client.responses.create(model=MODEL, input="Hi", background=True)
        go.set()
        assert (await done(client, begun.id)).output_text == "a"
        go.clear()
        last = await client.responses.create(model=MODEL, input="Hi", background=True)
        assert (await client.responses.cancel(last.id)).status == "cancelled"  # its own place is no obstacle


async def test_the_next_server_goes_on_and_pays_nothing_again(store: Path) -> None:
    stuck, go = asyncio.Event(), asyncio.Event()
    async with policy(stuck_critic(stuck, go)) as behind:
        options: Any = {"policy": behind.url, "reward": length, "check": False, "width": 2, "depth": 1}
        async with (
            running(Setup(options=options, serving=ServeOptions(store=store)), grace=0.0) as url,
            openai.AsyncOpenAI(base_url=url, api_key="none") as client,
        ):
            begun = await client.responses.create(model="small:tpo", input="Hi", background=True)
            await asyncio.wait_for(stuck.wait(), 10)
            stream = await client.responses.retrieve(begun.id, stream=True)
            before = [await anext(stream) for _ in range(4)]
        paid = len(behind.bodies)
        assert paid == 3  # two answers, and a critique that was not answered
        go.set()
        async with (
            running(Setup(options=options, serving=ServeOptions(store=store))) as url,
            openai.AsyncOpenAI(base_url=url, api_key="none") as client,
        ):
            events = [event async for event in await client.responses.retrieve(begun.id, stream=True)]
    assert [event.to_dict() for event in events[:4]] == [event.to_dict() for event in before]
    ended = events[-1].response
    assert ended.status == "completed" and ended.tpo["candidates"] == 4 and ended.tpo["stop"] == "depth"
    # The critique again, the gradient, and two answers more.
    assert len(behind.bodies) == paid + 4
    trace = ResponseStore(store, 1).trace(begun.id)
    assert replay(trace).answer == ended.output_text


async def test_a_response_that_stood_still_goes_on_when_its_request_is_sent_again(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, go = asyncio.Event(), asyncio.Event()

    def full(*_: Any) -> None:
        raise JournalError("No space left on device.")

    sent: Any = {"model": "small:tpo", "input": "Hi", "background": True, "extra_headers": {"Idempotency-Key": "k"}}
    async with policy(stuck_critic(stuck, go)) as behind:
        options: Any = {"policy": behind.url, "reward": length, "check": False, "width": 2, "depth": 1}
        setup = Setup(options=options, serving=ServeOptions(store=store))
        async with running(setup, grace=0.0) as url, openai.AsyncOpenAI(base_url=url, api_key="none") as client:
            begun = await client.responses.create(**sent)
            await asyncio.wait_for(stuck.wait(), 10)
        paid = len(behind.bodies)
        go.set()
        monkeypatch.setattr(ResponseStore, "reopened", full)
        async with running(setup) as url, openai.AsyncOpenAI(base_url=url, api_key="none") as client:
            assert (await client.responses.retrieve(begun.id)).status == "failed"
            monkeypatch.undo()
            again = await client.responses.create(**sent)
            assert again.id == begun.id and again.status != "failed"
            assert (await done(client, begun.id)).status == "completed"
        # The critique again, the gradient, and two answers more; nothing that was paid for is paid again.
        assert len(behind.bodies) == paid + 4


async def test_a_request_that_is_sent_again_is_the_same_response(serve: Serve, store: Path) -> None:
    async with up(serve, store, saying("a")) as (server, client):
        sent = {"model": MODEL, "input": "Hi", "background": True, "extra_headers": {"Idempotency-Key": "k"}}
        first = await client.responses.create(**sent)
        await done(client, first.id)
        again = await client.responses.create(**sent)
        assert again.id == first.id and again.status == "completed" and len(server.policy.bodies) == 2
        with pytest.raises(openai.UnprocessableEntityError):
            await client.responses.create(**{**sent, "input": "Ho"})


async def test_the_same_request_twice_at_once_is_one_response(serve: Serve, store: Path) -> None:
    async with up(serve, store, saying("a")) as (server, client):
        sent = {"model": MODEL, "input": "Hi", "background": True, "extra_headers": {"Idempotency-Key": "k"}}
        both = await asyncio.gather(*[client.responses.create(**sent) for _ in range(5)])
        assert len({one.id for one in both}) == 1
        await done(client, both[0].id)
        assert len(server.policy.bodies) == 2


async def test_an_answer_is_given_though_it_cannot_be_stored(
    serve: Serve, store: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise ApiError(503, "The response cannot be stored: No space left on device.")

    monkeypatch.setattr(ResponseStore, "add", full)
    async with up(serve, store, saying("a")) as (_, client):
        assert (await client.responses.create(model="small", input="Hi")).output_text == "a"
        events = [event async for event in await client.responses.create(model="small", input="Hi", stream=True)]
        assert events[-1].type == "response.completed"
        with pytest.raises(openai.InternalServerError, match="No space"):
            await client.responses.create(model="small", input="Hi", background=True)
    assert caplog.text.count("No space left") >= 2


async def test_references_are_read_once_and_are_no_way_around_the_size_of_a_body(
    serve: Serve, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    entries = ResponseStore.entries

    def counted(self: ResponseStore, id: str) -> Any:
        read.append(id)
        return entries(self, id)

    monkeypatch.setattr(ResponseStore, "entries", counted)
    async with up(serve, store, saying("One.")) as (server, client):
        first = await client.responses.create(model="small", input="Count.")
        items = [{"type": "item_reference", "id": first.output[0].id}] * 500 + [{"role": "user", "content": "Go on."}]
        await client.responses.create(model="small", input=items, previous_response_id=first.id)
        assert read == [first.id] and len(server.policy.bodies[-1]["messages"]) == 503
        monkeypatch.setattr(history, "BYTES", 100)
        for refused in ({"input": items}, {"input": "Go on.", "previous_response_id": first.id}):
            with pytest.raises(openai.BadRequestError, match="more than 100 bytes"):
                await client.responses.create(model="small", **refused)


async def test_a_client_that_polls_costs_no_reading(serve: Serve, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unread(*_: Any) -> None:
        raise AssertionError("read from the disk")

    async with up(serve, store, held(asyncio.Event(), saying("a"))) as (_, client):
        begun = await client.responses.create(model=MODEL, input="Hi", background=True)
        with monkeypatch.context() as patch:
            patch.setattr(ResponseStore, "find", unread)
            assert (await client.responses.retrieve(begun.id)).status in ("queued", "in_progress")


async def test_what_cannot_be(serve: Serve, store: Path) -> None:
    async with up(serve, store, saying(422)) as (server, client):
        with pytest.raises(openai.BadRequestError, match="store"):
            await client.responses.create(model=MODEL, input="Hi", background=True, store=False)
        with pytest.raises(openai.BadRequestError, match="width"):
            await client.responses.create(model=MODEL, input="Hi", background=True, extra_body={"tpo": {"width": 999}})
        failed = await client.responses.create(model=MODEL, input="Hi", background=True)
        ended = await done(client, failed.id)
        assert ended.status == "failed" and "422" in ended.error.message
        with pytest.raises(openai.BadRequestError, match="failed"):
            await client.responses.create(model=MODEL, input="Hi", previous_response_id=failed.id)
        for query in ("stream=true&starting_after=x", "stream=true&starting_after=-7"):
            assert (await server.client.get(f"/responses/{failed.id}?{query}")).status_code == 400
        for query in ("limit=0", "limit=999", "order=up", "after=none"):
            assert (await server.client.get(f"/responses/{failed.id}/input_items?{query}")).status_code == 400
        for id in ("resp_..", "resp_" + "0" * 32, "..%2f..", "x"):
            assert (await server.client.get(f"/responses/{id}")).status_code == 404
