"""A prompt set: a folder of templates that renders every prompt of every method.

`FORMS` is the table of the prompts that come with tpo. A method may bring templates of its own in a folder; a user's
folder lies over both. Files and folders are as `tpo.templates` has them; `set.toml` is as `tpo.prompts.settings` has
it.

Loss, gradient and update are either one growing conversation, as in the default folder, or each stands by itself, as in
the standalone folder. A server that caches prefixes computes a growing conversation only once: each prompt begins with
all messages of the one before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Template

from tpo import templates
from tpo.candidate import Candidate
from tpo.errors import PromptError
from tpo.messages import Conversation, Message
from tpo.prompts.extract import read_answer, without_reasoning
from tpo.prompts.prompt import Prompt, Role
from tpo.prompts.scaffold import Scaffold
from tpo.prompts.settings import SETTINGS, Settings, read_settings
from tpo.prompts.shown import Shown, shown
from tpo.templates import PARTS

DEFAULT = Path(__file__).parent / "default"
# Lies between the default and a folder whose prompts stand by themselves, for what that folder leaves alone.
STANDALONE = Path(__file__).parent / "standalone"


class Form(NamedTuple):
    """How a prompt is made and read.

    Attributes:
        role: who replies. The reply of an editor stands between tags.
        after: the prompts that stand before it where prompts are one conversation.
        reply: the variable that later templates find its reply in.
        wording: the prompt whose templates it uses where it has none of its own.
        alone: the prompt that is used instead where there is no rejected answer.
    """

    role: Role
    after: tuple[str, ...] = ()
    reply: str = ""
    wording: str = ""
    alone: str = ""


FORMS: dict[str, Form] = {
    "answer": Form("policy"),
    "loss": Form("critic", reply="loss", alone="revision_loss"),
    "gradient": Form("critic", ("loss",), "gradient", alone="revision_gradient"),
    "update": Form("editor", ("loss", "gradient"), alone="revision_update"),
    "revision_loss": Form("critic", reply="loss", wording="loss"),
    "revision_gradient": Form("critic", ("revision_loss",), "gradient", wording="gradient"),
    "revision_update": Form("editor", ("revision_loss", "revision_gradient"), wording="update"),
    "fused_loss": Form("critic", reply="loss", wording="loss"),
    "fused_update": Form("editor", ("fused_loss",), wording="update"),
}
# Every template may use these variables; those that a prompt has no value for are empty.
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
REPLIES = frozenset(form.reply for form in FORMS.values() if form.reply)


class PromptSet:
    """Renders prompts from the default folder, with a method's and a user's folder laid over it.

    Args:
        folder: a user's folder; None for the default wording.
        method: the folders of templates that a method brings along, a later one over those before it.
        known: names of further prompts that the user's folder may word, those of other methods.

    Attributes:
        folder: the user's folder.
        name: identifies the wording: two sets of the same name send the same.
        settings: the values of its set.toml.

    Raises:
        PromptError: a folder is missing or holds an unknown file, a template does not parse or names an unknown
            variable, or a conversation holds a text that it would never send. Nothing has been sent anywhere by then.
    """

    def __init__(
        self, folder: Path | str | None = None, method: Sequence[Path] = (), known: Collection[str] = ()
    ) -> None:
        self.folder = Path(folder) if folder is not None else None
        self._method = tuple(method)
        self._known = frozenset(known)
        layers = _layers(self.folder, self._method, self._known)
        self.settings = Settings(**layers.settings | {"tags": tuple(layers.settings["tags"])})
        if self.settings.conversation:
            _refuse_what_no_conversation_has(layers.files)
        digest = hashlib.sha256()
        self._templates: dict[str, Template] = {}
        for name, path in sorted(layers.files.items()):
            source = templates.read(path)
            digest.update(f"{name}\0{source}\0".encode())
            more = layers.variables.get(name.split(".")[0], frozenset())
            trial = dict.fromkeys(VARIABLES, "") | dict.fromkeys(more, templates.ANYTHING)
            self._templates[name.removesuffix(".jinja")] = templates.compiled(source, path, trial)
        digest.update(repr(self.settings).encode())
        self.name = f"{self.folder.name if self.folder is not None else 'default'}@{digest.hexdigest()[:12]}"
        self._others: dict[tuple[Path, ...], PromptSet] = {}

    def for_method(self, folders: tuple[Path, ...]) -> PromptSet:
        """The same set with the templates of another method, read once.

        Args:
            folders: where they are; empty where that method brings none.

        Raises:
            PromptError: as for a set.
        """
        if folders == self._method:
            return self
        if folders not in self._others:
            self._others[folders] = PromptSet(self.folder, folders, self._known)
        return self._others[folders]

    def render(
        self,
        name: str,
        query: Conversation,
        *,
        role: Role | None = None,
        chosen: Candidate | None = None,
        rejected: Candidate | None = None,
        reported: Sequence[str] = (),
        **variables: Any,
    ) -> Prompt:
        """Render a prompt from the template of that name.

        A prompt of the policy is the query itself with its last user message reworded; where the query ends with the
        assistant's turn, the template is the next user message. Any other prompt is a conversation of its own.

        Args:
            name: the template's name, without `.user.jinja`.
            query: the conversation to answer.
            role: who replies; for a prompt of tpo's own as in `FORMS`, for another one the editor, whose reply is an
                answer between tags.
            chosen: the better answer, if the prompt shows one.
            rejected: the worse answer, if the prompt shows one.
            reported: the reward's words where a variable has them and no candidate's feedback, so that an answer which
                repeats them is noticed.
            variables: further variables of the template, candidates and lists of candidates included. `loss` and
                `gradient` are the critic's replies.

        Raises:
            PromptError: there is no such template, or it does not render.
        """
        form = FORMS.get(name, Form(role or "editor"))
        if rejected is None and form.alone:
            name, form = form.alone, FORMS[form.alone]
        wording = name if _has(self._templates, name) else form.wording
        if name != "answer" and not _has(self._templates, wording):
            raise self._missing(name)
        role = role or form.role
        values = self._values(query, chosen, rejected) | shown(variables)
        messages = self._in_query(wording or name, query, values) if role == "policy" else self._own(name, form, values)
        read: Callable[[str], str] = without_reasoning
        if role == "editor":
            read = partial(read_answer, tags=self.settings.tags)
        return Prompt(
            name,
            role,
            messages,
            read,
            chosen.id if chosen else None,
            rejected.id if rejected else None,
            continues=self.settings.conversation and bool(form.after),
            scaffold=Scaffold(query, messages, values, reported) if messages != query else None,
        )

    def _in_query(self, wording: str, query: Conversation, values: Mapping[str, Any]) -> Conversation:
        messages = list(query)
        if f"{wording}.user" in self._templates:
            if messages[-1]["role"] == "assistant":
                messages.append({"role": "user", "content": self._render(f"{wording}.user", values)})
            else:
                last = max(i for i, message in enumerate(messages) if message["role"] == "user")
                # Content in parts (images, for example) has no text to put into a template, and goes as it is.
                if isinstance(messages[last]["content"], str):
                    messages[last] = {**messages[last], "content": self._render(f"{wording}.user", values)}
        if f"{wording}.system" in self._templates and not values["system"]:
            messages.insert(0, {"role": "system", "content": self._render(f"{wording}.system", values)})
        return messages

    def _own(self, name: str, form: Form, values: dict[str, Any]) -> Conversation:
        if not (self.settings.conversation and name in FORMS):
            return self._texts(name, values)
        replies = {reply: values[reply] for reply in REPLIES}
        values = values | dict.fromkeys(REPLIES, "")
        messages: Conversation = []
        for earlier in form.after:
            messages += self._texts(earlier, values)
            # Only now: what a template makes of an earlier step must not change when a later one is due.
            reply = FORMS[earlier].reply
            values[reply] = replies[reply]
            # Small models give empty replies at times, and some chat templates and servers refuse a message without
            # text.
            text = str(replies[reply]) if replies[reply].strip() else self.settings.no_reply
            messages.append({"role": "assistant", "content": text})
        return messages + self._texts(name, values)

    def _texts(self, name: str, values: Mapping[str, Any]) -> list[Message]:
        """The messages that a prompt's own templates make."""
        wording = name if _has(self._templates, name) else FORMS[name].wording
        return [
            {"role": part, "content": self._render(f"{wording}.{part}", values)}
            for part in PARTS
            if f"{wording}.{part}" in self._templates
        ]

    def _values(self, query: Conversation, chosen: Candidate | None, rejected: Candidate | None) -> dict[str, Any]:
        values: dict[str, Any] = dict.fromkeys(VARIABLES, "") | templates.of_query(query)
        values["tag"] = self.settings.tags[0]
        for name, candidate in (("chosen", chosen), ("rejected", rejected)):
            if candidate is not None:
                values |= {name: Shown(candidate), f"{name}_feedback": candidate.feedback or ""}
        return values

    def _render(self, name: str, values: Mapping[str, Any]) -> str:
        return templates.rendered(f"{name}.jinja", self._templates[name], values)

    def _missing(self, name: str) -> PromptError:
        there = sorted({template.split(".")[0] for template in self._templates})
        near = get_close_matches(name, there, n=1)
        guess = f" Did you mean {near[0]}?" if near else ""
        return PromptError(
            f"The prompt set {self.name} has no template {name}.user.jinja; it has {', '.join(there)}.{guess}"
        )


