"""Chat templates rendered on our side, for servers that score text instead of messages.

A template is the jinja that a tokenizer brings along. Its surroundings (which filters, functions, tags and variables
it may use) are those of Hugging Face transformers, `apply_chat_template`, as documented at
https://huggingface.co/docs/transformers/chat_templating_writing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tpo.errors import InputError, RewardError
from tpo.messages import Conversation, text_of

CONFIG = "tokenizer_config.json"
TEMPLATE = "chat_template.jinja"
_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class ChatTemplate:
    """Turns a conversation into the text that a model was trained on.

    Args:
        source: the jinja template.
        special: the special tokens by name ("bos_token", …), which the template may use.
        origin: where it comes from, for errors and names.
        adds_bos: whether the tokenizer puts a beginning-of-sequence token in front of every text. Most that have one
            do, which is assumed where it is not known.

    Raises:
        InputError: the template does not parse.
    """

    def __init__(
        self, source: str, special: Mapping[str, str], origin: str = "template", *, adds_bos: bool | None = None
    ) -> None:
        self._special = dict(special)
        self._doubled = "" if adds_bos is False else self._special.get("bos_token", "")
        digest = hashlib.sha256(json.dumps([source, self._special], sort_keys=True).encode()).hexdigest()[:8]
        self.name = f"{origin}@{digest}"
        try:
            self._template = _environment().from_string(source)
        except jinja2.TemplateSyntaxError as error:
            raise InputError(f"The chat template {origin} does not parse: {error} (line {error.lineno}).") from error

    @classmethod
    def load(cls, path: str | Path) -> ChatTemplate:
        """Read a template from a tokenizer's folder, its tokenizer_config.json, or a jinja file.

        Args:
            path: a folder with tokenizer_config.json, perhaps beside chat_template.jinja, which comes first; or one
                of these files. The special tokens of a jinja file are those of a tokenizer_config.json beside it.

        Raises:
            InputError: there is no such file, or no template in it.
        """
        path = Path(path).expanduser()
        folder = path if path.is_dir() else path.parent
        if not path.exists():
            raise InputError(f"There is no chat template at {path}: give a tokenizer's folder, {CONFIG} or {TEMPLATE}.")
        config = _json(path if path.suffix == ".json" else folder / CONFIG)
        special = {**_tokens(_json(folder / "special_tokens_map.json")), **_tokens(config)}
        jinja = folder / TEMPLATE if path.is_dir() else path
        try:
            inside = jinja.read_text("utf-8") if jinja.suffix == ".jinja" and jinja.exists() else None
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"The chat template {jinja} cannot be read: {error}.") from error
        source = inside if inside is not None else _named(config.get("chat_template"))
        if source is None:
            raise InputError(f"{path} holds no chat template: give a tokenizer's folder, {CONFIG} or {TEMPLATE}.")
        origin = f"{folder.name}/{jinja.name}" if inside is not None else folder.name
        return cls(source, special, origin, adds_bos=_adds_bos(folder, config, special.get("bos_token")))

    def text(self, messages: Conversation, *, bos: bool, answer_due: bool = False) -> str:
        """The text of a conversation.

        Args:
            messages: the conversation.
            bos: whether the text keeps the beginning-of-sequence token that the template writes in front. False is for
                servers that tokenize with their tokenizer's habits, and so put one there themselves: a doubled one
                shifts every score, and nothing complains.
            answer_due: whether to end with what begins an assistant's turn.

        Raises:
            RewardError: the template refuses the conversation, or fails on it.
        """
        # Most templates join strings, and fail on content in parts.
        plain = [{**m, "content": text_of(m)} if isinstance(m.get("content"), list) else m for m in messages]
        try:
            text = self._template.render(
                messages=plain, tools=None, documents=None, add_generation_prompt=answer_due, **self._special
            )
        except (jinja2.TemplateError, TypeError, ValueError, AttributeError, KeyError) as error:
            raise RewardError(f"The chat template {self.name} refuses the conversation: {error}.") from error
        return text if bos else text.removeprefix(self._doubled)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment


class _Generation(Extension):
    """`{% generation %}` marks the assistant's words for training; for scoring they are words like all others."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
    # jinja's own escapes for HTML, which would put &#39; into the text.
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)


def _raise(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}.") from error
    return value if isinstance(value, dict) else {}


def _tokens(config: Mapping[str, Any]) -> dict[str, str]:
    # A token is its text, or an object that holds it beside how it is to be stripped.
    texts = {name: value.get("content") if isinstance(value := config.get(name), dict) else value for name in _SPECIAL}
    return {name: text for name, text in texts.items() if isinstance(text, str)}


def _adds_bos(folder: Path, config: Mapping[str, Any], bos: str | None) -> bool | None:
    """Whether the tokenizer of a folder begins each text with its first token; None where that is not known."""
    if isinstance(config.get("add_bos_token"), bool):
        return bool(config["add_bos_token"])
    tokenizer = _json(folder / "tokenizer.json")
    if not tokenizer:
        return None
    # The part of it that surrounds a text with special tokens names the token that it puts in front.
    return bos is not None and json.dumps(bos) in json.dumps(tokenizer.get("post_processor"))


def _named(templates: Any) -> str | None:
    """The template of a tokenizer_config.json, which may hold several by name."""
    if isinstance(templates, list):
        by_name = {entry.get("name"): entry.get("template") for entry in templates if isinstance(entry, dict)}
        templates = by_name.get("default")
    return templates if isinstance(templates, str) else None
