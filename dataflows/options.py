"""The options of `burnline run`, which a flow started by `bytewax.run` takes from the environment."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from dataflows.settings import Settings
from slo.durations import parse_duration

Command = TypeVar("Command", bound=Callable[..., Any])
_SIZES = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


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
            self.fail(f"{value!r} is no URL; write such as http://127.0.0.1:9093", param, ctx)
        return str(value).rstrip("/")


def run_options(command: Command) -> Command:
    """Give a command the options of a live engine."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def settings_of(options: Mapping[str, Any]) -> Settings:
    """Settings from the options' values."""
    return Settings(**options)


def settings_from_environment() -> Settings:
    """Settings for a flow that has no command line of its own.

    Raises:
        click.ClickException: a variable is missing or wrong; `show()` tells which.
    """
    command = click.Command("dataflows.live", params=[], callback=None)
    run_options(command)
    context = command.make_context("dataflows.live", [])
    return settings_of(context.params)


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
        "--keep-content",
        is_flag=True,
        default=_default.keep_content,
        envvar="BURNLINE_KEEP_CONTENT",
        help="Store prompts, completions and other content as they come, instead of blanking them.",
    ),
)
