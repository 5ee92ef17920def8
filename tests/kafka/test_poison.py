"""Messages that can't be decoded: they are kept as they are in a topic, and the rest counts."""

import random
import signal

import pytest

from tests.kafka.calls import Calls
from tests.kafka.readers import Readers, ended
from tests.kafka.topics import Sent
from tests.servers import eventually

pytestmark = pytest.mark.timeout(180)


def _identity(message) -> tuple[object, ...]:
    return message.value(), message.key()


def test_they_arrive_as_they_were_and_the_rest_counts(tmp_path, kafka, topics, name):
    apart = f"{name}-undecodable"
    topics.create(name, 2)
    topics.create(apart)
    calls = Calls(topics, name)
    rng = random.Random(3)
    poison = [
        Sent(b"\xff\xff", b"key", (("a", b"1"), ("a", b"2"))),
        Sent(b"not OTLP at all", None, (), 1),
        Sent(calls_cut(calls), b"cut"),
        Sent(rng.randbytes(300_000) + b"\xff", None, (("b", b""),), 1),
        Sent(b'{"resourceSpans": []}', b"json where protobuf is read"),
    ]
    good = [Sent(calls.message(), None, (), number % 2) for number in range(60)]
    mixed = good + poison
    rng.shuffle(mixed)
    topics.write(name, mixed, "snappy")
    told = {"KAFKA_UNDECODABLE": apart}
    with ended(Readers(tmp_path, kafka, name, **told)) as readers:
        readers.start()
        readers.settled(calls.expected)
        kept = eventually(lambda: (m := topics.read(apart)) and len(m) >= len(poison) and m, 20)
        assert sorted(map(repr, map(_identity, kept))) == sorted(
            repr((p.value, p.key)) for p in poison
        )
        headers = {m.value(): m.headers() or [] for m in kept}
        for one in poison:
            # Beside its own there may be some that tell where it came from.
            assert [h for h in headers[one.value] if h in one.headers] == list(one.headers)
        assert readers.total("burnline_kafka_dead_letters_total") == len(poison)
        # After a crash some may be written again, none is forgotten, and nothing counts twice.
        readers.stop(signal.SIGKILL)
        readers.start()
        readers.settled(calls.expected)
        assert set(map(_identity, topics.read(apart))) == {(p.value, p.key) for p in poison}


def calls_cut(calls: Calls) -> bytes:
    """A message that was cut short."""
    whole = calls.message(7)
    calls.forget(whole)
    return whole[:-3]


def test_json_is_read_where_it_is_told(tmp_path, kafka, topics, name):
    topics.create(name)
    calls = Calls(topics, name)
    good = [Sent(calls.message(as_json=True)) for _ in range(20)]
    topics.write(name, [*good, Sent(b'{"resourceSpans": ['), Sent(b""), Sent(None)], "zstd")
    with ended(Readers(tmp_path, kafka, name, KAFKA_ENCODING="otlp_json")) as readers:
        readers.start()
        readers.settled(calls.expected)
