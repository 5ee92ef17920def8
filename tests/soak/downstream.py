"""Receivers that fail: `python -m tests.soak.downstream [--seconds 600] [CASE ...]`.

Each case has a real engine, two real Alertmanagers that gossip, and a webhook that records what people
are told. While the fault lasts one alert goes on, one ends, one begins, one begins and ends; all the
while the flow must decide every second. Afterwards people have been told of each that counts, once.
"""

import argparse
import json
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.end_to_end.engines import Call, Engine, send
from tests.servers import eventually
from tests.soak.alertmanagers import Alertmanager, Webhook, pair
from tests.soak.remote_write import prometheus_gone
from tests.soak.watch import SLOS, Watch

# How soon people are told, after the fault is over: back-off (15 s), a retry that hangs (10 s), gossip.
SOON = 60.0
LONGEST_LAG = 5.0  # on a machine that other things keep busy


class Scene:
    """An engine, its Alertmanagers and the people they tell."""

    def __init__(self, directory: Path, interval: int = 10) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.webhook = Webhook()
        self.interval = interval
        self.ams = pair(directory, self.webhook, interval)
        self.engine = Engine(directory, SLOS, [am.proxy.url for am in self.ams])
        self.stop = threading.Event()
        self.watch = Watch(self.engine)
        self.began: dict[str, float] = {}
        self.failing: set[str] = set()
        self.threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self.engine.start()
        self.threads = [
            threading.Thread(target=work, daemon=True)
            for work in (lambda: self.watch.run(self.stop), self._traffic)
        ]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(20)
        if self.engine.process is not None:
            self.engine.stop(signal.SIGKILL)
        for am in self.ams:
            am.close()
        self.webhook.close()

    def _traffic(self) -> None:
        while not self.stop.wait(2.0):
            now = time.time()
            calls = [Call(now, tenant="steady") for _ in range(5)]
            send(self.engine, calls + [Call(now, tenant=t, failed=True) for t in set(self.failing)])

    def begin(self, *tenants: str) -> None:
        """Alerts begin: calls of these tenants fail, and go on failing."""
        now = time.time()
        self.failing |= set(tenants)
        send(self.engine, [Call(now, tenant=t, failed=True) for t in tenants for _ in range(60)])
        for tenant in tenants:
            self.began[tenant] = now
        eventually(lambda: set(tenants) <= self.firing(), 20)

    def end(self, *tenants: str) -> None:
        """They end: so much goes well that what failed counts for little."""
        self.failing -= set(tenants)
        now = time.time()
        send(self.engine, [Call(now, tenant=t) for t in tenants for _ in range(2500)])
        eventually(lambda: not set(tenants) & self.firing(), 20)

    def firing(self) -> set[str]:
        """What the engine says."""
        found = re.findall(r"^ALERTS\{(.*)\} 1", self.engine.get("/metrics"), re.MULTILINE)
        return {
            re.search('tenant_id="([^"]*)"', labels)[1]
            for labels in found
            if 'severity="page"' in labels
        }

    def told(self, tenant: str, firing: int, resolved: int, within: float = SOON) -> float:
        """People were told so often; the seconds that it took."""
        asked = time.monotonic()
        want = (firing, resolved)
        eventually(lambda: self.counts(tenant) >= want, within)
        assert self.counts(tenant) == want, f"{tenant}: {self.counts(tenant)} is not {want}"
        for notification in self.webhook.of(tenant, "firing"):
            late = notification.starts_at - self.began[tenant]
            assert -1 < late < LONGEST_LAG + 2, f"{tenant} is said to start {late} s off"
        return time.monotonic() - asked

    def counts(self, tenant: str) -> tuple[int, int]:
        firing, resolved = (self.webhook.of(tenant, s) for s in ("firing", "resolved"))
        return len(firing), len(resolved)


Fault = Callable[[Scene], None]


@dataclass(frozen=True)
class Case:
    """A fault, how it ends, and what is special about it.

    Attributes:
        fault: what begins it.
        mend: what ends it.
        at_once: people are told of everything while it lasts.
        forgets: what was notified is forgotten with the Alertmanagers, so people are told again of what
            fires, and never of the end of what ended meanwhile: Alertmanager's own doing.
        again: one of the pair goes on taking for firing what the other has said is over, and says so:
            Alertmanager's own doing, too.
    """

    fault: Fault
    mend: Fault
    at_once: bool = False
    forgets: bool = False
    again: bool = False


def _each(act: Callable[[Alertmanager], object]) -> Fault:
    def work(scene: Scene) -> None:
        for am in scene.ams:
            act(am)

    return work


def _mode(mode: str) -> Fault:
    return _each(lambda am: setattr(am.proxy, "mode", mode))


def _modes(*modes: str) -> Fault:
    def work(scene: Scene) -> None:
        for am, mode in zip(scene.ams, modes, strict=True):
            am.proxy.mode = mode

    return work


