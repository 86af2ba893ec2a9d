"""The page: runs and traces, comparisons of runs, a playground, and the export of one story as a file."""

from __future__ import annotations

from tpo.view.app import create_app
from tpo.view.live_routes import Live
from tpo.view.play import Align, Play, PlayOptions
from tpo.view.sources import Sources

__all__ = ["Align", "Live", "Play", "PlayOptions", "Sources", "create_app"]
