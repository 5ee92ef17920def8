"""How the engine's own spans are sampled and sent, and where they must not go."""

import ipaddress
import logging
import socket
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes

from engine.telemetry.log import log

PATH = "/v1/traces"
TIMEOUT_SECONDS = 5
# Spans that every payload and every batch has.
OFTEN = frozenset({"receive", "flow"})


class Sampling(Sampler):
    """Spans of payloads and batches by a ratio, all others; below a span as the span itself.

    A sender that samples all of its own traces does not make us send a span for each payload: the
    ratio holds for what goes on from its `traceparent` too.

    Args:
        ratio: 0 to 1.
    """

    def __init__(self, ratio: float) -> None:
        share = TraceIdRatioBased(ratio)
        self._often = ParentBased(share, remote_parent_sampled=share)
        self._rare = ParentBased(ALWAYS_ON, remote_parent_not_sampled=ALWAYS_OFF)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """As the class says."""
        sampler = self._often if name in OFTEN else self._rare
        return sampler.should_sample(
            parent_context, trace_id, name, kind, attributes, links, trace_state
        )

    def get_description(self) -> str:
        """For the SDK's own messages."""
        return "BurnlineSampling"


class QuietExporter(SpanExporter):
    """Sends spans over OTLP/HTTP; a receiver that is down costs a line in the log, and those spans.

    Args:
        url: the whole one.
        count: told ("sent" or "lost", spans).
    """

    def __init__(self, url: str, count: Callable[[str, int], None]) -> None:
        # Its own complaints come with every batch, and as lines that are not JSON.
        logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
        logging.getLogger("opentelemetry").propagate = False
        self.url = url
        self.count = count
        self._up = True
        self._closed = False
        self._exporter = OTLPSpanExporter(
            endpoint=url, timeout=TIMEOUT_SECONDS, compression=Compression.Gzip
        )

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch."""
        result = self._exporter.export(spans)
        up = result is SpanExportResult.SUCCESS
        self.count("sent" if up else "lost", len(spans))
        if up is not self._up and not self._closed:
            self._up = up
            if up:
                log.info("traces are taken again", url=self.url)
            else:
                log.warning("traces are not taken; they are lost until they are", url=self.url)
        return result

    def shutdown(self) -> None:
        """Give up what is under way, and say no more."""
        self._closed = True
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # its author left it so

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits here."""
        return self._exporter.force_flush(timeout_millis)


def endpoint(url: str) -> str:
    """The URL that traces are posted to.

    >>> endpoint("http://collector:4318"), endpoint("https://vendor/otlp/v1/traces")
    ('http://collector:4318/v1/traces', 'https://vendor/otlp/v1/traces')
    """
    url = url.rstrip("/")
    return url if url.endswith(PATH) else url + PATH


def is_own(url: str, addresses: Iterable[str]) -> bool:
    """Whether a URL leads to one of the addresses (`HOST:PORT`) that this process listens on.

    A name that can't be resolved now leads nowhere yet.

    Raises:
        ValueError: the URL's port is none.
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    there = _resolved(parts.hostname or "")
    for address in addresses:
        host, _, own_port = address.rpartition(":")
        if own_port == str(port):
            here = _resolved(host.removeprefix("[").removesuffix("]"))
            everywhere = any(ipaddress.ip_address(ip).is_unspecified for ip in here)
            if there & here or (everywhere and any(_is_local(ip) for ip in there)):
                return True
    return False


def _resolved(host: str) -> set[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return set()
    return {str(address[0]).partition("%")[0] for *_, address in found}


def _is_local(ip: str) -> bool:
    """Only addresses of this machine can be bound to."""
    if ipaddress.ip_address(ip).is_unspecified:
        return True
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((ip, 0))
    except OSError:
        return False
    return True
