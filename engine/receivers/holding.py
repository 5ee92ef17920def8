"""Memory of payloads that are being accepted: bounded, and the slow give way to the quick.

A payload's bytes are counted as they come. Where all together would hold too much, what has been
read for longest is dropped; only where nothing is read slowly is the newcomer asked to wait. So a
thousand clients that send a byte a second keep nobody out.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Literal

from engine.columns.quoting import readable
from engine.receivers.limits import Limits

Reason = Literal["invalid", "unauthenticated", "too_large", "slow", "busy", "full", "unavailable"]
# Official exporters give a batch 10 s by default, and give it up at once when told to wait for longer than
# what is left of that: short waits let them try several times.
RETRY_AFTER = {"busy": 1, "full": 2, "unavailable": 2}


class Refusal(Exception):  # noqa: N818 - an answer, not a fault of ours
    """A payload that was not stored.

    Attributes:
        reason: `invalid`, `unauthenticated`, `too_large` and `slow` will be refused again; the
            others are worth a retry.
        retry_after: seconds to wait before it, or None.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(readable(message))
        self.reason = reason
        self.retry_after = RETRY_AFTER.get(reason)


class Hold:
    """The memory of one payload; call it with each further number of bytes held.

    That raises `Refusal` (busy) where there is no room.

    Attributes:
        size: bytes held.
        began: when its reading began, by the loop's clock.
    """

    def __init__(self, memory: "Memory") -> None:
        self.size = 0
        self.began = 0.0
        self._memory = memory
        self._timer: asyncio.Timeout | None = None
        self._gave_way = False

    def __call__(self, count: int) -> None:
        """Hold so many bytes more."""
        self._memory.take(self, count)

    @asynccontextmanager
    async def reading(
        self, among: "Readers", *, paced: bool
    ) -> AsyncIterator[Callable[[int], None]]:
        """Read a body within the time that it may take.

        The value is to be called with the number of bytes that are there so far.

        Args:
            among: those of which the slowest gives way.
            paced: a minimum rate is asked; without, only the whole time counts.

        Raises:
            Refusal: `slow`, or `busy` where it had to give way.
        """
        limits = self._memory.limits
        loop = asyncio.get_running_loop()
        self.began = loop.time()

        def progressed(size: int) -> None:
            allowed = limits.body_grace + size / limits.body_rate
            if not self._gave_way:
                timer.reschedule(self.began + min(limits.body_seconds, allowed))

        try:
            async with asyncio.timeout(limits.body_seconds) as timer:
                self._timer = timer
                among.add(self)
                if paced:
                    progressed(0)
                yield progressed
        except TimeoutError:
            if self._gave_way:
                raise Refusal("busy", "it came too slowly while others were waiting") from None
            taken = loop.time() - self.began
            raise Refusal("slow", f"it had not come after {taken:.0f} s; send faster") from None
        finally:
            self._timer = None
            among.discard(self)

    def give_way(self) -> None:
        """End the reading; its memory is free at once for others."""
        self._gave_way = True
        self._memory.release(self)
        if self._timer is not None and not self._timer.expired():
            self._timer.reschedule(0)


class Readers:
    """What is being read, in the order in which it began; used by one event loop.

    Args:
        patience: seconds after which a reading is slow.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._reading: dict[Hold, None] = {}

    def add(self, hold: Hold) -> None:
        """It begins."""
        self._reading[hold] = None

    def discard(self, hold: Hold) -> None:
        """It has ended."""
        self._reading.pop(hold, None)

    def slow_in(self) -> float | None:
        """Seconds until one is slow, 0 and less where one is; None where nothing is read."""
        if not self._reading:
            return None
        now = asyncio.get_running_loop().time()
        return next(iter(self._reading)).began + self._patience - now

    def drop_slowest(self) -> bool:
        """Make what has been read for longest give way; False where nothing is slow."""
        wait = self.slow_in()
        if wait is None or wait > 0:
            return False
        slowest = next(iter(self._reading))
        self.discard(slowest)
        slowest.give_way()
        return True


class Memory:
    """What all payloads together hold; used by one event loop.

    Args:
        most: bytes.
        limits: how long a reading may take, and after how long it gives way.

    Attributes:
        held: bytes now.
        readers: bodies that are counted as they come.
    """

    def __init__(self, most: int, limits: Limits) -> None:
        self.most = most
        self.limits = limits
        self.held = 0
        self.readers = Readers(limits.patience)

    @contextmanager
    def holding(self) -> Iterator[Hold]:
        """Memory for one payload, freed at the end."""
        hold = Hold(self)
        try:
            yield hold
        finally:
            self.release(hold)

    def take(self, hold: Hold, count: int) -> None:
        """Count bytes as held.

        Raises:
            Refusal: busy: there is no room, and nothing that would give way.
        """
        # One payload alone always fits, however small the limit is set.
        while self.held > hold.size and self.held + count > self.most:
            if not self.readers.drop_slowest():
                raise Refusal("busy", f"{self.held} bytes of payloads are being accepted")
        hold.size += count
        self.held += count

    def release(self, hold: Hold) -> None:
        """Count a payload's bytes as free."""
        self.held -= hold.size
        hold.size = 0
