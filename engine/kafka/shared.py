"""What the partitions of one flow share."""

from collections.abc import Callable
from dataclasses import dataclass

from engine.columns.accepting import Sent
from engine.kafka.crew import Crew
from engine.kafka.dead_letters import DeadLetters
from engine.kafka.errors import Trouble
from engine.kafka.payloads import Tally
from engine.kafka.places import Place
from engine.kafka.settings import KafkaSettings
from engine.kafka.topics import Topics
from engine.spool.clock import Clock


@dataclass(frozen=True, slots=True)
class Shared:
    """What the partitions of a flow share.

    Attributes:
        settings: how to read.
        topics: what there is.
        crew: the partitions of this process.
        clock: the engine's.
        tallies: by topic, what counts its messages.
        signals: of each topic.
        dead_letters: takes what can't be decoded.
        trouble: takes errors.
        lost: told the topic, and how many messages were gone before they were read.
        stopping: asked before each read; True ends the input, and so the flow, with a snapshot.
        decided: offset that this process has decided up to, by partition; what is beyond is live at once.
    """

    settings: KafkaSettings
    topics: Topics
    crew: Crew
    clock: Clock
    tallies: dict[str, Tally]
    signals: dict[str, Sent]
    dead_letters: DeadLetters
    trouble: Trouble
    lost: Callable[[str, int], None]
    stopping: Callable[[], bool]
    decided: dict[Place, int]
