"""What the brokers have: partitions, which topic of a name it is, and where each partition begins and ends.

Asked by a thread of its own, as an answer may take seconds; whoever reads partitions never waits for one.
"""

import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from engine.kafka.config import Clients
from engine.kafka.errors import CannotStart, Seldom, Trouble
from engine.kafka.places import Place
from engine.telemetry.log import log

REFRESH_SECONDS = 10.0
ASK_SECONDS = 5.0
# At a start so long is waited for a broker.
START_SECONDS = 30.0
# Processes of a cluster see a new partition one after another: whoever reads it says so before the others
# wait for it.
GROWN_AFTER = 2.5 * REFRESH_SECONDS
# Brokers before 2.8 have topics without an id.
_NO_ID = "AAAAAAAAAAAAAAAAAAAAAA"
_DENIED = {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED}


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where a partition begins and ends.

    Attributes:
        low: offset of the oldest message that is kept.
        end: offset of the next message that will be written, as far as transactions are complete.
        since: offset of the first message of a moment that was asked for; None for no such message.
    """

    low: int
    end: int
    since: int | None = None


@dataclass(slots=True)
class _Asked:
    since_ms: int | None
    answer: Bounds | None = None


class Topics:
    """The topics of one process.

    Args:
        clients: makes the clients that ask.
        names: of the topics.
        trouble: what the clients have met.

    Attributes:
        counts: partitions by topic; 0 while there is no such topic.
        slots: how many partitions of a topic can be read until the next start.
        ids: what tells a topic from another that had the same name; empty where brokers tell none.
    """

    def __init__(self, clients: Clients, names: Iterable[str], trouble: Trouble) -> None:
        self._clients = clients
        self._names = tuple(names)
        self._trouble = trouble
        self.counts: dict[str, int] = dict.fromkeys(self._names, 0)
        self.ids: dict[str, str] = dict.fromkeys(self._names, "")
        self.slots: Mapping[str, int] = {}
        self._without_leader: set[Place] = set()
        self._grown: dict[str, tuple[int, float]] = {}
        self._asked: dict[Place, _Asked] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._over = False
        self._has_ids = True
        self._seldom = Seldom()
        self._consumer: Consumer | None = None
        self._admin: AdminClient | None = None
        self._thread = threading.Thread(target=self._run, name="burnline-kafka", daemon=True)

    def open(self, seconds: float = START_SECONDS) -> None:
        """Ask for the first time, and go on asking.

        Raises:
            CannotStart: no broker answers, or they don't let this process read.
        """
        self._consumer = self._clients.consumer()
        self._admin = AdminClient(self._clients.admin_config())
        until = time.monotonic() + seconds
        while not self._refresh(start_within=min(2.0, seconds)):
            if self._trouble.denied:
                raise CannotStart(
                    f"Kafka does not let Burnline in: {self._trouble.denied}; mend sasl.username, "
                    "sasl.password and the like in --kafka-config"
                )
            if time.monotonic() > until:
                raise CannotStart(
                    f"no Kafka broker answers at {self._clients.settings.brokers}"
                    f" ({self._trouble.last or 'no answer'}); start one, or mend --kafka-brokers"
                    " (security.protocol and the like are in --kafka-config)"
                )
        for name, count in self.counts.items():
            if not count:
                log.warning("there is no such topic yet; it is read once there is", topic=name)
        self._thread.start()

    def close(self) -> None:
        """Ask no more."""
        self._over = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(2 * ASK_SECONDS)
        if self._consumer is not None:
            self._consumer.close()

    def exists(self, place: Place) -> bool:
        """Whether there is such a partition."""
        return place.number < self.counts.get(place.topic, 0)

    def parts(self) -> int:
        """How many partitions there are, without those that others may not have seen yet."""
        now = time.monotonic()
        return sum(
            before if now < until else self.counts[name]
            for name, (before, until) in (
                (name, self._grown.get(name, (0, 0.0))) for name in self._names
            )
        )

    def bounds(self, place: Place, since_ms: int | None = None) -> Bounds | None:
        """Where a partition begins and ends; None until there is an answer, which is given once."""
        with self._lock:
            asked = self._asked.get(place)
            if asked is None:
                self._asked[place] = _Asked(since_ms)
                self._wake.set()
                return None
            if asked.answer is not None:
                del self._asked[place]
            return asked.answer

    def _run(self) -> None:
        refreshed = time.monotonic()
        while not self._over:
            waiting = self._unanswered()
            self._wake.wait(0.5 if waiting else REFRESH_SECONDS - (time.monotonic() - refreshed))
            self._wake.clear()
            if self._over:
                return
            waiting = self._unanswered()
            if waiting:
                self._answer(waiting)
            if time.monotonic() - refreshed >= REFRESH_SECONDS or (
                waiting and self._without_leader & waiting.keys()
            ):
                self._refresh()
                refreshed = time.monotonic()

    def _unanswered(self) -> dict[Place, int | None]:
        with self._lock:
            return {p: a.since_ms for p, a in self._asked.items() if a.answer is None}

    def _refresh(self, *, start_within: float = 0.0) -> bool:
        """Ask what there is; whether anybody answered.

        Args:
            start_within: at the start, seconds for an answer.
        """
        start = start_within > 0
        consumer = self._consumer
        if consumer is None:
            return False
        leaderless = set()
        for name in self._names:
            try:
                topic = consumer.list_topics(name, timeout=start_within or ASK_SECONDS).topics[name]
            except KafkaException as error:
                consumer.poll(0)  # hands over what its threads have met
                self._trouble.last = self._trouble.last or error.args[0].str()
                return False
            refusal: KafkaError | None = topic.error
            if refusal is None:
                self._count(name, len(topic.partitions))
                leaderless |= {Place(name, n) for n, p in topic.partitions.items() if p.leader < 0}
            elif refusal.code() in _DENIED:
                if start:
                    raise CannotStart(
                        f"Kafka does not let Burnline read the topic {name}: {refusal.str()}; allow it"
                        " to Read and Describe it"
                    )
                self._trouble(refusal)
            elif refusal.code() == KafkaError.UNKNOWN_TOPIC_OR_PART and self.counts[name]:
                kept_back = self._seldom.due(("gone", name))
                if kept_back is not None:
                    log.error("a topic is gone; if it is made anew, all of it is read", topic=name)
        self._without_leader = leaderless
        self._identify()
        return True

    def _count(self, name: str, count: int) -> None:
        before = self.counts[name]
        room = self.slots.get(name, count)
        if count > room:
            kept_back = self._seldom.due(("slots", name))
            if kept_back is not None:
                log.error(
                    "a topic has more partitions than there is room for; the others are read after a"
                    " restart",
                    topic=name,
                    partitions=count,
                    read=room,
                )
            count = room  # what nobody reads, nobody is to wait for
        if before and count > before:
            log.info("a topic has more partitions now", topic=name, partitions=count, before=before)
            self._grown[name] = (before, time.monotonic() + GROWN_AFTER)
        elif not before and count and self._thread.is_alive():
            log.info("a topic is there now", topic=name, partitions=count)
        self.counts[name] = count

    def _identify(self) -> None:
        """Ask for the topics' ids."""
        there = [name for name in self._names if self.counts[name]]
        if self._admin is None or not there or not self._has_ids:
            return
        asked = self._admin.describe_topics(TopicCollection(there), request_timeout=ASK_SECONDS)
        for name, answer in asked.items():
            try:
                found = str(answer.result(2 * ASK_SECONDS).topic_id)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    self._has_ids = False
                    log.info(
                        "the brokers tell no ids of topics: one that was made anew is known by its"
                        " offsets alone",
                        reason=error.args[0].str(),
                    )
                    return
            else:
                self.ids[name] = "" if found == _NO_ID else found

    def _answer(self, waiting: dict[Place, int | None]) -> None:
        places = [p for p in waiting if self.exists(p) and p not in self._without_leader]
        if not places:
            return
        lows = self._offsets({place: OffsetSpec.earliest() for place in places})
        ends = self._offsets({place: OffsetSpec.latest() for place in places})
        moments = {p: OffsetSpec.for_timestamp(ms) for p in places if (ms := waiting[p])}
        found = self._offsets(moments) if moments else {}
        with self._lock:
            for place in lows.keys() & ends.keys():
                if place in moments and place not in found:
                    continue
                since = found.get(place, -1)
                if place in self._asked:
                    self._asked[place].answer = Bounds(
                        lows[place], ends[place], since if since >= 0 else None
                    )

    def _offsets(self, asked: dict[Place, OffsetSpec]) -> dict[Place, int]:
        if self._admin is None:
            return {}
        answers: dict[TopicPartition, Future[Any]] = self._admin.list_offsets(
            {TopicPartition(*place): spec for place, spec in asked.items()},
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=ASK_SECONDS,
        )
        found = {}
        for key, answer in answers.items():
            try:
                found[Place(key.topic, key.partition)] = int(answer.result(2 * ASK_SECONDS).offset)
            except KafkaException as error:
                self._trouble(error.args[0])
        return found
