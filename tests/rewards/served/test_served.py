"""What all served rewards do: keys, retries, errors, names, event loops."""

from __future__ import annotations

import asyncio
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from models.server import Received, error, models, response, serving
from rewards.served.kit import CHATML, chat, ok
from tpo.errors import InputError, RewardError, RewardUnavailable
from tpo.rewards.batching import Batched
from tpo.rewards.http import HTTPReward
from tpo.rewards.protocol import Score
from tpo.rewards.served import RewardServer
from tpo.rewards.served_reward import combined, in_order, number
from tpo.rewards.vllm import VLLMReward

CHATS = [chat("Paris."), chat("No.")]


def scores(request: Received) -> bytes:
    """A service that scores an answer by its length."""
    return ok({"scores": [len(messages[-1]["content"]) for messages in request.json["conversations"]]})


async def test_the_key_is_that_of_rewards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TPO_API_KEY", "sk-any")
    monkeypatch.setenv("TPO_POLICY_API_KEY", "sk-policy")
    async with serving(scores) as server:
        await HTTPReward(server.url).score(CHATS)
        monkeypatch.setenv("TPO_REWARD_API_KEY", "sk-reward")
        await HTTPReward(server.url).score(CHATS)
    assert [asked.headers["authorization"] for asked in server.received] == ["Bearer sk-any", "Bearer sk-reward"]


async def test_secrets_reach_no_error_and_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TPO_REWARD_API_KEY", "sk-secret")
    async with serving(lambda request: error("the key sk-secret and hunter2 are wrong", 401)) as server:
        reward = HTTPReward(server.url.replace("//", "//ann:hunter2@") + "/score?token=t0k3n")
        with pytest.raises(RewardError, match="TPO_REWARD_API_KEY") as failure:
            await reward.score(CHATS)
    for secret in ("sk-secret", "hunter2", "t0k3n"):
        assert secret not in f"{failure.value} {reward.name}"


@pytest.mark.parametrize("bad", [None, error("busy", 503), error("busy", 429), error("broken", 500)])
async def test_what_may_pass_is_tried_again(bad: bytes | None) -> None:
    left = [bad, bad]
    async with serving(lambda request: left.pop() if left else scores(request)) as server:
        assert await HTTPReward(server.url, batch=1, parallel=1).score(CHATS[:1]) == [6.0]
    assert len(server.received) == 3


async def test_a_call_that_waits_to_be_tried_again_leaves_its_place_to_others() -> None:
    seen: list[str] = []

    def busy_at_first(request: Received) -> bytes:
        answer = request.json["conversations"][0][-1]["content"]
        seen.append(answer)
        return response("{}", 503, Retry_After="0.1") if seen == ["first"] else scores(request)

    async with serving(busy_at_first) as server:
        reward = HTTPReward(server.url, batch=1, parallel=1)
        # The one after waits for the place of the first, which is refused once.
        await asyncio.gather(reward.score([chat("first")]), reward.score([chat("second")]))
    assert seen == ["first", "second", "first"]


async def test_in_the_end_the_error_can_pass() -> None:
    async with serving(lambda request: error("out of order", 500)) as server:
        with pytest.raises(RewardUnavailable, match=r"answered 500: out of order Tried 4 times") as failure:
            await HTTPReward(server.url).score(CHATS)
    assert not failure.value.too_much
    with pytest.raises(RewardUnavailable, match="No connection to"):
        await HTTPReward(server.url).score(CHATS)


@pytest.mark.parametrize("status", [413, 424, 429, 503])
async def test_a_batch_that_is_too_much_is_not_sent_again(status: int) -> None:
    answer = response(json.dumps({"error": "less, please"}), status)
    async with serving(lambda request: answer) as server:
        with pytest.raises(RewardUnavailable, match="for 2 conversations: less, please") as failure:
            await HTTPReward(server.url).score(CHATS)
    assert len(server.received) == 1
    assert failure.value.too_much


@pytest.mark.parametrize("status", [429, 503])
async def test_a_rate_limit_is_waited_for_and_splits_no_batch(status: int) -> None:
    sizes: list[int] = []

    def busy_at_first(request: Received) -> bytes:
        sizes.append(len(request.json["conversations"]))
        return response("{}", status, Retry_After="0.1") if len(sizes) < 3 else scores(request)

    async with serving(busy_at_first) as server:
        reward = Batched(HTTPReward(server.url))
        await reward.score([chat(str(number)) for number in range(16)])
    assert sizes == [16, 16, 16]


async def test_a_rate_limit_for_an_hour_is_asked_once() -> None:
    async with serving(lambda request: response("{}", 429, Retry_After="3600")) as server:
        with pytest.raises(RewardUnavailable, match="answered 429") as failure:
            await Batched(HTTPReward(server.url)).score(CHATS)
    assert (len(server.received), failure.value.retry_after) == (1, 3600.0)


async def test_one_conversation_that_is_too_much_alone_is_refused_for_good() -> None:
    async with serving(lambda request: error("too large", 413)) as server:
        with pytest.raises(RewardError, match="too large") as failure:
            await HTTPReward(server.url).score(CHATS[:1])
    assert not isinstance(failure.value, RewardUnavailable)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (response("<title>nginx</title>", kind="text/html"), "answered no JSON .*a web page titled 'nginx'"),
        (response('{"scores": [1], "half": "\\ud800", "other": NaN}'), "answered no JSON"),
        (response(b"\xff\xfe{}"), "answered no JSON"),
        (error("not here", 404), r"answered 404 .*not here.*Is this a http server"),
        (error("no such field", 422), r"refused the request \(422\): no such field"),
        (
            error("input (900 tokens) is too large to process. increase the physical batch size", 500),
            "does not fit .* 500: input",
        ),
        (response("", 302, Location="https://elsewhere"), "redirects to https://elsewhere"),
    ],
)
async def test_what_is_no_answer_is_reported_at_once(answer: bytes, message: str) -> None:
    async with serving(lambda request: answer) as server:
        with pytest.raises(RewardError, match=message) as failure:
            await HTTPReward(server.url).score(CHATS)
    assert len(server.received) == 1
    assert not isinstance(failure.value, RewardUnavailable)


