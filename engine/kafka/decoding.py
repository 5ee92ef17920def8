"""A partition's messages as the flow reads them; what can't be read is set aside."""

from collections.abc import Iterable, Mapping

from confluent_kafka import Message

from engine.columns.accepting import Sent, Unreadable
from engine.kafka.dead_letters import DeadLetters, Letter
from engine.kafka.errors import Seldom
from engine.kafka.payloads import Tally, payload_of, payloads_of
from engine.kafka.places import Place
from engine.kafka.settings import Encoding
from engine.telemetry.log import log


class Decoder:
    """Decodes one partition.

    Args:
        place: which.
        signal: of its topic.
        encoding: of its messages.
        tallies: by topic, what counts what they hold.
        dead_letters: takes what can't be decoded.
        undelivered: offsets of these that are not known to have arrived.
    """

    def __init__(
        self,
        place: Place,
        signal: Sent,
        encoding: Encoding,
        tallies: Mapping[str, Tally],
        dead_letters: DeadLetters,
        undelivered: Iterable[int],
    ) -> None:
        self.undelivered = set(undelivered)
        self._place = place
        self._signal = signal
        self._encoding = encoding
        self._tallies = tallies
        self._dead_letters = dead_letters
        self._seldom = Seldom()
        self._resent = False

    def send_again(self) -> None:
        """Send, once, what was not known to have arrived before a restart."""
        if not self._resent:
            self._resent = True
            self._dead_letters.again(self._place, self.undelivered)

    def all_at_once(self, messages: Iterable[Message], after: int) -> dict[int, bytes]:
        """Payloads by offset, where all can be read together; empty where each must be.

        Args:
            messages: as they came.
            after: the first offset that is wanted.
        """
        values = {
            offset: value
            for message in messages
            if message.error() is None
            and (offset := message.offset()) is not None
            and offset >= after
            and (value := message.value()) is not None
        }
        found = payloads_of(self._signal, self._encoding, list(values.values()))
        if found is None:
            return {}
        bodies, accepted = found
        self._tally().accepted(sum(map(len, values.values())), accepted, len(values))
        return dict(zip(values, bodies, strict=True))

    def body(self, message: Message, offset: int) -> bytes:
        """A message's payload; empty where it holds nothing to count, or can't be decoded."""
        value = message.value()
        if value is None:
            return b""
        try:
            body, accepted = payload_of(self._signal, self._encoding, value)
        except Unreadable as error:
            self._set_aside(message, offset, str(error))
            return b""
        self._tally().accepted(len(value), accepted)
        return body if accepted.items else b""

    def body_again(self, message: Message) -> bytes:
        """As `body`, of a message that was counted, or set aside, before a restart."""
        value = message.value()
        try:
            return b"" if value is None else payload_of(self._signal, self._encoding, value)[0]
        except Unreadable:
            return b""

    def _tally(self) -> Tally:
        return self._tallies[self._place.topic]

    def _set_aside(self, message: Message, offset: int, reason: str) -> None:
        self._tally().undecodable()
        kept_back = self._seldom.due("undecodable")
        if kept_back is not None:
            log.error(
                "not decoded",
                partition=str(self._place),
                offset=offset,
                reason=reason,
                others_since=kept_back,
            )
        if self._dead_letters.wanted:
            self.undelivered.add(offset)
            self._dead_letters.send(Letter.of(message, reason), self.undelivered)
