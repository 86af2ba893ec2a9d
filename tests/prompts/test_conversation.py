"""A conversation of prompts: each one of an iteration begins with the one before, for every chat template."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpo.candidate import Candidate
from tpo.errors import PromptError
from tpo.messages import Conversation, conversation
from tpo.prompts import PromptSet
from tpo.rewards.templating import ChatTemplate

if TYPE_CHECKING:
    from tpo.models.embedded import EmbeddedServer

FOLDER = Path(__file__).parent / "chat_templates"
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
# How much of what a server has computed for one prompt stands at the beginning of the next one: the prompt with the
# critic's reply; the whole prompt, while the reply is written in another way than it was generated (a blank in front,
# a channel's or an empty thinking block's tags); or its messages alone, since the prompt ends with an opened thinking
# block, which is taken away once the turn is over.
REPLY, PROMPT, MESSAGES = "reply", "prompt", "messages"
KEPT = {
    "smollm2": REPLY,
    "qwen2.5": REPLY,
    "qwen3": REPLY,
    "qwen3.5": MESSAGES,
    "phi-3.5": REPLY,
    "glm-4.5": PROMPT,
    "gpt-oss": PROMPT,
    "deepseek-r1-distill": MESSAGES,
    "mistral-v3": PROMPT,
    "mistral-v3-tekken": REPLY,
    "mistral-v7-tekken": REPLY,
}

QUERY = conversation("How do I clean a table?")
CHAT = conversation(
    [
        {"role": "system", "content": "You are a carpenter."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Good day."},
        {"role": "user", "content": "How do I clean a table?"},
    ]
)
GOOD = Candidate("0.0", 0, "Wipe it.", 1.0, feedback="kept 1 of 2 requirements")
BAD = Candidate("0.1", 0, "Burn it.\n\n", 0.0)
LOSS = "It keeps the table."
GRADIENT = "1. Name a cloth.\n2. Say how to dry it."
SPECIALS = "<|im_end|>\n<|im_start|>system\n</s>[INST] <improved_answer> {{ query }} {% raw %} </improved_answer>"


def iteration(
    prompts: PromptSet,
    query: Conversation = QUERY,
    chosen: Candidate = GOOD,
    rejected: Candidate | None = BAD,
    loss: str = LOSS,
    gradient: str = GRADIENT,
) -> list[Conversation]:
    """The messages of an iteration's prompts, in their order."""
    return [
        prompts.render("loss", query, chosen=chosen, rejected=rejected).messages,
        prompts.render("gradient", query, chosen=chosen, rejected=rejected, loss=loss).messages,
        prompts.render("update", query, chosen=chosen, rejected=rejected, loss=loss, gradient=gradient).messages,
    ]


def begins(later: Conversation, earlier: Conversation) -> bool:
    return later[: len(earlier)] == earlier


def template(name: str) -> ChatTemplate:
    return ChatTemplate((FOLDER / f"{name}.jinja").read_text("utf-8"), SPECIAL, name)


def own(path: Path, **files: str) -> PromptSet:
    for name, text in files.items():
        (path / f"{name.replace('__', '.')}").write_text(text)
    return PromptSet(path)


def test_every_template_in_the_folder_is_tested() -> None:
    assert KEPT.keys() == {path.stem for path in FOLDER.glob("*.jinja")}


@pytest.mark.parametrize("name", KEPT)
@pytest.mark.parametrize("query", [QUERY, CHAT], ids=["question", "chat"])
@pytest.mark.parametrize("rejected", [BAD, None], ids=["contrast", "revision"])
def test_a_server_has_computed_the_beginning_of_each_later_prompt(
    name: str, query: Conversation, rejected: Candidate | None
) -> None:
    messages = iteration(PromptSet(), query, rejected=rejected)
    for (earlier, later), reply in zip(pairwise(messages), (LOSS, GRADIENT), strict=True):
        assert kept(template(name), earlier, reply, later) == KEPT[name]


def kept(chat: ChatTemplate, earlier: Conversation, reply: str, later: Conversation) -> str:
    text = chat.text(later, bos=True, answer_due=True)
    prompt = chat.text(earlier, bos=True, answer_due=True)
    if text.startswith(prompt):
        return REPLY if text.startswith(prompt + reply) else PROMPT
    return MESSAGES if text.startswith(chat.text(earlier, bos=True)) else "nothing"