async def test_a_model_is_found_or_must_be_named() -> None:
    async with serving(lambda request: models("a/model")) as server:
        assert await RewardServer("vllm", server.url, "").model() == "a/model"
    async with serving(lambda request: models("one", "two")) as server:
        with pytest.raises(InputError, match=r"serves one, two: name the reward model \(model=NAME\)"):
            await VLLMReward(server.url).connect()
    async with serving(lambda request: error("no", 404)) as server:
        with pytest.raises(RewardError, match="lists no models"):
            await VLLMReward(server.url).connect()


async def test_a_name_names_what_scores() -> None:
    async with serving(lambda request: models("a/model")) as server:
        reward = VLLMReward(server.url, template=CHATML, weights={"0": 0.5, "1": -1})
        root = server.url.removesuffix("/v1")
        assert reward.name.startswith(f"vllm@{root}?template=chatml/chat_template.jinja@")
        await reward.connect()
        assert reward.name.startswith(f"vllm:a/model@{root}?template=")
        assert reward.name.endswith("&weights=0:0.5,1:-1")
        # How many are asked at once changes no score.
        assert VLLMReward(server.url, batch=3, parallel=2, model="m").name == f"vllm:m@{root}"
        assert VLLMReward(server.url, truncate=True, model="m").name == f"vllm:m@{root}?truncate=True"


async def test_the_server_is_asked_once_what_it_serves_and_again_after_a_failure() -> None:
    left: list[bytes] = [error("starting", 400)]

    def respond(request: Received) -> bytes:
        if request.path == "/v1/models":
            return left.pop() if left else models("m")
        return ok({"data": [{"index": 0, "probs": [0.5], "num_classes": 1}]})

    async with serving(respond) as server:
        reward = VLLMReward(server.url)
        with pytest.raises(RewardError, match="starting"):
            await reward.score(CHATS)
        await asyncio.gather(*(reward.score([messages]) for messages in CHATS * 3))
    assert [asked.path for asked in server.received].count("/v1/models") == 2


async def test_no_more_requests_are_in_flight_than_allowed() -> None:
    inside = most = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal inside, most
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await reader.readexactly(int(head.partition("content-length:")[2].split()[0]))
        inside += 1
        most = max(most, inside)
        for _ in range(20):
            await asyncio.sleep(0)
        inside -= 1
        writer.write(ok({"scores": [1]}))
        writer.close()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        await HTTPReward(url, batch=1, parallel=3).score(CHATS * 8)
    assert most == 3


async def test_nothing_is_asked_for_nothing() -> None:
    assert await HTTPReward("http://localhost:1").score([]) == []


async def test_a_failure_ends_the_other_calls() -> None:
    def respond(request: Received) -> bytes:
        return scores(request) if len(request.json["conversations"]) == 2 else error("no", 400)

    async with serving(respond) as server:
        with pytest.raises(RewardError):
            await HTTPReward(server.url, batch=2).score([*CHATS * 4, CHATS[0]])
    assert len(asyncio.all_tasks()) == 1


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections, which then outlive the loop that opened them

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "15")
        self.end_headers()
        self.wfile.write(b'{"scores": [1]}')

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_reward_lives_through_several_event_loops() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        reward = HTTPReward(f"http://127.0.0.1:{server.server_port}")

        async def score_and_close() -> list[Score | float]:
            scores = await reward.score(CHATS[:1])
            await reward.aclose()
            return scores

        assert asyncio.run(reward.score(CHATS[:1])) == [1.0]
        assert asyncio.run(score_and_close()) == [1.0]
        assert asyncio.run(score_and_close()) == [1.0]
        server.shutdown()


@pytest.mark.parametrize("value", [None, True, "0.5", [0.5], {}])
def test_what_is_no_number_is_reported(value: object) -> None:
    with pytest.raises(RewardError, match=r"a score is .*, where a number is expected"):
        number(value, "a score")


@pytest.mark.parametrize(
    "entries",
    [
        None,
        [],
        [{"index": 0}],
        [{"index": 0}, {"index": 0}],
        [{"index": 1}, {"index": 2}],
        [{"index": 0}, "x"],
        [{}, {}],
    ],
)
def test_indices_must_be_those_of_what_was_sent(entries: object) -> None:
    with pytest.raises(RewardError, match="for 2 conversations"):
        in_order(entries, 2, "it")


def test_several_numbers_need_weights() -> None:
    assert combined({"a": 2.0}, None, "it").value == 2
    score = combined({"a": 2.0, "b": 3.0}, {"a": 1, "b": -0.5}, "it")
    assert (score.value, score.parts) == (0.5, {"a": 2.0, "b": 3.0})
    with pytest.raises(RewardError, match=r"sent 2 numbers \(a, b\): say what each counts"):
        combined({"a": 2.0, "b": 3.0}, None, "it")
    with pytest.raises(RewardError, match="sent no 'c'; it sent a, b"):
        combined({"a": 2.0, "b": 3.0}, {"c": 1}, "it")
