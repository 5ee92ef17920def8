"""Reads the SLO files anew, on request or when they changed, beside the flow and without disturbing it."""

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

from dataflows.data_dir import StartError
from engine import price_files
from engine.slo_files import digest, load_paths
from engine.telemetry.log import log
from engine.telemetry.metrics import EngineMetrics
from slo.anomalies.model import Monitor
from slo.model import Objective
from slo.rendering import percentage

NOTHING = "the SLO files hold no SLO; add one under `slos:`"
T = TypeVar("T", Objective, Monitor)
LOOK_SECONDS = 2.0
STOP_SECONDS = 5.0


class Watch:
    """Sees SLO files change; a change counts once a further look finds the same.

    Args:
        paths: files and directories.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths
        self._seen = digest(paths)
        self._unstable = False

    def look(self) -> bool:
        """Whether the files have changed since the last time that they had, and are stable."""
        found = digest(self.paths)
        changing, self._seen = found != self._seen, found
        changed = self._unstable and not changing
        self._unstable = changing
        return changed


class Reloader:
    """Loads SLO files and hands good ones on; bad ones change nothing.

    Args:
        paths: files and directories of SLOs.
        objectives: those that are used now.
        accept: takes other objectives and monitors; a `StartError` refuses them.
        metrics: shows how the last reload went.
        watch: looks at the files by itself; None for only on request.
        monitors: those that are used now; None where nothing is to be watched for anomalies.
        prices: a file of own prices, loaded with the SLOs.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        objectives: Sequence[Objective],
        accept: Callable[[tuple[Objective, ...], tuple[Monitor, ...]], None],
        metrics: EngineMetrics,
        watch: Watch | None = None,
        monitors: Sequence[Monitor] | None = None,
        prices: Path | None = None,
    ) -> None:
        self.paths = paths
        self.prices = prices
        self.objectives = {o.id: o for o in objectives}
        self.monitors = {m.id: m for m in monitors or ()}
        self._watches = monitors is not None
        self.accept = accept
        self.metrics = metrics
        self.watch = watch
        self._requests: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="burnline-reload", daemon=True)
        self._succeeded()

    def start(self) -> None:
        """Begin to serve requests, those made before too."""
        self._thread.start()

    def stop(self) -> None:
        """End; a reload at hand is finished."""
        self._stopping = True
        self._requests.put("")
        if self._thread.ident is not None:
            self._thread.join(STOP_SECONDS)

    def request(self, why: str) -> None:
        """Ask for a reload; returns at once and may be called from a signal handler."""
        self._requests.put(why)

    def reload(self, why: str) -> None:
        """Load the files; use what they say, or say what is wrong and change nothing."""
        try:
            refused = self._load()
        except StartError as error:
            refused = [str(error)]
        except Exception:  # noqa: BLE001 - the engine runs on with what it has, whatever is wrong here
            log.exception("the SLO files can't be reloaded; nothing is changed", why=why)
            self.metrics.reload_successful.set(0)
            return
        if refused:
            for problem in refused:
                log.error("the SLO files have a problem", problem=problem)
            log.error("nothing is reloaded: the SLOs stay as they were", why=why)
            self.metrics.reload_successful.set(0)
            return
        self._succeeded()

    def _load(self) -> list[str]:
        """Problems; none where the files are used now."""
        loaded = load_paths(self.paths)
        if loaded.problems:
            return [str(problem) for problem in loaded.problems]
        found = {o.id: o for o in loaded.objectives}
        monitors = {m.id: m for m in loaded.monitors if self._watches}
        if not found and not loaded.watched:
            return [NOTHING]
        used = price_files.table()
        try:
            prices = price_files.load(self.prices)
        except price_files.PricesError as error:
            return list(error.problems)
        repriced = prices.version != used.version
        if found == self.objectives and monitors == self.monitors and not repriced:
            log.info("the SLO files say what they said before; nothing is reloaded")
            return []
        if repriced:
            price_files.use(prices)  # by the flow that `accept` lets begin
        try:
            self.accept(loaded.objectives, tuple(monitors.values()))
        except StartError:
            price_files.use(used)
            raise
        if repriced:
            self.metrics.show_prices(prices.version)
            log.info("prices are reloaded", version=prices.version)
        changes = differences(self.objectives, found)
        watched = differences(self.monitors, monitors)
        log.info(
            "the SLO files are reloaded",
            **changes,
            **{f"monitors_{name}": ids for name, ids in watched.items()},
        )
        self.objectives, self.monitors = found, monitors
        return []

    def _succeeded(self) -> None:
        self.metrics.reload_successful.set(1)
        self.metrics.reload_success_timestamp.set_to_current_time()

    def _run(self) -> None:
        while not self._stopping:
            try:
                why = self._requests.get(timeout=LOOK_SECONDS if self.watch else None)
                while not self._requests.empty():  # one reload answers all that wait
                    self._requests.get_nowait()
            except queue.Empty:
                why = "changed files" if self.watch and self.watch.look() else ""
            if why and not self._stopping:
                self.reload(why)


def differences(before: Mapping[str, T], after: Mapping[str, T]) -> dict[str, list[str]]:
    """What a reload changes, for the log: what is added, removed, counted anew, and otherwise changed."""
    both = [(before[id_], after[id_]) for id_ in after if id_ in before]
    found = {
        "added": [id_ for id_ in after if id_ not in before],
        "removed": [id_ for id_ in before if id_ not in after],
        "new_generation": [new.id for old, new in both if old.generation != new.generation],
        "changed": [
            f"{new.id}: {_changed(old, new)}"
            for old, new in both
            if old != new and old.generation == new.generation
        ],
    }
    return {name: ids for name, ids in found.items() if ids}


def _changed(old: Objective | Monitor, new: Objective | Monitor) -> str:
    names = [f.name for f in fields(new) if getattr(old, f.name) != getattr(new, f.name)]
    if {"target", "window"} & set(names) and "tiers" in names:
        names.remove("tiers")  # its thresholds follow from these
    return ", ".join(
        f"target {percentage(old)} -> {percentage(new)} %"
        if name == "target" and isinstance(old, Objective) and isinstance(new, Objective)
        else name
        for name in names
    )