CASES = {
    "stopped": Case(_each(lambda am: am.stop()), _each(lambda am: am.start())),
    "killed": Case(
        _each(lambda am: am.stop(signal.SIGKILL)), _each(lambda am: am.start()), forgets=True
    ),
    "wiped": Case(
        _each(lambda am: am.stop(signal.SIGKILL, wipe=True)),
        _each(lambda am: am.start()),
        forgets=True,
    ),
    "one-gone": Case(
        lambda scene: scene.ams[0].stop(), lambda scene: scene.ams[0].start(), at_once=True
    ),
    "one-cut": Case(
        lambda scene: scene.ams[0].proxy.cut(),
        lambda scene: scene.ams[0].proxy.connect(),
        at_once=True,
        again=True,
    ),
    "cut": Case(_each(lambda am: am.proxy.cut()), _each(lambda am: am.proxy.connect())),
    "hangs": Case(_mode("hang"), _mode("pass")),
    "slow": Case(_mode("slow"), _mode("pass"), at_once=True),
    "answers-500": Case(_mode("500"), _mode("pass")),
    "both-ways": Case(_modes("hang", "500"), _mode("pass")),
}


def run(scene: Scene, name: str, seconds: float) -> dict[str, Any]:
    """A case on a scene; what was seen.

    Raises:
        AssertionError: people were told too little, too much or too late, or the flow waited.
    """
    case = CASES[name]
    on, over, new, brief = (f"{name}-{word}" for word in ("on", "over", "new", "brief"))
    first = len(scene.watch.lags)
    scene.begin(on, over)
    for tenant in (on, over):
        scene.told(tenant, 1, 0)
    case.fault(scene)
    began = time.monotonic()
    scene.begin(new, brief)
    scene.end(over)
    if case.at_once:
        scene.told(brief, 1, 0)
    scene.end(brief)
    if case.at_once:
        scene.told(new, 1, 0)
        scene.told(brief, 1, 1)
        if not case.again:
            scene.told(over, 1, 1)
    time.sleep(max(0.0, began + seconds - time.monotonic()))
    case.mend(scene)
    seen: dict[str, Any] = {"case": name, "fault_seconds": round(time.monotonic() - began)}
    seen["new_told_after"] = round(scene.told(new, 1, 0), 1)
    ends = (2, 2) if case.again else (1, 0) if case.forgets else (1, 1)
    seen["end_told_after"] = round(scene.told(over, *ends), 1)
    eventually(lambda: all({on, new} <= set(am.listed()) for am in scene.ams), SOON)
    seen["both_list_all_after"] = round(time.monotonic() - began - seconds, 1)
    time.sleep(scene.interval + 5)  # a notification too many would come with the next flush
    for am in scene.ams:
        for tenant in (on, new):
            assert abs(am.listed()[tenant] - scene.began[tenant]) < LONGEST_LAG + 2
        assert not {over, brief} & set(am.listed())
    seen["told"] = {tenant: scene.counts(tenant) for tenant in (on, over, new, brief)}
    seen["flow"] = scene.watch.summary()
    assert max(scene.watch.lags[first:]) < LONGEST_LAG, seen
    assert seen["told"][on] == (2 if case.forgets else 1, 0), seen
    assert seen["told"][new] == (1, 0), seen
    assert seen["told"][over] == ends, seen
    assert seen["told"][brief] == ((1, 1) if case.at_once else (0, 0)), seen
    scene.end(on, new)
    scene.told(new, 1, 1)
    return seen


def poison(scene: Scene) -> dict[str, Any]:
    """One alert of a batch is refused: the others arrive at once, it is counted."""
    _mode("poison")(scene)
    began = time.monotonic()
    scene.begin("poison", "poison-neighbour")
    scene.told("poison-neighbour", 1, 0, 10)
    seen = {"case": "poison", "neighbour_told_after": round(time.monotonic() - began, 1)}
    assert scene.counts("poison") == (0, 0)
    for am in scene.ams:
        # Once for the page, and soon once more for the ticket.
        eventually(lambda url=am.proxy.url: 1 <= _refused(scene, url) <= 2)
    _mode("pass")(scene)
    scene.end("poison", "poison-neighbour")
    scene.told("poison-neighbour", 1, 1)
    return seen


def _refused(scene: Scene, replica: str) -> float:
    return sum(
        sample.value
        for sample in scene.engine.samples()
        if sample.name == "burnline_alertmanager_refused_alerts_total"
        and sample.labels["replica"] == replica
    )


def _alone(name: str, seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="burnline-soak-") as directory:
        try:
            if name == "prometheus-gone":
                return prometheus_gone(Path(directory) / name, seconds)
            with Scene(Path(directory) / name) as scene:
                return poison(scene) if name == "poison" else run(scene, name, seconds)
        except Exception as error:  # noqa: BLE001 - one case's failure is a result, too
            return {"case": name, "failed": f"{type(error).__name__}: {error}"}


def main() -> int:
    """Run cases side by side, each on a scene of its own; a line of JSON each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=600.0, help="how long a fault lasts")
    parser.add_argument("--at-a-time", type=int, default=4, help="cases side by side")
    every = [*CASES, "poison", "prometheus-gone"]
    parser.add_argument("cases", nargs="*", default=every, metavar="CASE")
    asked = parser.parse_args()
    unknown = set(asked.cases) - set(every)
    if unknown:
        parser.error(f"no such case: {', '.join(unknown)}; there are {', '.join(every)}")
    failed = 0
    with ThreadPoolExecutor(asked.at_a_time) as pool:
        for seen in pool.map(lambda name: _alone(name, asked.seconds), asked.cases):
            print(json.dumps(seen), flush=True)  # noqa: T201 - its output is its result
            failed += "failed" in seen
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
