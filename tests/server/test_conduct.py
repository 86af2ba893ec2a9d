"""On bad days: too much to do, policies that fail or hang, deadlines, and the end of the server itself."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.conftest import HI, Serve
from server.kit import running
from server.policy import Said, critic, drawing, policy, saying
from tpo.errors import InputError
from tpo.http import retry
from tpo.options import ServeOptions
from tpo.server.app import AppOptions
from tpo.server.keys import Keys, hashed
from tpo.server.lifecycle import check_address
from tpo.server.service import Service, Setup, open_patiently


async def test_what_is_too_much_is_sent_away_and_comes_later(serve: Serve) -> None:
    go = asyncio.Event()

    async def answer(body: dict[str, Any], number: int) -> Said:
        await go.wait()
        return "a"

    async with serve(answer, method="sample", serving=ServeOptions(requests=1, queue=1, passed=1)) as up:
        first = asyncio.create_task(up.chat("small:sample"))
        await asyncio.wait_for(up.policy.asked.wait(), 5)
        second = asyncio.create_task(up.chat("small:sample"))
        answers: list[httpx.Response] = []
        while not any(a.status_code == 429 for a in answers):  # until the second stands in line
            third = asyncio.create_task(up.chat("small:sample"))
            done, _ = await asyncio.wait({third}, timeout=0.2)
            if done:
                answers.append(third.result())
            else:
                second = third
        refused = answers[-1]
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        go.set()
        assert (await first).status_code == 200 and (await second).status_code == 200


async def test_a_policy_that_dies_midway_leaves_the_best_so_far(serve: Serve) -> None:
    async def answer(body: dict[str, Any], number: int) -> Said:
        return 422 if critic(body) else ["a", "bbb", "cc"][number % 3]

    async with serve(answer) as up:
        response = await up.chat("small:tpo-d2-n3")
        told = response.json()
        assert response.status_code == 200 and told["choices"][0]["message"]["content"] == "bbb"
        assert told["tpo"]["stop"] == "error" and "not to be had" in told["tpo"]["error"]
        assert up.policy.url in told["tpo"]["error"]


async def test_a_policy_that_is_gone_is_a_502_that_names_it(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "_wait", lambda state: 0.0)
    async with serve(drawing(["a"])) as up:
        await up.policy.close()
        for model in ("small", "small:sample"):
            answer = await up.chat(model)
            assert answer.status_code == 502 and answer.json()["error"]["type"] == "upstream_error"
            assert up.policy.url in answer.json()["error"]["message"]


async def test_a_deadline_gives_the_best_so_far(serve: Serve) -> None:
    async def answer(body: dict[str, Any], number: int) -> Said:
        if critic(body):
            await asyncio.sleep(60)
        return ["a", "bbb", "cc"][number % 3]

    async with serve(answer, serving=ServeOptions(deadline=1.0)) as up:
        told = (await up.chat("small:tpo")).json()
        assert told["choices"][0]["message"]["content"] == "bbb" and told["tpo"]["stop"] == "deadline"
        own = (await up.chat("small:tpo", tpo={"budget_seconds": 0.5})).json()
        assert own["tpo"]["stop"] == "deadline" and own["tpo"]["seconds"] < told["tpo"]["seconds"]


async def test_a_deadline_before_the_first_answer_gives_what_was_written(serve: Serve) -> None:
    said: Said = {"role": "assistant", "content": "Half an ans", "hang": True}
    async with serve(saying(said), serving=ServeOptions(deadline=1.0)) as up:
        choice = (await up.chat("small:best-of-2")).json()["choices"][0]
        assert choice["message"]["content"] == "Half an ans" and choice["finish_reason"] == "length"


async def test_a_deadline_before_the_first_word_is_a_504(serve: Serve) -> None:
    async def answer(body: dict[str, Any], number: int) -> Said:
        await asyncio.sleep(60)
        return "never"

    async with serve(answer, serving=ServeOptions(deadline=0.5)) as up:
        answer_ = await up.chat("small:tpo")
        assert answer_.status_code == 504 and answer_.json()["error"]["code"] == "deadline_exceeded"


async def test_a_budget_of_tokens_ends_a_search(serve: Serve) -> None:
    async with serve(drawing(["a", "bb", "ccc"])) as up:
        told = (await up.chat("small:tpo-d5-n3", tpo={"budget_tokens": 60})).json()
        assert told["tpo"]["stop"] == "budget" and told["choices"][0]["message"]["content"] == "ccc"


async def test_a_server_that_is_ended_gives_the_best_so_far() -> None:
    async def answer(body: dict[str, Any], number: int) -> Said:
        if critic(body):
            await asyncio.sleep(60)
        return ["a", "bbb", "cc"][number % 3]

    async def length(conversations: list[Any]) -> list[float]:
        return [float(len(conversation[-1]["content"])) for conversation in conversations]

    async with policy(answer) as behind:
        options: Any = {"policy": behind.url, "reward": length, "check": False, "width": 3}
        async with running(Setup(options=options), grace=0.5) as url:
            body = {"model": "small:tpo", "messages": HI}
            client = httpx.AsyncClient(timeout=30)
            asking = asyncio.create_task(client.post(f"{url}/chat/completions", json=body))
            while not any(critic(asked) for asked in behind.bodies):
                behind.asked.clear()
                await behind.asked.wait()
        told = (await asking).json()
        assert told["choices"][0]["message"]["content"] == "bbb" and told["tpo"]["stop"] == "interrupt"
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{url}/models")
        await client.aclose()


async def test_a_policy_may_come_later(unused_tcp_port: int) -> None:
    service = Service(Setup(options={"policy": f"http://127.0.0.1:{unused_tcp_port}/v1", "check": False}))
    opening = asyncio.create_task(open_patiently(service, every=0.05))
    await asyncio.sleep(0)
    assert not service.opened.is_set()
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening


async def test_what_waiting_cannot_mend_ends_the_server() -> None:
    with pytest.raises(InputError, match="not an http"):
        await open_patiently(Service(Setup(options={"policy": "ftp://nowhere"})))


async def test_keys_and_their_limits(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    alice, bob = "tpo-" + "a" * 40, "tpo-" + "b" * 40
    file.write_text(
        f'[alice]\nsha256 = "{hashed(alice)}"\nrequests-per-minute = 2\n'
        f'[bob]\nsha256 = "{hashed(bob)}"\ntokens-per-minute = 1\n'
    )
    async with serve(drawing(["a"]), options=AppOptions(keys=Keys(file))) as up:

        async def ask(key: str | None) -> httpx.Response:
            headers = {"authorization": f"Bearer {key}"} if key else {}
            return await up.client.post(
                "/chat/completions", json={"model": "small:sample", "messages": HI}, headers=headers
            )

        assert (await ask(None)).status_code == 401 and (await ask("tpo-wrong")).status_code == 401
        assert not up.policy.bodies
        assert [(await ask(alice)).status_code for _ in range(3)] == [200, 200, 429]
        # What the first cost is known when it is over, and has to fill up again.
        answers = [await ask(bob) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 429]
        assert "tokens a minute" in answers[1].json()["error"]["message"]
        assert (await up.client.get("/models")).status_code == 401
        root = up.url.removesuffix("/v1")
        assert (await up.client.get(f"{root}/health")).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.com"])
def test_an_address_for_others_needs_a_key(host: str) -> None:
    with pytest.raises(InputError, match="tpo key"):
        check_address(host, keyed=False)
    check_address(host, keyed=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_the_loopback_needs_none(host: str) -> None:
    check_address(host, keyed=False)


async def test_health_readiness_and_unknown_paths(serve: Serve) -> None:
    async with serve(drawing(["a"])) as up:
        root = up.url.removesuffix("/v1")
        assert (await up.client.get(f"{root}/health")).json() == {"status": "ok"}
        assert (await up.client.get(f"{root}/ready")).json() == {"status": "ready", "models": ["small"]}
        missing = await up.client.get(f"{root}/v1/embeddings")
        assert missing.status_code == 404 and "/v1/chat/completions" in missing.json()["error"]["message"]
        assert (await up.client.get("/chat/completions")).status_code == 405
        document = (await up.client.get(f"{root}/openapi.json")).json()
        fields = document["components"]["schemas"]["Alignment"]["properties"]
        assert {"width", "depth", "reward", "return_trace"} <= fields.keys()


async def test_calls_for_plain_answers_take_turns_between_keys_too(serve: Serve, tmp_path: Path) -> None:
    secrets = {name: f"a key of sixteen+ {name}" for name in ("greedy", "modest")}
    path = tmp_path / "keys.toml"
    tables = [f'[{name}]\nsha256 = "{hashed(secret)}"\noperator = true\n' for name, secret in secrets.items()]
    path.write_text("".join(tables))
    path.chmod(0o600)
    go = asyncio.Event()

    async def answer(body: dict[str, Any], number: int) -> Said:
        await go.wait()
        return "a"

    async def ask(name: str) -> None:
        body = {"model": "small", "messages": [{"role": "user", "content": name}], "max_tokens": 9}
        response = await up.client.post("/messages", json=body, headers={"x-api-key": secrets[name]})
        assert response.status_code == 200

    async def under_way(count: int) -> None:
        line = f'tpo_in_flight{{kind="passed"}} {count}.0'
        async with asyncio.timeout(10):
            while line not in (await up.client.get(f"{up.url[:-3]}/metrics", headers=key)).text:
                pass

    key = {"x-api-key": secrets["greedy"]}
    options = AppOptions(keys=Keys(path))
    async with serve(answer, options=options, serving=ServeOptions(concurrency=1)) as up:
        asking = [asyncio.create_task(ask("greedy")) for _ in range(4)]
        await under_way(4)
        asking.append(asyncio.create_task(ask("modest")))
        await under_way(5)
        go.set()
        await asyncio.gather(*asking)
        assert up.policy.prompts == ["greedy", "modest", "greedy", "greedy", "greedy"]
