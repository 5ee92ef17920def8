"""What gateway and worker share: one server span for each request, in the caller's trace."""

import os
from collections.abc import Awaitable, Callable

import burnline_llm as llm
from aiohttp import web
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
QUIET = {"/healthz"}


@web.middleware
async def traced(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A span of the request, below the one of its caller and with its baggage."""
    if request.path in QUIET:
        return await handler(request)
    with (
        llm.extract(request.headers),
        trace.get_tracer("sample").start_as_current_span(
            f"{request.method} {request.path}", kind=SpanKind.SERVER
        ) as span,
    ):
        answer = await handler(request)
        span.set_attribute("http.response.status_code", answer.status)
        if answer.status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        return answer


async def well(_: web.Request) -> web.Response:
    """It answers."""
    return web.Response(text="ok")


def serve(service: str, port: int, **handlers: Handler) -> None:
    """Run a service: `chat=f` is `POST /chat`; its spans, logs and metrics go where the environment says."""
    app = web.Application(middlewares=[traced])
    app.router.add_get("/healthz", well)
    for path, handler in handlers.items():
        app.router.add_post(f"/{path}", handler)
    with llm.setup(
        service,
        metrics_host=os.environ.get("METRICS_HOST", "127.0.0.1"),
        metrics_port=int(os.environ.get("METRICS_PORT", "9100")),
        logs="json",
        log_otlp="OTEL_EXPORTER_OTLP_ENDPOINT" in os.environ,
    ):
        web.run_app(
            app,
            host=os.environ.get("HOST", "127.0.0.1"),
            port=int(os.environ.get("PORT", str(port))),
        )
