"""Turns at reading gRPC messages.

gRPC hands over only whole messages, so what is on its way takes memory that nobody can count. But it
takes more than a few KiB of a message only when that is asked for; so only some are asked for at a
time. The newest goes first: who has waited longest is likely gone, or hostile.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from engine.receivers.holding import Hold, Readers, Refusal
from engine.receivers.limits import Limits


class Turns:
    """Places for readers; used by one event loop.

    Args:
        limits: how many may read and wait; who is slow gives way to one that waits.
    """

    def __init__(self, limits: Limits) -> None:
        self._free = limits.reading
        self._most = limits.waiting
        self._patience = limits.patience
        self._readers = Readers(limits.patience)
        self._waiting: list[asyncio.Future[bool]] = []
        self._alarm: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def turn(self, hold: Hold) -> AsyncIterator[None]:
        """Wait for a place, and read in it.

        Raises:
            Refusal: too many wait, or the reading took too long.
        """
        await self._admitted()
        try:
            async with hold.reading(self._readers, paced=False):
                yield
        finally:
            self._hand_on()

    async def _admitted(self) -> None:
        if self._free:
            self._free -= 1
            return
        place: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        if len(self._waiting) > self._most:
            self._waiting.pop(0).set_result(False)
        self._press()
        try:
            admitted = await place
        except asyncio.CancelledError:
            if place in self._waiting:
                self._waiting.remove(place)
            elif place.done() and not place.cancelled() and place.result():
                self._hand_on()
            raise
        if not admitted:
            raise Refusal("busy", "too many payloads wait to be read")

    def _hand_on(self) -> None:
        while self._waiting:
            place = self._waiting.pop()
            if not place.done():
                place.set_result(True)
                return
        self._free += 1

    def _press(self) -> None:
        """Drop slow readers for those that wait, now and again when the next one is slow."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        for _ in self._waiting:
            if not self._readers.drop_slowest():
                break
        if self._waiting:
            wait = self._readers.slow_in()
            wait = self._patience if wait is None else max(0.01, wait)
            self._alarm = asyncio.get_running_loop().call_later(wait, self._press)
