"""SLO files that change under a running engine: nobody else notices, and every count is exact."""

import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.end_to_end.engines import Call, Engine, send
from tests.servers import alertmanager, alerts, eventually

HEAD = "apiVersion: burnline/v1\nservice: chat-api\nslos:\n"
STEADY = """\
  - name: steady
    objective: 99.9
    sli: {spans: {total: '{ span.gen_ai.operation.name = "chat" }', bad: '{ status = error }'}}
    alerts: {ticket: off}
"""
DOOMED = STEADY.replace("steady", "doomed")
OTHER = """\
  - name: other
    objective: TARGET
    sli: {spans: {total: 'SELECTOR', bad: '{ status = error }'}}
    by: [span.tenant.id]
    evidence: 99
"""
ADDED = STEADY.replace("steady", "added").replace("99.9", "50")
QUIET = STEADY.replace("steady", "quiet").replace("chat", "never heard of")
RELOADED = 'burnline_flow_restarts_total{cause="reload"}'
SAME = "the SLO files say what they said before; nothing is reloaded"

soon = partial(eventually, seconds=60)

pytestmark = pytest.mark.timeout(300)


def _other(target: str = "99", selector: str = "{ }") -> str:
    return OTHER.replace("TARGET", target).replace("SELECTOR", selector)