def prompt_set(folder: Path | str | None = None, known: Collection[str] = ()) -> PromptSet:
    """The prompt set in a folder; see `PromptSet`. The default one is read and compiled once, which takes 10 ms."""
    return _default() if folder is None else PromptSet(folder, known=known)


@cache
def _default() -> PromptSet:
    return PromptSet()


def template_names(folder: Path) -> frozenset[str]:
    """The names of the prompts that a method's folder words.

    Raises:
        PromptError: there is no such folder, or it holds no template.
    """
    return frozenset(file.split(".")[0] for file in templates.files_in(folder, None, SETTINGS, "method"))


class _Layers(NamedTuple):
    """The template files of a prompt set, its settings by name, and what a method's templates may name besides."""

    files: dict[str, Path]
    settings: dict[str, Any]
    variables: dict[str, frozenset[str]]


def _layers(own: Path | None, method: Iterable[Path], known: Collection[str]) -> _Layers:
    files, settings = _layer(DEFAULT, FORMS)
    variables: dict[str, frozenset[str]] = {}
    brought: dict[str, Path] = {}
    for folder in method:
        found = templates.files_in(folder, None, SETTINGS, "method")
        brought = templates.laid_over(brought, found)
        for file, path in found.items():
            name = file.split(".")[0]
            variables[name] = variables.get(name, frozenset()) | templates.variables_of(path)
    if own is None:
        return _Layers(templates.laid_over(files, brought), settings, variables)
    own_files, own_settings = _layer(own, {*FORMS, *variables, *known})
    # A wording of one's own is one for prompts that stand by themselves (the paper's, say), unless it is said to be
    # one for a conversation: its system messages and all that it repeats have no place there.
    reworded = any(_grows(file.split(".")[0]) for file in own_files)
    if not own_settings.get("conversation", not reworded):
        alone_files, alone_settings = _layer(STANDALONE, FORMS)
        files, settings = templates.laid_over(files, alone_files), settings | alone_settings
    files = templates.laid_over(files, brought)
    # The wording of other methods' prompts is not used, and no part of what this set sends.
    used = {file: path for file, path in own_files.items() if file.split(".")[0] in FORMS.keys() | variables.keys()}
    return _Layers(templates.laid_over(files, used), settings | own_settings, variables)


