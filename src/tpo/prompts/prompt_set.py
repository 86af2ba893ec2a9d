"""A prompt set: a folder of templates that renders every prompt of every method.

The prompts are answer, loss, gradient and update; the revision twins of the last three (`revision_loss`, …); and the
fused twins of loss and update, where one reply is critique and advice. A twin that has no files is worded like its
brother. Files and folders are as `tpo.templates` has them; `set.toml` is as `tpo.prompts.settings` has it.

Loss, gradient and update are either one growing conversation, as in the default folder, or each stands by itself, as in
the standalone folder. A server that caches prefixes computes a growing conversation only once: each prompt begins with
all messages of the one before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container
from functools import cache, partial
from pathlib import Path
from typing import Any

from jinja2 import Template

from tpo import templates
from tpo.candidate import Candidate
from tpo.errors import PromptError
from tpo.messages import Conversation, Message
from tpo.prompts.extract import read_answer, without_reasoning
from tpo.prompts.prompt import Prompt, Role
from tpo.prompts.settings import SETTINGS, Settings, read_settings
from tpo.templates import PARTS

DEFAULT = Path(__file__).parent / "default"
# Lies between the default and a folder whose prompts stand by themselves, for what that folder leaves alone.
STANDALONE = Path(__file__).parent / "standalone"
PROMPTS: dict[str, Role] = {
    "answer": "policy",
    "loss": "critic",
    "gradient": "critic",
    "update": "editor",
    "revision_loss": "critic",
    "revision_gradient": "critic",
    "revision_update": "editor",
    "fused_loss": "critic",
    "fused_update": "editor",
}
# Every template may use every variable; those that a prompt has no value for are empty.
VARIABLES = (
    "query",
    "question",
    "system",
    "chosen",
    "rejected",
    "chosen_feedback",
    "rejected_feedback",
    "loss",
    "gradient",
    "tag",
)
REVISION = "revision_"
FUSED = "fused_"
# A conversation's prompts in the order in which it grows, without the prefix that twins have.
GROWTH = {"": ("loss", "gradient", "update"), REVISION: ("loss", "gradient", "update"), FUSED: ("loss", "update")}


class PromptSet:
    """Renders prompts from the default folder, with a user's folder laid over it.

    Args:
        folder: a user's folder; None for the default wording.

    Attributes:
        name: tells wordings apart: two sets of the same name send the same.
        settings: what the set says of itself.

    Raises:
        PromptError: the folder is missing or holds an unknown file, a template does not parse or names an unknown
            variable, or a conversation holds a text that it would never send. Nothing has been sent anywhere by then.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        files, named = _layers(Path(folder) if folder is not None else None)
        self.settings = Settings(**named | {"tags": tuple(named["tags"])})
        if self.settings.conversation:
            _refuse_what_no_conversation_has(files)
        digest = hashlib.sha256()
        self._templates: dict[str, Template] = {}
        for name, path in sorted(files.items()):
            source = templates.read(path)
            digest.update(f"{name}\0{source}\0".encode())
            self._templates[name.removesuffix(".jinja")] = templates.compiled(
                source, path, dict.fromkeys(VARIABLES, "")
            )
        digest.update(repr(self.settings).encode())
        self.name = f"{Path(folder).name if folder is not None else 'default'}@{digest.hexdigest()[:12]}"

    def answer(self, query: Conversation) -> Prompt:
        """The query as the policy gets it: unchanged, unless the answer templates say otherwise."""
        values = self._values(query)
        messages = list(query)
        if "answer.user" in self._templates:
            last = max(i for i, message in enumerate(query) if message["role"] == "user")
            # Content in parts (images, say) has no text to put into a template, and goes as it is.
            if isinstance(query[last]["content"], str):
                messages[last] = {**query[last], "content": self._render("answer.user", values)}
        if "answer.system" in self._templates and not values["system"]:
            messages.insert(0, {"role": "system", "content": self._render("answer.system", values)})
        return Prompt("answer", PROMPTS["answer"], messages, read=without_reasoning)

    def loss(self, query: Conversation, chosen: Candidate, rejected: Candidate | None) -> Prompt:
        """Textual loss: why the chosen answer beats the rejected one.

        With nothing to reject it is the revision twin, which looks at the chosen answer alone.
        """
        if rejected is None:
            return self.revision_loss(query, chosen)
        return self._prompt("loss", query, chosen, rejected)

    def gradient(self, query: Conversation, chosen: Candidate, rejected: Candidate | None, loss: str) -> Prompt:
        """Textual gradient: the loss turned into advice."""
        if rejected is None:
            return self.revision_gradient(query, chosen, loss)
        return self._prompt("gradient", query, chosen, rejected, loss=loss)

    def update(
        self, query: Conversation, chosen: Candidate, rejected: Candidate | None, loss: str, gradient: str
    ) -> Prompt:
        """The update: rewrite the chosen answer by the advice."""
        if rejected is None:
            return self.revision_update(query, chosen, loss, gradient)
        return self._prompt("update", query, chosen, rejected, loss=loss, gradient=gradient)

    def revision_loss(self, query: Conversation, chosen: Candidate) -> Prompt:
        """The critique of one answer on its own."""
        return self._prompt("revision_loss", query, chosen)

    def revision_gradient(self, query: Conversation, chosen: Candidate, loss: str) -> Prompt:
        """That critique turned into advice."""
        return self._prompt("revision_gradient", query, chosen, loss=loss)

    def revision_update(self, query: Conversation, chosen: Candidate, loss: str, gradient: str) -> Prompt:
        """Rewrite the answer by that advice."""
        return self._prompt("revision_update", query, chosen, loss=loss, gradient=gradient)

    def fused_loss(self, query: Conversation, chosen: Candidate, rejected: Candidate | None) -> Prompt:
        """Textual loss and gradient in one reply; with nothing to reject it looks at the chosen answer alone."""
        return self._prompt("fused_loss", query, chosen, rejected)

    def fused_update(self, query: Conversation, chosen: Candidate, rejected: Candidate | None, critique: str) -> Prompt:
        """Rewrite the chosen answer by that reply."""
        # A wording that stands by itself shows the gradient alone.
        return self._prompt("fused_update", query, chosen, rejected, loss=critique, gradient=critique)

    def _prompt(
        self, name: str, query: Conversation, chosen: Candidate, rejected: Candidate | None = None, **replies: str
    ) -> Prompt:
        values = self._values(query, chosen, rejected)
        messages: list[Message] = []
        if self.settings.conversation:
            prefix = _prefix(name)
            for step in GROWTH[prefix]:
                messages += self._texts(prefix + step, values)
                if prefix + step == name:
                    break
                # Only now: what a template makes of an earlier step must not change when a later one is due.
                values[step] = replies[step]
                messages.append({"role": "assistant", "content": self._said(replies[step])})
        else:
            messages += self._texts(name, values | replies)
        role = PROMPTS[name]
        read: Callable[[str], str] = without_reasoning
        if role == "editor":
            read = partial(read_answer, tags=self.settings.tags)
        continues = self.settings.conversation and _brother(name) != "loss"
        return Prompt(name, role, messages, read, chosen.id, rejected.id if rejected else None, continues)

    def _texts(self, name: str, values: dict[str, str]) -> list[Message]:
        """The messages that a prompt's own templates make."""
        wording = name if _has(self._templates, name) else _brother(name)
        return [
            {"role": part, "content": self._render(f"{wording}.{part}", values)}
            for part in PARTS
            if f"{wording}.{part}" in self._templates
        ]

    def _said(self, reply: str) -> str:
        # Small models say nothing at times, and some chat templates and servers refuse a message without text.
        return reply if reply.strip() else self.settings.no_reply

    def _values(
        self, query: Conversation, chosen: Candidate | None = None, rejected: Candidate | None = None
    ) -> dict[str, str]:
        values = dict.fromkeys(VARIABLES, "") | templates.of_query(query) | {"tag": self.settings.tags[0]}
        for name, candidate in (("chosen", chosen), ("rejected", rejected)):
            if candidate is not None:
                values |= {name: candidate.text, f"{name}_feedback": candidate.feedback or ""}
        return values

    def _render(self, name: str, values: dict[str, str]) -> str:
        return templates.rendered(f"{name}.jinja", self._templates[name], values)


