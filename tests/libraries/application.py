"""An application that makes the calls of `truth.py`, under one library: `python application.py NAME URL`.

Runs in the library's own venv, so it imports nothing of the project. Each library is set up as its
own documentation says, and nothing else is: whatever it adds or leaves out by itself is to be seen.
It sends where `OTEL_EXPORTER_OTLP_ENDPOINT` says.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from truth import CALLS, Call  # noqa: E402

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]
Flush = Callable[[], None]


def providers() -> Flush:
    """OpenTelemetry's SDK with exporters of OTLP over HTTP, as an application sets it up."""
    from opentelemetry import _logs, metrics, trace
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    tracing = TracerProvider()
    tracing.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(tracing)
    metering = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())])
    metrics.set_meter_provider(metering)
    logging = LoggerProvider()
    logging.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    _logs.set_logger_provider(logging)

    def flush() -> None:
        tracing.shutdown()
        metering.shutdown()
        logging.shutdown()

    return flush


def flush_global() -> None:
    """Flush what a library has set up by itself."""
    from opentelemetry import _logs, metrics, trace

    for provider in (
        trace.get_tracer_provider(),
        metrics.get_meter_provider(),
        _logs.get_logger_provider(),
    ):
        if hasattr(provider, "shutdown"):
            provider.shutdown()


def none() -> Flush:
    return lambda: None


def openllmetry() -> Flush:
    from opentelemetry.instrumentation.anthropic import AnthropicInstrumentor
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    flush = providers()
    OpenAIInstrumentor().instrument()
    AnthropicInstrumentor().instrument()
    return flush


def openinference() -> Flush:
    from openinference.instrumentation.anthropic import AnthropicInstrumentor
    from openinference.instrumentation.openai import OpenAIInstrumentor

    flush = providers()
    OpenAIInstrumentor().instrument()
    AnthropicInstrumentor().instrument()
    return flush


def genai() -> Flush:
    from opentelemetry.instrumentation.genai.anthropic import AnthropicInstrumentor
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

    flush = providers()
    OpenAIInstrumentor().instrument()
    AnthropicInstrumentor().instrument()
    return flush


def openai_v2() -> Flush:
    from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor

    flush = providers()
    OpenAIInstrumentor().instrument()
    return flush


def openlit() -> Flush:
    import openlit

    openlit.init(otlp_endpoint=os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"))
    return flush_global


def litellm() -> Flush:
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ.setdefault("OTEL_EXPORTER", "otlp_http")
    os.environ.setdefault(
        "OTEL_ENDPOINT", os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] + "/v1/traces"
    )
    import litellm

    litellm.callbacks = ["otel"]
    litellm.telemetry = False

    def flush() -> None:
        time.sleep(3)  # its callbacks run on threads of their own, which nothing waits for
        flush_global()

    return flush


SETUPS: dict[str, Callable[[], Flush]] = {
    "none": none,
    "openllmetry": openllmetry,
    "openinference": openinference,
    "genai": genai,
    "openai-v2": openai_v2,
    "openlit": openlit,
    "litellm": litellm,
}


def drain(answer: Any) -> None:
    for _ in answer:
        pass


def by_clients(url: str) -> dict[str, Callable[[Call], None]]:
    """The calls made with the providers' own clients."""
    import openai

    key = "none"  # the mock asks for none
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)

    def ask_openai(call: Call) -> None:
        if call.operation == "embeddings":
            client.embeddings.create(model=call.model, input=call.name, encoding_format="float")
            return
        extra: dict[str, Any] = {"tools": TOOLS} if call.finish == "tool_calls" else {}
        if call.stream:
            extra |= {"stream": True}
            if call.input is not None:
                extra |= {"stream_options": {"include_usage": True}}
        messages: Any = [{"role": "user", "content": call.name}]
        answer = client.chat.completions.create(model=call.model, messages=messages, **extra)
        if call.stream:
            drain(answer)

    ways = {"openai": ask_openai}
    try:
        import anthropic
    except ImportError:
        return ways
    claude = anthropic.Anthropic(base_url=url, api_key=key, max_retries=0)

    def ask_anthropic(call: Call) -> None:
        messages: Any = [{"role": "user", "content": call.name}]
        answer = claude.messages.create(
            model=call.model, messages=messages, max_tokens=100, stream=call.stream
        )
        if call.stream:
            drain(answer)

    return ways | {"anthropic": ask_anthropic}


def by_litellm(url: str) -> dict[str, Callable[[Call], None]]:
    """The calls made with LiteLLM, which is a client itself."""
    import litellm

    def ask(call: Call) -> None:
        base = url if call.provider == "anthropic" else f"{url}/v1"
        to: dict[str, Any] = {
            "model": f"{call.provider}/{call.model}",
            "api_base": base,
            "api_key": "none",
            "num_retries": 0,
            "max_retries": 0,
        }
        if call.operation == "embeddings":
            litellm.embedding(input=[call.name], encoding_format="float", **to)
            return
        extra: dict[str, Any] = {"tools": TOOLS} if call.finish == "tool_calls" else {}
        if call.stream:
            extra |= {"stream": True}
            if call.input is not None:
                extra |= {"stream_options": {"include_usage": True}}
        answer = litellm.completion(messages=[{"role": "user", "content": call.name}], **to, **extra)
        if call.stream:
            drain(answer)

    return {"openai": ask, "anthropic": ask}


def main(name: str, url: str) -> None:
    flush = SETUPS[name]()
    ways = by_litellm(url) if name == "litellm" else by_clients(url)
    for call in CALLS:
        if call.provider not in ways:
            continue
        try:
            ways[call.provider](call)
        except Exception as error:  # noqa: BLE001  # each client has errors of its own
            if not call.failed:
                print(f"{name}: {call.name}: {error!r}", file=sys.stderr)
        else:
            if call.failed:
                print(f"{name}: {call.name}: should have failed", file=sys.stderr)
    flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
