"""Which models there are: each under its own name, passed through, and with presets behind a colon, aligned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from tpo.errors import InputError
from tpo.methods.presets import EFFORT, PANEL, Preset, parse_preset
from tpo.options import Effort, ServeOptions
from tpo.server.errors import ApiError

# Presets that are listed; any other that can be read is served too.
LISTED = ("tpo", "tpo-d2-n5", "best-of-5", "revision", *(f"{EFFORT}{level}" for level in Effort))


class NamedModel(NamedTuple):
    """A model as a client names it.

    Attributes:
        model: the model's own name.
        preset: how its answers are aligned; None where they are not.
    """

    model: str
    preset: Preset | None = None


class Models:
    """The models by their names.

    Args:
        names: the policy's models.
        listed: presets to list.
        describe: what a model with a preset comes to: method, dials and cost.
        panel: the policy is a panel, whose arms are the models; `MODEL:panel` is all of them.

    Raises:
        InputError: a preset cannot be read.
    """

    def __init__(
        self,
        names: Iterable[str],
        listed: Sequence[str] = LISTED,
        describe: Callable[[str, Preset], dict[str, Any]] | None = None,
        *,
        panel: bool = False,
    ) -> None:
        self.names = list(names)
        self._panel = panel
        listed = (*listed, PANEL) if panel and PANEL not in listed else listed
        self._listed = [parse_preset(text, efforts=True).label for text in listed]
        self._describe = describe

    @property
    def offered(self) -> list[str]:
        """All names that are listed."""
        return [name for model in self.names for name in (model, *(f"{model}:{preset}" for preset in self._listed))]

    @property
    def first(self) -> NamedModel:
        """What answers where no model is named: the first one, or all arms of a panel."""
        return self.find(f"{self.names[0]}:{PANEL}" if self._panel else self.names[0])

    def find(self, name: str) -> NamedModel:
        """The model of that name.

        Raises:
            ApiError: there is none.
        """
        if name in self.names:
            return NamedModel(name)
        model, colon, text = name.rpartition(":")
        if not colon and len(self.names) == 1 and _readable(name):
            model, colon, text = self.names[0], ":", name
        if not colon or model not in self.names:
            known = ", ".join(self.names)
            raise _missing(f"There is no model {name[:200]!r}: here is {known}, and the same with :tpo or :best-of-5.")
        if text == PANEL and not self._panel:
            raise _missing(f"The model {name[:200]!r} is not available: this server's policy is one model, no panel.")
        try:
            preset = parse_preset(text, python=False, efforts=True)
            return NamedModel(PANEL if preset.panel else model, preset)
        except InputError as error:
            raise _missing(f"The model {name[:200]!r} is not available: {str(error)[:300]}") from error

    def listing(self, created: int) -> dict[str, Any]:
        """The list, as `/v1/models` has it."""
        names = self.offered
        ends = {"first_id": names[0], "last_id": names[-1]} if names else {}
        cards = [self.card(name, created) for name in names]
        return {"object": "list", "data": cards, "has_more": False, **ends}

    def card(self, name: str, created: int, most: ServeOptions | None = None) -> dict[str, Any]:
        """One of them.

        Args:
            name: its name.
            created: when the server started, in seconds since 1970.
            most: the bounds of a request's options.

        Raises:
            ApiError: there is none of that name, or its preset is beyond the bounds.
        """
        found = self.find(name)
        for dial in ("width", "depth") if most is not None and found.preset is not None else ():
            value, limit = getattr(found.preset, dial), getattr(most, f"max_{dial}")
            if value is not None and value > limit:
                raise _missing(f"The model {name[:200]!r} is not available: its {dial} is above {limit}.")
        card = {
            "id": name,
            "object": "model",
            "created": created,
            "owned_by": "tpo" if found.preset else "policy",
            # What Anthropic's clients read.
            "type": "model",
            "display_name": name,
            "created_at": datetime.fromtimestamp(created, UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        }
        if found.preset is not None and self._describe is not None:
            card["tpo"] = self._describe(found.model, found.preset)
        return card


def _readable(preset: str) -> bool:
    try:
        parse_preset(preset, python=False, efforts=True)
    except InputError:
        return False
    return True


def _missing(message: str) -> ApiError:
    return ApiError(404, message, param="model", code="model_not_found")
