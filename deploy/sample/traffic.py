"""People who ask, all the time: `RATE` questions a second, of a few tenants."""

import asyncio
import os
import random
import signal

import aiohttp

TENANTS = {"acme": 6, "globex": 3, "initech": 1}
QUESTIONS = (
    "Where is my order?",
    "How do I change my address?",
    "What does the contract say about notice?",
    "Can you sum up this thread for me?",
)


async def ask(session: aiohttp.ClientSession, url: str) -> None:
    """One question; what becomes of it is the business of what is watched."""
    tenant = random.choices(list(TENANTS), list(TENANTS.values()))[0]
    question = {
        "tenant": tenant,
        "user": f"{tenant}-{random.randint(1, 5)}",
        "question": random.choice(QUESTIONS),
    }
    try:
        async with session.post(f"{url}/chat", json=question) as answer:
            await answer.read()
    except aiohttp.ClientError as error:
        print(f"no answer from {url}: {error}", flush=True)


async def main() -> None:
    """Ask until told to stop; one that waits for its answer keeps no other from asking."""
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, over.set)
    url = os.environ.get("GATEWAY_URL", "http://127.0.0.1:8080")
    rate = float(os.environ.get("RATE", "2"))
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(60)) as session,
        asyncio.TaskGroup() as asking,
    ):
        while not over.is_set():
            asking.create_task(ask(session, url))
            try:
                await asyncio.wait_for(over.wait(), random.expovariate(rate))
            except TimeoutError:
                continue


if __name__ == "__main__":
    asyncio.run(main())
