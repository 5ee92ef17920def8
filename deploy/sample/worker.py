"""The worker of the sample: looks documents up, and has a model answer, streamed.

A call that fails is tried again after a pause, then another model is asked: three attempts of one call.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import burnline_llm as llm
from aiohttp import web
from serving import serve

MODEL_URL = os.environ.get("MODEL_URL", "http://127.0.0.1:8090")
MODEL, FALLBACK = "gpt-4o", "gpt-4o-mini"
HOUSE = "house-1"  # in no price table: its calls are counted as unpriced


async def answer(request: web.Request) -> web.Response:
    """An answer, and the id of the response that it is."""
    question = (await request.json())["question"]
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        with llm.workflow("rag"):
            documents = await _look_up(session, question)
            with llm.tool("shorten"):
                documents = [document[:200] for document in documents]
            try:
                told = await _complete(session, question, documents)
            except aiohttp.ClientResponseError as error:
                return web.json_response({"error": error.message}, status=502)
            await _title(session, told["text"])
    return web.json_response(told)


async def _look_up(session: aiohttp.ClientSession, question: str) -> list[str]:
    """Documents near a question."""
    model = "text-embedding-3-small"
    with llm.retrieval("docs"):
        asked = {"model": model, "input": question}
        async with (
            llm.embeddings(provider="openai", model=model) as call,
            session.post(f"{MODEL_URL}/v1/embeddings", json=asked) as response,
        ):
            call.response(await response.json())
        return [f"What we know of: {question}"] * 3


async def _complete(
    session: aiohttp.ClientSession, question: str, documents: list[str]
) -> dict[str, str]:
    """The streamed answer of a model, at the third attempt at the latest."""
    messages = [
        {"role": "system", "content": "Answer from these documents:\n" + "\n".join(documents)},
        {"role": "user", "content": question},
    ]
    async with llm.call(provider="openai", model=MODEL, operation="chat", stream=True) as call:
        for number, model in enumerate((MODEL, MODEL, FALLBACK), 1):
            try:
                with call.attempt(model=model, backoff=0.05 * (number - 1)):
                    asked = {"model": model, "messages": messages, "stream": True}
                    async with session.post(
                        f"{MODEL_URL}/v1/chat/completions", json=asked
                    ) as response:
                        return await _read(call.stream(_chunks(response)))
            except aiohttp.ClientResponseError:
                if number == 3:
                    raise
                await asyncio.sleep(0.05 * number)
    raise AssertionError("the last attempt returns or raises")


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """The server-sent events of an answer."""
    async for line in response.content:
        data = line.decode().removeprefix("data: ").strip()
        if data and data != "[DONE]":
            yield json.loads(data)


async def _read(chunks: AsyncIterator[dict[str, Any]]) -> dict[str, str]:
    """The whole of a streamed answer."""
    told = {"id": "", "text": ""}
    async for chunk in chunks:
        told["id"] = chunk["id"]
        for choice in chunk["choices"]:
            told["text"] += choice["delta"].get("content", "")
    return told


async def _title(session: aiohttp.ClientSession, text: str) -> None:
    """A title for the answer, by a model of the house that has no price."""
    asked = {"model": HOUSE, "messages": [{"role": "user", "content": f"A title for: {text}"}]}
    async with (
        llm.call(provider="house", model=HOUSE, operation="chat") as call,
        session.post(f"{MODEL_URL}/v1/chat/completions", json=asked) as response,
    ):
        call.response(await response.json())


if __name__ == "__main__":
    serve("chat-worker", 8081, answer=answer)
