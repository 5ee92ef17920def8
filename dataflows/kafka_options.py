"""The options of `burnline run` that are about Kafka."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from dataflows.settings import Settings
from engine.kafka.settings import Encoding, First, KafkaSettings
from engine.telemetry.log import log

Command = TypeVar("Command", bound=Callable[..., Any])
# As the brokers have it.
_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_PORT = re.compile(r"[0-9]{1,5}")
_READ = {"traces": "--kafka-traces", "metrics": "--kafka-metrics", "logs": "--kafka-logs"}
_HOW = {"config": "--kafka-config", "encoding": "--kafka-encoding", "first": "--kafka-from"}
_WRITTEN = {"undecodable": "--kafka-undecodable", "alerts": "--kafka-alerts"}
# Without the addresses: the image gives them to every engine.
_RECEIVERS = {
    "--otlp-token-file": "otlp_token_file",
    "--max-connections": "max_connections",
    "--spool-size": "spool_bytes",
}
_default = KafkaSettings("")


class Topic(click.ParamType[str]):
    """The name of a topic."""

    name = "topic"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """The name as it was written."""
        if not _TOPIC.fullmatch(str(value)) or value in {".", ".."}:
            self.fail(
                f"{value!r} is no topic; write letters, digits, '.', '_' and '-' alone", param, ctx
            )
        return str(value)


class Brokers(click.ParamType[str]):
    """HOST:PORT of some brokers, parted by commas."""

    name = "host:port,..."

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """The addresses as they were written, without blanks."""
        addresses = [address.strip() for address in str(value).split(",")]
        for address in addresses:
            host, _, port = address.rpartition(":")
            if not host or not _PORT.fullmatch(port) or not 0 < int(port) <= 65535:
                self.fail(
                    f"{address!r} is no HOST:PORT; write such as 127.0.0.1:9092, or several parted by"
                    " commas",
                    param,
                    ctx,
                )
        return ",".join(addresses)


def kafka_settings(options: dict[str, Any]) -> KafkaSettings | None:
    """Take the options about Kafka out; None where nothing is read from there.

    Raises:
        click.UsageError: they don't fit together.
    """
    given = {
        name.removeprefix("kafka_"): options.pop(name)
        for name in list(options)
        if name.startswith("kafka_")
    }
    if not given.get("brokers"):
        for name, option in {**_READ, **_WRITTEN, **_HOW}.items():
            if given.get(name, "") not in {(), "", None, getattr(_default, name)}:
                raise click.UsageError(f"{option} needs --kafka-brokers beside it")
        return None
    if not any(given[name] for name in _READ):
        raise click.UsageError(
            f"--kafka-brokers needs a topic to read: {', '.join(_READ.values())}"
        )
    used: dict[str, str] = {}
    topics = [(topic, option) for name, option in _READ.items() for topic in given[name]]
    topics += [(given[name], option) for name, option in _WRITTEN.items() if given[name]]
    for topic, option in topics:
        if topic in used:
            raise click.UsageError(
                f"{option} {topic}: {used[topic]} names this topic already; each is for one thing"
            )
        used[topic] = option
    return KafkaSettings(**given)


def without_effect(settings: Settings) -> list[str]:
    """Options of the receivers that were given, although nothing is received where Kafka is read."""
    if settings.kafka is None:
        return []
    usual = Settings(slos=())
    return [
        option
        for option, name in _RECEIVERS.items()
        if getattr(settings, name) != getattr(usual, name)
    ]


def warn_without_effect(settings: Settings) -> None:
    """Say which they are."""
    if idle := without_effect(settings):
        log.warning("no receiver listens where Kafka is read: options without effect", options=idle)


def _topics(name: str, text: str) -> Callable[[Command], Command]:
    variable = f"BURNLINE_{name.removeprefix('--').replace('-', '_').upper()}"
    text = f"{text}; may be repeated (in the variable: by spaces)."
    return click.option(name, multiple=True, type=Topic(), envvar=variable, help=text)


def _topic(name: str, text: str) -> Callable[[Command], Command]:
    variable = f"BURNLINE_{name.removeprefix('--').replace('-', '_').upper()}"
    return click.option(
        name,
        type=Topic(),
        default=None,
        envvar=variable,
        help=text,
        callback=lambda _context, _option, value: value or "",
    )


KAFKA_OPTIONS = (
    click.option(
        "--kafka-brokers",
        type=Brokers(),
        default=None,
        envvar="BURNLINE_KAFKA_BROKERS",
        callback=lambda _context, _option, value: value or "",
        help="Read from Kafka instead of OTLP receivers: HOST:PORT of some brokers, parted by commas.",
    ),
    _topics("--kafka-traces", "Topic of traces"),
    _topics("--kafka-metrics", "Topic of metrics"),
    _topics("--kafka-logs", "Topic of logs, of which the events that SLOs can count are read"),
    click.option(
        "--kafka-encoding",
        type=click.Choice(get_args(Encoding)),
        default=_default.encoding,
        show_default=True,
        envvar="BURNLINE_KAFKA_ENCODING",
        help="Of all messages, as the Collector's exporter names it.",
    ),
    click.option(
        "--kafka-from",
        "kafka_first",
        type=click.Choice(get_args(First)),
        default=_default.first,
        show_default=True,
        envvar="BURNLINE_KAFKA_FROM",
        help="Where to begin the first time; later it goes on where it was.",
    ),
    click.option(
        "--kafka-config",
        type=click.Path(path_type=Path),
        envvar="BURNLINE_KAFKA_CONFIG",
        help="File of librdkafka's settings, NAME=VALUE a line: SASL, TLS and others.",
    ),
    _topic("--kafka-undecodable", "Topic for messages that can't be decoded."),
    _topic("--kafka-alerts", "Topic that is told each alert's beginning, change and end."),
)
