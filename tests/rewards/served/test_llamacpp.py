"""llama.cpp: its real server in this process, and a server on which each plausible mistake shows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

from models.server import Received, error, models, serving
from rewards.served.kit import CHATML, QUERY, chat, ok, values
from tpo.errors import InputError, RewardError, RewardTooLong
from tpo.messages import answered
from tpo.rewards.llamacpp import LlamaCppReward
from tpo.rewards.served_spec import detect

ANSWERS = ["Berlin", "Paris.", "I do not know."]
CHATS = [chat(answer) for answer in ANSWERS]
END = "<|im_end|>\n"


def llamacpp(prefill: bool = False, rows: int = 1) -> Any:
    """Scores by length. Its ranks are sorted, its embeddings normalised unless told otherwise, and longer than one."""

    def embedding(text: str, normalize: int) -> list[Any]:
        score = 20.0 + len(text)
        garbage = [4.5e-41, None, 1.9e17]
        return [[math.copysign(1.0, score) if normalize >= 0 else score, *garbage]] * rows

    def respond(request: Received) -> bytes:
        if request.path == "/v1/models":
            return models("/somewhere/on/a/disk/rm-Q8.gguf", owned_by="llamacpp")
        body = request.json
        if request.path == "/apply-template":
            # The last message of the assistant is to be continued, unless the server was started otherwise.
            text = "".join(f"<|im_start|>{m['role']}\n{m['content']}{END}" for m in body["messages"])
            return ok({"prompt": text.removesuffix(END) if prefill else text})
        assert body["model"] == "/somewhere/on/a/disk/rm-Q8.gguf"
        if request.path == "/v1/rerank":
            scores = [{"index": at, "relevance_score": -1.0 * len(d)} for at, d in enumerate(body["documents"])]
            return ok({"results": sorted(scores, key=lambda result: -result["relevance_score"])})
        if request.path == "/embedding":
            normalize = body.get("embd_normalize", 2)
            return ok([{"index": at, "embedding": embedding(t, normalize)} for at, t in enumerate(body["content"])])
        return error("File Not Found", 404)

    return respond


async def test_ranks_find_back_to_their_answers() -> None:
    async with serving(llamacpp()) as server:
        reward = LlamaCppReward(server.url, batch=2)
        mixed = [*CHATS[:2], chat("Rome", "And of Italy?"), CHATS[2]]
        assert values(await reward.score(mixed)) == [-6.0, -6.0, -4.0, -14.0]
        assert reward.name == f"llamacpp:rm-Q8.gguf@{server.url.removesuffix('/v1')}?form=rerank"
    sent = [(r.json["query"], len(r.json["documents"])) for r in server.received if r.path == "/v1/rerank"]
    assert sorted(sent) == [("And of Italy?", 1), (QUERY, 1), (QUERY, 2)]


async def test_a_query_with_history_is_sent_readably() -> None:
    history = [*chat("Paris."), {"role": "user", "content": "Why?"}]
    async with serving(llamacpp()) as server:
        await LlamaCppReward(server.url).score([answered(history, "A king chose it.")])
    assert server.received[-1].json["query"] == f"User: {QUERY}\n\nAssistant: Paris.\n\nUser: Why?"


async def test_chats_are_scored_by_the_first_number_as_it_is() -> None:
    async with serving(llamacpp()) as server:
        scores = values(await LlamaCppReward(server.url, form="chat", batch=2).score(CHATS))
        assert [score - scores[0] for score in scores] == [0, 0, 8]
        scores = values(await LlamaCppReward(server.url, template=CHATML).score(CHATS))
        assert [score - scores[0] for score in scores] == [0, 0, 8]
    assert server.received[-1].json["content"][0].endswith(f"Berlin{END}")


async def test_an_answer_that_is_left_open_is_reported() -> None:
    async with serving(llamacpp(prefill=True)) as server:
        with pytest.raises(RewardError, match=r"as one to be continued.*--no-prefill-assistant"):
            await LlamaCppReward(server.url, form="chat").score(CHATS)


async def test_a_server_that_pools_otherwise_is_reported() -> None:
    async with serving(llamacpp(rows=3)) as server:
        with pytest.raises(RewardError, match="sent 3 rows for one conversation, so it does not pool by rank"):
            await LlamaCppReward(server.url, template=CHATML).score(CHATS)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"results": []},
        {"results": [{"index": 0, "score": 1.0}]},
        {"results": [{"index": 5, "relevance_score": 1.0}]},
    ],
)
async def test_answers_that_are_no_scores_are_reported(answer: Any) -> None:
    async with serving(lambda request: models("m") if request.method == "GET" else ok(answer)) as server:
        with pytest.raises(RewardError):
            await LlamaCppReward(server.url).score(CHATS[:1])


def test_forms_and_templates_that_do_not_go_together_are_reported() -> None:
    for options in ({"form": "rerank", "template": CHATML}, {"form": "text"}):
        with pytest.raises(InputError, match="form="):
            LlamaCppReward("http://localhost", **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def ranking() -> Iterator[str]:
    """SmolLM2 pooled by rank: it has no head for that, so that its scores mean nothing, but the wire is real.

    One slot: without a head, a second one would be given numbers of the first.
    """
    xllamacpp = pytest.importorskip("xllamacpp")
    from tpo.models import weights

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(weights.smollm2())
    parameters.embedding = True
    parameters.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_RANK
    parameters.prefill_assistant = False
    parameters.n_ctx, parameters.n_parallel, parameters.port = 512, 1, 0
    # Two threads that wait for each other on a busy machine are slower than one.
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    parameters.verbosity, parameters.ui, parameters.warmup = -1, False, False
    server = xllamacpp.Server(parameters)
    yield server.listening_address
    del server


@pytest.mark.embedded
async def test_the_real_server_ranks(ranking: str) -> None:
    reward = LlamaCppReward(ranking)
    together = values(await reward.score(CHATS))
    alone = [values(await reward.score([messages]))[0] for messages in CHATS]
    await reward.aclose()
    # Neither all the same nor in the order of their ranks, so that a mix-up would show.
    assert together == pytest.approx(alone, abs=1e-3)
    assert together != sorted(together, reverse=True) and len(set(together)) == 3
    assert await detect(ranking) == "llamacpp"
    assert reward.name.startswith("llamacpp:SmolLM2-135M-Instruct")


@pytest.mark.embedded
async def test_the_real_server_scores_chats(ranking: str) -> None:
    served = LlamaCppReward(ranking, form="chat")
    rendered = LlamaCppReward(ranking, template=CHATML)
    try:
        scores = values(await served.score(CHATS))
        assert values(await rendered.score(CHATS)) == pytest.approx(scores, abs=1e-3)
        # Normalised numbers would all be of the same size, and tiny.
        assert len({round(score, 3) for score in scores}) == 3 and max(map(abs, scores)) > 0.1
        with pytest.raises(RewardTooLong, match=r"does not fit the reward model.*exceeds the available context size"):
            await rendered.score([chat("hello " * 600)])
    finally:
        await served.aclose()
        await rendered.aclose()
