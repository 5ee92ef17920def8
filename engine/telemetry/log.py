"""The log: readable lines on a terminal, JSON elsewhere; never a secret."""

import logging
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

from engine.sinks.shown import Shown
from engine.telemetry.masking import MASK, mask
from slo.anomalies.decision import Incident

_SECRET_KEY = re.compile(
    r"authorization|password|passwd|secret|token|api_?key|cookie", re.IGNORECASE
)

log = structlog.stdlib.get_logger("burnline")


def configure(
    stream: TextIO | None = None, *, json: bool | None = None, level: str = "info"
) -> None:
    """Set up structlog for this process.

    Args:
        stream: where to write; standard error by default.
        json: JSON lines, or lines for people; by default JSON unless the stream is a terminal.
        level: the lowest level that is written: `debug`, `info`, `warning` or `error`.
    """
    out = stream or sys.stderr
    as_json = not out.isatty() if json is None else json
    # Not the prettier traceback, which shows the values of variables.
    last = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(
            colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            hide_secrets,
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    if not any(isinstance(handler, _FromLibraries) for handler in root.handlers):
        root.addHandler(_FromLibraries(logging.WARNING))


class _FromLibraries(logging.Handler):
    """Writes what libraries log as our own: in one line, and without secrets.

    aiohttp for one quotes the header that it could not read.
    """

    def emit(self, record: logging.LogRecord) -> None:
        log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)


def hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Mask values under keys that name a secret, and secrets in texts, however deep."""
    for key, value in event.items():
        event[key] = MASK if _SECRET_KEY.search(key) else _masked(value)
    return event


def _masked(value: Any) -> Any:  # noqa: ANN401  whatever is logged
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        # A key here may be an attribute's name: one like gen_ai.token.type is no secret.
        return {mask(str(key)): _masked(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(inner) for inner in value]
    return mask(str(value))


def log_change(fired: Iterable[Shown], ended: Iterable[Shown]) -> None:
    """Write alerts that began or ended."""
    for name, alerts in (("alert fires", fired), ("alert ended", ended)):
        for shown in alerts:
            rendered = shown.rendered()
            write = log.warning if shown.alert.ends_at is None else log.info
            write(
                name,
                alertname=rendered.labels["alertname"],
                severity=shown.alert.severity,
                **_subject(shown),
                summary=rendered.annotations.get("summary", ""),
                slice=rendered.annotations.get("slice", ""),
            )


def _subject(shown: Shown) -> dict[str, Any]:
    """What an alert is about."""
    alert, objective = shown.alert, shown.objective
    if isinstance(alert, Incident) or objective is None:
        return {"service": dict(shown.labels).get("service", "")}
    group = dict(zip(objective.by_names, alert.series.group or (), strict=False))
    return {"slo": objective.id, "group": group}
