"""The options of `burnline run`, which a flow started by `bytewax.run` takes from the environment."""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from dataflows.cluster.membership import MembershipError, membership, runner_flags
from dataflows.kafka_options import KAFKA_OPTIONS, kafka_settings
from dataflows.settings import Settings
from slo.durations import parse_duration
from slo.usage.messages import MODES

Command = TypeVar("Command", bound=Callable[..., Any])
# Secrets themselves are in no option: others on the machine can read command lines.
SECRETS = {
    name: f"BURNLINE_{name.upper()}"
    for name in ("otlp_token", "http_token", "alertmanager_token", "remote_write_token")
}
_SIZES = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class Duration(click.ParamType[float]):
    """A duration such as 30s or 5m, in seconds."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Seconds."""
        if isinstance(value, int | float):
            return float(value)
        try:
            return float(parse_duration(str(value)))
        except ValueError as error:
            raise self.fail(str(error), param, ctx) from error


class Size(click.ParamType[int]):
    """A size such as 512MiB or 4GiB, in bytes."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Bytes."""
        if isinstance(value, int):
            return value
        text = str(value)
        for unit, factor in _SIZES.items():
            number = text.removesuffix(unit)
            if number != text and number.strip().isdigit() and int(number):
                return int(number) * factor
        raise self.fail(
            f"{value!r} is no size; write a whole number of {', '.join(_SIZES)}", param, ctx
        )


class Address(click.ParamType[str]):
    """HOST:PORT."""

    name = "host:port"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """The address as it was written."""
        host, _, port = str(value).rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            self.fail(f"{value!r} is no HOST:PORT; write such as 127.0.0.1:4317", param, ctx)
        return str(value)


class Url(click.ParamType[str]):
    """An http or https URL."""

    name = "url"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """The URL without a slash at its end."""
        if not str(value).startswith(("http://", "https://")):
            _, at, host = str(value).rpartition("@")
            written = f"***@{host}" if at else str(value)
            self.fail(f"{written!r} is no URL; write such as http://127.0.0.1:9093", param, ctx)
        return str(value).rstrip("/")


class Label(click.ParamType[tuple[str, str]]):
    """NAME=VALUE of a Prometheus label."""

    name = "name=value"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """The name and the value."""
        if isinstance(value, tuple):
            return value
        name, _, content = str(value).partition("=")
        if not _LABEL_NAME.fullmatch(name) or name.startswith("__") or not content:
            self.fail(f"{value!r} is no label; write NAME=VALUE such as cluster=eu-1", param, ctx)
        return name, content


