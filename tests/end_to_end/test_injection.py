"""Values that would be labels, lines, templates or paths of their own: asked of the real servers."""

import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.end_to_end.engines import Call, Engine, send
from tests.servers import alertmanager, alerts, eventually, prometheus, query

SLOS = """\
apiVersion: burnline/v1
service: chat-api
labels: {team: "a\\"b}\\n# TYPE evil counter\\nevil 1"}
slos:
  - name: availability
    objective: 99
    window: 30d
    sli:
      spans: {total: '{ span.gen_ai.operation.name = "chat" }', bad: '{ status = error }'}
    by: [span.tenant.id]
    explain: [span.gen_ai.request.model]
    evidence: none
    annotations: {note: '{{ template "x" }} {{ .Labels.severity }} $value'}
"""
HOSTILE = (
    '"} evil 1\n',
    "\nevil 1",
    "\r\nevil 1\r\n",
    "\n# EOF\n",
    'x",severity="none',
    "{{ .CommonLabels }}{{ end }}",
    '{{ template "slack.default.title" . }}',
    "\\",
    "\\n",
    '\\"',
    "a\0b",
    "\u202eevil\u202c",
    "\u2028\u2029\x85",
    "\ufeff",
    "../../../../tmp/evil",
    "/etc/passwd",
    "$(touch evil)`touch evil`",
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "\x1b[2J\x1b]0;evil\x07",
    "\U0001f600" * 10,
    "otel.metric.overflow ",
    "NaN",
    " ",
    "x" * 1_000_000,
)
SHOWN = {value[:256] for value in HOSTILE}
FILES = {"spool.db", "spool.db-wal", "spool.db-shm", "spool.db-acknowledged", "content.key"} | {
    *("recovery", "alerts.json", "alerts.json.new", "watched.json", "shards", "lock"),
}

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]


def test_hostile_values_stay_values(tmp_path: Path) -> None:
    with alertmanager(tmp_path) as am:
        engine = Engine(tmp_path, SLOS, [am])
        with prometheus(tmp_path, f"127.0.0.1:{engine.ports['face']}") as prom:
            engine.start()
            try:
                now = time.time()
                for value in HOSTILE:
                    failed = [
                        Call(now - 5 - n, model=value, tenant=value, failed=True) for n in range(4)
                    ]
                    send(engine, failed)
                _check_alertmanager(am)
                _check_page(engine)
                _check_prometheus(prom)
                _check_files(engine)
            finally:
                engine.stop(signal.SIGKILL)


def _check_alertmanager(am: str) -> None:
    def pages() -> list[dict]:
        return [a for a in alerts(am) if a["labels"]["severity"] == "page"]

    found = eventually(lambda: pages() if len(pages()) >= len(SHOWN) else None, 30)
    assert {a["labels"]["tenant_id"] for a in found} == SHOWN
    own = {"alertname", "severity", "team", "tenant_id"}
    own |= {"sloth_id", "sloth_service", "sloth_slo", "sloth_severity"}
    for alert in found:
        labels, said = alert["labels"], alert["annotations"]
        assert set(labels) == own
        assert labels["team"] == 'a"b}\n# TYPE evil counter\nevil 1'
        assert f"span.tenant.id={labels['tenant_id']}" in said["summary"]
        assert said["note"] == '{{ template "x" }} {{ .Labels.severity }} $value'


def _check_page(engine: Engine) -> None:
    text = engine.get("/metrics")
    assert not [line for line in text.split("\n") if line.startswith("evil")]
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: apt install prometheus")
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=text.encode(), capture_output=True, check=False
    )
    # 3 is an opinion on names; what cannot be parsed is 1.
    assert checked.returncode in (0, 3), checked.stderr
    assert b"parsing" not in checked.stderr


def _check_prometheus(prom: str) -> None:
    def tenants() -> set[str]:
        asked = 'burnline_slo_events_total{result="bad",tenant_id!=""}'
        return {labels["tenant_id"] for labels, _ in query(prom, asked)}

    eventually(lambda: tenants() >= SHOWN, 15)
    assert tenants() == SHOWN
    assert not query(prom, "evil")
    assert query(prom, 'up{job="burnline"}')[0][1] == 1


def _check_files(engine: Engine) -> None:
    """No value of a sender becomes a file's name."""
    data = engine.directory / "data"
    names = {path.name for path in data.iterdir()}
    assert names <= FILES, names
    assert not [path for path in engine.directory.rglob("*") if "evil" in path.name]
    assert not Path("/tmp/evil").exists()  # noqa: S108 - one of the values
