"""Settings of a live engine; the command line and the environment fill them in."""

from dataclasses import dataclass
from pathlib import Path


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
        keep_content: store prompts, completions and the like as they come.
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
    keep_content: bool = False
