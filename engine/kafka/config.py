"""The file of librdkafka's settings, and the settings of each client."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer

from engine.kafka.errors import CannotStart, Trouble
from engine.kafka.settings import KafkaSettings

Config = dict[str, Any]
# What is ours to set, and by what the user says it; without it guarantees would be lost.
_OURS: Mapping[str, str] = {
    "bootstrap.servers": "--kafka-brokers",
    "metadata.broker.list": "--kafka-brokers",
    "auto.offset.reset": "--kafka-from",
    "enable.auto.commit": "",
    "enable.auto.offset.store": "",
    "enable.partition.eof": "",
    "isolation.level": "",
    "group.instance.id": "",
    "group.protocol": "",
    "enable.idempotence": "",
    "acks": "",
    "request.required.acks": "",
    "max.in.flight": "",
    "max.in.flight.requests.per.connection": "",
    "message.timeout.ms": "",
    "delivery.timeout.ms": "",
    "transactional.id": "",
    "allow.auto.create.topics": "",
}
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
# librdkafka itself says which clients a setting is for, by a warning alone.
_PRODUCER_ONLY = re.compile(
    r"queue\.buffering\.|linger\.ms|batch\.|compression\.|sticky\.|"
    r"message\.send\.max\.retries|retries|partitioner|delivery\.report"
)
_CONSUMER_ONLY = re.compile(
    r"fetch\.|queued\.|max\.poll\.|session\.|heartbeat\.|group\.|check\.crcs|partition\.assignment|"
    r"coordinator\."
)
GROUP = "group.id"


def read(path: Path, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Settings of a file: `name=value` a line, `#` before a remark; `${NAME}` is a variable's value.

    Raises:
        CannotStart: it can't be read, or a line is no setting; the message has the place.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise CannotStart(
            f"--kafka-config {path} can't be read ({reason}); name a file of lines NAME=VALUE"
        ) from error
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        name, equals, value = (part.strip() for part in stripped.partition("="))
        place = f"{path}:{number}"
        if not equals or not name:
            # The line is not quoted: it may hold a password.
            raise CannotStart(f"{place}: no NAME=VALUE; write such as security.protocol=SASL_SSL")
        if name in _OURS:
            by = f"; say it by {_OURS[name]}" if _OURS[name] else ""
            raise CannotStart(f"{place}: {name} is set by Burnline itself{by}; remove the line")
        if name in found:
            raise CannotStart(f"{place}: {name} is set a second time; remove one of the lines")
        for variable in _VARIABLE.findall(value):
            if not environment.get(variable):
                raise CannotStart(
                    f"{place}: the environment variable {variable} is not set; set it, or write the value"
                )
        found[name] = _VARIABLE.sub(lambda match: environment[match[1]], value)
    return found


class Clients:
    """Makes the clients of one process.

    Args:
        settings: brokers, and the file of settings.
        trouble: told each client's errors.

    Raises:
        CannotStart: the file can't be used, or a client does not take what it says.
    """

    def __init__(self, settings: KafkaSettings, trouble: Trouble) -> None:
        self.settings = settings
        self.file = read(settings.config) if settings.config else {}
        self._trouble = trouble
        # librdkafka would write to stderr what it tells `trouble` too; whoever debugs wants it all.
        quiet = {} if {"debug", "log_level"} & self.file.keys() else {"log_level": 2}
        self._common: Config = {
            "client.id": "burnline",
            "bootstrap.servers": settings.brokers,
            "error_cb": trouble,
            **quiet,
        }
        self.commits = GROUP in self.file
        self.consumer().close()  # what it does not take is said at once

    def consumer(self, **more: object) -> Consumer:
        """A consumer of partitions that it is told; it joins no group."""
        mine = {k: v for k, v in self.file.items() if not _PRODUCER_ONLY.match(k)}
        ours: Config = {
            GROUP: "burnline",  # librdkafka wants one; nothing is asked of it
            # A backlog is fetched without pauses once there is room again.
            "fetch.queue.backoff.ms": 20,
            **self._common,
            **mine,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            **more,
        }
        made: Consumer = self._made(Consumer, ours)
        return made

    def producer(self, **more: object) -> Producer:
        """A producer that tries for ever, and keeps the order; after trouble a message may be there twice."""
        mine = {k: v for k, v in self.file.items() if not _CONSUMER_ONLY.match(k)}
        ours: Config = {
            "linger.ms": 5,
            "message.max.bytes": 128 << 20,  # what the topic takes is the brokers' business
            "queue.buffering.max.kbytes": 64 << 10,
            "compression.type": "lz4",
            **self._common,
            **mine,
            # Idempotence could end in an error that only a new producer heals, and needs a right of its own.
            "enable.idempotence": False,
            "max.in.flight.requests.per.connection": 1,
            "acks": "all",
            "message.timeout.ms": 0,
            **more,
        }
        made: Producer = self._made(Producer, ours)
        return made

    def admin_config(self) -> Config:
        """Settings of an admin client."""
        skipped = (_CONSUMER_ONLY, _PRODUCER_ONLY)
        mine = {k: v for k, v in self.file.items() if not any(s.match(k) for s in skipped)}
        return {**self._common, **mine}

    def _made(self, kind: Any, config: Config) -> Any:  # noqa: ANN401 - either client
        try:
            return kind(config)
        except (KafkaException, ValueError, TypeError) as error:
            what = error.args[0].str() if isinstance(error, KafkaException) else str(error)
            where = f"--kafka-config {self.settings.config}" if self.file else "--kafka-brokers"
            raise CannotStart(
                f"{where}: Kafka's client does not take it: {what}; see librdkafka's CONFIGURATION.md"
            ) from error
