"""A model provider on loopback that speaks OpenAI's and Anthropic's HTTP APIs, for the real clients.

The model's name says how it behaves: `…-429`, `…-500` and `…-broken` (a stream cut off in the middle).
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {
    "prompt_tokens": 1000,
    "completion_tokens": 200,
    "total_tokens": 1200,
    "prompt_tokens_details": {"cached_tokens": 400},
    "completion_tokens_details": {"reasoning_tokens": 50},
}
ANTHROPIC_USAGE = {
    "input_tokens": 100,
    "cache_read_input_tokens": 700,
    "cache_creation_input_tokens": 200,
    "output_tokens": 60,
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_args: object) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.headers_seen.append(dict(self.headers))
        model = body["model"]
        for code in (429, 500):
            if model.endswith(f"-{code}"):
                self._json(code, {"error": {"message": "secret prompt quoted", "type": "x"}})
                return
        answer = {
            "/v1/chat/completions": self._chat,
            "/v1/embeddings": self._embeddings,
            "/v1/responses": self._responses,
            "/v1/messages": self._messages,
        }[self.path]
        answer(body, model)

    def _chat(self, body: dict[str, Any], model: str) -> None:
        common = {"id": "chatcmpl-1", "created": 1, "model": f"{model}-2024-08-06"}
        if not body.get("stream"):
            message = {"role": "assistant", "content": "a secret answer"}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            self._json(
                200, {**common, "object": "chat.completion", "choices": [choice], "usage": USAGE}
            )
            return
        chunks = [
            {"index": 0, "delta": {"content": word}, "finish_reason": None}
            for word in ("a", "b", "c")
        ]
        chunks.append({"index": 0, "delta": {}, "finish_reason": "length"})
        events = [{**common, "object": "chat.completion.chunk", "choices": [c]} for c in chunks]
        if body.get("stream_options", {}).get("include_usage"):
            events.append(
                {**common, "object": "chat.completion.chunk", "choices": [], "usage": USAGE}
            )
        self._events([(None, e) for e in events], "[DONE]", broken=model.endswith("-broken"))

    def _embeddings(self, _body: dict[str, Any], model: str) -> None:
        vector = {"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}
        usage = {"prompt_tokens": 8, "total_tokens": 8}
        self._json(200, {"object": "list", "data": [vector], "model": model, "usage": usage})

    def _responses(self, body: dict[str, Any], model: str) -> None:
        response = {
            "id": "resp_1",
            "object": "response",
            "created_at": 1,
            "model": model,
            "status": "completed",
            "output": [],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "service_tier": "default",
            "usage": {
                "input_tokens": 1000,
                "input_tokens_details": {"cached_tokens": 400, "cache_write_tokens": 0},
                "output_tokens": 200,
                "output_tokens_details": {"reasoning_tokens": 50},
                "total_tokens": 1200,
            },
        }
        if not body.get("stream"):
            self._json(200, response)
            return
        begun = {**response, "status": "in_progress", "usage": None}
        delta = {
            "item_id": "m",
            "output_index": 0,
            "content_index": 0,
            "delta": "a",
            "logprobs": [],
        }
        events: list[dict[str, Any]] = [
            {"type": "response.created", "response": begun},
            {"type": "response.output_text.delta", **delta},
            {"type": "response.completed", "response": response},
        ]
        self._events([(e["type"], {"sequence_number": i, **e}) for i, e in enumerate(events)])

    def _messages(self, body: dict[str, Any], model: str) -> None:
        message = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [{"type": "text", "text": "a secret answer"}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": ANTHROPIC_USAGE,
        }
        if not body.get("stream"):
            self._json(200, message)
            return
        begun = {**message, "content": [], "stop_reason": None}
        begun["usage"] = {**ANTHROPIC_USAGE, "output_tokens": 1}
        text = {"type": "text", "text": ""}
        delta = {"type": "text_delta", "text": "a"}
        end = {"stop_reason": "max_tokens", "stop_sequence": None}
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": begun},
            {"type": "content_block_start", "index": 0, "content_block": text},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": end, "usage": {"output_tokens": 60}},
            {"type": "message_stop"},
        ]
        self._events([(e["type"], e) for e in events])

    def _json(self, code: int, answer: dict[str, Any]) -> None:
        data = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _events(
        self, events: list[tuple[str | None, Any]], last: str | None = None, *, broken: bool = False
    ) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number, (kind, event) in enumerate(events):
            if broken and number == 2:
                self.close_connection = True
                return
            self._chunk((f"event: {kind}\n" if kind else "") + f"data: {json.dumps(event)}\n\n")
        if last:
            self._chunk(f"data: {last}\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, text: str) -> None:
        data = text.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()


class Provider(ThreadingHTTPServer):
    """The server; `url` is its base."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.headers_seen: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def provider() -> Iterator[Provider]:
    """A provider that runs."""
    server = Provider()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
