"""Chat templates: the same text as transformers makes, and one beginning-of-sequence token at most."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rewards.served.kit import CHATML, DATA, chat
from tpo.errors import InputError, RewardError
from tpo.messages import Conversation
from tpo.rewards.templating import ChatTemplate

CASES: list[dict[str, Any]] = json.loads((DATA / "templates.json").read_text("utf-8"))["cases"]


@pytest.mark.parametrize("case", CASES)
def test_the_text_is_the_one_that_transformers_makes(case: dict[str, Any]) -> None:
    template = ChatTemplate(case["template"], case["special"])
    assert template.text(case["messages"], bos=True, answer_due=case["answer_due"]) == case["text"]


def write(folder: Path, **files: object) -> Path:
    for name, value in files.items():
        stem, _, suffix = name.rpartition("_")
        (folder / f"{stem}.{suffix}").write_text(value if isinstance(value, str) else json.dumps(value), "utf-8")
    return folder


PLAIN = "{{ bos_token }}{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}"
CONFIG = {"bos_token": {"content": "<s>"}, "eos_token": "</s>", "chat_template": PLAIN}
SEQUENCE = {"Sequence": {"id": "A", "type_id": 0}}
FIRST = {"SpecialToken": {"id": "<s>", "type_id": 0}}


def test_a_template_is_found_wherever_tokenizers_keep_it(tmp_path: Path) -> None:
    write(tmp_path, tokenizer_config_json=CONFIG)
    for path in (tmp_path, tmp_path / "tokenizer_config.json"):
        assert ChatTemplate.load(path).text(chat("A", "Q"), bos=True) == "<s>Q</s>A</s>"
    write(tmp_path, chat_template_jinja="{{ bos_token }}new")
    for path in (tmp_path, tmp_path / "chat_template.jinja"):
        assert ChatTemplate.load(path).text(chat("A", "Q"), bos=True) == "<s>new"


def test_of_several_templates_the_default_counts(tmp_path: Path) -> None:
    several = [{"name": "rag", "template": "rag"}, {"name": "default", "template": "plain"}]
    write(tmp_path, tokenizer_config_json={"chat_template": several})
    assert ChatTemplate.load(tmp_path).text(chat("A"), bos=True) == "plain"


def test_special_tokens_may_be_in_a_file_of_their_own(tmp_path: Path) -> None:
    write(tmp_path, tokenizer_config_json={"chat_template": PLAIN}, special_tokens_map_json=CONFIG)
    assert ChatTemplate.load(tmp_path).text(chat("A", "Q"), bos=True) == "<s>Q</s>A</s>"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, "Q</s>A</s>"),
        (
            {"tokenizer_json": {"post_processor": {"type": "TemplateProcessing", "single": [FIRST, SEQUENCE]}}},
            "Q</s>A</s>",
        ),
        ({"tokenizer_json": {"post_processor": {"type": "TemplateProcessing", "single": [SEQUENCE]}}}, "<s>Q</s>A</s>"),
        ({"tokenizer_json": {"post_processor": None}}, "<s>Q</s>A</s>"),
        ({"tokenizer_config_json": {**CONFIG, "add_bos_token": False}}, "<s>Q</s>A</s>"),
        ({"tokenizer_config_json": {**CONFIG, "add_bos_token": True}}, "Q</s>A</s>"),
    ],
)
def test_the_first_token_is_left_to_a_tokenizer_that_puts_it_there(
    tmp_path: Path, files: dict[str, object], expected: str
) -> None:
    write(tmp_path, **{"tokenizer_config_json": CONFIG, **files})
    template = ChatTemplate.load(tmp_path)
    assert template.text(chat("A", "Q"), bos=False) == expected
    assert template.text(chat("A", "Q"), bos=True) == "<s>Q</s>A</s>"


def test_a_name_distinguishes_templates_and_no_folders(tmp_path: Path) -> None:
    write(tmp_path, tokenizer_config_json=CONFIG)
    name = ChatTemplate.load(tmp_path).name
    assert name.startswith(f"{tmp_path.name}@") and str(tmp_path.parent) not in name
    write(tmp_path, tokenizer_config_json={**CONFIG, "eos_token": "<end>"})
    assert ChatTemplate.load(tmp_path).name != name
    assert ChatTemplate.load(CHATML).name.startswith("chatml/chat_template.jinja@")


def test_content_in_parts_becomes_text() -> None:
    messages: Conversation = [
        {"role": "user", "content": [{"type": "text", "text": "Q"}]},
        {"role": "assistant", "content": "A"},
    ]
    assert ChatTemplate(PLAIN, {"bos_token": "<s>"}).text(messages, bos=True) == "<s>QA"


def test_the_date_is_that_of_today() -> None:
    year = ChatTemplate("{{ strftime_now('%Y') }}", {}).text(chat("A"), bos=True)
    assert year.isdigit() and len(year) == 4


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ raise_exception('no system role') }}", "template@.* refuses the conversation: no system role"),
        ("{{ messages[0].content + 1 }}", "refuses the conversation"),
        ("{{ messages.append(1) }}", "refuses the conversation"),
        ("{{ ''.__class__.__mro__ }}{{ ''.__class__.__mro__[1].__subclasses__() }}", "refuses the conversation"),
    ],
)
def test_a_template_that_fails_is_reported(source: str, message: str) -> None:
    with pytest.raises(RewardError, match=message):
        ChatTemplate(source, {}).text(chat("A"), bos=True)


def test_files_that_are_no_template_are_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no chat template at"):
        ChatTemplate.load(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no chat template"):
        ChatTemplate.load(tmp_path)
    with pytest.raises(InputError, match=r"tokenizer_config.json cannot be read"):
        ChatTemplate.load(write(tmp_path, tokenizer_config_json="{"))
    with pytest.raises(InputError, match=r"chat_template.jinja does not parse: .* \(line 1\)"):
        ChatTemplate.load(write(tmp_path, tokenizer_config_json={}, chat_template_jinja="{% if %}"))
