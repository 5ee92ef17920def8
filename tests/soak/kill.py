"""Kill it anywhere: two engines get the same stream, one of them is killed again and again.

In the end both must show the same, and what the stream adds up to: every count, ratio and budget, and
every alert, whose whole life, as an Alertmanager is told it, must be that of the engine which was never
killed, but for the seconds in which the other was gone.
"""

import random
import signal
import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from tests.end_to_end.engines import Engine
from tests.servers import alerts, eventually
from tests.soak.comparing import check_log, same_moment, settled
from tests.soak.disk_state import DAMAGES, bodies
from tests.soak.kill_report import Report
from tests.soak.lanes import Sender
from tests.soak.recorder import Episode, Recorder, differences, episodes
from tests.soak.slos import SLOS
from tests.soak.stream import Payload, Stream

# What both machines' halves may differ in when neither is away: threads, ticks of a second, a slow moment.
SLACK = 5.0


class Run:
    """One run in a directory of its own.

    Args:
        directory: for both engines.
        kills: how many.
        seed: of the stream and the moments.
        longest: seconds that the engine is left alone at the longest.
        alertmanagers: real ones, that the killed engine is to tell, too.
        damage: the share of kills after which the end of the spool's log is damaged.
        note: told what happens.
    """

    def __init__(
        self,
        directory: Path,
        kills: int,
        seed: int,
        *,
        longest: float = 5.0,
        alertmanagers: Iterable[str] = (),
        damage: float = 0.3,
        note: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self.kills = kills
        self.alertmanagers = tuple(alertmanagers)
        self.longest = longest
        self.damage = damage
        self.note = note
        self.random = random.Random(seed)
        self.report = Report(seed)
        self.recorder = Recorder()
        self.engines = {
            name: _engine(directory / name, [self.recorder.url(name), *more])
            for name, more in (("spared", ()), ("killed", self.alertmanagers))
        }
        self.spared, self.victim = self.engines.values()
        self.senders = {name: Sender(engine) for name, engine in self.engines.items()}
        self.to_victim = self.senders["killed"]
        self._dead_since: float | None = None

    def run(self) -> Report:
        began = time.monotonic()
        try:
            for engine in self.engines.values():
                engine.start()
            self.stream = Stream(self.report.seed, int(time.time()) + 1)
            player = threading.Thread(target=self._play, daemon=True)
            player.start()
            self._kill_all()
            self.stream.finish()
            player.join()
            self._last_kill()
            self._compare()
        finally:
            for engine in self.engines.values():
                if engine.process is not None:
                    engine.stop(signal.SIGKILL)
            self.recorder.stop()
        report = self.report
        report.seconds = time.monotonic() - began
        report.requests.update(self.to_victim.counts)
        report.payloads, report.spans = self.stream.payloads, self.stream.spans
        return report

    def _play(self) -> None:
        for payload in self.stream:
            time.sleep(max(0.0, payload.at - time.time()))
            for sender in self.senders.values():
                sender.put(payload)

    def _kill_all(self) -> None:
        hasty = 0
        for number in range(1, self.kills + 1):
            moments = _UNREADY if self._dead_since and hasty < 2 else ()
            moment = self.random.choice([*_READY, *moments])
            hasty = hasty + 1 if moment in _UNREADY else 0
            if moment not in _UNREADY:
                self._await_ready()
            moment(self)
            self._kill(moment.__name__.strip("_"))
            if number % 10 == 0:
                self.note(f"{number} kills, away {self.report.away:.1f} s at the longest")
        self._await_ready()

    def _kill(self, moment: str) -> None:
        """Kill, look at what is on the disk, damage it perhaps, and start again."""
        number = signal.SIGTERM if self.random.random() < 0.25 else signal.SIGKILL
        died = time.monotonic()
        if self._dead_since is None:
            self._dead_since = died
        self.report.kills[f"{moment} {number.name[3:]}"] += 1
        self.victim.process.send_signal(number)
        if number == signal.SIGTERM and self.random.random() < 0.3:
            time.sleep(self.random.random() * 0.3)
            self.victim.process.send_signal(signal.SIGKILL)
        self.victim.process.wait(60)
        self._look(died)
        if self.random.random() < self.damage:
            damage = self.random.choice(DAMAGES)
            self.report.damages[damage.__name__] += damage(self.victim.data, self.random)
        self.victim.spawn()

    def _look(self, died: float) -> None:
        doubtful = self.to_victim.pause()
        on_disk = bodies(self.victim.data)
        since = time.time() - (time.monotonic() - died) - 1.0
        for at, payload in list(self.to_victim.recent):
            if at > since and payload.body not in on_disk:
                self.report.faults.append(f"acknowledged, and not on the disk: {payload.number}")

        def stored(payload: Payload) -> bool:
            return payload.body in on_disk

        self.report.doubtful_stored += sum(map(stored, doubtful))
        self.to_victim.resume(stored)

    def _await_ready(self) -> None:
        victim = self.victim
        eventually(lambda: victim.process.poll() is not None or victim.ready(), 120)
        assert victim.process.poll() is None, victim.log.read_text()[-4000:]
        if self._dead_since is not None:
            self.report.away = max(self.report.away, time.monotonic() - self._dead_since)
            self._dead_since = None

    def _last_kill(self) -> None:
        """Once more, when all is sent: it settles the last doubts, and the state is a restored one."""
        sender = self.to_victim
        eventually(
            lambda: self.senders["spared"].idle() and (sender.idle() or sender.doubtful), 120
        )
        self._kill("end")
        self._await_ready()
        eventually(sender.idle, 60)

    # The moments; each returns when it has come.

    def _running(self) -> None:
        time.sleep(self.random.uniform(0.3, self.longest))

    def _again(self) -> None:
        time.sleep(self.random.uniform(0.0, 0.5))

    def _snapshot(self) -> None:
        self._changed(self.victim.data / "recovery", "*.sqlite3*")
        time.sleep(self.random.uniform(0.0, 0.05))

    def _commit(self) -> None:
        time.sleep(self.random.uniform(0.0, 0.5))
        self._changed(self.victim.data, "spool.db*")

    def _changed(self, directory: Path, pattern: str) -> None:
        def stamps() -> list[int]:
            return [path.stat().st_mtime_ns for path in sorted(directory.glob(pattern))]

        before, limit = stamps(), time.monotonic() + 5
        while stamps() == before and time.monotonic() < limit:
            time.sleep(0.001)

    def _starting(self) -> None:
        time.sleep(self.random.uniform(0.0, 2.5))

    def _replaying(self) -> None:
        """From when it listens until it is ready it reads again what it had read."""
        at = self.victim.log.stat().st_size

        def listens() -> bool:
            with self.victim.log.open("rb") as log:
                log.seek(at)
                return b"service started" in log.read() or self.victim.process.poll() is not None

        eventually(listens, 60)
        time.sleep(self.random.uniform(0.0, 0.3))

    def _compare(self) -> None:
        report, wanted = self.report, self.stream.counts()
        for name, engine in self.engines.items():
            found = settled(engine, wanted)
            report.faults += [
                f"{name}: {key} is {found.get(key, 0):.0f}, not {wanted.get(key, 0)}"
                for key in sorted({*found, *wanted})
                if found.get(key, 0) != wanted.get(key, 0)
            ]
        report.events = sum(wanted.values())
        ours, theirs = same_moment(self.victim, self.spared)
        report.series = len(theirs)
        report.faults += [
            f"{key}: {ours.get(key)} in the killed engine, {theirs.get(key)} in the other"
            for key in sorted({*ours, *theirs})
            if ours.get(key) != theirs.get(key)
        ]
        lives = {}
        for name in self.engines:
            lives[name], faults = episodes(self.recorder.told(name))
            report.faults += [f"{name}: {fault}" for fault in faults]
        # What it was told late it decides on late: while it was gone, and until its sender had caught up.
        report.late = self.to_victim.late
        away = max(report.away, report.late) + SLACK
        report.alerts, faults = differences(lives["killed"], lives["spared"], away)
        report.faults += faults
        firing = [episode for episode in lives["killed"] if episode.ends_at is None]
        report.firing = len(firing)
        for url in self.alertmanagers:
            report.faults += _unlike(url, firing)
        check_log(self.victim, report)


_READY = (Run._running, Run._again, Run._snapshot, Run._commit)
_UNREADY = (Run._starting, Run._replaying)


def _engine(directory: Path, alertmanagers: Iterable[str]) -> Engine:
    directory.mkdir()
    return Engine(
        directory, SLOS, alertmanagers, BURNLINE_SNAPSHOT_INTERVAL="2s", BURNLINE_WATCHDOG="false"
    )


def _unlike(url: str, firing: list[Episode]) -> list[str]:
    """What a real Alertmanager lists otherwise than the one that only listens."""
    wanted = {(e.labels, _milliseconds(e.starts_at)) for e in firing}
    found = {
        (
            tuple(sorted(alert["labels"].items())),
            _milliseconds(datetime.fromisoformat(alert["startsAt"]).timestamp()),
        )
        for alert in alerts(url, active="true")
    }
    return [f"Alertmanager does not list {alert}" for alert in wanted - found] + [
        f"Alertmanager lists {alert}" for alert in found - wanted
    ]


def _milliseconds(seconds: float) -> int:
    """As Alertmanager shows a time: the rest is cut off."""
    return round(seconds * 1e6) // 1000
