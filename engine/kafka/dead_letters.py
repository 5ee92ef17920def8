"""Messages that can't be decoded, as they are, on a topic of their own.

What the topic is not known to have is part of its partition's position, and so of every snapshot: after a
crash it is read again from where it came from, and sent again. Each gets there at least once.
"""

import queue
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from engine.kafka.config import Clients
from engine.kafka.errors import OUT_OF_RANGE, PARTITION_END, Seldom
from engine.kafka.places import Place
from engine.telemetry.log import log

Header = tuple[str, str | bytes | None]
# How long is waited for a message that is read again, and for the last ones when the engine stops.
READ_SECONDS, SETTLE_SECONDS = 5.0, 2.0
RETRY_SECONDS = 5.0
LONGEST_REASON = 500
# The offset of a payload of which nobody knows any more which message it was.
NOWHERE = -1
_NEVER = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG, KafkaError.INVALID_RECORD}


class Letter(NamedTuple):
    """A message that can't be decoded.

    Attributes:
        place: where it is.
        offset: of it, or `NOWHERE`.
        value: of it.
        key: likewise.
        headers: likewise.
        reason: why it can't be decoded.
    """

    place: Place
    offset: int
    value: bytes | None
    key: bytes | None
    headers: list[Header]
    reason: str

    @staticmethod
    def of(message: Message, reason: str) -> "Letter":
        """A message's letter."""
        found = message.headers()
        headers = list(found.items()) if isinstance(found, dict) else list(found or ())
        place = Place(message.topic() or "", message.partition() or 0)
        return Letter(place, message.offset() or 0, message.value(), message.key(), headers, reason)

    def all_headers(self) -> list[Header]:
        """Its own, and what Burnline adds."""
        return [
            *self.headers,
            ("burnline-reason", self.reason[:LONGEST_REASON]),
            ("burnline-topic", self.place.topic),
            ("burnline-partition", str(self.place.number)),
            *([("burnline-offset", str(self.offset))] if self.offset != NOWHERE else []),
        ]


class DeadLetters:
    """The dead letters of one process.

    Args:
        clients: makes its clients.
        topic: where they go; empty for nowhere.
        count: told the outcome of each: `delivered`, `refused` or `gone`.
        why: the reason why a value of a topic can't be decoded; empty where it can be by now.
    """

    def __init__(
        self,
        clients: Clients,
        topic: str,
        count: Callable[[str], None],
        why: Callable[[Place, bytes], str],
    ) -> None:
        self.topic = topic
        self._clients = clients
        self._count = count
        self._why = why
        self._again: queue.SimpleQueue[tuple[Place, int, set[int]]] = queue.SimpleQueue()
        self._seldom = Seldom()
        self._over = threading.Event()
        self._settled = False
        self._closed = False
        self._producer: Producer | None = None
        self._consumer: Consumer | None = None
        self._thread = threading.Thread(target=self._run, name="burnline-dead-letters", daemon=True)

    @property
    def wanted(self) -> bool:
        """Whether they go anywhere."""
        return bool(self.topic)

    def open(self) -> None:
        """Begin to send."""
        if self.wanted:
            self._producer = self._clients.producer()
            self._thread.start()

    def close(self) -> None:
        """Send what is at hand, within a moment; the rest is sent after the next start."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(2 * READ_SECONDS)
        if self._producer is not None:
            left = self._producer.flush(SETTLE_SECONDS)
            if left:
                log.warning("dead letters wait; they are sent after the next start", letters=left)
            # What is given up here is in the positions; it must not seem to have failed.
            self._closed = True
            self._producer.purge()
            self._producer.close()
        if self._consumer is not None:
            self._consumer.close()

    def send(self, letter: Letter, undelivered: set[int]) -> None:
        """Send one; never waits.

        Args:
            letter: it.
            undelivered: offsets of its partition; it is taken out once it has arrived.
        """
        if self._producer is None:
            return
        self._settled = False
        try:
            self._producer.produce(
                self.topic,
                value=letter.value,
                key=letter.key,
                headers=letter.all_headers(),
                on_delivery=partial(self._delivered, letter.place, letter.offset, undelivered),
            )
        except BufferError:  # it is read again when there is room
            self._again.put((letter.place, letter.offset, undelivered))
        except KafkaException as error:
            self._failed(error.args[0], letter.place, letter.offset, undelivered)

    def again(self, place: Place, undelivered: set[int]) -> None:
        """Send what a snapshot did not know to have arrived."""
        if not self.wanted:
            if undelivered:
                log.warning(
                    "there is no topic for dead letters any more; some were never sent",
                    partition=str(place),
                    letters=len(undelivered),
                )
                undelivered.clear()
            return
        for offset in sorted(undelivered):
            self._again.put((place, offset, undelivered))

    def settle(self) -> None:
        """Give what was sent a moment to arrive, once, so that the last snapshot knows it."""
        if self._producer is not None and not self._settled:
            self._settled = True
            self._producer.flush(SETTLE_SECONDS)

    def _run(self) -> None:
        producer = self._producer
        paused_until = 0.0
        while producer is not None and not self._over.is_set():
            producer.poll(0.2)
            if time.monotonic() < paused_until or self._again.empty():
                continue
            place, offset, undelivered = self._again.get()
            if offset in undelivered and not self._read_again(place, offset, undelivered):
                self._again.put((place, offset, undelivered))
                paused_until = time.monotonic() + RETRY_SECONDS

    def _read_again(self, place: Place, offset: int, undelivered: set[int]) -> bool:
        """Read a message once more and send it; False where the brokers don't answer."""
        if self._consumer is None:
            self._consumer = self._clients.consumer()
        self._consumer.assign([TopicPartition(place.topic, place.number, offset)])
        until = time.monotonic() + READ_SECONDS
        while time.monotonic() < until and not self._over.is_set():
            message = self._consumer.poll(0.2)
            if message is None or message.topic() != place.topic:
                continue
            error = message.error()
            gone = error is None and message.offset() != offset
            if gone or (error is not None and error.code() in {PARTITION_END, *OUT_OF_RANGE}):
                self._count("gone")
                log.error(
                    "a dead letter was deleted from its topic before it could be sent",
                    partition=str(place),
                    offset=offset,
                )
                undelivered.discard(offset)
                return True
            if error is None:
                why = self._why(place, message.value() or b"") or "it could not be decoded before"
                self.send(Letter.of(message, why), undelivered)
                return True
        return False

    def _delivered(
        self,
        place: Place,
        offset: int,
        undelivered: set[int],
        error: KafkaError | None,
        _message: Message,
    ) -> None:
        if error is None:
            self._count("delivered")
            undelivered.discard(offset)
        elif not self._closed:
            self._failed(error, place, offset, undelivered)

    def _failed(self, error: KafkaError, place: Place, offset: int, undelivered: set[int]) -> None:
        refused = error.code() in _NEVER
        kept_back = self._seldom.due(error.code())
        if kept_back is not None:
            log.error(
                "a dead letter is refused; the message stays where it is"
                if refused
                else "a dead letter can't be sent; trying on",
                topic=self.topic,
                partition=str(place),
                offset=offset,
                reason=error.str(),
                others_since=kept_back,
            )
        if refused:
            self._count("refused")
            undelivered.discard(offset)
        else:
            self._again.put((place, offset, undelivered))
