"""A Hugging Face Hub on the loopback that breaks off, lies and refuses as a test wants."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "c0ffee" * 6 + "c0ff"


@dataclass
class FakeHub:
    """A hub with one repository, org/model-GGUF.

    Attributes:
        files: name and content.
        described: checksums that differ from those of the contents.
        breaks: after how many bytes each next connection ends, one after the other.
        refuses: status and error code for files, or for the list of files as well.
        ranges: whether parts of files are sent.
        busy: how many answers to requests for files are a 503.
        asked: path and Range of each request.
    """

    files: dict[str, bytes]
    described: dict[str, str] = field(default_factory=dict)
    breaks: list[int] = field(default_factory=list)
    refuses: tuple[int, str] | None = None
    refuses_list: bool = False
    ranges: bool = True
    busy: int = 0
    url: str = ""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)

    def listing(self) -> dict[str, Any]:
        """The repository as the Hub describes it."""
        siblings = []
        for name, content in self.files.items():
            sha256 = self.described.get(name) or hashlib.sha256(content).hexdigest()
            lfs = {"sha256": sha256, "size": len(content), "pointerSize": 130}
            siblings.append({"rfilename": name, "size": len(content), "blobId": "b", "lfs": lfs})
        siblings.append({"rfilename": "README.md", "size": 10, "blobId": "r"})
        return {
            "id": "org/model-GGUF",
            "modelId": "org/model-GGUF",
            "sha": COMMIT,
            "private": False,
            "tags": [],
            "siblings": siblings,
            "cardData": {"license": "apache-2.0"},
        }

    def downloads(self) -> list[str | None]:
        """The Range of each request for a file."""
        return [part for path, part in self.asked if "/resolve/" in path]


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """Serve a hub on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            hub.asked.append((self.path, self.headers["Range"]))
            hub.tokens.append(self.headers["Authorization"])
            listing = self.path.startswith("/api/models/")
            if hub.refuses and (hub.refuses_list or not listing):
                status, code = hub.refuses
                self.reply(status, b"{}", {"X-Error-Code": code, "X-Error-Message": "No."})
            elif listing:
                known = self.path.startswith("/api/models/org/model-GGUF")
                missing = {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}
                self.reply(200, json.dumps(hub.listing()).encode()) if known else self.reply(401, b"{}", missing)
            elif hub.busy:
                hub.busy -= 1
                self.reply(503, b"later")
            elif "/resolve/" not in self.path:
                self.reply(404, b"{}")
            else:
                self.file(hub.files[self.path.partition(f"/resolve/{COMMIT}/")[2]])

        def file(self, content: bytes) -> None:
            found = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
            start = int(found[1]) if found and hub.ranges else 0
            most = hub.breaks.pop(0) if hub.breaks else None
            self.reply(206 if start else 200, content[start:], most=most)

        def reply(
            self, status: int, body: bytes, headers: dict[str, str] | None = None, most: int | None = None
        ) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[:most])

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