def _layer(folder: Path, names: Collection[str]) -> tuple[dict[str, Path], dict[str, Any]]:
    files = templates.files_in(folder, names, SETTINGS, "method")
    path = files.pop(SETTINGS, None)
    return files, read_settings(path) if path is not None else {}


def _refuse_what_no_conversation_has(files: dict[str, Path]) -> None:
    names = {file.removesuffix(".jinja"): path for file, path in files.items()}
    for name, form in FORMS.items():
        if not _grows(name) or not _has(names, name):
            continue
        if form.after and (path := names.get(f"{name}.system")):
            raise PromptError(
                f"The template {path} would never be sent: in a conversation only loss has a system message. "
                f"Put its words into {name}.user.jinja, or set conversation = false in {SETTINGS}."
            )
        if f"{name}.user" not in names:
            raise PromptError(
                f"The prompt set lacks {name}.user.jinja beside {names[f'{name}.system']}: in a conversation each "
                f"prompt needs something to ask. Write it, or set conversation = false in {SETTINGS}."
            )


def _grows(name: str) -> bool:
    """Whether a prompt belongs to a conversation that grows."""
    return name in FORMS and FORMS[name].role != "policy"


def _has(names: Container[str], name: str) -> bool:
    return any(f"{name}.{part}" in names for part in PARTS)
