"""OTLP log records that are events which SLOs can count, as the spans of a trace request.

OpenTelemetry writes the verdict on an answer as a log record with an event's name. As a span of that
name, without duration, it goes the way of every other span; its body is left behind. All other
records are of no use here. Older SDKs write the same event into the span that it is about.
"""

import hashlib
import math
from typing import NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from engine.columns.spans import Refused
from slo import llm
from slo.aliases import accepted
from slo.columns import Field

WANTED = frozenset({"gen_ai.evaluation.result"})
# The event's name, as senders wrote it before records had a field for it.
_NAME = "event.name"
_OPERATION = "gen_ai.operation.name"
_SCORE = "gen_ai.evaluation.score.value"
# Of a call's span, under every name that it goes by.
_INHERITED = frozenset(
    name
    for field in (
        *(llm.PROVIDER, llm.REQUEST_MODEL, llm.RESPONSE_MODEL, llm.TENANT),
        *(Field("span", name) for name in ("user.id", "feature.name", "gen_ai.conversation.id")),
        *(Field("span", f"gen_ai.{name}") for name in ("prompt.name", "prompt.version")),
        *(Field("span", f"gen_ai.{name}.name") for name in ("agent", "workflow")),
    )
    for name in accepted(field.name)
)
# Each event of a span has them again.
_LONGEST_INHERITED = 512
_MOST_PARSED = 16 << 20
_NEEDLES = tuple(name.encode() for name in WANTED)


class Events(NamedTuple):
    """What is in a log request.

    Attributes:
        body: an ExportTraceServiceRequest with a span for each event; empty where there is none.
        events: how many.
        ignored: records that are none.
        rejected: events without a time, which can be placed nowhere.
    """

    body: bytes
    events: int
    ignored: int
    rejected: int


def events(payload: bytes) -> Events:
    """The events in an ExportLogsServiceRequest.

    Raises:
        Refused: it is none; its index is 0.
    """
    try:
        request = ExportLogsServiceRequest.FromString(payload)
    except DecodeError as error:
        raise Refused(0, str(error)) from error
    records = sum(len(s.log_records) for r in request.resource_logs for s in r.scope_logs)
    # Most payloads hold none; to look at each of their records would take far longer than this.
    if not any(needle in payload for needle in _NEEDLES):
        return Events(b"", 0, records, 0)
    traces = ExportTraceServiceRequest()
    rejected = 0
    for resource_logs in request.resource_logs:
        rejected += _add(resource_logs, traces)
    found = sum(len(s.spans) for r in traces.resource_spans for s in r.scope_spans)
    body = traces.SerializeToString() if found else b""
    return Events(body, found, records - found - rejected, rejected)


def with_span_events(payload: bytes) -> bytes:
    """A trace request in which events of spans are spans beside them, too, as those of logs are.

    Older SDKs write an evaluation as an event of the call's span. It keeps what the span says of model,
    tenant and the like, so that it can be grouped by that.

    Raises:
        Refused: the payload is no ExportTraceServiceRequest, or too large to be parsed; its index is 0.
    """
    if not any(needle in payload for needle in _NEEDLES):
        return payload
    if len(payload) > _MOST_PARSED:
        raise Refused(0, f"evaluations on spans in over {_MOST_PARSED} bytes; send smaller batches")
    try:
        request = ExportTraceServiceRequest.FromString(payload)
    except DecodeError as error:
        raise Refused(0, str(error)) from error
    found = ExportTraceServiceRequest()
    for resource_spans in request.resource_spans:
        resource = resource_spans.resource.SerializeToString()
        spans = [
            _span(_record(span, event), resource)
            for scope in resource_spans.scope_spans
            for span in scope.spans
            for event in span.events
            if event.name in WANTED
        ]
        if spans:
            found.resource_spans.add(
                resource=resource_spans.resource, scope_spans=[ScopeSpans(spans=spans)]
            )
    # Requests one behind the other are one request.
    return payload + found.SerializeToString()


def _record(span: Span, event: Span.Event) -> LogRecord:
    """A span's event as the log record that newer SDKs would write."""
    own = {pair.key for pair in event.attributes}
    inherited = [
        pair
        for pair in span.attributes
        if pair.key in _INHERITED and pair.key not in own and pair.ByteSize() <= _LONGEST_INHERITED
    ]
    return LogRecord(
        time_unix_nano=event.time_unix_nano or span.end_time_unix_nano,
        event_name=event.name,
        trace_id=span.trace_id,
        span_id=span.span_id,
        attributes=[*event.attributes, *inherited],
    )


def _add(resource_logs: ResourceLogs, traces: ExportTraceServiceRequest) -> int:
    """Add the events of a resource to a trace request; how many have no time."""
    resource = resource_logs.resource.SerializeToString()
    scopes: list[ScopeSpans] = []
    rejected = 0
    for scope_logs in resource_logs.scope_logs:
        wanted = [r for r in scope_logs.log_records if _name(r) in WANTED]
        timed = [r for r in wanted if r.time_unix_nano or r.observed_time_unix_nano]
        rejected += len(wanted) - len(timed)
        if timed:
            spans = [_span(record, resource) for record in timed]
            scopes.append(
                ScopeSpans(scope=scope_logs.scope, schema_url=scope_logs.schema_url, spans=spans)
            )
    if scopes:
        traces.resource_spans.add(
            resource=resource_logs.resource,
            schema_url=resource_logs.schema_url,
            scope_spans=scopes,
        )
    return rejected


def _name(record: LogRecord) -> str:
    if record.event_name:
        return record.event_name
    named = [pair.value.string_value for pair in record.attributes if pair.key == _NAME]
    return named[-1] if named else ""


def _span(record: LogRecord, resource: bytes) -> Span:
    time = record.time_unix_nano or record.observed_time_unix_nano
    # Of what it says: the same record sent again is the same span.
    digest = hashlib.blake2b(resource, digest_size=8)
    digest.update(record.SerializeToString())
    span = Span(
        trace_id=record.trace_id,
        span_id=digest.digest(),
        parent_span_id=record.span_id,
        name=_name(record),
        start_time_unix_nano=time,
        end_time_unix_nano=time,
        attributes=[pair for pair in record.attributes if pair.key not in (_NAME, _OPERATION)],
        dropped_attributes_count=record.dropped_attributes_count,
    )
    # It may name the model of what it judges, and is no call of it.
    span.attributes.add(key=_OPERATION).value.string_value = "evaluation"
    for pair in span.attributes:
        if pair.key == _SCORE and pair.value.WhichOneof("value") == "string_value":
            score = _number(pair.value.string_value)
            if score is not None:
                pair.value.double_value = score
    return span


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
