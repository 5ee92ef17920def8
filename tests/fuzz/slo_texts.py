"""SLO files and what stands in them: values, filters, selectors."""

import random
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from engine.columns.spans import Reader
from slo import _fields, load, parse_filter, parse_selector
from slo.anomalies import _fields as monitors
from slo.document import _plain
from slo.durations import format_duration, parse_duration
from slo.masks import mask
from slo.plan import Plan
from slo.problems import SelectorError
from slo.rendering import group_label_names, user_labels
from slo.traceql import parse_field
from tests.fuzz.messages import random_message
from tests.fuzz.mutation import HOSTILE

_GOLDEN = Path(__file__).parents[1] / "slo" / "golden"
_FILTERS = (
    '{ resource.service.name = "chat-api" && span.gen_ai.operation.name = "chat" }', "{ status = error }",
    '{ duration > 2s || (name =~ "a.*" && !(kind != server)) }', "{}", "{ .foo != nil }",
    '{ span."a b" = 1.5 }', "{ `x` = span.k }", '{ name !~ "(a|b)*c" }', "{ 1h30m <= duration }",
    '{ span.k =~ "(a+)+$" }',
    "{ " + "(" * 90 + "true" + ")" * 90 + " }", "{ " + "!" * 400 + "true }",
    "{ true" + " && true" * 800 + " }",
)  # fmt: skip
_SELECTORS = (
    'llm_requests_total{status="error"}', 'llm_requests_total{status=~"5..",a!~"(a+)+$"}', 'x{le="+Inf"}',
    '{"gen_ai.client.operation.duration", b!="c"}', '{__name__=~"a.*|b"}', "x", "sum(rate(x[5m])) by (y)",
    "x offset 5m", "x @ 3", "-x", "((((x))))", 'x{a="b" or c="d"}', "x{a='\\x41'}", "x + on(a) group_left y",
)  # fmt: skip
_VALUES = (
    "5m", "1h30m", "30d", "4w", "99.9", "2%", "14.4", "2.56", "2s", "100ms", "95", "none", "Europe/Berlin",
    "1e3", "../../etc/passwd", "chat-api", "span.gen_ai.request.model", 'resource."a b"',
)  # fmt: skip


def yaml_seeds(_random: random.Random) -> Sequence[bytes]:
    return [path.read_bytes() for path in sorted(_GOLDEN.glob("*.yaml"))]


def yaml_check(data: bytes) -> bool:
    text = data.decode("utf-8", "replace")
    loaded = load({"a.yaml": text})
    for problem in loaded.problems:
        told = str(problem).encode().decode()
        lines = text.count("\n") + text.count("\r") + text.count("\x85") + text.count("\u2028") + 2
        where = problem.position
        if not (problem.what and problem.mend and told.startswith("a.yaml:")):
            raise AssertionError(f"a problem that does not help: {told}")
        if not (1 <= where.line <= lines + text.count("\u2029") and where.column >= 1):
            raise AssertionError(f"a problem nowhere: {told}")
    if not loaded.problems:
        Plan(loaded.objectives)
        for objective in loaded.objectives:
            _ = (objective.generation, user_labels(objective), group_label_names(objective))
    return not loaded.problems


def traceql_seeds(_random: random.Random) -> Sequence[bytes]:
    return [text.encode() for text in _FILTERS]


def traceql_check(data: bytes) -> bool:
    text = data.decode("utf-8", "replace")
    try:
        filter_ = parse_filter(text)
    except SelectorError as error:
        return _told(error, text)
    fields = filter_.fields()
    batch = Reader(fields).read([_BATCH])
    if len(mask(filter_, batch)) != len(batch):
        raise AssertionError("a mask of another length")
    return True


def promql_seeds(_random: random.Random) -> Sequence[bytes]:
    return [text.encode() for text in _SELECTORS]


def promql_check(data: bytes) -> bool:
    text = data.decode("utf-8", "replace")
    try:
        selector = parse_selector(text)
    except SelectorError as error:
        return _told(error, text)
    selector.matches(("llm.requests", "llm_requests_total"), {"status": "a" * 5000, "a": '\0\n"'})
    return True


def values_seeds(_random: random.Random) -> Sequence[bytes]:
    return [text.encode() for text in (*_VALUES, *HOSTILE)]


def values_check(data: bytes) -> bool:
    text = data.decode("utf-8", "replace")
    accepted = False
    # The nearest name of a time zone is looked for among six hundred.
    readers = _READERS if zlib.crc32(data) % 16 == 0 else _READERS[1:]
    for read in readers:
        for value in (text, *_number(text)):
            try:
                read(value)
            except _fields.Wrong as wrong:
                if not (wrong.what and wrong.mend):
                    raise AssertionError("an error that does not help") from wrong
            else:
                accepted = True
    try:
        seconds = parse_duration(text)
    except ValueError:
        return accepted
    if parse_duration(format_duration(seconds)) != seconds:
        raise AssertionError("a duration that is written as another")
    return True


def _number(text: str) -> Sequence[Any]:
    """The number that YAML makes of it, if any."""
    value = _plain(text)
    return [] if isinstance(value, str) else [value]


def _field(value: Any) -> object:
    return _fields.parsed_with(parse_field, "span.x")(value)


_READERS: tuple[Callable[[Any], object], ...] = (
    _fields._time_zone, _fields._name, _fields._label_name, _fields._percent, _fields._share, _fields._factor,
    _fields._evidence, _fields.window_seconds, _fields._slice_seconds, _fields._above, _field,
    monitors._interval, monitors._per, monitors._quantile, monitors._numeric,
    monitors._feature_name, monitors._false_alarms,
)  # fmt: skip


def _told(error: SelectorError, text: str) -> bool:
    if not (error.message and error.mend and 0 <= error.position <= len(text)):
        raise AssertionError(f"an error that does not help: {error}") from error
    return False


_BATCH = random_message(
    random.Random(1), ExportTraceServiceRequest(), 1_700_000_000 * 10**9
).SerializeToString()
