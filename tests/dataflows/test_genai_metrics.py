"""The metric SLOs of docs/metrics-slis.md, over what OpenTelemetry's SDK really exports."""

import re
import struct
from pathlib import Path

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource

from dataflows import backtest as backtesting
from slo.loading import load

PAGE = Path(__file__).parents[2] / "docs" / "metrics-slis.md"
EDGES = [0.01 * 2**n for n in range(14)]
CALLS: list[tuple[str, float, str]] = [
    *[("gpt-4o", 1.0, "")] * 5,
    ("gpt-4o", 30.0, ""),
    ("gpt-4o", 30.0, "TimeoutError"),
    ("m2", 2.0, "openai.RateLimitError"),
    ("m2", 2.0, ""),
]


def test_the_examples_count_what_they_say(tmp_path: Path) -> None:
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader], resource=Resource({"service.name": "chat-api"}))
    meter = meters.get_meter("genai")
    seconds = meter.create_histogram(
        "gen_ai.client.operation.duration", "s", explicit_bucket_boundaries_advisory=EDGES
    )
    first = meter.create_histogram(
        "gen_ai.client.operation.time_to_first_chunk",
        "s",
        explicit_bucket_boundaries_advisory=EDGES,
    )
    recording = tmp_path / "metrics.pb"
    with recording.open("wb") as file:
        for model, duration, error in CALLS:
            about = {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": model,
            } | ({"error.type": error} if error else {})
            seconds.record(duration, about)
            if not error:
                first.record(duration / 10, about)
            data = reader.get_metrics_data()
            assert data is not None
            body = encode_metrics(data).SerializeToString()
            file.write(struct.pack(">I", len(body)) + body)
    meters.shutdown()
    [text] = re.findall(r"```yaml\n(apiVersion.*?)```", PAGE.read_text(), re.DOTALL)
    loaded = load({"page": text})
    assert not loaded.problems
    report = backtesting.backtest(loaded.objectives, (recording,), None, ())
    counts = {(o.key.objective, *(o.key.group or ())): (o.total, o.bad) for o in report.outcomes}
    assert counts == {
        ("chat-api-availability", "gpt-4o"): (7, 1),
        ("chat-api-availability", "m2"): (2, 1),
        ("chat-api-latency",): (7, 1),
        ("chat-api-first-chunk",): (7, 1),
    }
