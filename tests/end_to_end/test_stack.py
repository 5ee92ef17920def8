"""The stack without containers: the sample service, an engine, Prometheus and Alertmanager, all real.

Every query of the dashboards is asked of that Prometheus, which runs with the stack's own configuration.
Those of the engine's own dashboard are in test_watched.py, beside what they need.
"""

import json
import math
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from scripts.dashboards import PAGES
from tests.end_to_end.engines import Engine
from tests.sample import DEPLOY, Sample, sample, slos
from tests.servers import alertmanager, alerts, eventually, free_port, get_json, query, running

QUERIES = sorted(
    {
        (page.uid, promql)
        for page in PAGES
        for promql in page.queries
        if page.uid != "burnline-engine"
    }
)
# An engine that takes intervals of a second: thirty are learnt from before anything is judged.
BRISK = (
    "import slo.anomalies._fields as fields; fields.SHORTEST_INTERVAL = 1;"
    "from dataflows.cli import main; main(['run'])"
)
# What the made-up traffic sets off in the rules of the stack: its house model has no price, its answers fail.
EXPECTED = {"LLMUnpriced", "LLMHighErrorRate", "BurnlineDiskLow"}

# No forecast is told of a series that is known for less than five minutes (docs/cost-budgets.md); that it is
# told then is for the tests of cost budgets. Here it must be a query that Prometheus takes.
LATER = "burnline_cost_forecast_dollars"
PATIENCE = 90.0  # seconds

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]


class Stack(NamedTuple):
    engine: Engine
    prometheus: str
    alertmanager: str
    sample: Sample


@contextmanager
def stack_prometheus(directory: Path, places: dict[str, str]) -> Iterator[str]:
    """Prometheus with the stack's configuration, every second, at other addresses."""
    config: dict[str, Any] = yaml.safe_load((DEPLOY / "stack" / "prometheus.yml").read_text())
    address = places["localhost:9090"] = f"127.0.0.1:{free_port()}"
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [
        str((DEPLOY / "stack" / name).resolve()) for name in config["rule_files"]
    ]
    managers = config["alerting"]["alertmanagers"]
    for at in [*managers, *config["scrape_configs"]]:
        for static in at["static_configs"]:
            static["targets"] = [places[target] for target in static["targets"]]
    path = directory / "stack-prometheus.yml"
    path.write_text(json.dumps(config))
    flags = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["prometheus"][
        "command"
    ]
    command = [
        "prometheus",
        *(flag for flag in flags if not flag.startswith(("--config", "--storage.tsdb.path"))),
        f"--config.file={path}",
        f"--storage.tsdb.path={directory}/stack-tsdb",
        f"--web.listen-address={address}",
    ]
    with running(command, f"http://{address}", directory):
        yield f"http://{address}"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("stack")
    with alertmanager(directory) as manager:
        engine = Engine(directory, slos().replace("every: 10s", "every: 1s"), [manager])
        try:
            engine.start(sys.executable, "-c", BRISK, seconds=120)  # it may have to compile
            with sample(directory, f"http://127.0.0.1:{engine.ports['http']}", 12) as made:
                places = {
                    "alertmanager:9093": manager.removeprefix("http://"),
                    "burnline:9464": f"127.0.0.1:{engine.ports['face']}",
                    "gateway:9100": made.metrics["chat-gateway"],
                    "worker:9100": made.metrics["chat-worker"],
                    "collector:8888": f"127.0.0.1:{free_port()}",  # not here: test_collector.py
                }
                with stack_prometheus(directory, places) as prometheus:
                    yield Stack(engine, prometheus, manager, made)
        finally:
            if engine.process is not None and engine.process.poll() is None:
                engine.stop()


def _asked(promql: str) -> str:
    """A query as Grafana sends it with all chosen."""
    for name in ("job", "instance", "model", "service", "slo", "feature", "tenant"):
        promql = promql.replace(f'"${name}"', '".*"')
    assert "$" not in promql.replace("$__rate_interval", ""), promql
    return promql.replace("$__rate_interval", "15s")


def test_every_panel_has_data(stack: Stack) -> None:
    """Within the time that anomalies learn in: what has none is named by its dashboard and query."""
    missing = list(QUERIES)

    def none_left() -> bool:
        missing[:] = [
            (page, promql)
            for page, promql in missing
            if not _numbers(stack, promql) and LATER not in promql
        ]
        return not missing

    limit = time.monotonic() + PATIENCE
    while not none_left() and time.monotonic() < limit:
        time.sleep(1)
    assert not missing, "\n".join(f"{page}: {promql}" for page, promql in missing)


def _numbers(stack: Stack, promql: str) -> list[float]:
    values = (value for _, value in query(stack.prometheus, _asked(promql)))
    return [value for value in values if not math.isnan(value)]


def test_what_is_counted_here_is_counted_there(stack: Stack) -> None:
    """The application's own counters and the engine's, of the same calls."""
    told = "sum(increase(llm_requests_total[20s]))"
    counted = "sum(increase(burnline_llm_requests_total[20s]))"

    def close() -> bool:
        (_, a), (_, b) = query(stack.prometheus, told) + query(stack.prometheus, counted)
        return a > 50 and abs(a - b) < 0.2 * a

    eventually(close, 30)


def test_exemplars_lead_to_traces(stack: Stack) -> None:
    what = "query=llm_latency_seconds_bucket&start=0&end=9999999999"
    asked = f"{stack.prometheus}/api/v1/query_exemplars?{what}"
    series = eventually(lambda: get_json(asked)["data"], 20)
    labels = [exemplar["labels"] for one in series for exemplar in one["exemplars"]]
    assert labels
    assert all(len(label["trace_id"]) == 32 for label in labels)


def test_one_trace_crosses_both_services(stack: Stack) -> None:
    """The tenant is said in the gateway alone; the engine finds it on the worker's calls."""
    asked = (
        'count by (service, tenant) (burnline_llm_requests_total{tenant=~"acme|globex|initech"})'
    )

    def pairs() -> set[tuple[str, str]]:
        found = query(stack.prometheus, asked)
        return {(labels["service"], labels["tenant"]) for labels, _ in found}

    eventually(lambda: {("chat-gateway", "acme"), ("chat-worker", "acme")} <= pairs(), 20)


def test_the_rules_find_what_is_wrong_and_no_more(stack: Stack) -> None:
    groups = get_json(f"{stack.prometheus}/api/v1/rules")["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["health"] for rule in rules} == {"ok"}
    active = {rule["name"] for rule in rules if rule["state"] != "inactive"}
    assert active <= EXPECTED


def test_a_failing_model_pages(stack: Stack) -> None:
    """The last of the module: it breaks the model."""
    asked = urllib.request.Request(
        f"http://{stack.sample.model}/faults",
        json.dumps({"gpt-4o": {"failing": 1}, "gpt-4o-mini": {"failing": 1}}).encode(),
        method="POST",
    )
    with urllib.request.urlopen(asked, timeout=5):
        pass

    def paged() -> bool:
        labels = [alert["labels"] for alert in alerts(stack.alertmanager)]
        return any(
            one.get("sloth_slo") == "availability" and one["severity"] == "page" for one in labels
        )

    eventually(paged, 60)
