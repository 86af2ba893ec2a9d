"""Prompt sets: the query unchanged, folders laid over the default, and errors before any call."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpo.candidate import Candidate
from tpo.errors import PromptError
from tpo.messages import conversation
from tpo.prompts import Prompt, PromptSet

GOOD = Candidate("0.0", 0, "Wipe it.", 1.0, feedback="kept 1 of 2 requirements")
BAD = Candidate("0.1", 0, "Burn it.", 0.0)
CHAT = [
    {"role": "system", "content": "You are a carpenter."},
    {"role": "user", "content": "Hello", "name": "ann"},
    {"role": "assistant", "content": "Good day."},
    {"role": "user", "content": "How do I clean a table?"},
]


def folder(path: Path, **files: str) -> Path:
    for name, text in files.items():
        (path / name.replace("__", ".")).write_text(text)
    return path


def text_of_all(prompt: Prompt) -> str:
    return "\n".join(message["content"] for message in prompt.messages)


def test_the_policy_gets_the_conversation_unchanged() -> None:
    assert PromptSet().render("answer", conversation(CHAT)).messages == CHAT


@given(st.text().filter(str.strip))
def test_a_question_of_any_text_reaches_the_policy_unchanged(text: str) -> None:
    assert PromptSet().render("answer", conversation(text)).messages == [{"role": "user", "content": text}]


def test_the_critic_reads_system_message_and_history() -> None:
    shown = PromptSet().render("loss", conversation(CHAT), chosen=GOOD, rejected=BAD).messages[-1]["content"]
    for part in ("System: You are a carpenter.", "Assistant: Good day.", "User: How do I clean a table?"):
        assert part in shown


def test_feedback_of_a_reward_reaches_loss_gradient_and_update() -> None:
    prompts, query = PromptSet(), conversation("How?")
    for prompt in (
        prompts.render("loss", query, chosen=GOOD, rejected=BAD),
        prompts.render("gradient", query, chosen=GOOD, rejected=BAD, loss="loss"),
        prompts.render("update", query, chosen=GOOD, rejected=BAD, loss="loss", gradient="gradient"),
        prompts.render("revision_loss", query, chosen=GOOD),
    ):
        assert "kept 1 of 2 requirements" in text_of_all(prompt)
    silent = PromptSet().render("loss", query, chosen=BAD, rejected=None)
    assert "check" not in silent.messages[-1]["content"]


@given(st.text(), st.text())
def test_texts_go_into_templates_as_they_are(answer: str, advice: str) -> None:
    chosen = Candidate("0.0", 0, answer, 1.0)
    content = text_of_all(
        PromptSet().render("update", conversation("How?"), chosen=chosen, rejected=None, loss="", gradient=advice)
    )
    assert answer in content
    assert advice in content or not advice.strip()


def test_wording_of_the_papers_code_can_be_dropped_in(tmp_path: Path) -> None:
    own = PromptSet(
        folder(
            tmp_path,
            loss__system__jinja="Query: {{ query }} Rejected: {{ rejected }}",
            loss__user__jinja="{{ chosen }}",
            update__user__jinja="Rewrite. Use <IMPROVED_VARIABLE>{improved variable}</IMPROVED_VARIABLE>.",
        )
    )
    query = conversation("How?")
    assert own.render("loss", query, chosen=GOOD, rejected=BAD).messages == [
        {"role": "system", "content": "Query: How? Rejected: Burn it."},
        {"role": "user", "content": "Wipe it."},
    ]
    update = own.render("update", query, chosen=GOOD, rejected=BAD, loss="loss", gradient="gradient")
    # Replacing a prompt replaces all of it: the default's system message is gone.
    assert [message["role"] for message in update.messages] == ["user"]
    assert update.read("<IMPROVED_VARIABLE>Cloth.</IMPROVED_VARIABLE>") == "Cloth."
    # What the folder leaves alone is worded for prompts that stand by themselves, as those are.
    system, user = own.render("gradient", query, chosen=GOOD, rejected=BAD, loss="loss").messages
    assert (system["role"], user["role"]) == ("system", "user")
    for part in ("How?", "Wipe it.", "loss"):
        assert part in user["content"]
    # The revision twin of a prompt follows it unless it has a wording of its own.
    assert (
        own.render("revision_update", query, chosen=GOOD, loss="loss", gradient="gradient").messages == update.messages
    )


def test_an_answer_template_may_reword_the_question_and_add_a_system_message(tmp_path: Path) -> None:
    own = PromptSet(folder(tmp_path, answer__system__jinja="Be brief.", answer__user__jinja="Q: {{ question }}"))
    assert own.render("answer", conversation("How?")).messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Q: How?"},
    ]
    # A user's own system message is not talked over.
    assert own.render("answer", conversation(CHAT)).messages == [
        *CHAT[:3],
        {**CHAT[3], "content": "Q: How do I clean a table?"},
    ]


def test_a_set_may_name_its_own_tags(tmp_path: Path) -> None:
    own = PromptSet(folder(tmp_path, set__toml='tags = ["final"]'))
    prompt = own.render("update", conversation("How?"), chosen=GOOD, rejected=BAD, loss="", gradient="")
    assert "<final>" in prompt.messages[-1]["content"]
    assert prompt.read("<final>Cloth.</final>") == "Cloth."


def test_the_name_distinguishes_wordings(tmp_path: Path) -> None:
    assert PromptSet().name == PromptSet().name
    assert PromptSet(folder(tmp_path, loss__user__jinja="{{ chosen }}")).name != PromptSet().name


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("loss.user.jinja", "{{ choosen }}", "names choosen"),
        ("loss.user.jinja", "{% if chosen %}", "does not parse: line 1"),
        ("loss.user.jinja", "one\ntwo {{ chosen | nofilter }}", "line 2"),
        ("loss.user.jinja", "{{ chosen.missing }}", "does not render"),
        ("los.user.jinja", "x", "holds los.user.jinja, which no method uses"),
        ("set.toml", "tags = [", "is not TOML"),
        ("set.toml", "tags = []", "needs tags"),
        ("set.toml", 'tags = ["a"]\nmore = 1', "sets more"),
        ("notes.txt", "x", "holds no template"),
    ],
)
def test_a_broken_folder_is_reported_before_any_call(tmp_path: Path, file: str, text: str, complaint: str) -> None:
    (tmp_path / file).write_text(text)
    with pytest.raises(PromptError, match=complaint):
        PromptSet(tmp_path)


def test_missing_folders_and_unreadable_templates_are_reported(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="There is no template folder"):
        PromptSet(tmp_path / "nowhere")
    (tmp_path / "loss.user.jinja").write_bytes(b"\xff\xfe")
    with pytest.raises(PromptError, match="UTF-8"):
        PromptSet(tmp_path)