class Traffic:
    """Sends calls all the while, and knows what it sent."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.sent: list[Call] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @contextmanager
    def flowing(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            self._thread.join(60)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        protocols = ("grpc", "http")
        while not self._stopping.is_set():
            calls = [
                Call(time.time(), tenant=("acme", "zen")[n % 2], failed=n % 3 == 0)
                for n in range(20)
            ]
            send(self.engine, calls, protocol=protocols[len(self.sent) % 40 // 20])
            self.sent += calls
            self._stopping.wait(0.05)


class Scrapes:
    """Reads /metrics all the while: what is not touched is always whole, and never goes back."""

    def __init__(self, engine: Engine, *slos: str) -> None:
        self.engine = engine
        self.slos = slos
        self.pages = 0
        self.faults: list[str] = []
        self._last: dict[tuple[str, str], float] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @contextmanager
    def watching(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            self._thread.join(60)
        assert not self.faults
        assert self.pages > 10

    def _run(self) -> None:
        wanted = {"slo:objective:ratio", "slo:current_burn_rate:ratio", "sloth_slo_info"}
        wanted |= {f"slo:sli_error:ratio_rate{w}" for w in ("5m", "1h", "6h", "3d", "30d")}
        while not self._stopping.wait(0.02):
            self.pages += 1
            found: dict[str, set[str]] = {slo: set() for slo in self.slos}
            try:
                page = self.engine.get("/metrics")
            except OSError as error:
                self.faults.append(f"no page: {error}")
                continue
            for family in text_string_to_metric_families(page):
                for sample in family.samples:
                    slo = sample.labels.get("sloth_slo", "")
                    if slo not in found:
                        continue
                    found[slo].add(sample.name)
                    if sample.name == "burnline_slo_events_total":
                        key = (slo, sample.labels["result"])
                        if sample.value < self._last.get(key, 0):
                            self.faults.append(f"{key} went back to {sample.value}")
                        self._last[key] = sample.value
            self.faults += [
                f"{slo} lacks {wanted - names}" for slo, names in found.items() if wanted - names
            ]


def _resolved(am: str) -> float:
    with urllib.request.urlopen(f"{am}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    return sum(
        float(line.split()[-1])
        for line in text.splitlines()
        if line.startswith('alertmanager_alerts_received_total{status="resolved"')
    )


def _page(am: str, slo: str) -> dict | None:
    found = [
        alert
        for alert in alerts(am)
        if alert["labels"].get("sloth_slo") == slo and alert["labels"]["severity"] == "page"
    ]
    return found[0] if found else None


def _total(engine: Engine, slo: str) -> float:
    return sum(value for key, value in engine.counts().items() if key[0] == slo)


def _reload(engine: Engine, slos: str) -> None:
    """Reload, and wait until what is shown is of the new files."""
    before = engine.sample(RELOADED) or 0
    engine.reload(HEAD + slos)
    soon(lambda: (engine.sample(RELOADED) or 0) > before)


def _objective(engine: Engine, slo: str) -> float | None:
    return engine.sample(f'slo:objective:ratio{{sloth_id="chat-api-{slo}"')


@pytest.mark.servers
@pytest.mark.parametrize("workers", ["1", "2"])
def test_slos_change_while_another_burns(tmp_path: Path, workers: str) -> None:
    with alertmanager(tmp_path) as am:
        slos = HEAD + STEADY + DOOMED + _other() + QUIET
        engine = Engine(tmp_path, slos, [am], BURNLINE_WORKERS=workers)
        engine.start()
        try:
            _follow(engine, am, crash=workers == "1")
        finally:
            engine.stop(signal.SIGKILL)


def _follow(engine: Engine, am: str, *, crash: bool) -> None:
    send(engine, [Call(time.time(), failed=n % 2 == 0) for n in range(400)])
    page = soon(lambda: _page(am, "doomed") and _page(am, "steady"))
    soon(lambda: engine.sample('slo:current_burn_rate:ratio{sloth_id="chat-api-quiet"') == 0)
    traffic, scrapes = Traffic(engine), Scrapes(engine, "steady", "quiet")
    with traffic.flowing(), scrapes.watching():
        # A target changes, and an SLO is added: history is kept, nobody else notices.
        _reload(engine, STEADY + DOOMED + _other("98") + QUIET + ADDED)
        soon(lambda: _objective(engine, "other") == 0.98)
        assert _total(engine, "other") >= 400
        assert _page(am, "steady") == page | {
            k: _page(am, "steady")[k] for k in ("updatedAt", "endsAt", "annotations")
        }
        assert _resolved(am) == 0

        # A file that is broken changes nothing, and says where.
        engine.reload(HEAD + STEADY.replace("99.9", "100") + ADDED)
        soon(lambda: engine.sample("burnline_config_last_reload_successful") == 0)
        [problem] = engine.told("the SLO files have a problem")
        assert problem["problem"].startswith(f"{engine.slos}:5:16: 100 % cannot be a target")
        assert _objective(engine, "steady") == 0.999
        assert _objective(engine, "other") == 0.98

        # Another selector counts from nothing; the file is mended by it, too.
        sent_before = len(traffic.sent)
        _reload(
            engine, STEADY + DOOMED + _other("98", '{ span.tenant.id = "zen" }') + QUIET + ADDED
        )
        assert engine.sample("burnline_config_last_reload_successful") == 1
        soon(lambda: 0 < _total(engine, "other") < 400 + sent_before)

        soon(lambda: _resolved(am) > 0)  # what burned was what it counted before

        # An SLO that goes: its alert ends, and only that.
        assert _page(am, "doomed")
        ended = _resolved(am)
        _reload(engine, STEADY + _other("98", '{ span.tenant.id = "zen" }') + QUIET + ADDED)
        soon(lambda: _page(am, "doomed") is None)
        assert _resolved(am) > ended
        assert _objective(engine, "doomed") is None

    still = _page(am, "steady")
    assert (still["startsAt"], still["fingerprint"]) == (page["startsAt"], page["fingerprint"])
    over = {entry["slo"] for entry in engine.told("alert ended")}
    assert over == {"chat-api-doomed", "chat-api-other"}
    started = [e["severity"] for e in engine.told("alert fires") if e["slo"] == "chat-api-steady"]
    assert sorted(started) == sorted(set(started)), "none of its alerts fired twice"

    # Every count is that of what was sent.
    failed = 200 + sum(call.failed for call in traffic.sent)
    good = 200 + sum(not call.failed for call in traffic.sent)
    soon(lambda: _total(engine, "steady") == failed + good)
    time.sleep(0.5)
    assert engine.counts()["steady", "bad"] == failed
    assert engine.counts()["steady", "good"] == good
    assert engine.sample("burnline_undecodable") in (None, 0)

    # And after a crash, and an orderly stop: the same.
    for number in (signal.SIGKILL, signal.SIGTERM) if crash else ():
        engine.stop(number)
        engine.start()
        soon(lambda: _total(engine, "steady") == failed + good)
        assert _page(am, "steady")["startsAt"] == page["startsAt"]


@pytest.mark.servers
def test_labels_that_change_end_the_alert_under_the_old_and_start_it_under_the_new(
    tmp_path: Path,
) -> None:
    with alertmanager(tmp_path) as am:
        engine = Engine(tmp_path, HEAD + STEADY, [am])
        engine.start()
        try:
            send(engine, [Call(time.time(), failed=True) for _ in range(100)])
            old = soon(lambda: _page(am, "steady"))
            _reload(engine, STEADY + "    labels: {team: other}\n")
            new = soon(
                lambda: (p := _page(am, "steady")) and p["labels"].get("team") == "other" and p
            )
            soon(lambda: len([a for a in alerts(am) if a["labels"]["severity"] == "page"]) == 1)
            assert new["fingerprint"] != old["fingerprint"]
            assert new["startsAt"] == old["startsAt"]
            assert _resolved(am) > 0
        finally:
            engine.stop(signal.SIGKILL)


def test_signals_at_awkward_moments(tmp_path: Path) -> None:
    engine = Engine(tmp_path, HEAD + STEADY)
    sent = 0
    engine.start()
    engine.stop(signal.SIGTERM)
    try:
        for round_ in range(2):
            # A SIGHUP as soon as the command runs, before anything listens.
            starting = threading.Thread(target=engine.start)
            starting.start()
            soon(lambda: engine.process is not None and engine.process.poll() is None)
            soon(lambda: _catches_hangup(engine.process.pid))
            engine.process.send_signal(signal.SIGHUP)
            starting.join(90)
            assert engine.process.poll() is None
            soon(lambda n=round_: len(engine.told(SAME)) >= n + 1)

            # Two at once, another set each; then the end in the middle of it.
            send(engine, [Call(time.time()) for _ in range(50)])
            sent += 50
            for target in ("98", "97"):
                engine.reload(HEAD + STEADY.replace("99.9", target) + f"# {round_}\n")
            send(engine, [Call(time.time()) for _ in range(50)])
            sent += 50
            if round_ == 1:
                soon(lambda: _objective(engine, "steady") == 0.97)
            engine.reload(HEAD + STEADY)
            assert engine.stop(signal.SIGTERM) == 0
        engine.start()
        soon(lambda: _total(engine, "steady") == sent)
        time.sleep(0.3)
        assert _total(engine, "steady") == sent
        assert _objective(engine, "steady") == 0.999
    finally:
        engine.stop(signal.SIGKILL)


def _catches_hangup(pid: int) -> bool:
    """Whether a process handles SIGHUP: from then on it does not end by it."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    caught = next(line for line in lines if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) & 1)


def test_watched_files_are_reloaded_by_themselves(tmp_path: Path) -> None:
    engine = Engine(tmp_path, HEAD + STEADY, BURNLINE_WATCH="true")
    engine.start()
    try:
        send(engine, [Call(time.time()) for _ in range(50)])
        soon(lambda: _total(engine, "steady") == 50)
        engine.slos.write_text(HEAD + STEADY.replace("99.9", "95"))
        soon(lambda: _objective(engine, "steady") == 0.95)
        assert _total(engine, "steady") == 50
        engine.slos.write_text("nonsense")
        soon(lambda: engine.sample("burnline_config_last_reload_successful") == 0)
        assert _objective(engine, "steady") == 0.95
    finally:
        engine.stop(signal.SIGKILL)
