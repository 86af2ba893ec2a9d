"""The questions to judges of benchmarks: templates in the folder `wording`, written for tpo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tpo import templates
from tpo.messages import Conversation

FOLDER = Path(__file__).parent / "wording"


class Question:
    """A question to a judge.

    Args:
        name: of its templates, NAME.system.jinja and NAME.user.jinja.
        variables: what they may use.
    """

    def __init__(self, name: str, *variables: str) -> None:
        paths = {part: FOLDER / f"{name}.{part}.jinja" for part in templates.PARTS}
        trial = dict.fromkeys(variables, "")
        self._parts = {
            part: (path.name, templates.compiled(templates.read(path), path, trial))
            for part, path in paths.items()
            if path.exists()
        }

    def messages(self, **values: Any) -> Conversation:
        """The question with real values."""
        return [
            {"role": part, "content": templates.rendered(name, template, values)}
            for part, (name, template) in self._parts.items()
        ]