def run_options(command: Command) -> Command:
    """Give a command the options of a live engine."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def settings_of(options: Mapping[str, Any]) -> Settings:
    """Settings from the options' values, and secrets from the environment.

    Raises:
        click.UsageError: a variable that closes something is set, and empty; options don't fit together; or
            what is said of a cluster makes none.
    """
    for variable in _closing_variables():
        # Taken for unset, it would leave open what somebody meant to close.
        if os.environ.get(variable) == "":
            raise click.UsageError(f"{variable} is empty; give it a value, or unset it")
    secrets: dict[str, Any] = {name: os.environ.get(var) for name, var in SECRETS.items()}
    given = dict(options)
    kafka = kafka_settings(given)
    try:
        cluster = membership(given.pop("process_id"), given.pop("addresses"), os.environ)
    except MembershipError as error:
        raise click.UsageError(str(error)) from error
    return Settings(**given, **secrets, kafka=kafka, cluster=cluster)


def _closing_variables() -> Iterator[str]:
    command = click.Command("dataflows.live", params=[], callback=None)
    run_options(command)
    yield from SECRETS.values()
    for option in command.params:
        if option.name and option.name.endswith(("_file", "_cert", "_key", "_ca")):
            yield str(option.envvar)


def settings_from_environment(runner: Sequence[str] = ()) -> Settings:
    """Settings for a flow that has no command line of its own.

    Args:
        runner: the command line of Bytewax's runner, which may say which process of a cluster this is.

    Raises:
        click.ClickException: a variable is missing or wrong; `show()` tells which.
    """
    command = click.Command("dataflows.live", params=[], callback=None)
    run_options(command)
    context = command.make_context("dataflows.live", [])
    try:
        process, addresses = runner_flags(runner)
    except MembershipError as error:
        raise click.UsageError(str(error)) from error
    said = {"process_id": process, "addresses": addresses}
    return settings_of(context.params | {k: v for k, v in said.items() if v is not None})


def _file(name: str, text: str) -> Callable[[Command], Command]:
    """An option that names a file of credentials."""
    variable = f"BURNLINE_{name.removeprefix('--').replace('-', '_').upper()}"
    return click.option(name, type=click.Path(path_type=Path), envvar=variable, help=text)


_default = Settings(slos=())
_OPTIONS = (
    click.option(
        "--slos",
        multiple=True,
        required=True,
        type=click.Path(path_type=Path),
        envvar="BURNLINE_SLOS",
        help="SLO file or directory; may be repeated (in BURNLINE_SLOS: parted by ':').",
    ),
    click.option(
        "--data-dir",
        type=click.Path(path_type=Path),
        default=_default.data_dir,
        show_default=True,
        envvar="BURNLINE_DATA_DIR",
        help="Where the spool and the recovery store live.",
    ),
    click.option(
        "--otlp-grpc",
        type=Address(),
        default=_default.otlp_grpc,
        show_default=True,
        envvar="BURNLINE_OTLP_GRPC",
        help="Address of the OTLP/gRPC receiver.",
    ),
    click.option(
        "--otlp-http",
        type=Address(),
        default=_default.otlp_http,
        show_default=True,
        envvar="BURNLINE_OTLP_HTTP",
        help="Address of the OTLP/HTTP receiver.",
    ),
    click.option(
        "--http",
        type=Address(),
        default=_default.http,
        show_default=True,
        envvar="BURNLINE_HTTP",
        help="Address of /metrics, /healthz and /readyz.",
    ),
    click.option(
        "--alertmanager",
        "alertmanagers",
        multiple=True,
        type=Url(),
        envvar="BURNLINE_ALERTMANAGER",
        help="Base URL of an Alertmanager; repeat for every replica (in the variable: by spaces).",
    ),
    click.option(
        "--external-url",
        default=_default.external_url,
        envvar="BURNLINE_EXTERNAL_URL",
        help="Where people reach this engine; the source link of alerts.",
    ),
    click.option(
        "--workers",
        type=click.IntRange(1, 64),
        default=_default.workers,
        show_default=True,
        envvar="BURNLINE_WORKERS",
        help="Bytewax worker threads.",
    ),
    click.option(
        "--process-id",
        type=int,
        envvar="BURNLINE_PROCESS_ID",
        help="Number of this process in a cluster, from 0; or BYTEWAX_PROCESS_ID.",
    ),
    click.option(
        "--addresses",
        envvar="BURNLINE_ADDRESSES",
        help="HOST:PORT;HOST:PORT;... at which the processes of a cluster talk to each other, the same for "
        "all; or BYTEWAX_ADDRESSES. For a private network only.",
    ),
    click.option(
        "--recovery-partitions",
        type=click.IntRange(1, 4096),
        default=_default.recovery_partitions,
        show_default=True,
        envvar="BURNLINE_RECOVERY_PARTITIONS",
        help="Files that the state is spread over: at least the most processes ever; fixed once made.",
    ),
    click.option(
        "--shards",
        type=click.IntRange(1, 4096),
        default=_default.shards,
        show_default=True,
        envvar="BURNLINE_SHARDS",
        help="Virtual shards: at least the most workers ever; fixed once the data directory exists.",
    ),
    click.option(
        "--snapshot-interval",
        "snapshot_seconds",
        type=Duration(),
        default=f"{_default.snapshot_seconds:.0f}s",
        show_default=True,
        envvar="BURNLINE_SNAPSHOT_INTERVAL",
        help="How often the state is saved; so much is read again after a crash.",
    ),
    click.option(
        "--spool-size",
        "spool_bytes",
        type=Size(),
        default="4GiB",
        show_default=True,
        envvar="BURNLINE_SPOOL_SIZE",
        help="Limit of the spool; above it senders are asked to wait.",
    ),
    click.option(
        "--series-limit",
        type=click.IntRange(1),
        default=_default.series_limit,
        show_default=True,
        envvar="BURNLINE_SERIES_LIMIT",
        help="Series of one objective before the rest share an overflow series.",
    ),
    click.option(
        "--stale-after",
        type=Duration(),
        default="5m",
        show_default=True,
        envvar="BURNLINE_STALE_AFTER",
        help="Silence of a source after which its alerts freeze.",
    ),
    click.option(
        "--skew",
        type=Duration(),
        default="30s",
        show_default=True,
        envvar="BURNLINE_SKEW",
        help="How far ahead of its arrival an event may be.",
    ),
    click.option(
        "--watch",
        is_flag=True,
        default=_default.watch,
        envvar="BURNLINE_WATCH",
        help="Reload the SLO files when they change, as SIGHUP does.",
    ),
    _file(
        "--tls-cert",
        "Certificate of the three listeners (PEM, with those between it and its CA); with --tls-key.",
    ),
    _file(
        "--tls-key",
        "Its private key (PEM, no passphrase).",
    ),
    _file(
        "--tls-client-ca",
        "Let only clients in whose certificate this CA signed; /healthz and /readyz stay open.",
    ),
    _file(
        "--otlp-token-file",
        "Bearer tokens that senders must show, one a line; or one in BURNLINE_OTLP_TOKEN.",
    ),
    _file(
        "--http-token-file",
        "Bearer tokens that readers of /metrics must show; or one in BURNLINE_HTTP_TOKEN.",
    ),
    _file(
        "--alertmanager-token-file",
        "Bearer token to show to Alertmanager; or BURNLINE_ALERTMANAGER_TOKEN.",
    ),
    _file(
        "--alertmanager-ca",
        "Trust this CA (PEM) for Alertmanager, instead of the system's.",
    ),
    _file(
        "--alertmanager-cert",
        "Client certificate to show to Alertmanager (PEM); with --alertmanager-key.",
    ),
    _file(
        "--alertmanager-key",
        "Its private key (PEM, no passphrase).",
    ),
    click.option(
        "--max-connections",
        type=click.IntRange(4),
        default=_default.max_connections,
        show_default=True,
        envvar="BURNLINE_MAX_CONNECTIONS",
        help="Connections of each OTLP receiver at a time; more senders need more.",
    ),
    click.option(
        "--keep-content",
        is_flag=True,
        default=_default.keep_content,
        envvar="BURNLINE_KEEP_CONTENT",
        help="Store prompts, completions and other content as they come, instead of blanking them.",
    ),
    click.option(
        "--traces",
        type=Url(),
        default=None,
        envvar="BURNLINE_TRACES",
        callback=lambda _context, _option, value: value or "",
        help="OTLP/HTTP receiver for spans of the engine's own work; not this engine's.",
    ),
    click.option(
        "--traces-ratio",
        type=click.FloatRange(0, 1),
        default=_default.traces_ratio,
        show_default=True,
        envvar="BURNLINE_TRACES_RATIO",
        help="Share of payloads and batches that have spans; what is rare always has.",
    ),
    click.option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
        default=_default.log_level,
        show_default=True,
        envvar="BURNLINE_LOG_LEVEL",
        help="Lowest level that is logged.",
    ),
    click.option(
        "--log-format",
        type=click.Choice(["auto", "json", "text"], case_sensitive=False),
        default=_default.log_format,
        show_default=True,
        envvar="BURNLINE_LOG_FORMAT",
        help="How: auto writes text on a terminal, JSON elsewhere.",
    ),
    click.option(
        "--watchdog/--no-watchdog",
        default=_default.watchdog,
        show_default=True,
        envvar="BURNLINE_WATCHDOG",
        help="Send the alert Watchdog all the time, for a dead-man's switch.",
    ),
    click.option(
        "--remote-write",
        multiple=True,
        type=Url(),
        envvar="BURNLINE_REMOTE_WRITE",
        help="Push every series of /metrics there: http://HOST:PORT/api/v1/write. Repeat for each receiver "
        "(in the variable: by spaces).",
    ),
    click.option(
        "--remote-write-interval",
        type=Duration(),
        default="15s",
        show_default=True,
        envvar="BURNLINE_REMOTE_WRITE_INTERVAL",
        help="From one push to the next.",
    ),
    click.option(
        "--remote-write-backlog",
        type=Duration(),
        default="15m",
        show_default=True,
        envvar="BURNLINE_REMOTE_WRITE_BACKLOG",
        help="How long samples wait, in memory, for a receiver that is down.",
    ),
    click.option(
        "--remote-write-label",
        "remote_write_labels",
        multiple=True,
        type=Label(),
        envvar="BURNLINE_REMOTE_WRITE_LABEL",
        help="A label NAME=VALUE of every series that is pushed; job and instance have defaults.",
    ),
    _file(
        "--remote-write-token-file",
        "Bearer token to show to --remote-write; or BURNLINE_REMOTE_WRITE_TOKEN.",
    ),
    _file(
        "--remote-write-ca",
        "Trust this CA (PEM) for --remote-write, instead of the system's.",
    ),
    _file(
        "--remote-write-cert",
        "Client certificate to show to --remote-write (PEM); with --remote-write-key.",
    ),
    _file(
        "--remote-write-key",
        "Its private key (PEM, no passphrase).",
    ),
    click.option(
        "--anomalies",
        type=click.Choice(["on", "off"], case_sensitive=False),
        default=_default.anomalies,
        show_default=True,
        envvar="BURNLINE_ANOMALIES",
        help="Watch for anomalies: what the SLO files say, or every service and model.",
    ),
    click.option(
        "--anomaly-limit",
        type=click.IntRange(1),
        default=_default.anomaly_limit,
        show_default=True,
        envvar="BURNLINE_ANOMALY_LIMIT",
        help="Entities of one monitor, in a shard, before the rest share one.",
    ),
    click.option(
        "--prices",
        type=click.Path(path_type=Path),
        envvar="BURNLINE_PRICES",
        help="Own prices of models (YAML, or JSON in LiteLLM's format), over the bundled ones.",
    ),
    click.option(
        "--llm-series",
        type=click.Choice(MODES),
        default=_default.llm_series,
        show_default=True,
        envvar="BURNLINE_LLM_SERIES",
        help="Show what model calls use by service, provider, model and tenant (full), or not by tenant.",
    ),
    click.option(
        "--llm-series-limit",
        type=click.IntRange(1),
        default=_default.llm_series_limit,
        show_default=True,
        envvar="BURNLINE_LLM_SERIES_LIMIT",
        help="Such series before further tenants, then models, share one.",
    ),
    *KAFKA_OPTIONS,
)
