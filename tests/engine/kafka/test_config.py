"""The file of librdkafka's settings, and what the clients are made with."""

from pathlib import Path

import pytest

from engine.kafka.config import Clients, read
from engine.kafka.errors import CannotStart, Trouble
from engine.kafka.settings import KafkaSettings


def _file(directory: Path, text: str) -> Path:
    path = directory / "kafka.conf"
    path.write_text(text)
    return path


def test_names_and_values_with_remarks_and_variables(tmp_path: Path) -> None:
    path = _file(
        tmp_path,
        "# for staging\n\n security.protocol = SASL_SSL \nsasl.password=a=${SECRET}#b\n",
    )
    assert read(path, {"SECRET": "s3cret"}) == {
        "security.protocol": "SASL_SSL",
        "sasl.password": "a=s3cret#b",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\npassword hunter2\n", "kafka.conf:2: no NAME=VALUE; write such as"),
        ("=x\n", "kafka.conf:1: no NAME=VALUE"),
        ("a=1\na=2\n", "kafka.conf:2: a is set a second time; remove one of the lines"),
        (
            "bootstrap.servers=x:1",
            "is set by Burnline itself; say it by --kafka-brokers; remove the",
        ),
        ("isolation.level=read_uncommitted", "is set by Burnline itself; remove the line"),
        ("sasl.password=${NO_SUCH}", "kafka.conf:1: the environment variable NO_SUCH is not set"),
        ("sasl.password=${EMPTY}", "the environment variable EMPTY is not set"),
    ],
)
def test_a_line_that_is_wrong_is_named_without_its_value(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(CannotStart) as told:
        read(_file(tmp_path, text), {"EMPTY": ""})
    assert said in str(told.value)
    assert "hunter2" not in str(told.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match=r"no such\.conf can't be read"):
        read(tmp_path / "no such.conf")
    (tmp_path / "latin").write_bytes(b"a=\xe9")
    with pytest.raises(CannotStart, match="no UTF-8 text"):
        read(tmp_path / "latin")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no.such.name=1", "no.such.name"),
        ("fetch.min.bytes=five", "fetch.min.bytes"),
        ("security.protocol=SSL\nssl.ca.location=/no/such/ca", "ssl.ca.location"),
        ("security.protocol=SASL_SSL\nsasl.mechanism=PLAIN", "sasl.username"),
    ],
)
def test_what_the_client_does_not_take_is_said_at_once(
    tmp_path: Path, text: str, said: str
) -> None:
    settings = KafkaSettings("127.0.0.1:1", ("t",), config=_file(tmp_path, text))
    with pytest.raises(CannotStart, match=rf"--kafka-config .*kafka.conf: .*{said}"):
        Clients(settings, Trouble())


def test_each_client_gets_its_own_settings(tmp_path: Path) -> None:
    text = "linger.ms=7\nfetch.min.bytes=9\nclient.id=mine\ngroup.id=lag\ncompression.type=zstd\n"
    clients = Clients(KafkaSettings("127.0.0.1:1", ("t",), config=_file(tmp_path, text)), Trouble())
    assert clients.commits
    clients.consumer().close()
    clients.producer()
    assert clients.admin_config()["client.id"] == "mine"
    assert "linger.ms" not in clients.admin_config()
