"""What keeps Kafka from being used, and how often that is said."""

import time
from collections.abc import Callable

from confluent_kafka import KafkaError

from engine.telemetry.log import log

PARTITION_END = KafkaError._PARTITION_EOF  # noqa: SLF001 - librdkafka's own codes are named like this
OUT_OF_RANGE = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}  # noqa: SLF001
UNAUTHENTICATED = {KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED}  # noqa: SLF001
# The same trouble is said again after so long.
AGAIN_SECONDS = 60.0


class CannotStart(Exception):  # noqa: N818 - as StartError, which it becomes
    """Kafka can't be read or written as the settings say; the message tells the mend."""


class Seldom:
    """Lets each kind of message through once in a while, and counts those kept back.

    Args:
        every: seconds from one of a kind to the next.
        clock: monotonic seconds.
    """

    def __init__(
        self, every: float = AGAIN_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._every = every
        self._clock = clock
        self._last: dict[object, tuple[float, int]] = {}

    def due(self, kind: object) -> int | None:
        """None to say nothing now, else how many of this kind were kept back since the last.

        >>> seldom = Seldom(60.0, clock=iter([0.0, 1.0, 61.0]).__next__)
        >>> [seldom.due("no leader") for _ in range(3)]
        [0, None, 1]
        """
        now = self._clock()
        last, kept_back = self._last.get(kind, (None, 0))
        if last is not None and now - last < self._every:
            self._last[kind] = (last, kept_back + 1)
            return None
        self._last[kind] = (now, 0)
        return kept_back


class Trouble:
    """What the clients of one process have met.

    Args:
        count: told the name of each error.

    Attributes:
        last: the newest in words, empty before the first.
        denied: in words, where the brokers do not let this process in; it will not heal.
    """

    def __init__(self, count: Callable[[str], None] = lambda _name: None) -> None:
        self.last = ""
        self.denied = ""
        self._count = count
        self._seldom = Seldom()

    def __call__(self, error: KafkaError) -> None:
        """Take an error of a client."""
        self._count(error.name().lstrip("_").lower())
        if not self.last or error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001
            self.last = error.str()  # the one that says why
        if error.code() in UNAUTHENTICATED:
            self.denied = error.str()
        kept_back = self._seldom.due(error.code())
        if kept_back is not None:
            log.warning("Kafka has trouble; trying on", error=error.str(), times_since=kept_back)
