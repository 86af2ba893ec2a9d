"""A judge on the wire: what is sent, what servers refuse, and what becomes of their failures."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from models.server import Received, Respond, error, models, response, serving
from rewards.judges.kit import completion
from tpo.errors import InputError, RewardError, RewardUnavailable
from tpo.messages import answered
from tpo.rewards.call import accounted
from tpo.rewards.judges import PairwiseJudge, PointwiseJudge
from tpo.rewards.judges.client import DoesNotFit, JudgeClient, JudgeResponse
from tpo.session.session import Session

CHAT = [{"role": "user", "content": "Which?"}]
FINE = completion("A", ("A", {"A": 0.9, "B": 0.1}))


def answering(*answers: bytes | None, listed: bytes | None = None) -> Respond:
    """A server that lists one model and gives these answers to completions, the last one for ever."""
    left = list(answers)

    def respond(request: Received) -> bytes | None:
        if request.path == "/v1/models":
            return listed or models("m")
        return left.pop(0) if len(left) > 1 else left[0]

    return respond


async def ask(
    respond: Respond, *, model: str | None = None, **options: Any
) -> tuple[JudgeResponse, list[dict[str, Any]]]:
    async with serving(respond) as server:
        client = JudgeClient(server.url, model, **options)
        try:
            return await client.ask(CHAT, 8), server.bodies()
        finally:
            await client.aclose()


async def test_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TPO_JUDGE_API_KEY", "sk-judge")
    monkeypatch.setenv("TPO_REWARD_API_KEY", "sk-other")
    async with serving(answering(FINE)) as server:
        client = JudgeClient(server.url)
        with accounted() as spent:
            reply = await client.ask(CHAT, 8)
        await client.aclose()
    asked = server.received[-1]
    assert asked.headers["authorization"] == "Bearer sk-judge"
    assert asked.json == {
        "model": "m",
        "messages": CHAT,
        "max_tokens": 8,
        "temperature": 0,
        "logprobs": True,
        "top_logprobs": 20,
    }
    assert reply.text == "A"
    assert [text for text, _ in reply.tokens[0].top] == ["A", "B"]
    assert (client.usage.prompt_tokens, client.usage.completion_tokens) == (20, 3)
    assert (spent.prompt_tokens, spent.completion_tokens) == (20, 3)


async def test_logprobs_that_are_not_wanted_are_not_asked_for() -> None:
    _, (body,) = await ask(answering(completion("A")), logprobs=False)
    assert not {"logprobs", "top_logprobs"} & body.keys()


async def test_the_server_is_asked_once_what_it_serves() -> None:
    async with serving(answering(FINE)) as server:
        client = JudgeClient(server.url)
        await asyncio.gather(*[client.ask(CHAT, 8) for _ in range(5)])
        await client.aclose()
    assert [request.path for request in server.received].count("/v1/models") == 1
    assert client.model == "m"


async def test_a_named_model_needs_no_list() -> None:
    reply, (body,) = await ask(answering(FINE, listed=response("{}", 404)), model="named")
    assert (reply.text, body["model"]) == ("A", "named")


@pytest.mark.parametrize(
    ("listed", "complaint"),
    [
        (models("one", "two"), r"serves one, two: name one with model=NAME"),
        (models(), r"serves no model: name one with model=NAME"),
    ],
)
async def test_which_model_must_be_clear(listed: bytes, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        await ask(answering(FINE, listed=listed))


async def test_a_server_without_a_list_needs_a_name() -> None:
    with pytest.raises(RewardError, match="name one with model=NAME"):
        await ask(answering(FINE, listed=response("{}", 404)))


async def test_fewer_alternatives_where_the_server_gives_fewer() -> None:
    few = error("top_logprobs must be between 0 and 5")
    _, bodies = await ask(answering(few, FINE))
    assert [body.get("top_logprobs") for body in bodies] == [20, 5]


async def test_no_alternatives_where_the_server_gives_none_and_it_is_asked_once() -> None:
    def respond(request: Received) -> bytes:
        if request.path == "/v1/models":
            return models("m")
        return error("logprobs are not supported with reasoning models") if "logprobs" in request.json else FINE

    async with serving(respond) as server:
        client = JudgeClient(server.url)
        await client.ask(CHAT, 8)
        await client.ask(CHAT, 8)
        await client.aclose()
    assert [body.get("top_logprobs") for body in server.bodies()] == [20, 5, None, None]


async def test_calls_in_flight_together_do_not_give_up_more_than_was_refused() -> None:
    def respond(request: Received) -> bytes:
        if request.path == "/v1/models":
            return models("m")
        return error("top_logprobs is at most 5") if request.json.get("top_logprobs", 0) > 5 else FINE

    async with serving(respond) as server:
        client = JudgeClient(server.url)
        await asyncio.gather(*[client.ask(CHAT, 8) for _ in range(6)])
        await client.ask(CHAT, 8)
        await client.aclose()
    assert {body.get("top_logprobs") for body in server.bodies()} == {20, 5}


async def test_a_temperature_that_is_refused_is_left_out() -> None:
    said = error("Unsupported value: 'temperature' does not support 0 with this model.")
    _, bodies = await ask(answering(said, FINE))
    assert ["temperature" in body for body in bodies] == [True, False]


async def test_openai_takes_another_token_limit() -> None:
    _, (body,) = await ask(answering(FINE, listed=models("m", owned_by="api.openai.com")))
    assert body["max_completion_tokens"] == 8
    assert "max_tokens" not in body


async def test_a_reply_gets_what_the_context_leaves() -> None:
    said = error("max_tokens=8 cannot be greater than max_model_len=2048. Please request fewer output tokens.")
    reply, bodies = await ask(answering(said, FINE))
    assert reply.text == "A"
    assert [body.get("max_tokens") for body in bodies] == [8, None]


async def test_what_does_not_fit_is_reported_with_both_sizes() -> None:
    said = error("request (9031 tokens) exceeds the available context size (8192 tokens), try increasing it")
    with pytest.raises(DoesNotFit, match=r"9031 tokens.*8192 in all"):
        await ask(answering(said))


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (
            response("<html><title>Welcome</title></html>", kind="text/html"),
            "text/html instead .*Welcome",
        ),
        (response("{broken"), "sent broken JSON"),
        (response('["no object"]'), "JSON that is no object"),
        (response('{"choices":[]}'), "without any choice"),
        (response('{"error":{"message":"out of memory"}}'), "failed while answering: out of memory"),
        (response(b"\xff\xfe", kind="text/plain"), "text/plain instead of a completion"),
        (error("no such field"), r"refused the request \(400\): no such field"),
        (error("wrong key", 401), r"refused the key \(401: wrong key\).*TPO_API_KEY"),
        (response('{"detail":"Not Found"}', 404), "answered 404: Not Found"),
    ],
)
async def test_broken_answers_are_reward_errors_and_not_tried_again(answer: bytes, complaint: str) -> None:
    async with serving(answering(answer)) as server:
        client = JudgeClient(server.url)
        with pytest.raises(RewardError, match=complaint) as caught:
            await client.ask(CHAT, 8)
        await client.aclose()
    assert not isinstance(caught.value, RewardUnavailable)
    assert len(server.bodies()) == 1


@pytest.mark.parametrize("first", [error("later", 503), error("slow down", 429, retry_after=0), None])
async def test_what_may_pass_is_tried_again(first: bytes | None) -> None:
    reply, bodies = await ask(answering(first, FINE))
    assert reply.text == "A"
    assert len(bodies) == 2


async def test_what_does_not_pass_is_unavailable() -> None:
    busy = response('{"error":{"message":"busy"}}', 503, retry_after="0")
    with pytest.raises(RewardUnavailable, match=r"503: busy Tried 4 times") as caught:
        await ask(answering(busy))
    assert caught.value.retry_after == 0


async def test_no_server_is_unavailable() -> None:
    client = JudgeClient("http://127.0.0.1:9")
    with pytest.raises(RewardUnavailable, match="No connection"):
        await client.ask(CHAT, 8)
    await client.aclose()


async def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TPO_JUDGE_API_KEY", "sk-secret")
    for answer in (error("bad key sk-secret", 401), error("sk-secret", 503), error("sk-secret and pass")):
        async with serving(answering(answer)) as server:
            client = JudgeClient(server.url.replace("://", "://me:pass@"))
            with pytest.raises(RewardError) as caught:
                await client.ask(CHAT, 8)
            await client.aclose()
        assert "sk-secret" not in str(caught.value)
        assert "pass" not in str(caught.value)
        assert "me:pass" not in client.where


async def test_calls_in_flight_are_bounded() -> None:
    live = most = 0
    together = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal live, most
        head = await reader.readuntil(b"\r\n\r\n")
        if b"/models" in head:
            writer.write(models("m"))
        else:
            live += 1
            most = max(most, live)
            if live == 2:
                together.set()
            await together.wait()
            live -= 1
            writer.write(FINE)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        client = JudgeClient(url, parallel=2)
        await asyncio.wait_for(asyncio.gather(*[client.ask(CHAT, 8) for _ in range(8)]), 60)
        await client.aclose()
    assert most == 2


def test_one_client_serves_several_loops() -> None:
    async def once(client: JudgeClient, url: str) -> str:
        return (await client.ask(CHAT, 8)).text

    async def both() -> list[str]:
        async with serving(answering(FINE)) as server:
            client = JudgeClient(server.url)
            here = await once(client, server.url)
            there = await asyncio.to_thread(lambda: asyncio.run(once(client, server.url)))
            await client.aclose()
            return [here, there]

    assert asyncio.run(both()) == ["A", "A"]


async def test_a_judge_at_the_policys_server_shares_its_limit() -> None:
    grade = completion("2", ("2", {"1": 0.1, "2": 0.9}))
    async with serving(answering(grade)) as server:
        judge = f"judge:{server.url}?scale=1-2"
        async with Session(policy=server.url, reward=judge, concurrency=1, check=False) as session:
            reward = await session.reward()
            limiter = (await session.models())["policy"].servers[0].limiter
            assert reward is not None
            async with limiter.slot(1, 1, 0):
                scoring = asyncio.ensure_future(reward.score([[*CHAT, {"role": "assistant", "content": "A"}]]))
                while not limiter.waiting and not scoring.done():  # noqa: ASYNC110
                    await asyncio.sleep(0)
                assert limiter.waiting
            assert len(await scoring) == 1


async def test_a_reply_without_text_is_an_empty_one() -> None:
    body = {"choices": [{"message": {"content": None, "reasoning_content": "Hm."}, "finish_reason": "length"}]}
    reply, _ = await ask(answering(response(json.dumps(body))))
    assert reply == JudgeResponse("", [], True)


@pytest.mark.parametrize(
    ("owner", "field", "value"),
    [
        ("vllm", "structured_outputs", {"choice": ["A", "B", "tie"]}),
        ("sglang", "regex", "(A|B|tie)"),
        ("llamacpp", "grammar", 'root ::= "A" | "B" | "tie"'),
        ("somebody", None, None),
    ],
)
async def test_a_verdict_is_constrained_where_the_server_can(owner: str, field: str | None, value: Any) -> None:
    async with serving(answering(FINE, listed=models("m", owned_by=owner))) as server:
        judge = PairwiseJudge(server.url, constrain=True)
        assert "constrain=true" in judge.name
        await judge.score([answered(CHAT, "Paris"), answered(CHAT, "Rome")])
        await judge.aclose()
        for body in server.bodies():
            assert {name: body[name] for name in ("structured_outputs", "regex", "grammar") if name in body} == (
                {} if field is None else {field: value}
            )


async def test_grades_are_constrained_to_the_scale_and_only_where_wanted() -> None:
    async with serving(answering(completion("4"), listed=models("m", owned_by="vllm"))) as server:
        for constrain in (True, False):
            judge = PointwiseJudge(server.url, scale="0-4", constrain=constrain)
            assert ("constrain" in judge.name) is constrain
            assert [score.value for score in await judge.score([answered(CHAT, "Paris")])] == [4.0]
            await judge.aclose()
        restricted, free = server.bodies()
    assert restricted["structured_outputs"] == {"choice": ["0", "1", "2", "3", "4"]}
    assert "structured_outputs" not in free
    with pytest.raises(InputError, match="writes no critique"):
        PointwiseJudge("http://127.0.0.1:1/v1", critique=True, constrain=True)
