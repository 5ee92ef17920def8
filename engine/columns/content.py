"""Prompts, completions and their like are blanked before a payload is stored.

Which attributes those are stands in `content.yaml`; what a loaded SLO names is kept, as it is needed to
decide. In traces the bytes of a value are overwritten where they lie. The attributes of a metric are
its identity, so there a keyed digest takes the place of a value: series stay apart and are the same
after a restart. Fields that no version of OTLP known here has are blanked, too.
"""

import hashlib
import secrets
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from engine.columns import _content_kept, _content_walk, _kernel, _plan
from engine.columns._content_names import Names, table
from engine.columns._metric_rules import rules
from engine.columns.spans import Refused
from engine.spool.spool import Signal
from engine.telemetry.log import log
from slo.aliases import accepted
from slo.anomalies.model import Monitor
from slo.columns import Field
from slo.masks import fields
from slo.model import Objective, SpanSli, SpendSli, label_name
from slo.promql import MetricSelector
from slo.traceql import Filter

BLANK = "redacted"
_FILLER = ord("*")
_KEY_BYTES = 32
_SCOPE_LABEL = "otel_scope_"
_PLACES = 4096
# As deep as the official parser goes, and the request itself.
_DEPTH = 102
_REQUESTS: dict[Signal, type[Message]] = {
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}
_SCHEMAS: dict[Signal, _kernel.Bytes] = {
    "traces": _plan.content_schema(ExportTraceServiceRequest.DESCRIPTOR),
    "metrics": _plan.content_schema(ExportMetricsServiceRequest.DESCRIPTOR),
}
_THREAD = threading.local()


class Redacted(NamedTuple):
    """A payload without content.

    Attributes:
        body: the very payload where there was none.
        values: how many values were blanked.
    """

    body: bytes
    values: int


class Redactor:
    """Blanks content in payloads.

    Args:
        objectives: gives the SLOs and monitors of the moment; asked for every payload, so that a reload
            counts at once.
        key: of the digests.
    """

    def __init__(self, objectives: Callable[[], Iterable[Objective | Monitor]], key: bytes) -> None:
        self._objectives = objectives
        self._key = key
        self._known: tuple[Objective | Monitor, ...] = ()
        self._names = Names(*table())
        self._told: set[str] = set()

    def redact(self, signal: Signal, payload: bytes) -> Redacted:
        """Blank a payload that was checked.

        Raises:
            Refused: it is no such request after all; its index is 0.
        """
        names = self.names()
        if not payload:
            return Redacted(payload, 0)
        data = np.frombuffer(payload, np.uint8)
        data.flags.writeable = False  # as that of bytes, for which the kernel is compiled
        stack, places = _room()
        state = np.zeros(3, np.int64)
        blanked: bytearray | None = None
        values = 0
        while not state[_kernel.DONE]:
            found = _kernel.find_content(data, _SCHEMAS[signal], names.arrays, state, stack, places)
            if found == _kernel.UNUSUAL or (found and signal == "metrics"):
                return self._by_parser(signal, payload, names)
            if found:
                blanked = blanked or bytearray(payload)
                _kernel.blank(np.frombuffer(blanked, np.uint8), places, found, _FILLER)
                for position, text in _content_kept.places(payload, places[:found]):
                    blanked[position : position + len(text)] = text
                values += found
        return Redacted(payload if blanked is None else bytes(blanked), values)

    def names(self) -> Names:
        """The names that hold content beside the SLOs of the moment; the log tells of each that is kept."""
        objectives = tuple(self._objectives())
        # By identity: comparing the SLOs themselves would cost more than the payload.
        if tuple(map(id, objectives)) != tuple(map(id, self._known)):
            kept = kept_names(objectives)
            self._names, self._known = _names(kept), objectives
            for name in sorted(kept - self._told):
                log.warning(
                    "values of this attribute are stored, as an SLO names it, though it holds content",
                    attribute=name,
                )
            self._told |= kept
        return self._names

    def _by_parser(self, signal: Signal, payload: bytes, names: Names) -> Redacted:
        request = _REQUESTS[signal]()
        try:
            request.ParseFromString(payload)
        except DecodeError as error:
            raise Refused(0, str(error)) from error
        filler = self._digest if signal == "metrics" else _reduced
        values = _content_walk.redact(request, names.mean_content, filler)
        return Redacted(request.SerializeToString(), values)

    def _digest(self, pair: KeyValue) -> str:
        data = pair.value.SerializeToString(deterministic=True)
        digest = hashlib.blake2b(data, digest_size=16, key=self._key).hexdigest()
        return f"{BLANK}:{digest}"


def _reduced(pair: KeyValue) -> str:
    return _content_kept.reduced(pair.key, pair.value.string_value) or BLANK


def kept_names(objectives: Iterable[Objective | Monitor]) -> frozenset[str]:
    """Names of the table that SLOs and monitors need: in selectors, `by` and the like, under every alias.

    A metric's selector has labels; it keeps the attributes that the table has by name for them.
    """
    named: set[str] = set()
    labels: set[str] = set()
    for objective in objectives:
        if objective.signal == "traces":
            for field in _span_fields(objective):
                named.update(accepted(field.name) if field.scope == "span" else (field.name,))
            continue
        labels.update(field.name for field in objective.by)
        for selector in _selectors(objective):
            labels.update(matcher.label for matcher in selector.labels)
    labels |= {label.removeprefix(_SCOPE_LABEL) for label in labels}
    named |= labels
    named.update(n for n in table().content if "*" not in n and label_name(n) in labels)
    names = _names(frozenset())
    return frozenset(filter(names.mean_content, named))


def _span_fields(objective: Objective | Monitor) -> frozenset[Field]:
    if isinstance(objective, Monitor):
        return objective.fields
    sli = objective.sli
    filters: tuple[Filter | None, ...] = ()
    if isinstance(sli, SpanSli):
        filters = (sli.total, sli.bad, sli.good)
    elif isinstance(sli, SpendSli):
        filters = (sli.total,)
    named = (fields(one) for one in filters if one is not None)
    return frozenset({*objective.by, *objective.explain}).union(*named)


def _selectors(objective: Objective | Monitor) -> Iterator[MetricSelector]:
    if isinstance(objective, Monitor):
        yield from (f.selector for f in objective.features if f.selector is not None)
    else:
        yield from (rule.selector for rule in rules(objective))


@lru_cache(maxsize=8)
def _names(kept: Collection[str]) -> Names:
    content, others = table()
    return Names(content, (*others, *kept))


def digest_key(path: Path) -> bytes:
    """The key of a data directory's digests, which is made where there is none.

    Raises:
        OSError: it can't be read or written.
    """
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        key = b""
    if len(key) != _KEY_BYTES:
        key = secrets.token_bytes(_KEY_BYTES)
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        fresh.touch(mode=0o600)
        fresh.write_bytes(key)
        fresh.replace(path)
    return key


def warm_up() -> None:
    """Compile the kernels, or load them from numba's cache."""
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.attributes.add(key=table().content[0]).value.string_value = "warm"
    Redactor(tuple, b"").redact("traces", request.SerializeToString())


def _room() -> tuple[_kernel.Int64s, _kernel.Int64s]:
    """This thread's working memory: what the kernel's stack and places need."""
    room: tuple[_kernel.Int64s, _kernel.Int64s] | None = getattr(_THREAD, "room", None)
    if room is None:
        room = _THREAD.room = np.empty((_DEPTH, 2), np.int64), np.empty((_PLACES, 3), np.int64)
    return room
