"""Keys and passwords, kept out of every text that is written down or shown."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, unquote

T = TypeVar("T")

HIDDEN = "***"

# Keys that people give to servers that want none. They are ordinary words, which an answer may hold.
_PLACEHOLDERS = frozenset(
    ["empty", "none", "null", "dummy", "fake", "test", "unused", "ollama", "vllm", "sglang", "lm-studio", "lmstudio"]
) | {"not-needed", "not-used", "no-key", "no-key-required", "sk-no-key-required", "placeholder", "password", "secret"}
_SHORTEST = 6

_PASSWORD = re.compile(
    r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)(?P<user>[^\s/?#@:]*):(?P<password>[^\s/?#]*)@", re.IGNORECASE
)
_TOKEN = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)(?P<user>[^\s/?#@:]{12,})@", re.IGNORECASE)
_PARAMETER = re.compile(
    r"(?P<name>[?&](?:api[-_]?key|key|token|access[-_]?token|auth|secret|password|sig|signature)=)[^\s&#,]+",
    re.IGNORECASE,
)
# What may be secret in an address: user and password before the host, and whatever follows a question mark.
_BESIDE_ADDRESS = re.compile(r"(https?://)[^/\s,;@]*@|(?<=[^\s])\?[^\s,;]*")


def shown_place(where: Any) -> str:
    """Where a model or reward is, for people: without user, password and parameters, the arms of a panel by name.

    Args:
        where: as users name it, a mapping of such, or an object, which is shown by its class.
    """
    if isinstance(where, Mapping):
        return ", ".join(f"{name}={shown_place(arm)}" for name, arm in where.items())
    return _BESIDE_ADDRESS.sub(r"\1", where) if isinstance(where, str) else type(where).__name__


def without_passwords(value: T) -> T:
    """The same text, list or mapping without the passwords and keys in its URLs.

    Args:
        value: anything that is made of text, lists and mappings; other values stay as they are.
    """
    changed: Any = value
    if isinstance(value, str) and ("@" in value or "=" in value):
        changed = _PASSWORD.sub(rf"\g<scheme>\g<user>:{HIDDEN}@", value)
        changed = _TOKEN.sub(rf"\g<scheme>{HIDDEN}@", changed)
        changed = _PARAMETER.sub(rf"\g<name>{HIDDEN}", changed)
    elif isinstance(value, Mapping):
        changed = {key: without_passwords(entry) for key, entry in value.items()}
    elif isinstance(value, list | tuple):
        changed = type(value)(without_passwords(entry) for entry in value)
    return changed  # type: ignore[no-any-return]


class Secrets:
    """The secrets of one endpoint, in all forms in which a server may send them back.

    Args:
        secrets: keys and passwords.
        user: the user whose password the first one is, where it is one.
    """

    def __init__(self, secrets: Iterable[str], user: str | None = None) -> None:
        forms: set[str] = set()
        for secret in filter(None, secrets):
            forms |= {secret, quote(secret, safe=""), quote(secret), unquote(secret), json.dumps(secret)[1:-1]}
            if user is not None:
                forms.add(base64.b64encode(f"{user}:{unquote(secret)}".encode()).decode())
        # The longest first: one may be a part of another.
        self._forms = sorted(forms, key=len, reverse=True)
        self._certain = [form for form in self._forms if _certain(form)]
        self._bytes = [form.encode() for form in self._certain]

    def out_of(self, message: str) -> str:
        """An error message or a name without any of the secrets."""
        for form in self._forms:
            message = message.replace(form, HIDDEN)
        return message

    def out_of_text(self, text: str) -> str:
        """A model's text without the secrets; one that is a common word stays, for the text may mean the word."""
        for form in self._certain:
            if form in text:
                text = text.replace(form, HIDDEN)
        return text

    def out_of_body(self, body: bytes) -> bytes:
        """A response's body without the secrets; one that is a common word stays."""
        for form in self._bytes:
            if form in body:
                body = body.replace(form, HIDDEN.encode())
        return body

    def passing(self) -> PassingBody:
        """A body that is passed on piece by piece, without the secrets."""
        return PassingBody(self._bytes)


class PassingBody:
    """A body on its way through: the secrets are taken out of it, also where one lies across two pieces.

    Args:
        secrets: the secrets, the longest first.
    """

    def __init__(self, secrets: list[bytes]) -> None:
        self._secrets = secrets
        self._held = b""

    def take(self, piece: bytes) -> bytes:
        """What can be passed on now; an end that may be the beginning of a secret is held back."""
        data = self._held + piece
        for secret in self._secrets:
            data = data.replace(secret, HIDDEN.encode())
        kept = max((_begun(secret, data) for secret in self._secrets), default=0)
        cut = len(data) - kept
        self._held = data[cut:]
        return data[:cut]

    def end(self) -> bytes:
        """What is held back, now that nothing follows."""
        return self._held


def _begun(secret: bytes, data: bytes) -> int:
    """How many bytes at the end of the data are the beginning of a secret."""
    most = min(len(secret) - 1, len(data))
    return next((count for count in range(most, 0, -1) if data.endswith(secret[:count])), 0)


def _certain(secret: str) -> bool:
    """Whether a text that holds this can hold it for no other reason than that it is the secret."""
    return len(secret) >= _SHORTEST and secret.lower() not in _PLACEHOLDERS
