"""All that one process has to do with Kafka, from its start to its end."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from engine.columns.accepting import Sent, Unreadable
from engine.kafka.alerts import AlertsTopic
from engine.kafka.config import Clients
from engine.kafka.crew import Crew
from engine.kafka.dead_letters import NOWHERE, DeadLetters, Letter
from engine.kafka.errors import CannotStart, Trouble
from engine.kafka.payloads import Tally, payload_of
from engine.kafka.places import Place, place_of
from engine.kafka.reader import Reader
from engine.kafka.settings import KafkaSettings
from engine.kafka.shared import Shared
from engine.kafka.source import KafkaSource
from engine.kafka.topics import Topics
from engine.sinks.board import Board
from engine.spool.arrivals import Arrivals
from engine.spool.clock import Clock
from engine.telemetry.log import log
from engine.telemetry.metrics import EngineMetrics


class KafkaInput:
    """Topics, and what reads them.

    Args:
        settings: how to read.
        data_dir: where it is remembered how many slots there are.
        metrics: the engine's own.
        board: whose alerts are told.
        external_url: the engine's own address for people.

    Raises:
        CannotStart: the file of settings can't be used.

    Attributes:
        clock: the engine's.
        crew: the partitions of the newest flow.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        data_dir: Path,
        metrics: EngineMetrics,
        board: Board,
        *,
        external_url: str = "",
    ) -> None:
        self.settings = settings
        self.clock = Clock()
        self.crew = Crew(self.clock)
        self._slots = data_dir / "kafka"
        self._metrics = metrics
        self._decided: dict[Place, int] = {}
        trouble = Trouble(lambda name: metrics.kafka_errors.labels(name).inc())
        self._trouble = trouble
        self.clients = Clients(settings, trouble)
        self.signals: dict[str, Sent] = {
            **dict.fromkeys(settings.traces, "traces"),
            **dict.fromkeys(settings.metrics, "metrics"),
            **dict.fromkeys(settings.logs, "logs"),
        }
        self.topics = Topics(self.clients, self.signals, trouble)
        self._tallies = {topic: Tally(metrics, signal) for topic, signal in self.signals.items()}
        self.dead_letters = DeadLetters(
            self.clients,
            settings.undecodable,
            lambda outcome: metrics.dead_letters.labels(outcome).inc(),
            self._why,
        )
        self.alerts = (
            AlertsTopic(
                self.clients,
                settings.alerts,
                board,
                lambda outcome: metrics.kafka_alerts.labels(outcome).inc(),
                external_url,
            )
            if settings.alerts
            else None
        )

    def open(self) -> None:
        """Ask for the topics, and begin to take dead letters.

        Raises:
            CannotStart: no broker answers, or they don't let this process read; or the directory that
                remembers slots can't be made.
        """
        try:
            self._slots.mkdir(exist_ok=True)
        except OSError as error:
            raise CannotStart(
                f"{self._slots} can't be made ({error.strerror}); make the data directory writable"
            ) from error
        self.topics.open()
        self.dead_letters.open()
        if self.alerts is not None:
            self.alerts.start()
        self._metrics.watch_clock(self.clock)
        for topic in self.signals:
            self._watch(topic)
        self._show_outcomes()
        log.info("reading from Kafka", **self.describe())

    def close(self) -> None:
        """Leave."""
        if self.alerts is not None:
            self.alerts.stop()
        self.dead_letters.close()
        self.topics.close()

    def source(self, stopping: Callable[[], bool]) -> KafkaSource:
        """The source of the next flow.

        Args:
            stopping: asked before each read; True ends the input, and so the flow.
        """
        self.crew = Crew(self.clock)
        shared = Shared(
            settings=self.settings,
            topics=self.topics,
            crew=self.crew,
            clock=self.clock,
            tallies=self._tallies,
            signals=self.signals,
            dead_letters=self.dead_letters,
            trouble=self._trouble,
            lost=lambda topic, count: self._metrics.kafka_lost.labels(topic).inc(count),
            stopping=stopping,
            decided=dict(self._decided),
        )
        return KafkaSource(shared, partial(Reader, self.clients), self._slots)

    def set_aside(self, arrivals: Arrivals, failure: Exception) -> None:
        """Send a payload that the flow failed on to the dead letters, as the flow had it; once only.

        Args:
            arrivals: the payload alone.
            failure: what it did.
        """
        for payload in (*arrivals.traces, *arrivals.metrics):
            reason = f"a mistake in Burnline: {type(failure).__name__}"
            place = place_of(arrivals.origin.part)
            self.dead_letters.send(Letter(place, NOWHERE, payload, None, [], reason), set())

    def flow_ended(self) -> None:
        """Remember what this process has decided on: the next flow is live beyond that."""
        for member in self.crew.members():
            if member.begun and member.live:
                before = self._decided.get(member.place, 0)
                self._decided[member.place] = max(before, member.position.offset)

    def describe(self) -> dict[str, str]:
        """What is read, for the log."""
        counts = self.topics.counts
        read = ", ".join(
            f"{topic} ({signal}, {counts[topic]} partitions)"
            for topic, signal in self.signals.items()
        )
        return {
            "brokers": self.settings.brokers,
            "topics": read,
            "encoding": self.settings.encoding,
            "undecodable": self.settings.undecodable or "counted and logged only",
            **({"alerts": self.settings.alerts} if self.settings.alerts else {}),
        }

    def _show_outcomes(self) -> None:
        """From the start: a series that only appears with its first event hides that event."""
        metrics = self._metrics
        if self.dead_letters.wanted:
            for outcome in ("delivered", "refused", "gone"):
                metrics.dead_letters.labels(outcome)
        if self.alerts is not None:
            for outcome in ("delivered", "failed"):
                metrics.kafka_alerts.labels(outcome)
        for signal in set(self.signals.values()):
            metrics.undecodable.labels(signal)

    def _watch(self, topic: str) -> None:
        def of_topic(tell: Callable[[Crew], float]) -> Callable[[], float]:
            return lambda: tell(self.crew)

        def mine(crew: Crew) -> list[int]:
            return [m.behind for m in crew.members() if m.place.topic == topic]

        metrics = self._metrics
        metrics.kafka_lost.labels(topic)
        metrics.kafka_lag.labels(topic).set_function(of_topic(lambda crew: sum(mine(crew))))
        metrics.kafka_lag_seconds.labels(topic).set_function(
            of_topic(lambda crew: crew.unread_seconds(topic))
        )
        metrics.kafka_partitions.labels(topic).set_function(of_topic(lambda crew: len(mine(crew))))
        metrics.kafka_unreadable.labels(topic).set_function(
            of_topic(lambda crew: sum(m.stuck for m in crew.members() if m.place.topic == topic))
        )

    def _why(self, place: Place, value: bytes) -> str:
        try:
            payload_of(self.signals.get(place.topic, "traces"), self.settings.encoding, value)
        except Unreadable as error:
            return str(error)
        return ""
