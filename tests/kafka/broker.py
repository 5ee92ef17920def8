"""A real Apache Kafka of one node (KRaft), on free ports; it can be stopped, killed and started again."""

import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tests.certificates import Authority, Pair
from tests.kafka.jars import JARS
from tests.servers import free_port

USER, PASSWORD = "burnline", "quiet-edges"
CLUSTER = "BurnlineBurnlineBurnlA"  # 16 bytes in base64, as Kafka names clusters
READY_SECONDS = 60.0  # two where nothing else runs
LOG4J = Path(__file__).with_name("log4j2.yaml")
# A short life on a shared machine: little memory, and no time spent on compiling well.
JAVA = ("java", "-Xmx256m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


class Broker:
    """One node, its data in `directory`. Ports and data stay over restarts.

    Args:
        directory: an empty one, or one of a broker before.
        authority: who signs its certificate; with one it also listens by TLS.
        settings: of the broker, over those here.
    """

    def __init__(
        self,
        directory: Path,
        authority: Authority | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.authority = authority
        names = ["PLAINTEXT", "SASL_PLAINTEXT", "CONTROLLER"] + ["SSL", "SASL_SSL"] * bool(
            authority
        )
        self._ports = {name: free_port() for name in names}
        self._process: subprocess.Popen[bytes] | None = None
        self._log = directory / "broker.log"
        self._config = directory / "server.properties"
        told = self._settings() | dict(settings or {})
        self._config.write_text("".join(f"{name}={value}\n" for name, value in told.items()))
        self._format()

    @property
    def address(self) -> str:
        """HOST:PORT for anyone, without TLS."""
        return self.listener("PLAINTEXT")

    def listener(self, name: str) -> str:
        """HOST:PORT of PLAINTEXT, SASL_PLAINTEXT, SSL (asks for a certificate) or SASL_SSL."""
        return f"127.0.0.1:{self._ports[name]}"

    @property
    def log(self) -> str:
        """What it logged, of all its lives."""
        return self._log.read_text(errors="replace")

    def start(self) -> None:
        """Start, and wait until it answers."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._java("kafka.Kafka", str(self._config)), stdout=output, stderr=output
            )
        admin = AdminClient({"bootstrap.servers": self.address, "log_level": 0})
        limit = time.monotonic() + READY_SECONDS
        while not _answers(admin):
            assert self._process.poll() is None, self.log
            assert time.monotonic() < limit, f"no answer in {READY_SECONDS} s\n{self.log}"

    def stop(self) -> None:
        """As its service manager does."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As a power cut does."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """It does not answer, but its connections stay."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """After a pause."""
        self._process.send_signal(signal.SIGCONT)

    def _end(self, number: int) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(30)
        finally:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _settings(self) -> dict[str, str]:
        listeners = ",".join(f"{name}://127.0.0.1:{port}" for name, port in self._ports.items())
        plain = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.bootstrap.servers": self.listener("CONTROLLER"),
            "controller.listener.names": "CONTROLLER",
            "listeners": listeners,
            "listener.security.protocol.map": ",".join(
                f"{name}:{'PLAINTEXT' if name == 'CONTROLLER' else name}" for name in self._ports
            ),
            "log.dirs": str(self.directory / "data"),
            # One that was killed is missed sooner, and let in again.
            "broker.session.timeout.ms": "2000",
            "broker.heartbeat.interval.ms": "500",
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "log.cleaner.dedupe.buffer.size": "4194304",  # of the heap, for nothing here
            "log.cleaner.threads": "1",
            "log.retention.check.interval.ms": "500",
            "log.segment.delete.delay.ms": "0",
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256",
        }
        for name in (name for name in self._ports if name.startswith("SASL")):
            prefix = f"listener.name.{name.lower()}"
            settings[f"{prefix}.plain.sasl.jaas.config"] = f'{plain} user_{USER}="{PASSWORD}";'
            settings[f"{prefix}.scram-sha-256.sasl.jaas.config"] = scram
        return settings | (self._tls(self.authority) if self.authority else {})

    def _tls(self, authority: Authority) -> dict[str, str]:
        held = self.directory / "server.pem"
        held.write_bytes(_pkcs8(authority.issue("broker")))
        return {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(held),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(authority.pem),
            "listener.name.ssl.ssl.client.auth": "required",
        }

    def _format(self) -> None:
        """Lay out its storage, with an account for SCRAM in it."""
        if (self.directory / "data").exists():
            return
        account = f"SCRAM-SHA-256=[name={USER},password={PASSWORD}]"
        told = ["format", "--standalone", "-t", CLUSTER, "-c", str(self._config), "-S", account]
        done = subprocess.run(
            self._java("kafka.tools.StorageTool", *told),
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, (done.stdout + done.stderr).decode()

    @staticmethod
    def _java(main: str, *told: str) -> list[str]:
        return [*JAVA, f"-Dlog4j2.configurationFile={LOG4J}", "-cp", f"{JARS}/*", main, *told]


@contextmanager
def broker(
    directory: Path, authority: Authority | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[Broker]:
    """A broker that runs, and is ended however that was."""
    made = Broker(directory, authority, settings)
    try:
        made.start()
        yield made
    finally:
        made.kill()


def _pkcs8(pair: Pair) -> bytes:
    """Key and certificates in one file, the key as Java reads it."""
    key = load_pem_private_key(pair.key.read_bytes(), None)
    return (
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + pair.cert.read_bytes()
    )


def _answers(admin: AdminClient) -> bool:
    try:
        return bool(admin.list_topics(timeout=1).brokers)
    except KafkaException:
        return False
