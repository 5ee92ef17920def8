"""A real Prometheus scrapes an application, and answers with the trace behind a latency."""

import time
from pathlib import Path
from urllib.parse import quote

import burnline_llm as llm
import pytest
from opentelemetry import trace
from prometheus_client import start_http_server

from tests.instrumentation.telemetry import Seen
from tests.servers import eventually, get_json, prometheus, query


@pytest.mark.servers
def test_prometheus_knows_calls_and_their_traces(told: Seen, tmp_path: Path) -> None:
    with llm.call(provider="openai", model="gpt-4o") as call:
        call.usage(input_tokens=1_000, output_tokens=100)
    server, thread = start_http_server(0, "127.0.0.1", told.registry)
    try:
        with prometheus(tmp_path, f"127.0.0.1:{server.server_port}") as url:
            cost = eventually(lambda: query(url, "sum by (model) (llm_cost_dollars_total)"), 30)
            assert cost == [({"model": "gpt-4o"}, 0.0035)]
            found = eventually(lambda: exemplars(url, "llm_latency_seconds_bucket"), 30)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert found == {trace.format_trace_id(told.span.context.trace_id)}


def exemplars(url: str, series: str) -> set[str]:
    now = time.time()
    ask = f"query={quote(series)}&start={now - 60}&end={now + 60}"
    answer = get_json(f"{url}/api/v1/query_exemplars?{ask}")
    return {e["labels"]["trace_id"] for one in answer["data"] for e in one["exemplars"]}
