"""What a judge is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tpo.errors import InputError, PromptError
from tpo.messages import conversation
from tpo.rewards.judges.grades import Scale
from tpo.rewards.judges.wording import QUESTIONS, PromptName, Wording

QUERY = conversation([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi {{ low }}"}])


@pytest.mark.parametrize("prompt", QUESTIONS)
def test_the_default_wording_holds_rubric_and_query(prompt: PromptName) -> None:
    system, user = Wording(prompt).messages(QUERY)
    assert (system["role"], user["role"]) == ("system", "user")
    assert "Correct: what it says is true" in user["content"]
    # What stands in a query or an answer is no template.
    assert "Hi {{ low }}" in user["content"]


def test_an_own_folder_replaces_whole_questions(tmp_path: Path) -> None:
    (tmp_path / "pointwise.user.jinja").write_text("{{ system }}/{{ question }}/{{ answer }}/{{ low }}-{{ high }}")
    (tmp_path / "rubric.md").write_text("Mine.")
    (tmp_path / "README").write_text("not a template")
    own = Wording("pointwise", Scale(0, 4), templates=tmp_path)
    assert own.messages(QUERY, answer="Hello") == [{"role": "user", "content": "Be brief./Hi {{ low }}/Hello/0-4"}]
    assert "Mine." in Wording("pairwise", templates=tmp_path).messages(QUERY)[-1]["content"]


def test_a_rubric_file_goes_before_the_folder_s(tmp_path: Path) -> None:
    (tmp_path / "rubric.md").write_text("The folder's.")
    rubric = tmp_path / "strict.txt"
    rubric.write_text("The {{ file }}'s.\n")
    asked = Wording("critique", rubric=rubric, templates=tmp_path).messages(QUERY)[-1]["content"]
    assert "The {{ file }}'s." in asked
    assert "The folder's." not in asked


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("pointwise.user.jinja", "{{ answer", "does not parse: line 1"),
        ("pointwise.user.jinja", "{{ anwser }}", "names anwser, which is no variable"),
        ("pointwise.user.jinja", "{{ answer.text.more }}", "does not render"),
        ("pointwise.user.jinja", "{{ query.__class__.mro() }}", "does not render"),
        ("listwise.user.jinja", "{% for a in answers %}{{ a.name }}{% endfor %}", "does not render"),
        ("pairwise.usr.jinja", "x", "holds pairwise.usr.jinja, which no judge uses"),
        ("set.txt", "x", "holds no template"),
    ],
)
def test_broken_folders(tmp_path: Path, name: str, text: str, complaint: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(PromptError, match=complaint):
        Wording("pointwise", templates=tmp_path)


def test_no_folder_and_no_rubric(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="no template folder"):
        Wording("pointwise", templates=tmp_path / "nowhere")
    (tmp_path / "empty.md").write_text(" \n")
    with pytest.raises(InputError, match=r"empty.md is empty"):
        Wording("pointwise", rubric=tmp_path / "empty.md")
    (tmp_path / "latin.md").write_bytes(b"\xe4")
    with pytest.raises(InputError, match="UTF-8"):
        Wording("pointwise", rubric=tmp_path / "latin.md")


def test_the_digest_is_that_of_the_prompt(tmp_path: Path) -> None:
    rubric = tmp_path / "rubric.txt"
    rubric.write_text("Short is good.")
    default = Wording("pointwise").digest
    assert default == Wording("pointwise").digest
    others = {Wording(prompt).digest for prompt in QUESTIONS}
    assert len(others) == len(QUESTIONS)
    assert Wording("pointwise", rubric=rubric).digest not in others
    (tmp_path / "pointwise.user.jinja").write_text("{{ answer }}?")
    changed = Wording("pointwise", templates=tmp_path)
    assert changed.digest != default
    assert Wording("pairwise", templates=tmp_path).digest == Wording("pairwise").digest


def test_values_that_break_a_template_are_reported(tmp_path: Path) -> None:
    (tmp_path / "pointwise.user.jinja").write_text("{% if answer %}{{ answer | int / 0 }}{% endif %}")
    wording = Wording("pointwise", templates=tmp_path)
    with pytest.raises(PromptError, match=r"user.jinja does not render: ZeroDivisionError"):
        wording.messages(QUERY, answer="1")
