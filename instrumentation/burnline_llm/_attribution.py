"""Who and what a call is for: carried by W3C baggage to every service it crosses, and onto its spans."""

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import cast

from opentelemetry import baggage, context
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators import composite
from opentelemetry.sdk.trace import Span, SpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from burnline_llm import _guard
from burnline_llm import _names as names
from burnline_llm._runtime import SCOPE

KEYS = frozenset(
    {
        names.TENANT,
        names.USER,
        names.FEATURE,
        names.PROMPT_NAME,
        names.PROMPT_VERSION,
        names.REQUEST_ID,
    }
)
LONGEST = 256
"""Characters of one value; longer ones are cut."""

_W3C = composite.CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])


@contextmanager
def attributed(
    *,
    tenant: str | None = None,
    user: str | None = None,
    feature: str | None = None,
    prompt: tuple[str, str] | str | None = None,
    request_id: str | None = None,
) -> Iterator[None]:
    """Everything inside is for this tenant, user, feature, prompt and request, here and in services called.

    Args:
        tenant: customer or organisation, `tenant.id`.
        user: `user.id`; it travels to every service called, so let it be no e-mail address.
        feature: part of the product, `feature.name`.
        prompt: name and version of the prompt, or its name.
        request_id: `burnline.request.id`.

    >>> with attributed(tenant="acme", prompt=("greeting", "7")):
    ...     sorted(of_context().items())
    [('gen_ai.prompt.name', 'greeting'), ('gen_ai.prompt.version', '7'), ('tenant.id', 'acme')]
    """
    before = context.get_current()
    inside = _with_baggage(tenant, user, feature, prompt, request_id)
    if inside is not None:
        context.attach(inside)
    try:
        yield
    finally:
        if inside is not None and context.get_current() is inside:
            context.attach(before)


@_guard.guarded
def _with_baggage(
    tenant: str | None,
    user: str | None,
    feature: str | None,
    prompt: tuple[str, str] | str | None,
    request_id: str | None,
) -> Context:
    name, version = (prompt, None) if prompt is None or isinstance(prompt, str) else prompt
    given = {
        names.TENANT: tenant,
        names.USER: user,
        names.FEATURE: feature,
        names.PROMPT_NAME: name,
        names.PROMPT_VERSION: version,
        names.REQUEST_ID: request_id,
    }
    inside = context.get_current()
    for key, value in given.items():
        if value is not None:
            inside = baggage.set_baggage(key, _bounded(value), inside)
    return inside


def of_context(of: Context | None = None) -> dict[str, str]:
    """The attribution in a context's baggage: known keys alone, bounded."""
    carried: Mapping[str, object] = baggage.get_all(of)
    if not carried:
        return {}
    return {key: _bounded(value) for key, value in carried.items() if key in KEYS}


def inject(headers: MutableMapping[str, str]) -> MutableMapping[str, str]:
    """Add trace context and attribution to a request's headers, as W3C has them, and return the headers.

    Baggage that the application has put there itself goes along.
    """
    _inject(headers)
    return headers


@_guard.guarded
def _inject(headers: MutableMapping[str, str]) -> None:
    _W3C.inject(headers)


@contextmanager
def extract(headers: Mapping[str, str]) -> Iterator[None]:
    """Everything inside belongs to the trace and attribution that a request's headers carry.

    Headers without them, malformed or huge ones count as absent.
    """
    before = context.get_current()
    inside = _extract(headers)
    if inside is not None:
        context.attach(inside)
    try:
        yield
    finally:
        if inside is not None and context.get_current() is inside:
            context.attach(before)


@_guard.guarded
def _extract(headers: Mapping[str, str]) -> Context:
    lower = {str(key).lower(): value for key, value in headers.items()}
    got = _W3C.extract(lower, context.get_current())
    for key, value in baggage.get_all(got).items():
        if key in KEYS and _bounded(value) != value:
            got = baggage.set_baggage(key, _bounded(value), got)
    return got


def _bounded(value: object) -> str:
    return str(value)[:LONGEST]


class AttributionProcessor(SpanProcessor):
    """Copies attribution onto spans of other libraries, such as those of an HTTP server.

    Ours carry it anyway.
    """

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Copy what the span's context carries."""
        scope = span.instrumentation_scope
        if scope is None or scope.name != SCOPE:
            self._copy(span, parent_context)

    @_guard.guarded
    def _copy(self, span: Span, parent_context: Context | None) -> None:
        found = of_context(parent_context)
        if found:
            span.set_attributes(cast("Mapping[str, str]", found))
