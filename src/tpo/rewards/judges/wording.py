"""The judges' prompts, as templates: the default folder, a user's folder laid over it, and a rubric.

The questions are pointwise, critique, pairwise and listwise; files and folders are as `tpo.templates` has them.
A user's `rubric.md` replaces the default rubric.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal, TypeAlias

from tpo import templates as folders
from tpo.errors import InputError
from tpo.messages import Conversation
from tpo.rewards.judges.grades import Scale
from tpo.templates import PARTS

PromptName: TypeAlias = Literal["pointwise", "critique", "pairwise", "listwise"]

DEFAULT = Path(__file__).parent / "default"
QUESTIONS: tuple[PromptName, ...] = ("pointwise", "critique", "pairwise", "listwise")
RUBRIC = "rubric.md"
# Every template may use every variable; those that a question has no value for are empty.
VARIABLES = ("query", "question", "system", "rubric", "low", "high", "answer", "answer_a", "answer_b", "answers")
# Raised when a reply is read or a score made of it in another way: the same words then mean another reward.
VERSION = 1


class Wording:
    """Renders one of the judges' prompts.

    Args:
        prompt: which one.
        scale: the allowed grades.
        rubric: a text file with what makes an answer good; None for the default.
        templates: a folder with templates; None for the default ones.

    Attributes:
        digest: identifies templates and rubric.

    Raises:
        InputError: the rubric cannot be read, or is empty.
        PromptError: the folder is missing or holds an unknown file, or a template does not parse or names an unknown
            variable. Nothing has been sent anywhere by then.
    """

    def __init__(
        self,
        prompt: PromptName,
        scale: Scale | None = None,
        rubric: Path | str | None = None,
        templates: Path | str | None = None,
    ) -> None:
        files = folders.files_in(DEFAULT, QUESTIONS, RUBRIC, "judge")
        if templates is not None:
            files = folders.laid_over(files, folders.files_in(Path(templates), QUESTIONS, RUBRIC, "judge"))
        default = files.pop(RUBRIC)
        text = folders.read(default) if rubric is None else _rubric(Path(rubric))
        if not text.strip():
            raise InputError(f"The rubric {rubric or RUBRIC} is empty: describe a good answer in it.")
        self._prompt = prompt
        ends = scale or Scale()
        self._given: dict[str, Any] = {"rubric": text.strip(), "low": ends.low, "high": ends.high}
        trial = dict.fromkeys(VARIABLES, "") | self._given | {"answers": [{"label": "A", "text": ""}]}
        # All are checked, also those of other kinds of judge: a mistake in a folder is reported at its first use.
        sources = {name: folders.read(path) for name, path in files.items()}
        parsed = {name: folders.compiled(source, files[name], trial) for name, source in sources.items()}
        self._parts = {part: parsed[name] for part in PARTS if (name := f"{prompt}.{part}.jinja") in parsed}
        used = [f"{part}\0{sources[f'{prompt}.{part}.jinja']}" for part in self._parts]
        whole = "\0".join([str(VERSION), text.strip(), *used])
        self.digest = hashlib.sha256(whole.encode()).hexdigest()[:12]

    def messages(self, query: Conversation, **values: object) -> Conversation:
        """What to send.

        Args:
            query: the conversation that the answers end, without an answer.
            values: `answer`; `answer_a` and `answer_b`; or `answers`, a list of {"label", "text"}.
        """
        given = dict.fromkeys(VARIABLES, "") | self._given | folders.of_query(query) | values
        return [
            {"role": part, "content": folders.rendered(f"{self._prompt}.{part}.jinja", template, given)}
            for part, template in self._parts.items()
        ]


def _rubric(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The rubric {path} cannot be read as UTF-8: {error}") from error
