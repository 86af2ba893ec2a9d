"""A prompt set: a folder of templates that renders every prompt of every method.

The prompts are answer, loss, gradient and update, and the revision twins of the last three (`revision_loss`, …); a twin
that has no files is worded like its brother. `set.toml` names the tags that the update prompt asks for. Files and
folders are as `tpo.templates` has them.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from jinja2 import Template

from tpo import templates
from tpo.candidate import Candidate
from tpo.errors import PromptError
from tpo.messages import Conversation, Message
from tpo.prompts.extract import read_answer, without_reasoning
from tpo.prompts.prompt import Prompt, Role
from tpo.templates import PARTS

DEFAULT = Path(__file__).parent / "default"
PROMPTS: dict[str, Role] = {
    "answer": "policy",
    "loss": "critic",
    "gradient": "critic",
    "update": "editor",
    "revision_loss": "critic",
    "revision_gradient": "critic",
    "revision_update": "editor",
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
SETTINGS = "set.toml"


class PromptSet:
    """Renders prompts from the default folder, with a user's folder laid over it.

    Args:
        folder: a user's folder; None for the default wording.

    Raises:
        PromptError: the folder is missing or holds an unknown file, or a template does not parse or names an
            unknown variable. Nothing has been sent anywhere by then.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        digest = hashlib.sha256()
        files = templates.files_in(DEFAULT, PROMPTS, SETTINGS, "method")
        if folder is not None:
            files = templates.laid_over(files, templates.files_in(Path(folder), PROMPTS, SETTINGS, "method"))
        self.tags = _tags(files.pop(SETTINGS))
        self._templates: dict[str, Template] = {}
        for name, path in sorted(files.items()):
            source = templates.read(path)
            digest.update(f"{name}\0{source}\0".encode())
            self._templates[name.removesuffix(".jinja")] = templates.compiled(
                source, path, dict.fromkeys(VARIABLES, "")
            )
        digest.update(repr(self.tags).encode())
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

    def _prompt(
        self, name: str, query: Conversation, chosen: Candidate, rejected: Candidate | None = None, **replies: str
    ) -> Prompt:
        values = self._values(query, chosen, rejected) | replies
        wording = name if self._has(name) else name.removeprefix("revision_")
        messages: list[Message] = [
            {"role": part, "content": self._render(f"{wording}.{part}", values)}
            for part in PARTS
            if f"{wording}.{part}" in self._templates
        ]
        role = PROMPTS[name]
        read: Callable[[str], str] = without_reasoning
        if role == "editor":
            read = partial(read_answer, tags=self.tags)
        return Prompt(name, role, messages, read, chosen=chosen.id, rejected=rejected.id if rejected else None)

    def _has(self, name: str) -> bool:
        return any(f"{name}.{part}" in self._templates for part in PARTS)

    def _values(
        self, query: Conversation, chosen: Candidate | None = None, rejected: Candidate | None = None
    ) -> dict[str, str]:
        values = dict.fromkeys(VARIABLES, "") | templates.of_query(query) | {"tag": self.tags[0]}
        for name, candidate in (("chosen", chosen), ("rejected", rejected)):
            if candidate is not None:
                values |= {name: candidate.text, f"{name}_feedback": candidate.feedback or ""}
        return values

    def _render(self, name: str, values: dict[str, str]) -> str:
        return templates.rendered(f"{name}.jinja", self._templates[name], values)


def _tags(path: Path) -> tuple[str, ...]:
    try:
        settings = tomllib.loads(templates.read(path))
    except tomllib.TOMLDecodeError as error:
        raise PromptError(f"The prompt set's {path} is no TOML: {error}") from error
    tags = settings.pop("tags", None)
    if settings:
        raise PromptError(f"The prompt set's {path} sets {', '.join(settings)}; it may set only tags.")
    if not isinstance(tags, list) or not tags or not all(isinstance(tag, str) and tag.isidentifier() for tag in tags):
        raise PromptError(f'The prompt set\'s {path} needs tags, a list of names such as ["improved_answer"].')
    return tuple(tags)
