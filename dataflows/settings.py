"""Settings of a live engine; the command line and the environment fill them in."""

from dataclasses import dataclass, field
from pathlib import Path

from engine.kafka.settings import KafkaSettings
from engine.receivers.limits import Limits
from slo.usage.messages import Mode


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Which process of a cluster this one is.

    Attributes:
        process: its number, from 0.
        addresses: HOST:PORT of every process, in their order, at which they talk to each other.
    """

    process: int
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Settings:
    """How a live engine runs.

    Attributes:
        slos: files and directories of SLOs.
        data_dir: spool, recovery store and the book of alerts.
        otlp_grpc: HOST:PORT of the OTLP/gRPC receiver; port 0 takes a free one.
        otlp_http: HOST:PORT of the OTLP/HTTP receiver.
        http: HOST:PORT of `/metrics`, `/healthz` and `/readyz`.
        alertmanagers: base URLs of every Alertmanager replica.
        external_url: where people reach this engine, for alerts' source links.
        workers: Bytewax worker threads.
        shards: virtual shards; fixed once a data directory exists.
        snapshot_seconds: how often recovery saves; so much is replayed after a crash.
        spool_bytes: the spool's limit; above it senders are asked to wait.
        series_limit: series of one objective before the rest share an overflow series.
        stale_after: seconds without arrivals after which alerts freeze.
        skew: seconds that an event may be ahead of its arrival.
        watch: reload the SLO files by itself when they change.
        tls_cert: certificate of the listeners.
        tls_key: its key.
        tls_client_ca: CA that clients' certificates must come from; None to ask for none.
        otlp_token_file: tokens that senders must show, one a line.
        otlp_token: such a token itself; like those below, from the environment alone.
        http_token_file: tokens that readers of `/metrics` must show.
        http_token: such a token itself.
        alertmanager_token_file: a token to show to Alertmanager.
        alertmanager_token: that token itself.
        alertmanager_ca: whom to trust as Alertmanager, instead of the system's CAs.
        alertmanager_cert: client certificate for Alertmanager.
        alertmanager_key: its key.
        max_connections: open at a time on each OTLP receiver.
        keep_content: store prompts, completions and the like as they come.
        traces: URL of the OTLP/HTTP receiver that gets spans of the engine's own work; empty for none.
        traces_ratio: share of payloads and batches that have spans.
        log_level: the lowest level that is logged: `debug`, `info`, `warning` or `error`.
        log_format: `json`, `text`, or `auto`: text on a terminal.
        watchdog: whether an alert says all the time that the engine decides.
        remote_write: addresses to which every series is pushed.
        remote_write_interval: seconds from one push to the next.
        remote_write_backlog: seconds for which samples wait for an address that is down.
        remote_write_labels: (name, value), of every series that is pushed.
        remote_write_token_file: a token to show to receivers of remote write.
        remote_write_token: that token itself.
        remote_write_ca: whom to trust as such a receiver, instead of the system's CAs.
        remote_write_cert: client certificate for it.
        remote_write_key: its key.
        anomalies: whether anything is watched for anomalies.
        anomaly_limit: entities of one monitor in a shard before the rest share one.
        prices: own prices of models, over the bundled ones.
        llm_series: by which labels what model calls used is shown.
        llm_series_limit: such series before tenants, then models, share one.
        recovery_partitions: files that the state is spread over; fixed once they are made.
        kafka: read from Kafka instead of what is sent to the receivers; they are not opened.
        cluster: this process is one of several.
    """

    slos: tuple[Path, ...]
    data_dir: Path = Path("burnline-data")
    otlp_grpc: str = "127.0.0.1:4317"
    otlp_http: str = "127.0.0.1:4318"
    http: str = "127.0.0.1:9464"
    alertmanagers: tuple[str, ...] = ()
    external_url: str = ""
    workers: int = 1
    shards: int = 16
    snapshot_seconds: float = 10.0
    spool_bytes: int = 4 << 30
    series_limit: int = 10_000
    stale_after: float = 300.0
    skew: float = 30.0
    watch: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    otlp_token_file: Path | None = None
    otlp_token: str | None = field(default=None, repr=False)
    http_token_file: Path | None = None
    http_token: str | None = field(default=None, repr=False)
    alertmanager_token_file: Path | None = None
    alertmanager_token: str | None = field(default=None, repr=False)
    alertmanager_ca: Path | None = None
    alertmanager_cert: Path | None = None
    alertmanager_key: Path | None = None
    max_connections: int = Limits().connections
    keep_content: bool = False
    traces: str = ""
    traces_ratio: float = 0.01
    log_level: str = "info"
    log_format: str = "auto"
    watchdog: bool = True
    remote_write: tuple[str, ...] = ()
    remote_write_interval: float = 15.0
    remote_write_backlog: float = 900.0
    remote_write_labels: tuple[tuple[str, str], ...] = ()
    remote_write_token_file: Path | None = None
    remote_write_token: str | None = field(default=None, repr=False)
    remote_write_ca: Path | None = None
    remote_write_cert: Path | None = None
    remote_write_key: Path | None = None
    anomalies: str = "on"
    anomaly_limit: int = 1_000
    prices: Path | None = None
    llm_series: Mode = "full"
    llm_series_limit: int = 1_000
    recovery_partitions: int = 8
    kafka: KafkaSettings | None = None
    cluster: ClusterSettings | None = None
