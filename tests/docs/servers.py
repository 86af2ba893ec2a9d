"""The servers that the pages name, in one: policies, judges and reward models of every kind, which answer at once."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# Where the pages name a server of the reader's.
NAMED = re.compile(r"http://(?:localhost|127\.0\.0\.1):\d+")


class Everything(BaseHTTPRequestHandler):
    """A policy whose answers all differ, a judge who grades, and reward models that count letters.

    Below `/labels` the reward models of vLLM have two labels.
    """

    protocol_version = "HTTP/1.1"
    count = 0

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path.endswith("/info"):
            self.reply({"model_id": "fake", "model_type": {"classifier": {}}, "max_client_batch_size": 8})
        else:
            self.reply({"object": "list", "data": [{"id": "fake", "object": "model", "owned_by": "us"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        page = self.path.rpartition("/")[2]
        two = self.path.startswith("/labels/")
        if page == "completions":
            self.reply(self.completion(body))
        elif page == "classify" and "text" in body:  # SGLang
            self.reply([{"embedding": [self.score(text)]} for text in body["text"]])
        elif page == "classify":  # vLLM
            scores = [self.score(body["messages"])] * (1 + two)
            self.reply({"data": [{"index": 0, "probs": scores, "num_classes": len(scores)}]})
        elif page == "pooling":
            row = [0.1, self.score(body)] if two else [self.score(body)]
            self.reply({"data": [{"index": 0, "data": [row, row]}]})
        elif page == "predict":  # text-embeddings-inference
            self.reply([[{"label": "LABEL_0", "score": self.score(pair)}] for pair in body["inputs"]])
        elif page == "rerank":  # llama.cpp
            ranked = enumerate(body["documents"])
            self.reply({"results": [{"index": index, "relevance_score": self.score(text)} for index, text in ranked]})
        elif page == "score":  # docs/reward-servers.md
            self.reply({"scores": [self.score(conversation) for conversation in body["conversations"]]})
        else:
            self.reply({"error": {"message": f"no such page: {self.path}"}}, 404)

    def completion(self, body: dict[str, Any]) -> dict[str, Any]:
        choices = []
        for index in range(body.get("n") or 1):
            Everything.count += 1
            message = {"role": "assistant", "content": self.words(body["messages"], Everything.count)}
            choices.append({"index": index, "message": message, "finish_reason": "stop"})
        usage = {"prompt_tokens": 10, "completion_tokens": 10 * len(choices), "total_tokens": 10 + 10 * len(choices)}
        return {"id": "1", "object": "chat.completion", "model": "fake", "choices": choices, "usage": usage}

    def words(self, messages: list[dict[str, Any]], count: int) -> str:
        if messages[-1]["role"] == "assistant":  # a reward model in a NIM
            return f"helpfulness:{self.score(messages)},verbosity:1.0"
        return f"Answer {count}: " + "a rug is cleaned with soap and water, " * (count % 5 + 1)

    def score(self, scored: Any) -> float:
        return len(json.dumps(scored)) / 10 - 30

    def reply(self, body: Any, status: int = 200) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def everything() -> Iterator[str]:
    """The root address of the servers."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Everything)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def with_servers(code: str, root: str) -> str:
    """The code with these servers in the place of the reader's."""
    code = re.sub(rf"{NAMED.pattern}(?=\?\S*label=)", f"{root}/labels", code)
    return NAMED.sub(root, code)
