"""An application that makes the calls of `truth.py`: `python -m tests.libraries.application NAME URL`.

Runs in the library's own venv, so it imports nothing else of the project. Each library is set up as its
own documentation says, and nothing else is: whatever it adds or leaves out by itself is to be seen.
It sends where `OTEL_EXPORTER_OTLP_ENDPOINT` says.
"""

import os
import sys
import time
from collections.abc import Callable
from typing import Any

from tests.libraries.truth import CALLS, Call

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
    os.environ.setdefault("OTEL_ENDPOINT", os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] + "/v1/traces")
    import litellm

    litellm.callbacks = ["otel"]
    litellm.telemetry = False

    def flush() -> None:
        time.sleep(3)  # its callbacks run on threads of their own, which nothing waits for
        flush_global()

    return flush


def burnline() -> Flush:
    import burnline_llm as llm

    return llm.setup().shutdown


SETUPS: dict[str, Callable[[], Flush]] = {
    "none": none,
    "openllmetry": openllmetry,
    "openinference": openinference,
    "genai": genai,
    "openai-v2": openai_v2,
    "openlit": openlit,
    "litellm": litellm,
    "burnline": burnline,
}


def drain(answer: Any) -> None:
    for _ in answer:
        pass


def request(call: Call, client: Any, claude: Any) -> Any:
    """Make a call with the provider's own client; streams are yet to be read."""
    messages: Any = [{"role": "user", "content": call.name}]
    if call.provider == "anthropic":
        return claude.messages.create(
            model=call.model, messages=messages, max_tokens=100, stream=call.stream
        )
    if call.operation == "embeddings":
        return client.embeddings.create(model=call.model, input=call.name, encoding_format="float")
    return client.chat.completions.create(model=call.model, messages=messages, **extras(call))


def extras(call: Call) -> dict[str, Any]:
    """What a chat completion is asked for beside model and messages."""
    extra: dict[str, Any] = {"tools": TOOLS} if call.finish == "tool_calls" else {}
    if call.stream:
        extra["stream"] = True
        if call.input is not None:
            extra["stream_options"] = {"include_usage": True}
    return extra


def by_clients(url: str) -> dict[str, Callable[[Call], None]]:
    """The calls made with the providers' own clients, as far as they are installed."""
    import openai

    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    try:
        import anthropic
    except ImportError:
        claude = None
    else:
        claude = anthropic.Anthropic(base_url=url, api_key="none", max_retries=0)

    def ask(call: Call) -> None:
        answer = request(call, client, claude)
        if call.stream:
            drain(answer)

    return {"openai": ask} | ({"anthropic": ask} if claude is not None else {})


def by_burnline(url: str) -> dict[str, Callable[[Call], None]]:
    """The calls made with the providers' own clients, each under `llm.call`."""
    import anthropic
    import burnline_llm as llm
    import openai

    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    claude = anthropic.Anthropic(base_url=url, api_key="none", max_retries=0)

    def ask(call: Call) -> None:
        with llm.call(
            provider=call.provider, model=call.model, operation=call.operation, stream=call.stream
        ) as observed:
            answer = request(call, client, claude)
            if call.stream:
                drain(observed.stream(answer))
            else:
                observed.response(answer)

    return {"openai": ask, "anthropic": ask}


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
        answer = litellm.completion(
            messages=[{"role": "user", "content": call.name}], **to, **extras(call)
        )
        if call.stream:
            drain(answer)

    return {"openai": ask, "anthropic": ask}


def main(name: str, url: str) -> None:
    flush = SETUPS[name]()
    ways = {"litellm": by_litellm, "burnline": by_burnline}.get(name, by_clients)(url)
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
