"""The gateway of the sample: takes a question, has a small model look at it, and asks the worker.

Who asks is said once, here; W3C baggage carries it to the worker, so that both services' calls have it.
"""

import os
import random

import aiohttp
import burnline_llm as llm
from aiohttp import web
from serving import serve

MODEL_URL = os.environ.get("MODEL_URL", "http://127.0.0.1:8090")
WORKER_URL = os.environ.get("WORKER_URL", "http://127.0.0.1:8081")
SMALL = "gpt-4o-mini"
RATED = llm.counter("answers_rated_total", "Answers that people rated.", labels=("rating",))


async def chat(request: web.Request) -> web.Response:
    """A question and its answer; 502 where the worker fails."""
    asked = await request.json()
    with llm.attributed(
        tenant=asked["tenant"], user=asked["user"], feature="chat", prompt=("answer", "3")
    ):
        try:
            async with aiohttp.ClientSession(raise_for_status=True) as session:
                topic = await _topic(session, asked["question"])
                answer = await _answer(session, f"{topic}: {asked['question']}")
        except aiohttp.ClientResponseError as error:
            return web.json_response({"error": error.message}, status=502)
    return web.json_response(answer)


async def _topic(session: aiohttp.ClientSession, question: str) -> str:
    """What a question is about, by a small model; an answer does not depend on it."""
    messages = [
        {"role": "system", "content": "Name the topic."},
        {"role": "user", "content": question},
    ]
    asked = {"model": SMALL, "messages": messages}
    try:
        async with (
            llm.call(provider="openai", model=SMALL) as call,
            session.post(f"{MODEL_URL}/v1/chat/completions", json=asked) as response,
        ):
            told = await response.json()
            call.response(told)
    except aiohttp.ClientResponseError:
        return "unknown"
    return str(told["choices"][0]["message"]["content"])


async def _answer(session: aiohttp.ClientSession, question: str) -> dict[str, str]:
    """The worker's answer, and now and then what its reader thinks of it."""
    headers: dict[str, str] = {}
    llm.inject(headers)
    async with session.post(
        f"{WORKER_URL}/answer", json={"question": question}, headers=headers
    ) as response:
        answer: dict[str, str] = await response.json()
    if random.random() < 0.3:
        good = random.random() < 0.9
        RATED.inc(rating="good" if good else "bad")
        llm.evaluation(
            "helpfulness",
            1.0 if good else 0.0,
            label="pass" if good else "fail",
            response_id=answer["id"],
        )
    return answer


if __name__ == "__main__":
    serve("chat-gateway", 8080, chat=chat)
