"""The data directory of a live engine: who may use it, with how many shards, and since when it watches."""

import fcntl
import json
import os
import time
from collections.abc import Iterable
from typing import IO, Any

from bytewax.recovery import init_db_dir

from dataflows.settings import Settings
from engine.telemetry.log import log
from slo.model import Objective
from slo.shard import WATCH_LEAD_NS

# Bytewax fixes the number of recovery partitions for good: as many workers may ever take part.
RECOVERY_PARTITIONS = 8
# SQLite makes sure of the room for its shared index by one byte in each 4 KiB. In smaller blocks, on a full
# disk, the rest of such a page may have none, and touching it is SIGBUS.
SAFE_BLOCK_BYTES = 4096


class StartError(Exception):
    """The engine can't start; the message says why, and the mend."""


def prepare(settings: Settings) -> None:
    """Make the data directory, or see that it fits.

    Raises:
        StartError: it can't be used, or was made with another number of shards.
    """
    recovery, shards = settings.data_dir / "recovery", settings.data_dir / "shards"
    try:
        recovery.mkdir(parents=True, exist_ok=True)
        if not any(recovery.iterdir()):
            shards.write_text(f"{settings.shards}\n")
            init_db_dir(recovery, RECOVERY_PARTITIONS)
        made_with = shards.read_text().strip()
    except OSError as error:
        raise StartError(
            f"the data directory {settings.data_dir} can't be used ({error.strerror}); make it "
            "writable or name another with --data-dir"
        ) from error
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


def watched_since(settings: Settings, objectives: Iterable[Objective]) -> dict[str, int]:
    """Since when each objective, as it counts now, has been watched; kept beside the spool.

    The recovery store knows it too, but not before its first snapshot.

    Raises:
        StartError: the file can't be read or written.
    """
    path = settings.data_dir / "watched.json"
    since = time.time_ns() - WATCH_LEAD_NS
    known: dict[str, dict[str, Any]] = {}
    try:
        if path.exists():
            known = json.loads(path.read_text())
        watched: dict[str, dict[str, Any]] = {
            o.id: known[o.id]
            if known.get(o.id, {}).get("generation") == o.generation
            else {"generation": o.generation, "since_ns": since}
            for o in objectives
        }
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(watched, indent=1))
        fresh.replace(path)
    except (OSError, ValueError) as error:
        raise StartError(
            f"{path} can't be used ({error}); make it writable or remove it"
        ) from error
    return {objective: int(entry["since_ns"]) for objective, entry in watched.items()}


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