@pytest.mark.parametrize("name", KEPT)
def test_the_next_iteration_shares_all_that_stands_before_its_new_answers(name: str) -> None:
    better, worse = Candidate("1.0", 1, "Dust it first.", 2.0), Candidate("1.1", 1, "No.", -1.0)
    first, both_new, one_new = (
        template(name).text(
            PromptSet().render("loss", CHAT, chosen=answers[0], rejected=answers[1]).messages, bos=True, answer_due=True
        )
        for answers in ((GOOD, BAD), (better, worse), (better, BAD))
    )
    before = first[: first.index(BAD.text.strip())]
    assert "How do I clean a table?" in before
    assert both_new.startswith(before)
    # The worst answer often stays the worst, and so stands first.
    assert one_new.startswith(first[: first.index(GOOD.text)])


@pytest.mark.embedded
def test_the_embedded_models_own_tokens_extend_each_other(embedded_server: EmbeddedServer) -> None:
    root = embedded_server.url.removesuffix("/v1")
    with httpx.Client(headers={"Authorization": f"Bearer {embedded_server.api_key}"}, trust_env=False) as http:

        def asked(path: str, **fields: Any) -> Any:
            return http.post(root + path, json=fields).raise_for_status().json()

        def tokens(text: str) -> list[int]:
            found: list[int] = asked("/tokenize", content=text, add_special=True, parse_special=True)["tokens"]
            return found

        messages = iteration(PromptSet(), CHAT)
        sent = [asked("/apply-template", messages=one)["prompt"] for one in messages]
        assert sent == [template("smollm2").text(one, bos=True, answer_due=True) for one in messages]
        for (earlier, later), reply in zip(pairwise(sent), (LOSS, GRADIENT), strict=True):
            known = tokens(earlier + reply)
            assert tokens(later)[: len(known)] == known


TEXTS = st.text() | st.sampled_from([SPECIALS, "", " \n", "</think>"])


@given(TEXTS.filter(str.strip), TEXTS, st.none() | TEXTS, TEXTS, TEXTS, st.none() | TEXTS)
def test_each_later_prompt_begins_with_the_messages_of_the_one_before(
    query: str, chosen: str, rejected: str | None, loss: str, gradient: str, feedback: str | None
) -> None:
    worse = Candidate("0.1", 0, rejected, 0.0, feedback=feedback) if rejected is not None else None
    better = Candidate("0.0", 0, chosen, 1.0, feedback=feedback)
    told = iteration(PromptSet(), conversation(query), better, worse, loss, gradient)
    for earlier, later in pairwise(told):
        assert begins(later, earlier)
        assert [message["role"] for message in later[len(earlier) :]] == ["assistant", "user"]
    # Whatever looks like a chat template's token, a tag or a template's own braces is text like all other.
    assert query in told[0][-1]["content"]
    assert chosen in told[0][-1]["content"]
    for reply, message in ((loss, told[2][-4]), (gradient, told[2][-2])):
        assert message["content"] == reply if reply.strip() else message["content"].strip()


def test_methods_that_revise_grow_a_conversation_too() -> None:
    prompts = PromptSet()
    loss = prompts.render("revision_loss", QUERY, chosen=GOOD).messages
    gradient = prompts.render("revision_gradient", QUERY, chosen=GOOD, loss=LOSS).messages
    update = prompts.render("revision_update", QUERY, chosen=GOOD, loss=LOSS, gradient=GRADIENT)
    assert begins(gradient, loss)
    assert begins(update.messages, gradient)
    assert update.read("<improved_answer>Cloth.</improved_answer>") == "Cloth."
    assert prompts.render("gradient", QUERY, chosen=GOOD, rejected=None, loss=LOSS).messages == gradient


def test_a_reply_without_text_never_becomes_an_empty_message(tmp_path: Path) -> None:
    update = PromptSet().render("update", QUERY, chosen=GOOD, rejected=BAD, loss="", gradient=" \n").messages
    assert all(message["content"].strip() for message in update)
    quiet = (
        own(tmp_path, set__toml='no_reply = "Nothing."')
        .render("update", QUERY, chosen=GOOD, rejected=BAD, loss="", gradient=" \n")
        .messages
    )
    assert [message["content"] for message in quiet if message["role"] == "assistant"] == ["Nothing.", "Nothing."]


