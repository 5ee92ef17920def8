"""Whatever happens, at random, in turn: `python -m tests.kafka.soak --seed 1 --seconds 600`.

While calls are written, engines start as one process or as several, a broker dies, partitions are added,
messages come that can't be decoded, and the engines are killed, stopped, or one of them is killed. At the end
one process has every count as it should be, and the dead letters are those that were written.
"""

import argparse
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.kafka.broker import Broker, broker
from tests.kafka.calls import POISON, Calls, slowly
from tests.kafka.jars import UnavailableError, fetch
from tests.kafka.readers import Readers, ended
from tests.kafka.topics import Topics

TOPIC, APART = "spans", "undecodable"
MOST_PARTITIONS = 6
SETTLE_SECONDS = 180.0


class Soak:
    """One run of it."""

    def __init__(self, directory: Path, running: Broker, seed: int) -> None:
        self.random = random.Random(seed)
        self.kafka = running
        self.topics = Topics(running)
        self.partitions = 2
        self.topics.create(TOPIC, self.partitions)
        self.topics.create(APART)
        self.calls = Calls(self.topics, TOPIC, seed)
        self.poison = 0
        settings = {"RECOVERY_PARTITIONS": "3", "SHARDS": "8", "KAFKA_UNDECODABLE": APART}
        self.readers = Readers(directory, running, TOPIC, **settings)

    def round(self) -> str:
        """Start, let something happen, end; what it was."""
        processes = self.random.choice((1, 1, 2, 2, 3))
        happens = self.random.choice(("nothing", "kill", "stop", "grow", "poison"))
        ends = self.random.choice(("killed", "killed", "stopped", "one killed"))
        messages = self.random.choice((50, 100, 150))
        with slowly(self.calls, messages, range(self.partitions)):
            self.readers.start(processes)
            time.sleep(2 * self.random.random())
            self._happen(happens)
            self._end(ends)
        return f"{processes} processes; broker or topic: {happens}; engines {ends}"

    def check(self) -> None:
        """Nothing is lost, and nothing counts twice."""
        self.readers.start(1)
        self.readers.settled(self.calls.expected, SETTLE_SECONDS)
        assert self.readers.total("burnline_kafka_lost_messages_total") == 0
        kept = {message.key() for message in self.topics.read(APART)}
        assert kept == {str(number).encode() for number in range(self.poison)}

    def _happen(self, what: str) -> None:
        if what in {"kill", "stop"}:
            getattr(self.kafka, what)()
            time.sleep(4 * self.random.random())
            self.kafka.start()
        elif what == "grow" and self.partitions < MOST_PARTITIONS:
            self.partitions += 1
            self.topics.grow(TOPIC, self.partitions)
            time.sleep(2 * self.random.random())
        elif what == "poison":
            place = self.random.randrange(self.partitions)
            key = str(self.poison).encode()
            self.topics.write(TOPIC, [POISON._replace(key=key, partition=place)])
            self.poison += 1

    def _end(self, how: str) -> None:
        if how == "one killed":
            self.readers.engines[-1].process.kill()
            for engine in self.readers.engines:
                engine.process.wait(60)
        else:
            self.readers.stop(signal.SIGTERM if how == "stopped" else signal.SIGKILL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=600.0)
    told = parser.parse_args()
    try:
        fetch()
    except UnavailableError as why:
        sys.exit(f"burnline: {why}")
    until = time.monotonic() + told.seconds
    rounds = 0
    with tempfile.TemporaryDirectory() as folder:
        places = Path(folder, "kafka"), Path(folder, "engines")
        for place in places:
            place.mkdir()
        with broker(places[0]) as running:
            soak = Soak(places[1], running, told.seed)
            with ended(soak.readers):
                while time.monotonic() < until:
                    print(soak.round(), flush=True)
                    rounds += 1
                soak.check()
    events = sum(soak.calls.expected.values())
    print(f"{rounds} rounds with seed {told.seed}: {events} events, each counted once")


if __name__ == "__main__":
    main()
