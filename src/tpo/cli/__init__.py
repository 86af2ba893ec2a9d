"""The command line; one file per command."""

from __future__ import annotations

from tpo.cli.app import main

__all__ = ["main"]