def prompt_set(folder: Path | str | None = None) -> PromptSet:
    """The prompt set in a folder; see `PromptSet`. The default one is read and compiled once, which takes 10 ms."""
    return _default() if folder is None else PromptSet(folder)


@cache
def _default() -> PromptSet:
    return PromptSet()


def _layers(own: Path | None) -> tuple[dict[str, Path], dict[str, Any]]:
    """The template files of a prompt set, and its settings by name."""
    files, settings = _layer(DEFAULT)
    if own is None:
        return files, settings
    own_files, own_settings = _layer(own)
    # A wording of one's own is one for prompts that stand by themselves (the paper's, say), unless it is said to be
    # one for a conversation: its system messages and all that it repeats have no place there.
    reworded = any(_brother(file.split(".")[0]) in GROWTH[""] for file in own_files)
    if not own_settings.get("conversation", not reworded):
        alone_files, alone_settings = _layer(STANDALONE)
        files, settings = templates.laid_over(files, alone_files), settings | alone_settings
    return templates.laid_over(files, own_files), settings | own_settings


def _layer(folder: Path) -> tuple[dict[str, Path], dict[str, Any]]:
    files = templates.files_in(folder, PROMPTS, SETTINGS, "method")
    path = files.pop(SETTINGS, None)
    return files, read_settings(path) if path is not None else {}


def _refuse_what_no_conversation_has(files: dict[str, Path]) -> None:
    names = {file.removesuffix(".jinja"): path for file, path in files.items()}
    for name in PROMPTS:
        kind = _brother(name)
        if kind not in GROWTH[""] or not _has(names, name):
            continue
        if kind != "loss" and (path := names.get(f"{name}.system")):
            raise PromptError(
                f"The template {path} would never be sent: in a conversation only loss has a system message. "
                f"Put its words into {name}.user.jinja, or set conversation = false in {SETTINGS}."
            )
        if f"{name}.user" not in names:
            raise PromptError(
                f"The prompt set lacks {name}.user.jinja beside {names[f'{name}.system']}: in a conversation each "
                f"prompt needs something to ask. Write it, or set conversation = false in {SETTINGS}."
            )


def _prefix(name: str) -> str:
    return next((prefix for prefix in (REVISION, FUSED) if name.startswith(prefix)), "")


def _brother(name: str) -> str:
    """The prompt whose twin this is; itself where it is none."""
    return name.removeprefix(_prefix(name))


def _has(names: Container[str], name: str) -> bool:
    return any(f"{name}.{part}" in names for part in PARTS)
