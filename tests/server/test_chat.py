"""Chat completions through the real server: what is asked of the policy, and what the client gets."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from server.conftest import HI, Serve
from server.policy import call, critic, drawing, saying
from tpo.config import NamedReward
from tpo.options import ServeOptions
from tpo.rewards.require import Requirements

TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


async def test_a_preset_explains_how_an_answer_is_searched_for(serve: Serve) -> None:
    async with serve(drawing(["a", "bbb", "cc"])) as up:
        answer = (await up.chat("small:best-of-3")).json()
        assert answer["choices"][0]["message"]["content"] == "bbb"
        assert answer["model"] == "small:best-of-3" and answer["object"] == "chat.completion"
        assert len(up.policy.bodies) == 3 and all(body["messages"] == HI for body in up.policy.bodies)
        assert answer["tpo"]["method"] == "best-of-n" and answer["tpo"]["reward"] == 3.0


async def test_tpo_criticises_and_rewrites(serve: Serve) -> None:
    async with serve(drawing(["a", "bbb", "cc", "better", "best of all", "good"])) as up:
        answer = (await up.chat("small:tpo-d1-n3")).json()
        assert answer["choices"][0]["message"]["content"] == "best of all"
        assert sum(critic(body) for body in up.policy.bodies) == 2  # loss and gradient
        assert answer["tpo"]["reward_before"] == 3.0 and answer["tpo"]["reward"] == 11.0
        assert answer["tpo"]["stop"] == "depth" and answer["tpo"]["error"] is None


async def test_fused_tpo_criticises_once(serve: Serve) -> None:
    async with serve(drawing(["a", "bbb", "cc", "better", "best of all", "good"])) as up:
        answer = (await up.chat("small:tpo-fused-d1-n3")).json()
        assert answer["choices"][0]["message"]["content"] == "best of all"
        assert sum(critic(body) for body in up.policy.bodies) == 1


async def test_prompts_are_read_once_and_not_for_each_request(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "answer.user.jinja").write_text("Q: {{ question }}")
    async with serve(saying("Ho"), prompts=tmp_path) as up:
        (tmp_path / "answer.user.jinja").write_text("{% broken")
        for _ in range(2):
            assert (await up.chat("small:sample")).status_code == 200
        assert up.policy.prompts == ["Q: Hi"] * 2


async def test_usage_sums_all_roles_with_the_answer_apart(serve: Serve) -> None:
    async with serve(drawing(["a", "bbb", "cc"])) as up:
        usage = (await up.chat("small:tpo-d1-n3")).json()["usage"]
        # Three answers, a loss, a gradient, three more answers.
        assert usage["prompt_tokens"] == 80 and usage["completion_tokens"] == 40 and usage["total_tokens"] == 120
        assert usage["tpo"]["answer_tokens"] == 5
        assert usage["tpo"]["critic"]["calls"] == 2 and usage["tpo"]["policy"]["calls"] == 3


async def test_a_plain_model_is_passed_through_byte_by_byte(serve: Serve) -> None:
    body = b'{ "messages": [{"role":"user","content":"Hi \\u00e9"}],  "model": "small", "odd": [1, null], "n": 2 }'
    async with serve(saying("Ho")) as up:
        headers = {"content-type": "application/json", "authorization": "Bearer client-key", "x-tpo-width": "7"}
        answer = await up.client.post("/chat/completions", content=body, headers=headers)
        assert up.policy.raw == [body]
        assert answer.json()["id"] == "up" and len(answer.json()["choices"]) == 2
        assert not any("client-key" in value for value in up.policy.headers[0].values())
        assert answer.headers["x-request-id"].startswith("req-")


async def test_a_plain_stream_is_passed_through_as_it_comes(serve: Serve) -> None:
    async with serve(saying("Ho")) as up:
        chunks, text = await up.events("small")
        assert chunks[0]["id"] == "up" and text.endswith("data: [DONE]\n\n")


async def test_a_plain_models_refusal_is_the_servers_own(serve: Serve) -> None:
    async with serve(saying(422)) as up:
        answer = await up.chat("small")
        assert answer.status_code == 422 and answer.json()["error"]["message"] == "It is not to be had."


async def test_a_key_that_the_policy_refuses_is_not_the_clients(serve: Serve) -> None:
    async with serve(saying(401)) as up:
        answer = await up.chat("small")
        assert answer.status_code == 502 and "TPO_API_KEY" in answer.json()["error"]["message"]


async def test_the_body_or_headers_set_how(serve: Serve) -> None:
    async with serve(drawing(["a", "bb"])) as up:
        answer = (await up.chat("small", tpo={"method": "best-of-n", "width": 2})).json()
        assert (answer["tpo"]["method"], answer["tpo"]["width"]) == ("best-of-n", 2)
        headers = {"x-tpo-method": "best-of-n", "x-tpo-width": "4"}
        body = {"model": "small:tpo", "messages": HI, "tpo": {"width": 2}}
        answer = (await up.client.post("/chat/completions", json=body, headers=headers)).json()
        assert (answer["tpo"]["method"], answer["tpo"]["width"]) == ("best-of-n", 2)  # the body counts first


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({"tpo": {"widht": 2}}, "tpo.widht", "Did you mean width?"),
        ({"tpo": {"width": "two"}}, "tpo.width", "expected `int"),
        ({"tpo": {"width": 99}}, "tpo.width", "up to 32"),
        ({"tpo": {"depth": 9}}, "tpo.depth", "up to 8"),
        ({"n": 33}, "n", "n is 33, and here it goes up to 32"),
        ({"tpo": {"reward": "python:os:system"}}, "tpo.reward", "not a reward of this server"),
        ({"tpo": {"method": "magic"}}, None, "no method"),
        ({"tpo": {"require": ["max-wrods=3"]}}, None, "max-words"),
        ({"tpo": {"select": "worst"}}, None, "knockout"),
        ({"tpo": {"select": "soft", "require": ["max-words=3"]}}, "tpo.select", "leave it out"),
        ({"tpo": []}, "tpo", "not an object"),
        ({"tpo": "x"}, "tpo", "not an object"),
        ({"functions": [{}]}, "functions", "tools"),
        ({"modalities": ["text", "audio"]}, "modalities", "plain model"),
        ({"max_tokens": 3, "max_completion_tokens": 4}, "max_tokens", "differ"),
        ({"max_tokens": 101}, "max_tokens", "up to 100"),
        ({"temperature": -1}, "temperature", ">= 0"),
        ({"messages": []}, "messages", "length >= 1"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, None, "'wizard'"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "json_schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": 3}}}}, None, "schema"),
        ({"n": 0}, "n", ">= 1"),
    ],
)
async def test_what_cannot_be_is_refused_in_openais_shape(
    serve: Serve, body: dict[str, Any], param: str | None, words: str
) -> None:
    async with serve(drawing(["a"]), serving=ServeOptions(max_answer=100), max_tokens=50) as up:
        answer = await up.chat(**body)
        error = answer.json()["error"]
        assert answer.status_code == 400 and error["type"] == "invalid_request_error"
        assert error["param"] == param or param is None
        assert words in error["message"]
        assert not up.policy.bodies


async def test_an_unknown_model_is_a_404_that_lists_what_is_there(serve: Serve) -> None:
    async with serve(drawing(["a"])) as up:
        for model in ("large", "small:tpo-x9", "small:", "large:tpo"):
            answer = await up.chat(model)
            assert answer.status_code == 404 and answer.json()["error"]["code"] == "model_not_found"
            assert "small" in answer.json()["error"]["message"]


async def test_a_preset_alone_means_the_only_model(serve: Serve) -> None:
    async with serve(drawing(["a", "bb"])) as up:
        assert (await up.chat("best-of-2")).json()["choices"][0]["message"]["content"] == "bb"
    async with serve(drawing(["a"]), names=("one", "two")) as up:
        assert (await up.chat("best-of-2")).status_code == 404


async def test_several_models_of_a_server_are_all_there(serve: Serve) -> None:
    async with serve(drawing(["a"]), names=("one:7b", "two")) as up:
        listed = [card["id"] for card in (await up.client.get("/models")).json()["data"]]
        assert {"one:7b", "two", "one:7b:tpo", "two:best-of-5"} <= set(listed)
        assert (await up.chat("one:7b:best-of-2")).json()["choices"][0]["message"]["content"] == "a"
        assert {body["model"] for body in up.policy.bodies} == {"one:7b"}
        card = (await up.client.get("/models/one:7b:tpo")).json()
        assert card["id"] == "one:7b:tpo" and card["object"] == "model"
        assert (await up.client.get("/models/three")).status_code == 404


async def test_what_is_unknown_reaches_the_policy_and_not_the_critic(serve: Serve) -> None:
    extra = {"top_k": 7, "stop": ["END"], "user": "u1", "logit_bias": {"5": 1}}
    async with serve(drawing(["a", "bb"])) as up:
        answer = await up.chat(
            "small:tpo-d1-n2", **extra, temperature=0.1, top_p=0.5, max_completion_tokens=33, seed=-4
        )
        assert answer.status_code == 200
        for body in up.policy.bodies:
            given = {key: body[key] for key in extra if key in body}
            # The reply to an update prompt has tags around the answer: it gets room for them, and no stop sequence.
            update = "improved_answer" in str(body["messages"])
            sent = {key: value for key, value in extra.items() if not (update and key == "stop")}
            assert given == ({} if critic(body) else sent)
            assert (body["temperature"], body["top_p"]) == (0.1, 0.5) or critic(body)
            assert body["max_tokens"] == 33 or update or critic(body)
        assert all(body["seed"] >= 0 for body in up.policy.bodies)


async def test_n_answers_are_the_best_ones(serve: Serve) -> None:
    async with serve(drawing(["a", "cccc", "bb", "dddddd"])) as up:
        answer = (await up.chat("small:best-of-4", n=3)).json()
        texts = [choice["message"]["content"] for choice in answer["choices"]]
        assert texts == ["dddddd", "cccc", "bb"] and [c["index"] for c in answer["choices"]] == [0, 1, 2]
        assert answer["usage"]["tpo"]["answer_tokens"] == 15
        assert (await up.chat("small:sample", n=2)).status_code == 400
        answer = (await up.chat("small:best-of-2", n=4)).json()  # of four that say the same
        assert answer["tpo"]["width"] == 4 and len(answer["choices"]) == 4


async def test_a_whole_conversation_reaches_the_policy(serve: Serve) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": "x"}}],
        },
        {"role": "assistant", "content": "At what?", "name": "bot"},
        {"role": "user", "content": "At this."},
    ]
    async with serve(drawing(["a", "bb"])) as up:
        assert (await up.chat("small:best-of-2", messages=messages)).status_code == 200
        assert all(body["messages"] == messages for body in up.policy.bodies)


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.mark.parametrize(
    ("form", "best"),
    [
        ({"type": "json_object"}, '{"n": "many"}'),
        ({"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}, '{"n": 3}'),
        ({"type": "text"}, "This is a long answer which is no JSON at all."),
        (None, "This is a long answer which is no JSON at all."),
    ],
)
async def test_answers_that_break_the_format_lose(serve: Serve, form: Any, best: str) -> None:
    answers: list[Any] = ["This is a long answer which is no JSON at all.", '{"n": 3}', '{"n": "many"}', "[1, 2]"]
    async with serve(drawing([*answers, "```json\n{}\n```"])) as up:
        answer = (await up.chat("small:best-of-5", response_format=form)).json()
        assert answer["choices"][0]["message"]["content"] == best
        assert all(body.get("response_format") == form for body in up.policy.bodies)


async def test_rules_of_a_request_rank_before_the_reward(serve: Serve) -> None:
    async with serve(drawing(["one two three four", "one two"])) as up:
        answer = (await up.chat("small:best-of-2", tpo={"require": ["max-words=2"]})).json()
        assert answer["choices"][0]["message"]["content"] == "one two"


async def test_rules_of_a_request_are_read_outside_the_event_loop(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []

    def read(rules: Sequence[str]) -> Requirements:
        threads.append(threading.current_thread().name)
        return Requirements(rules)

    monkeypatch.setattr("tpo.server.request_options.Requirements", read)
    async with serve(drawing(["one two", "three"])) as up:
        await up.chat("small:best-of-2", tpo={"require": ["regex=t+h"]})
    assert [name.rpartition("_")[0] for name in threads] == ["tpo-schemas"]


async def test_a_reward_by_its_name(serve: Serve) -> None:
    rewards = {"brief": NamedReward(use="python:server.rewards:brief")}
    async with serve(drawing(["bbb", "a"]), rewards=rewards) as up:
        assert (await up.chat("small:best-of-2")).json()["choices"][0]["message"]["content"] == "bbb"
    async with serve(drawing(["bbb", "a"]), rewards=rewards) as up:
        answer = (await up.chat("small:best-of-2", tpo={"reward": "brief"})).json()
        assert answer["choices"][0]["message"]["content"] == "a"
        assert "brief" in answer["tpo"]["reward_name"]


async def test_most_of_the_first_answers_decide_about_tools(serve: Serve) -> None:
    called, long = call("weather", '{"city": "Rome"}'), "I would rather tell you a long story about the weather."
    async with serve(drawing([called, long, called])) as up:
        answer = (await up.chat("small:best-of-3", tools=TOOLS)).json()
        choice = answer["choices"][0]
        assert choice["message"]["tool_calls"] == called["tool_calls"] and choice["finish_reason"] == "tool_calls"
        assert choice["message"]["content"] is None
    async with serve(drawing([called, "It is fine.", "Fine."])) as up:
        answer = (await up.chat("small:best-of-3", tools=TOOLS)).json()
        assert answer["choices"][0]["message"]["content"] == "It is fine."
        assert answer["choices"][0]["finish_reason"] == "stop"
    async with serve(drawing([called, "It is fine.", "Fine."])) as up:
        answer = (await up.chat("small:best-of-3", tools=TOOLS, tool_choice="required")).json()
        assert answer["choices"][0]["finish_reason"] == "tool_calls"


async def test_calls_that_cannot_be_made_lose(serve: Serve) -> None:
    wrong = [call("weather", '{"city": "Rome and more'), call("storm", "{}"), call("weather", "[1]")]
    async with serve(drawing([*wrong, call("weather", "{}", "good")])) as up:
        answer = (await up.chat("small:best-of-4", tools=TOOLS)).json()
        assert answer["choices"][0]["message"]["tool_calls"][0]["id"] == "good"


async def test_a_tool_call_is_criticised_and_drawn_again_with_the_tools(serve: Serve) -> None:
    answers: list[Any] = [call("weather", '{"city": "R"}'), call("weather", '{"city": "Ro"}')]
    answers += [call("weather", '{"city": "Rome, Italy"}', "best"), call("weather", "{}")]
    async with serve(drawing(answers)) as up:
        answer = (await up.chat("small:tpo-d1-n2", tools=TOOLS)).json()
        assert answer["choices"][0]["message"]["tool_calls"][0]["id"] == "best"
        assert all(("tools" in body) != critic(body) for body in up.policy.bodies)
        assert any("<tool_call>" in prompt for prompt in up.policy.prompts)


async def test_the_trace_comes_on_request(serve: Serve) -> None:
    async with serve(drawing(["a", "bb"])) as up:
        trace = (await up.chat("small:best-of-2", tpo={"return_trace": True})).json()["tpo"]["trace"]
        assert trace[0]["record"] == "started" and trace[-1]["record"] == "ended"
        assert "trace" not in (await up.chat("small:best-of-2")).json()["tpo"]


async def test_log_probabilities_come_with_their_answer(serve: Serve) -> None:
    async with serve(drawing(["a", "bb"])) as up:
        answer = (await up.chat("small:best-of-2", logprobs=True)).json()
        assert "logprobs" in answer["choices"][0]
        assert all(body["logprobs"] is True for body in up.policy.bodies)


@pytest.mark.parametrize("model", ["small", "small:sample"])
async def test_a_message_has_a_length(serve: Serve, model: str) -> None:
    async with serve(drawing(["a"]), serving=ServeOptions(max_message=10)) as up:
        assert (await up.chat(model, messages=[{"role": "user", "content": "x" * 10}])).status_code == 200
        answer = await up.chat(model, messages=[*HI, {"role": "user", "content": "x" * 11}])
        assert answer.status_code == 400 and answer.json()["error"]["param"] == "messages[1].content"
        assert len(up.policy.bodies) == 1


async def test_a_search_has_a_limit_of_its_messages_together(serve: Serve) -> None:
    async with serve(drawing(["a"]), serving=ServeOptions(max_conversation=500)) as up:
        several = [{"role": "user", "content": "x" * 100}] * 5
        answer = await up.chat("small:best-of-2", messages=several)
        assert answer.status_code == 400 and answer.json()["error"]["param"] == "messages"
        assert "the limit of a search is 500" in answer.json()["error"]["message"]
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "x" * 500}}
        seen = [{"role": "user", "content": [{"type": "text", "text": "x"}, image]}]
        assert (await up.chat("small:best-of-2", messages=seen)).status_code == 400
        assert not up.policy.bodies
        assert (await up.chat("small", messages=several)).status_code == 200
        assert (await up.chat("small:best-of-2", messages=several[:3])).status_code == 200


async def test_reasoning_that_is_sent_back_is_left_out(serve: Serve) -> None:
    async with serve(drawing(["a"])) as up:
        first = (await up.chat("small:best-of-2")).json()["choices"][0]["message"]
        assert first["reasoning_content"] and first["reasoning_details"]
        asked = [*HI, {**first, "reasoning": "Hm."}, {"role": "user", "content": "More"}]
        assert (await up.chat("small:best-of-2", messages=asked)).status_code == 200
        again = up.policy.bodies[-1]["messages"]
        assert again == [*HI, {"role": "assistant", "content": "a"}, {"role": "user", "content": "More"}]


async def test_null_is_nothing(serve: Serve) -> None:
    async with serve(drawing(["a"])) as up:
        nothing = dict.fromkeys(["n", "stream", "stop", "tools", "temperature", "seed", "tpo", "response_format"])
        assert (await up.chat("small:best-of-2", **nothing)).status_code == 200
        assert "stop" not in json.dumps(up.policy.bodies)


async def test_a_held_out_judge_scores_answers_and_chooses_none(serve: Serve) -> None:
    async def shortness(conversations: list[Any]) -> list[float]:
        return [-float(len(conversation[-1]["content"])) for conversation in conversations]

    async with serve(drawing(["a", "bbb", "cc"]), judge=shortness) as up:
        answer = (await up.chat("small:best-of-3")).json()
        assert answer["choices"][0]["message"]["content"] == "bbb"
        assert answer["tpo"]["reward"] == 3.0
        held_out = answer["tpo"]["held_out"]
        assert (held_out["first"], held_out["answer"], held_out["error"]) == (-1.0, -3.0, None)
        assert answer["usage"]["tpo"]["judge"]["calls"] == 1
        metrics = (await up.client.get(up.url.removesuffix("/v1") + "/metrics")).text
        assert 'tpo_judged_total{outcome="worse"} 1.0' in metrics


async def test_without_a_judge_nothing_is_held_out(serve: Serve) -> None:
    async with serve(drawing(["a", "bbb", "cc"])) as up:
        assert "held_out" not in (await up.chat("small:best-of-3")).json()["tpo"]
