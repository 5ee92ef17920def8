"""The data directory of a live engine: who may use it, with how many shards, and since when it watches."""

import fcntl
import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from bytewax.recovery import init_db_dir

from dataflows.cluster import partitions
from dataflows.settings import Settings
from engine.telemetry.log import log
from slo.model import Objective
from slo.shard import WATCH_LEAD_NS

# SQLite makes sure of the room for its shared index by one byte in each 4 KiB. In smaller blocks, on a full
# disk, the rest of such a page may have none, and touching it is SIGBUS.
SAFE_BLOCK_BYTES = 4096


class StartError(Exception):
    """The engine can't start; the message says why, and the mend."""


def prepare(settings: Settings) -> None:
    """Make the data directory, or see that it fits.

    A process of a cluster makes no recovery partitions yet: all have to be asked whether there are some.

    Raises:
        StartError: it can't be used, or was made with another number of shards.
    """
    recovery, shards = settings.data_dir / "recovery", settings.data_dir / "shards"
    cluster = settings.cluster
    try:
        recovery.mkdir(parents=True, exist_ok=True)
        if cluster is None or cluster.process == 0:
            partitions.adopt(settings.data_dir, len(cluster.addresses) if cluster else 1)
        if not any(recovery.iterdir()):
            shards.write_text(f"{settings.shards}\n")
            if cluster is None:
                init_db_dir(recovery, settings.recovery_partitions)
        if cluster is None and (lacking := partitions.missing(recovery)):
            raise StartError(
                f"recovery partitions {', '.join(map(str, lacking))} are missing in {recovery}: other "
                "processes of a cluster had them; copy their recovery/part-N.sqlite3 there, or run the "
                "cluster again"
            )
        made_with = shards.read_text().strip()
    except OSError as error:
        raise StartError(
            f"the data directory {settings.data_dir} can't be used ({error.strerror}); make it "
            "writable or name another with --data-dir"
        ) from error
    except partitions.PartitionsError as error:
        raise StartError(str(error)) from error
    if made_with != str(settings.shards):
        raise StartError(
            f"the data directory {settings.data_dir} was made with --shards {made_with}, and keeps "
            f"them; run with that, or name another with --data-dir"
        )
    _warn_of_small_blocks(settings)


def _warn_of_small_blocks(settings: Settings) -> None:
    size = os.statvfs(settings.data_dir).f_bsize
    if size < SAFE_BLOCK_BYTES:
        log.warning(
            "the data directory's file system has small blocks: should the disk be full, the process may "
            "end by SIGBUS instead of waiting for room (nothing acknowledged is lost); use a file "
            "system with blocks of 4096 bytes, such as mkfs.ext4 -b 4096 makes",
            path=str(settings.data_dir),
            block_bytes=size,
        )


def at_home(settings: Settings) -> Settings:
    """The settings with the directory that is this process's own as its data directory."""
    if settings.cluster is None:
        return settings
    return replace(settings, data_dir=partitions.home(settings.data_dir, settings.cluster.process))


def watched(settings: Settings) -> dict[str, dict[str, Any]]:
    """What the data directory knows of since when objectives are watched.

    Raises:
        StartError: the file can't be read.
    """
    path = settings.data_dir / "watched.json"
    try:
        known: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise _unusable(path, error) from error
    return known


def watched_since(
    settings: Settings,
    objectives: Iterable[Objective],
    elsewhere: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, int]:
    """Since when each objective, as it counts now, has been watched; kept beside the spool.

    The recovery store knows it too, but not before its first snapshot.

    Args:
        settings: they name the directory.
        objectives: of now.
        elsewhere: what all processes of a cluster know; instead of what this directory does.

    Raises:
        StartError: the file can't be read or written.
    """
    path = settings.data_dir / "watched.json"
    since = time.time_ns() - WATCH_LEAD_NS
    known = watched(settings) if elsewhere is None else elsewhere
    entries: dict[str, Mapping[str, Any]] = {
        o.id: known[o.id]
        if known.get(o.id, {}).get("generation") == o.generation
        else {"generation": o.generation, "since_ns": since}
        for o in objectives
    }
    try:
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(entries, indent=1))
        fresh.replace(path)
    except OSError as error:
        raise _unusable(path, error) from error
    return {objective: int(entry["since_ns"]) for objective, entry in entries.items()}


def _unusable(path: Path, error: Exception) -> StartError:
    return StartError(f"{path} can't be used ({error}); make it writable or remove it")


def lock(settings: Settings) -> IO[str]:
    """Keep other engines out of the data directory, for as long as this process lives.

    Raises:
        BlockingIOError: another process has it.
        StartError: the lock's file can't be opened.
    """
    path = settings.data_dir / "lock"
    try:
        lock = path.open("a+")
    except OSError as error:
        raise StartError(f"{path} can't be opened ({error.strerror}); make it writable") from error
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return lock
