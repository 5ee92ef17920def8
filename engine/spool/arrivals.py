"""What the flow's sources emit: payloads that arrived together, or a mere tick of the clock."""

from dataclasses import dataclass

from slo.origins import WHOLE, Origin

# Of one model call several spans may come, one after the other. They are remembered by generations: those
# of so many seconds of the clock, and those of the seconds before.
GENERATION = 15


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Payloads that are counted, and decided on, as one.

    Attributes:
        clock: Unix seconds: when they arrived (live) or their newest event (backtest).
        traces: `ExportTraceServiceRequest`s, as bytes.
        metrics: `ExportMetricsServiceRequest`s, as bytes.
        live: False while the source replays what was read before a restart.
        exact: see `slo.messages.Deposit.exact`.
        tick: every shard is to move on to the clock, also those without data.
        watermarks: newest arrival of (traces, metrics), 0 for none yet.
        ahead_ns: how far the clock is ahead of the senders' (see `engine.spool.clock`): events are placed by
            as much later.
        recalled: they were counted before a restart, and come again only to be remembered.
        origin: the part of the input that they were read from.
        doubt_ns: events may be ahead by so much more than usual: the wall clock is doubted.
    """

    clock: float
    traces: tuple[bytes, ...] = ()
    metrics: tuple[bytes, ...] = ()
    live: bool = True
    exact: bool = False
    tick: bool = False
    watermarks: tuple[float, float] = (0.0, 0.0)
    ahead_ns: int = 0
    doubt_ns: int = 0
    recalled: bool = False
    origin: Origin = WHOLE
