"""From settings and a data directory to a card, and back: what a process shows, and what it does then."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from dataflows import data_dir
from dataflows.cluster import partitions
from dataflows.cluster.cards import Card
from dataflows.cluster.company import Company
from dataflows.cluster.link import Refused
from dataflows.data_dir import StartError
from dataflows.settings import Settings
from engine.sinks.board import Board
from engine.sinks.book import from_plain, read_book, to_plain
from engine.slo_files import content_digest
from slo.plan import Plan

# Options that must be the same in every process, by their names in the settings.
SAME = {
    # Bytewax panics where a process has other workers than the rest.
    "--workers": "workers",
    "--shards": "shards",
    "--series-limit": "series_limit",
    "--stale-after": "stale_after",
    "--skew": "skew",
    "--anomalies": "anomalies",
    "--anomaly-limit": "anomaly_limit",
    "--llm-series": "llm_series",
    "--llm-series-limit": "llm_series_limit",
}


def join(
    company: Company, settings: Settings, plan: Plan, board: Board, *, recovers: bool
) -> Mapping[str, int]:
    """Show the others who this is, wait for all, and make ready for the flow.

    Args:
        company: of the others.
        settings: whose data directory is this process's own.
        plan: of now.
        board: gets what all books say.
        recovers: whether the recovery partitions are in the data directory; Bytewax's runner has its own.

    Returns:
        Since when each objective has been watched, Unix nanoseconds; the same in every process.

    Raises:
        StartError: the processes do not fit together, or partitions are missing.
        dataflows.cluster.link.Stopped: this process was told to stop first.
    """
    recovery = settings.data_dir / "recovery"
    own = company.settings
    try:
        numbers, count = partitions.held(recovery) if recovers else ((), 0)
        card = Card(
            process=own.process,
            processes=len(own.addresses),
            same=_same(settings),
            partitions=numbers,
            count=count,
            alerts=tuple(to_plain(read_book(settings.data_dir / "alerts.json"))),
            watched=_watched(settings, plan),
        )
        agreed = company.meet(card, settings.recovery_partitions if recovers else 0)
        if agreed.create:
            partitions.make(recovery, agreed.create, settings.recovery_partitions)
    except (Refused, partitions.PartitionsError) as error:
        raise StartError(str(error)) from error
    others = [number for number in range(len(own.addresses)) if number != own.process]
    board.expect(from_plain(agreed.alerts), others)
    return data_dir.watched_since(settings, plan.objectives, agreed.watched)


def _same(settings: Settings) -> dict[str, str]:
    same = {name: str(getattr(settings, field)) for name, field in SAME.items()}
    same["version"] = version("burnline")
    same["SLO files of digest"] = content_digest(settings.slos)
    same["--prices of digest"] = content_digest([settings.prices] if settings.prices else [])
    kafka = settings.kafka
    if kafka is not None:
        topics = {"traces": kafka.traces, "metrics": kafka.metrics, "logs": kafka.logs}
        same |= {f"--kafka-{name}": " ".join(sorted(each)) for name, each in topics.items()}
        same["--kafka-encoding"] = kafka.encoding
    return same


def _watched(settings: Settings, plan: Plan) -> dict[str, dict[str, Any]]:
    """What this directory knows of the objectives as they count now."""
    known = data_dir.watched(settings)
    generations = {o.id: o.generation for o in plan.objectives}
    return {
        id_: entry for id_, entry in known.items() if generations.get(id_) == entry["generation"]
    }
