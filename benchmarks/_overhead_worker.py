"""One application of `benchmarks.overhead`: makes calls when told, under one library or none.

Runs in a library's own venv, so it imports nothing of the project but what `application.py` is made of.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

from tests.libraries import application, provider
from tests.libraries.truth import BY_NAME, QUICK_STREAM, Call

Once = Callable[[], None]


def in_process() -> Any:
    """An HTTP client that has the answers ready, instead of a network."""
    import openai

    # From version 3 on OpenAI's client is built on httpx2.
    module = import_module("httpx2" if openai.__version__.startswith("3.") else "httpx")
    chat = json.dumps(provider.chat(BY_NAME["plain"])).encode()
    stream = "".join(provider.chat_chunks(QUICK_STREAM, usage=True)).encode()

    def answer(request: Any) -> Any:
        if b"quick stream" in request.content:
            kind = {"Content-Type": "text/event-stream"}
            return module.Response(200, headers=kind, content=stream)
        return module.Response(200, headers={"Content-Type": "application/json"}, content=chat)

    return module.Client(transport=module.MockTransport(answer))


def client(url: str | None) -> Any:
    """OpenAI's client, of a server or of answers in this process."""
    import openai

    if url is not None:
        return openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    transport = in_process()
    base = "http://127.0.0.1:1/v1"
    return openai.OpenAI(base_url=base, api_key="none", max_retries=0, http_client=transport)


def plain(of: Any, call: Call) -> Once:
    def once() -> None:
        answer = application.request(call, of, None)
        if call.stream:
            application.drain(answer)

    return once


def observed(of: Any, call: Call) -> Once:
    import burnline_llm as llm

    def once() -> None:
        with llm.call(provider=call.provider, model=call.model, stream=call.stream) as seen:
            answer = application.request(call, of, None)
            if call.stream:
                application.drain(seen.stream(answer))
            else:
                seen.response(answer)

    return once


def main(name: str, url: str) -> None:
    """Read `WHERE WHAT COUNT` from stdin, answer with nanoseconds a call; end with stdin."""
    flush = application.SETUPS[name]()
    make = observed if name == "burnline" else plain
    calls = {
        f"{where} {call.name.replace(' ', '_')}": make(of, call)
        for where, of in (("server", client(url)), ("process", client(None)))
        for call in (BY_NAME["plain"], QUICK_STREAM)
    }
    print(json.dumps(sorted(calls)), flush=True)
    for line in sys.stdin:
        what, _, count = line.strip().rpartition(" ")
        once = calls[what]
        walls, threads = [], []
        began = time.process_time_ns()
        for _ in range(int(count)):
            start, start_thread = time.perf_counter_ns(), time.thread_time_ns()
            once()
            threads.append(time.thread_time_ns() - start_thread)
            walls.append(time.perf_counter_ns() - start)
        took = {
            "wall": statistics.median(walls),
            "thread": statistics.median(threads),
            "least": min(threads),
            "process": (time.process_time_ns() - began) / len(walls),
        }
        print(json.dumps(took), flush=True)
    flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
