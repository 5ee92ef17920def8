"""A mock of OpenAI's and Anthropic's HTTP APIs that answers by `truth.py`.

No real provider can be asked in a test: it costs money, and its token counts are not known before.
The shapes of the answers are those of the providers' references. Standard library only.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle, islice
from typing import Any

from tests.libraries.truth import BY_NAME, Call

TOOL_CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Bern"}'},
}
WORDS = ("Grey ", "geese ", "glide. ")
STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


def words(call: Call) -> Iterator[str]:
    """The answer."""
    return islice(cycle(WORDS), call.words)


def openai_usage(call: Call) -> dict[str, Any]:
    """As OpenAI counts: cached within prompt tokens, reasoning within completion tokens."""
    if call.operation == "embeddings":
        return {"prompt_tokens": call.input, "total_tokens": call.input}
    return {
        "prompt_tokens": call.input,
        "completion_tokens": call.output,
        "total_tokens": (call.input or 0) + (call.output or 0),
        "prompt_tokens_details": {"cached_tokens": call.cache_read, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": call.reasoning, "audio_tokens": 0},
    }


def anthropic_usage(call: Call) -> dict[str, Any]:
    """As Anthropic counts: what is cached stands beside the input tokens."""
    return {
        "input_tokens": (call.input or 0) - call.cache_read - call.cache_write,
        "output_tokens": call.output,
        "cache_read_input_tokens": call.cache_read,
        "cache_creation_input_tokens": call.cache_write,
    }


def chat(call: Call) -> dict[str, Any]:
    """OpenAI's answer to a chat completion."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(words(call)),
        "refusal": None,
    }
    if call.finish == "tool_calls":
        message |= {"content": None, "tool_calls": [TOOL_CALL]}
    answer: dict[str, Any] = {
        "id": f"chatcmpl-{call.name}",
        "object": "chat.completion",
        "created": 1760000000,
        "model": call.answered_by,
        "choices": [
            {"index": 0, "message": message, "logprobs": None, "finish_reason": call.finish}
        ],
        "service_tier": "default",
    }
    if call.input is not None:
        answer["usage"] = openai_usage(call)
    return answer


def chat_chunks(call: Call, *, usage: bool) -> Iterator[str]:
    """OpenAI's answer to a chat completion with `stream`."""
    base = {
        "id": f"chatcmpl-{call.name}",
        "object": "chat.completion.chunk",
        "created": 1760000000,
        "model": call.answered_by,
    }
    deltas: list[tuple[dict[str, Any], str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": word}, None) for word in words(call)]
    deltas.append(({}, call.finish))
    for delta, finish in deltas:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        yield f"data: {json.dumps(base | {'choices': [choice]})}\n\n"
    if usage:
        yield f"data: {json.dumps(base | {'choices': [], 'usage': openai_usage(call)})}\n\n"
    yield "data: [DONE]\n\n"


def embeddings(call: Call) -> dict[str, Any]:
    """OpenAI's answer to an embedding, as floats."""
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5, 0.125]}],
        "model": call.answered_by,
        "usage": openai_usage(call),
    }


def message(call: Call) -> dict[str, Any]:
    """Anthropic's answer to a message."""
    return {
        "id": f"msg_{call.name.replace(' ', '_')}",
        "type": "message",
        "role": "assistant",
        "model": call.answered_by,
        "content": [{"type": "text", "text": "".join(words(call))}],
        "stop_reason": STOPS[call.finish],
        "stop_sequence": None,
        "usage": anthropic_usage(call),
    }


def message_events(call: Call) -> Iterator[str]:
    """Anthropic's answer to a message with `stream`: input tokens come first, output tokens last."""
    begun = message(call) | {"content": [], "stop_reason": None}
    begun["usage"] = begun["usage"] | {"output_tokens": 1}
    start = {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "text", "text": ""},
    }
    events: list[dict[str, Any]] = [{"type": "message_start", "message": begun}, start]
    events += [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
        for word in words(call)
    ]
    events += [
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": STOPS[call.finish], "stop_sequence": None},
            "usage": {"output_tokens": call.output},
        },
        {"type": "message_stop"},
    ]
    for event in events:
        yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"


def error(call: Call) -> dict[str, Any]:
    """Either provider's answer to a call that fails."""
    if call.provider == "anthropic":
        kind = "overloaded_error" if call.status == 529 else "api_error"
        return {"type": "error", "error": {"type": kind, "message": "Overloaded"}}
    code = {429: "rate_limit_exceeded", 400: "invalid_value"}.get(call.status)
    return {"error": {"message": "no", "type": "requests", "param": None, "code": code}}


def asked(body: dict[str, Any]) -> Call:
    """Which call of `truth.py` a request is."""
    if "input" in body:
        prompt = body["input"]
        return BY_NAME[prompt if isinstance(prompt, str) else prompt[0]]
    content = body["messages"][-1]["content"]
    return BY_NAME[content if isinstance(content, str) else content[0]["text"]]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle(self) -> None:
        # Some clients hang up without a word when they end.
        with suppress(ConnectionResetError):
            super().handle()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        call = asked(body)
        if call.failed:
            self.answer(error(call), call.status)
        elif body.get("stream"):
            usage = bool((body.get("stream_options") or {}).get("include_usage"))
            anthropic = call.provider == "anthropic"
            events = message_events(call) if anthropic else chat_chunks(call, usage=usage)
            self.stream(events, call.first_chunk_after)
        elif call.operation == "embeddings":
            self.answer(embeddings(call))
        else:
            self.answer(message(call) if call.provider == "anthropic" else chat(call))

    def answer(self, content: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, events: Iterator[str], wait: float) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        time.sleep(wait)
        for event in events:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event.encode()), event.encode()))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None: ...


class Provider:
    """Serves until `close()`; `url` is where."""

    def __init__(self) -> None:
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
