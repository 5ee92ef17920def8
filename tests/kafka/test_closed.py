"""A broker that asks who is there: SASL, TLS, client certificates."""

import pytest

from tests.kafka.broker import PASSWORD, USER
from tests.kafka.calls import POISON, Calls
from tests.kafka.readers import Readers, ended
from tests.servers import eventually

pytestmark = pytest.mark.timeout(180)


def _config(protocol: str, authority, tmp_path) -> str:
    told = {"security.protocol": protocol, "ssl.ca.location": authority.pem}
    if protocol == "SSL":
        pair = authority.issue(f"client-{tmp_path.name}")
        told |= {"ssl.certificate.location": pair.cert, "ssl.key.location": pair.key}
    else:
        told |= {
            "sasl.mechanism": "SCRAM-SHA-256" if protocol == "SASL_SSL" else "PLAIN",
            "sasl.username": USER,
            "sasl.password": PASSWORD,
        }
    return "".join(f"{name}={value}\n" for name, value in told.items())


@pytest.mark.parametrize("protocol", ["SASL_SSL", "SSL"])
def test_it_reads_and_writes_by_tls(tmp_path, kafka, topics, name, authority, protocol):
    topics.create(name)
    topics.create(f"{name}-undecodable")
    calls = Calls(topics, name)
    calls.write(10)
    calls.topics.write(name, [POISON])
    file = tmp_path / "kafka.properties"
    file.write_text(_config(protocol, authority, tmp_path))
    told = {
        "KAFKA_BROKERS": kafka.listener(protocol),
        "KAFKA_CONFIG": str(file),
        "KAFKA_UNDECODABLE": f"{name}-undecodable",
    }
    with ended(Readers(tmp_path, kafka, name, **told)) as readers:
        readers.start()
        readers.settled(calls.expected)
        eventually(lambda: topics.read(f"{name}-undecodable"), 20)


def test_a_wrong_password_is_told_and_not_shown(tmp_path, kafka, topics, name, authority):
    topics.create(name)
    file = tmp_path / "kafka.properties"
    file.write_text(_config("SASL_SSL", authority, tmp_path).replace(PASSWORD, "not-the-word"))
    told = {"KAFKA_BROKERS": kafka.listener("SASL_SSL"), "KAFKA_CONFIG": str(file)}
    with ended(Readers(tmp_path, kafka, name, **told)) as readers:
        readers.spawn()
        (engine,) = readers.engines
        eventually(lambda: "uthentication" in engine.log.read_text(), 60)
        assert "not-the-word" not in engine.log.read_text()
