"""From an evaluator's log records, late ones too, to a service level on /metrics."""

import time
from pathlib import Path

import pytest
from burnline_llm import _evaluations
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as Grpc
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as Http
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from tests.end_to_end.engines import Engine
from tests.servers import eventually

SLOS = """\
apiVersion: burnline/v1
service: chat-api
slos:
  - {preset: evaluation, evaluation: Relevance, threshold: 0.7}
  - {preset: evaluation-label, evaluation: Safe}
"""
EVENT = "gen_ai.evaluation.result"
MINUTES = 60.0
SECRET = "what the patient said"
pytestmark = pytest.mark.timeout(240)


def _evaluate(
    engine: Engine, protocol: str, verdicts: list[tuple[float, str, float | str]]
) -> None:
    """Emit (age in seconds, evaluation, score or label) with the official SDK, and one with ours."""
    exporter = (
        Grpc(endpoint=f"http://127.0.0.1:{engine.ports['grpc']}", insecure=True)
        if protocol == "grpc"
        else Http(endpoint=f"http://127.0.0.1:{engine.ports['http']}/v1/logs")
    )
    provider = LoggerProvider(Resource({"service.name": "chat-api"}))
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger = provider.get_logger("evaluator")
    now = time.time()
    for age, name, verdict in verdicts:
        kind = "label" if isinstance(verdict, str) and not verdict[0].isdigit() else "value"
        logger.emit(
            timestamp=int((now - age) * 1e9),
            event_name=EVENT,
            body=SECRET,
            attributes={
                "gen_ai.evaluation.name": name,
                f"gen_ai.evaluation.score.{kind}": verdict,
                "gen_ai.evaluation.explanation": SECRET,
            },
        )
        logger.emit(body=SECRET)
    if protocol == "grpc":
        _evaluations.evaluation("Relevance", 0.95, response_id="chatcmpl-1", provider=provider)
    assert provider.force_flush()
    provider.shutdown()


def _error_ratio(engine: Engine, window: str) -> float | None:
    return engine.sample(
        f'slo:sli_error:ratio_rate{window}{{sloth_id="chat-api-evaluation-relevance"'
    )


def test_evaluations_late_or_not_are_a_service_level(
    tmp_path: Path,
) -> None:
    engine = Engine(tmp_path, SLOS)
    engine.start()
    try:
        good = [(1.0, "Relevance", 0.9), (2.0, "Relevance", 0.7), (3.0, "Relevance", "0.8")]
        _evaluate(engine, "grpc", [*good, (1.0, "Safe", "pass"), (1.0, "Other", 0.0)])
        # Half an hour late: a matter of the hour, and none of the last five minutes.
        late = [(30 * MINUTES, "Relevance", 0.1), (31 * MINUTES, "Safe", "fail")]
        _evaluate(engine, "http", late)
        expected = {
            ("evaluation-relevance", "good"): 4.0,
            ("evaluation-relevance", "bad"): 1.0,
            ("evaluation-safe", "good"): 1.0,
            ("evaluation-safe", "bad"): 1.0,
        }
        eventually(lambda: engine.counts() == expected, 30)
        eventually(lambda: _error_ratio(engine, "1h") == pytest.approx(0.2), 30)
        assert _error_ratio(engine, "5m") == 0
        assert engine.sample('burnline_ignored_log_records_total{protocol="grpc"}') == 5
        assert engine.sample('burnline_received_items_total{protocol="http",signal="logs"}') == 2
    finally:
        engine.stop()
    assert SECRET.encode() not in b"".join(
        path.read_bytes() for path in engine.data.rglob("*") if path.is_file()
    )
