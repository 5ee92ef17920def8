"""A mock model server: answers as OpenAI's API does, slowly, and sometimes not at all.

It stands in for a provider, so that the sample needs neither a key nor a network. Its faults can be
changed while it runs: `curl -X POST localhost:8090/faults -d '{"gpt-4o": {"failing": 0.5, "slow": 5}}'`.
"""

import asyncio
import json
import os
import random
import time
from typing import Any

from aiohttp import web

WORDS = ("the", "answer", "depends", "on", "what", "was", "asked", "and", "of", "whom")
# A share of calls that fails, and how much slower than usual the others are.
FAULTS: dict[str, dict[str, float]] = {
    "gpt-4o": {"failing": 0.08, "slow": 1.0},
    "gpt-4o-mini": {"failing": 0.02, "slow": 1.0},
    "house-1": {"failing": 0.0, "slow": 1.0},
}


async def chat(request: web.Request) -> web.StreamResponse:
    """One completion, streamed or whole."""
    asked = await request.json()
    model = asked["model"]
    faults = FAULTS.get(model, {})
    slow = faults.get("slow", 1.0)
    await asyncio.sleep(random.lognormvariate(-2.5, 0.4) * slow)
    if random.random() < faults.get("failing", 0):
        error = random.choice([(429, "rate_limit_exceeded"), (500, "server_error")])
        return web.json_response({"error": {"type": error[1]}}, status=error[0])
    words = random.choices(WORDS, k=random.randint(10, 40))
    about = {
        "id": f"chatcmpl-{random.getrandbits(48):012x}",
        "created": int(time.time()),
        "model": model,
    }
    if not asked.get("stream"):
        message = {"role": "assistant", "content": " ".join(words)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        whole = about | {
            "object": "chat.completion",
            "choices": [choice],
            "usage": _usage(asked, words),
        }
        return web.json_response(whole)
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await answer.prepare(request)
    about["object"] = "chat.completion.chunk"
    for word in words:
        await _send(answer, about | {"choices": [_delta({"content": f"{word} "})], "usage": None})
        await asyncio.sleep(0.005 * slow)
    await _send(answer, about | {"choices": [_delta({}, "stop")], "usage": None})
    await _send(answer, about | {"choices": [], "usage": _usage(asked, words)})
    await answer.write(b"data: [DONE]\n\n")
    return answer


async def embed(request: web.Request) -> web.Response:
    """One small vector for each text."""
    asked = await request.json()
    texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
    data = [{"object": "embedding", "index": n, "embedding": [0.1, 0.2]} for n in range(len(texts))]
    used = sum(len(text.split()) for text in texts)
    usage = {"prompt_tokens": used, "total_tokens": used}
    return web.json_response(
        {"object": "list", "data": data, "model": asked["model"], "usage": usage}
    )


async def change(request: web.Request) -> web.Response:
    """Other faults from now on."""
    FAULTS.update(await request.json())
    return web.json_response(FAULTS)


def _delta(delta: dict[str, str], reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": reason}


def _usage(asked: dict[str, Any], words: list[str]) -> dict[str, Any]:
    read = 200 + sum(len(message["content"].split()) for message in asked["messages"])
    return {
        "prompt_tokens": read,
        "completion_tokens": len(words),
        "total_tokens": read + len(words),
        "prompt_tokens_details": {"cached_tokens": random.choice([0, 128])},
        "completion_tokens_details": {"reasoning_tokens": len(words) // 4},
    }


async def _send(answer: web.StreamResponse, chunk: dict[str, Any]) -> None:
    await answer.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")


async def well(_: web.Request) -> web.Response:
    """It answers."""
    return web.Response(text="ok")


def app() -> web.Application:
    """The server's routes."""
    made = web.Application()
    made.router.add_post("/v1/chat/completions", chat)
    made.router.add_post("/v1/embeddings", embed)
    made.router.add_post("/faults", change)
    made.router.add_get("/healthz", well)
    return made


if __name__ == "__main__":
    web.run_app(
        app(), host=os.environ.get("HOST", "127.0.0.1"), port=int(os.environ.get("PORT", "8090"))
    )
