"""The alert rules for plain Prometheus fire when they should, and only then: promtool runs them."""

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

RULES = Path(__file__).parents[2] / "deploy" / "prometheus-llm-rules.yml"
ALERTS = {
    rule["alert"]: rule for g in yaml.safe_load(RULES.read_text())["groups"] for rule in g["rules"]
}


class Case(NamedTuple):
    """Series, a value a minute, and whether the alert fires after so many minutes."""

    alert: str
    about: str
    series: dict[str, str]
    after: int
    fires: bool


def _of(name: str, labels: str = "", instance: str = "a") -> str:
    ours = f'job="chat",instance="{instance}",model="gpt-4o"'
    return f"{name}{{{ours}{labels and ',' + labels}}}"


def _requests(ok: str, error: str | None, instance: str = "a") -> dict[str, str]:
    made = {_of("llm_requests_total", 'status="ok"', instance): ok}
    if error is not None:
        made[_of("llm_requests_total", 'status="error"', instance)] = error
    return made


def _histogram(name: str, below: str, above: str, edges: tuple[str, str]) -> dict[str, str]:
    """Two buckets and +Inf: what lies below the first edge, and all of it."""
    return {
        _of(f"{name}_bucket", f'le="{edges[0]}"'): below,
        _of(f"{name}_bucket", f'le="{edges[1]}"'): above,
        _of(f"{name}_bucket", 'le="+Inf"'): above,
        _of(f"{name}_count"): above,
    }


LATENCY, FIRST = "llm_latency_seconds", "llm_time_to_first_token_seconds"
CASES = (
    Case("LLMHighErrorRate", "10 %", _requests("0+90x20", "0+10x20"), 12, fires=True),
    Case("LLMHighErrorRate", "1 %", _requests("0+99x20", "0+1x20"), 12, fires=False),
    Case("LLMHighErrorRate", "all of them", _requests("0x20", "0+10x20"), 12, fires=True),
    Case("LLMHighErrorRate", "no errors ever", _requests("0+90x20", None), 12, fires=False),
    Case("LLMHighErrorRate", "no traffic", _requests("9000x20", "1000x20"), 12, fires=False),
    Case("LLMHighErrorRate", "one of two", _requests("0 0 1x20", "0 0 1x20"), 6, fires=False),
    Case(
        "LLMHighErrorRate",
        "a restart: counters begin anew, and that is neither calls nor errors",
        _requests("100000+90x9 0+90x10", "20000+0x9 0+0x10"),
        12,
        fires=False,
    ),
    Case(
        "LLMHighErrorRate",
        "a restart in an outage",
        _requests("100000+90x9 0+90x10", "20000+10x9 0+10x10"),
        12,
        fires=True,
    ),
    Case(
        "LLMHighErrorRate",
        "one process of two fails: a ratio of sums, not a mean of ratios",
        _requests("0+990x20", "0+0x20", "a") | _requests("0+1x20", "0+9x20", "b"),
        12,
        fires=False,
    ),
    Case(
        "LLMHighLatency",
        "a tenth beyond 20 s",
        _histogram(LATENCY, "0+90x20", "0+100x20", ("10", "30")),
        15,
        fires=True,
    ),
    Case(
        "LLMHighLatency",
        "all below 10 s",
        _histogram(LATENCY, "0+100x20", "0+100x20", ("10", "30")),
        15,
        fires=False,
    ),
    Case(
        "LLMHighLatency",
        "no traffic",
        _histogram(LATENCY, "900x20", "1000x20", ("10", "30")),
        15,
        fires=False,
    ),
    Case(
        "LLMHighLatency",
        "a few slow calls",
        _histogram(LATENCY, "0x20", "0+1x20", ("10", "30")),
        15,
        fires=False,
    ),
    Case(
        "LLMHighLatency",
        "a restart",
        _histogram(LATENCY, "90000+100x9 0+100x10", "99000+100x9 0+100x10", ("10", "30")),
        15,
        fires=False,
    ),
    Case(
        "LLMSlowFirstToken",
        "a tenth beyond 5 s",
        _histogram(FIRST, "0+90x20", "0+100x20", ("5", "10")),
        15,
        fires=True,
    ),
    Case(
        "LLMSlowFirstToken",
        "all below 5 s",
        _histogram(FIRST, "0+100x20", "0+100x20", ("5", "10")),
        15,
        fires=False,
    ),
    Case(
        "LLMSlowFirstToken",
        "no traffic",
        _histogram(FIRST, "90x20", "100x20", ("5", "10")),
        15,
        fires=False,
    ),
    Case(
        "LLMHourlyCost",
        "a dollar a minute",
        {_of("llm_cost_dollars_total"): "0+1x70"},
        65,
        fires=True,
    ),
    Case(
        "LLMHourlyCost", "half of it", {_of("llm_cost_dollars_total"): "0+0.5x70"}, 65, fires=False
    ),
    Case(
        "LLMHourlyCost",
        "spent long ago",
        {_of("llm_cost_dollars_total"): "900x70"},
        65,
        fires=False,
    ),
    Case(
        "LLMHourlyCost",
        "a restart after much was spent",
        {_of("llm_cost_dollars_total"): "900+0.1x30 0+0.1x40"},
        65,
        fires=False,
    ),
    Case(
        "LLMHourlyCost",
        "two processes together",
        {
            _of("llm_cost_dollars_total"): "0+0.5x70",
            _of("llm_cost_dollars_total", instance="b"): "0+0.5x70",
        },
        65,
        fires=True,
    ),
    Case(
        "LLMUnpriced",
        "a model in no table",
        _requests("0+10x60", None) | {_of("llm_unpriced_total", 'reason="model"'): "0+10x60"},
        45,
        fires=True,
    ),
    Case(
        "LLMUnpriced",
        "one in a hundred",
        _requests("0+100x60", None) | {_of("llm_unpriced_total", 'reason="usage"'): "0+1x60"},
        45,
        fires=False,
    ),
    Case(
        "LLMUnpriced",
        "no traffic",
        _requests("10x60", None) | {_of("llm_unpriced_total", 'reason="model"'): "10x60"},
        45,
        fires=False,
    ),
)


def test_every_alert_has_cases_of_both_kinds() -> None:
    for alert in ALERTS:
        assert {case.fires for case in CASES if case.alert == alert} == {True, False}


def test_every_alert_says_what_to_do() -> None:
    page = (RULES.parents[1] / "docs" / "stack.md").read_text()
    for name, rule in ALERTS.items():
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert f"`{name}`" in page


@pytest.mark.servers
def test_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    """All cases in one run of promtool, which names those that fail."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: apt install prometheus")
    tests = [
        {
            "name": f"{case.alert}: {case.about}",
            "interval": "1m",
            "input_series": [{"series": s, "values": v} for s, v in case.series.items()],
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{case.alert}",alertstate="firing"}})',
                    "eval_time": f"{case.after}m",
                    "exp_samples": [{"labels": "{}", "value": 1}] if case.fires else [],
                }
            ],
        }
        for case in CASES
    ]
    path = tmp_path / "test.yml"
    path.write_text(
        yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests})
    )
    ran = subprocess.run(
        ["promtool", "test", "rules", path], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