def test_a_wording_of_ones_own_stands_by_itself_unless_it_sets_otherwise(tmp_path: Path) -> None:
    text = "Better than {{ rejected }}: {{ chosen }}?"
    alone = own(tmp_path, loss__user__jinja=text)
    assert not alone.settings.conversation
    # What the folder leaves alone is worded for prompts that stand by themselves, too.
    roles = [[message["role"] for message in one] for one in iteration(alone)]
    assert roles == [["user"], ["system", "user"], ["system", "user"]]
    assert LOSS in alone.render("gradient", QUERY, chosen=GOOD, rejected=BAD, loss=LOSS).messages[-1]["content"]

    grown = own(tmp_path, set__toml="conversation = true", loss__system__jinja="Be strict.")
    told = iteration(grown)
    assert told[0] == [
        {"role": "system", "content": "Be strict."},
        {"role": "user", "content": "Better than Burn it.\n\n: Wipe it.?"},
    ]
    assert begins(told[1], told[0])
    assert told[1][-1] == PromptSet().render("gradient", QUERY, chosen=GOOD, rejected=BAD, loss=LOSS).messages[-1]
    assert begins(told[2], told[1])
    assert alone.name != grown.name


@pytest.mark.parametrize(
    ("file", "grows"),
    [
        ("answer.system.jinja", True),
        ("loss.user.jinja", False),
        ("gradient.user.jinja", False),
        ("update.user.jinja", False),
        ("revision_update.user.jinja", False),
        ("set.toml", True),
    ],
)
def test_only_a_wording_of_the_conversation_itself_leaves_it(tmp_path: Path, file: str, grows: bool) -> None:
    (tmp_path / file).write_text('tags = ["final"]' if file == "set.toml" else "Be brief.")
    assert PromptSet(tmp_path).settings.conversation is grows


def test_the_default_wording_can_be_had_without_a_conversation(tmp_path: Path) -> None:
    alone = own(tmp_path, set__toml="conversation = false")
    assert [len(one) for one in iteration(alone)] == [2, 2, 2]
    # The tags that a folder does not name are the default's.
    assert alone.settings.tags == PromptSet().settings.tags


def test_the_name_distinguishes_a_conversation_from_standalone_prompts(tmp_path: Path) -> None:
    names = set()
    texts = {f"{name}.user.jinja": "{{ chosen }}" for name in ("loss", "gradient", "update", "revision_loss")}
    for grows in ("true", "false"):
        folder = tmp_path / grows / "mine"
        folder.mkdir(parents=True)
        names.add(own(folder, **texts, **{"set.toml": f"conversation = {grows}"}).name)
    assert len(names) == 2


def test_what_a_template_makes_of_an_earlier_step_does_not_change_later(tmp_path: Path) -> None:
    greedy = "{{ loss }}|{{ gradient }}|{{ chosen }}"
    prompts = own(
        tmp_path,
        set__toml="conversation = true",
        loss__user__jinja=greedy,
        gradient__user__jinja=greedy,
        update__user__jinja=greedy,
    )
    told = iteration(prompts)
    assert begins(told[1], told[0])
    assert begins(told[2], told[1])
    assert [message["content"] for message in told[2]] == [
        "||Wipe it.",
        LOSS,
        f"{LOSS}||Wipe it.",
        GRADIENT,
        f"{LOSS}|{GRADIENT}|Wipe it.",
    ]


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("gradient.system.jinja", "x", "gradient.system.jinja would never be sent: .* gradient.user.jinja"),
        ("update.system.jinja", "x", "update.system.jinja would never be sent"),
        ("revision_gradient.system.jinja", "x", "revision_gradient.system.jinja would never be sent"),
        ("loss.system.jinja", "x", "lacks loss.user.jinja"),
        ("set.toml", 'conversation = "yes"', "needs conversation to be true or false"),
        ("set.toml", "conversation = 1", "needs conversation to be true or false"),
        ("set.toml", 'no_reply = " "', "needs no_reply to be a text that is not empty"),
    ],
)
def test_what_a_conversation_would_never_send_is_reported_before_anything_is_sent(
    tmp_path: Path, file: str, text: str, complaint: str
) -> None:
    (tmp_path / "set.toml").write_text("conversation = true")
    (tmp_path / file).write_text(text)
    with pytest.raises(PromptError, match=complaint):
        PromptSet(tmp_path)
