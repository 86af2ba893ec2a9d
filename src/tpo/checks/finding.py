"""What a probe found."""

from __future__ import annotations

from typing import Literal

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """One line of a check.

    Attributes:
        what: what was looked at.
        state: "ok", "warn" (mind this), "fail" (results would mislead), or "info" (a fact).
        found: what was found.
        remedy: what to do about it; empty where nothing needs doing.
    """

    what: str
    state: Literal["ok", "warn", "fail", "info"]
    found: str = msgspec.field(name="said")
    remedy: str = ""


class CheckReport(msgspec.Struct, frozen=True):
    """All findings about one endpoint or reward.

    Attributes:
        subject: what was checked.
        findings: in the order in which they were made.
    """

    subject: str
    findings: list[Finding]

    @property
    def failures(self) -> list[Finding]:
        """What makes it unusable."""
        return [finding for finding in self.findings if finding.state == "fail"]
