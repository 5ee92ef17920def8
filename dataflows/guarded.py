"""Keeps a payload that the measurer fails on from ending the flow, and each that follows it, for ever."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol

from engine.spool.arrivals import Arrivals
from slo.anomalies.messages import Sampled
from slo.messages import Deposit
from slo.usage.messages import Used

Keyed = tuple[str, Deposit | Sampled | Used]


class Measuring(Protocol):
    """Turns arrivals into deposits by shard."""

    def measure(self, arrivals: Arrivals) -> Iterable[Keyed]:
        """See `engine.columns.measure.Measurer.measure`."""


SetAside = Callable[[str, Exception, Arrivals], None]


class Guarded:
    """A measurer that goes on after a payload that should not be possible: it is counted apart.

    Payloads that can't be decoded are the measurer's own business; what gets here is a mistake in
    Burnline. It would be met again after each restart, as the payload waits in the spool.

    Args:
        measurer: does the work.
        set_aside: told (signal, failure, arrivals with it alone) of a payload that is not counted.
    """

    def __init__(self, measurer: Measuring, set_aside: SetAside) -> None:
        self.measurer = measurer
        self.set_aside = set_aside

    def measure(self, arrivals: Arrivals) -> Iterable[Keyed]:
        """The deposits of all payloads that can be measured."""
        try:
            return self.measurer.measure(arrivals)
        except (MemoryError, OSError):  # not the payload's fault: it must be read again
            raise
        except Exception:
            if not (arrivals.traces or arrivals.metrics):
                raise
            return self._each(arrivals)

    def _each(self, arrivals: Arrivals) -> list[Keyed]:
        """Measure the payloads one by one; what was told of them apart is told twice."""
        single = [("metrics", replace(arrivals, traces=(), metrics=(p,))) for p in arrivals.metrics]
        single += [("traces", replace(arrivals, metrics=(), traces=(p,))) for p in arrivals.traces]
        found: list[Keyed] = []
        for signal, one in single:
            try:
                found += self.measurer.measure(replace(one, tick=False))
            except (MemoryError, OSError):
                raise
            except Exception as failure:  # noqa: BLE001 - told, and the others go on
                self.set_aside(signal, failure, one)
        if arrivals.tick:
            found += self.measurer.measure(replace(arrivals, traces=(), metrics=()))
        return found
