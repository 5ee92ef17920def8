"""Tells a topic of each alert's beginning, change and end, as a message under the alert's fingerprint.

A compacted topic so holds the newest word on every alert. Whatever the brokers have not taken is sent when
they are back, the newest state of each alert alone; after a restart all that fires, and what ended a while
ago, is said again.
"""

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import orjson
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from engine.kafka.config import Clients
from engine.kafka.errors import Seldom
from engine.sinks.board import Board
from engine.sinks.outbox import Item, Outbox, Progress, rfc3339
from engine.sinks.shown import Change, Labels, Shown
from engine.telemetry.log import log

LOOK_SECONDS = 1.0
FLUSH_SECONDS = 2.0
_FNV_OFFSET, _FNV_PRIME = 14695981039346656037, 1099511628211


def fingerprint(labels: Labels) -> str:
    """Alertmanager's fingerprint of labels, sorted by name.

    >>> fingerprint((("alertname", "HighBurn"),))
    '1b61f3ad5fba0a37'
    """
    found = _FNV_OFFSET
    for name, value in labels:
        for byte in (*name.encode(), 0xFF, *value.encode(), 0xFF):
            found = ((found ^ byte) * _FNV_PRIME) % (1 << 64)
    return f"{found:016x}"


def message(shown: Shown, generator_url: str) -> dict[str, Any]:
    """An alert as Alertmanager's API has it; without `endsAt` while it fires."""
    alert, rendered = shown.alert, shown.rendered()
    told: dict[str, Any] = {
        "status": "firing" if alert.ends_at is None else "resolved",
        "labels": rendered.labels,
        "annotations": rendered.annotations,
        "startsAt": rfc3339(alert.starts_at),
    }
    if alert.ends_at is not None:
        told["endsAt"] = rfc3339(max(alert.ends_at, alert.starts_at + 0.001))
    return told | ({"generatorURL": generator_url} if generator_url else {})


class AlertsTopic:
    """Keeps a topic up to date with a board; all of it happens on one thread.

    Args:
        clients: makes its producer.
        topic: where alerts go.
        board: what fires.
        count: told the outcome of each message: `delivered` or `failed`.
        external_url: the engine's own address for people, the alerts' `generatorURL`.
    """

    def __init__(
        self,
        clients: Clients,
        topic: str,
        board: Board,
        count: Callable[[str], None],
        external_url: str = "",
    ) -> None:
        self._topic = topic
        self._board = board
        self._count = count
        self._external_url = external_url
        self._producer: Producer = clients.producer()
        self._outbox = Outbox()
        self._progress = Progress({})
        self._told: dict[Labels, bytes] = {}
        self._on_its_way: set[Labels] = set()
        self._ended: list[Shown] = list(board.ended_lately())
        self._seldom = Seldom()
        self._wake = threading.Event()
        self._over = self._closed = False
        self._unsubscribe: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._run, name="burnline-alerts", daemon=True)

    def start(self) -> None:
        """Begin to tell; what fired before a restart first."""
        self._unsubscribe = self._board.subscribe(self._changed)
        self._thread.start()

    def stop(self) -> None:
        """Tell what is due, within a moment; alerts that fire are left firing."""
        self._unsubscribe()
        self._over = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        self._tell()
        if self._producer.flush(FLUSH_SECONDS):
            log.warning("stopped before Kafka had the newest alerts", topic=self._topic)
        self._closed = True
        self._producer.purge()
        self._producer.close()

    def _changed(self, change: Change) -> None:
        self._ended.extend(change.ended)
        self._wake.set()

    def _run(self) -> None:
        while not self._over:
            self._tell()
            # Deliveries are told here, the first of them within milliseconds.
            self._producer.poll(0.05 if self._on_its_way else 0)
            self._wake.wait(LOOK_SECONDS)
            self._wake.clear()

    def _tell(self) -> None:
        count = len(self._ended)
        ended = self._ended[:count]
        del self._ended[:count]
        self._producer.poll(0)
        self._outbox.update(self._board.active_alerts(), ended, time.time())
        self._told = {key: body for key, body in self._told.items() if key in self._outbox.items}
        for key, item in self._progress.due(self._outbox, time.monotonic()):
            if key in self._on_its_way:
                continue  # Kafka keeps the order; what has changed since is told after it
            body = orjson.dumps(message(item.shown, self._external_url))
            if self._told.get(key) == body:
                self._progress.accept([(key, item)], self._outbox, time.monotonic())
            else:
                self._produce(key, item, body)

    def _produce(self, key: Labels, item: Item, body: bytes) -> None:
        try:
            self._producer.produce(
                self._topic,
                value=body,
                key=fingerprint(key),
                on_delivery=partial(self._delivered, key, item, body),
            )
        except KafkaException as error:
            self._failed(error.args[0])
        except BufferError:
            return  # more alerts than it holds wait; there is room once some have gone
        else:
            self._on_its_way.add(key)

    def _delivered(
        self, key: Labels, item: Item, body: bytes, error: KafkaError | None, _message: Message
    ) -> None:
        self._on_its_way.discard(key)
        if error is not None:
            if not self._closed:
                self._failed(error)
            return
        self._count("delivered")
        self._told[key] = body
        self._progress.accept([(key, item)], self._outbox, time.monotonic())

    def _failed(self, error: KafkaError) -> None:
        self._count("failed")
        kept_back = self._seldom.due(error.code())
        if kept_back is not None:
            log.error(
                "an alert could not be written to Kafka; trying on",
                topic=self._topic,
                reason=error.str(),
                times_since=kept_back,
            )
