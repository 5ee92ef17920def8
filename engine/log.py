"""The log: readable lines on a terminal, JSON elsewhere; never a secret."""

import logging
import re
import sys
from collections.abc import Iterable
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

from slo.decision import Alert
from slo.model import Objective
from slo.rendering import render

_SECRET_KEY = re.compile(
    r"authorization|password|passwd|secret|token|api_?key|cookie", re.IGNORECASE
)
# `//user:password@host` in a URL; a user alone can be a token, too.
_USERINFO = re.compile(r"(?<=://)[^/@\s]+@")
MASK = "***"

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
    last: list[Any] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if as_json
        else [structlog.dev.ConsoleRenderer(colors=out.isatty())]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            hide_secrets,
            *last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )


def without_credentials(text: str) -> str:
    """A text with the credentials in its URLs masked.

    >>> without_credentials("sent to http://me:word@host/x")
    'sent to http://***@host/x'
    """
    return _USERINFO.sub(f"{MASK}@", text)


def hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Mask values under keys that name a secret, and credentials in URLs."""
    for key, value in event.items():
        if _SECRET_KEY.search(key):
            event[key] = MASK
        elif isinstance(value, str):
            event[key] = without_credentials(value)
    return event


def log_change(
    objectives: dict[str, Objective], fired: Iterable[Alert], ended: Iterable[Alert]
) -> None:
    """Write alerts that began or ended."""
    for name, alerts in (("alert fires", fired), ("alert ended", ended)):
        for alert in alerts:
            objective = objectives.get(alert.series.objective)
            if objective is None:
                continue
            rendered = render(alert, objective)
            write = log.warning if alert.ends_at is None else log.info
            write(
                name,
                alertname=rendered.labels["alertname"],
                severity=alert.severity,
                slo=objective.id,
                group=dict(zip(objective.by_names, alert.series.group or (), strict=False)),
                summary=rendered.annotations.get("summary", ""),
                slice=rendered.annotations.get("slice", ""),
            )
