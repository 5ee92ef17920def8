"""What `/metrics` shows at an instant, as samples for remote write."""

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest

from engine.sinks._families import Floats, samples_of
from engine.sinks._remote_backlog import Samples
from engine.sinks._remote_protobuf import encode_series, encode_time, labels_of, stale, with_target
from engine.sinks.board import Board
from engine.sinks.exposition import Exposition

_POINTER = 8


class Recorder:
    """Takes samples; one thread at a time.

    A series that was there and is not any more gets a last sample, the stale marker.

    Args:
        board: what is shown.
        exposition: by which `/metrics` shows it.
        registry: the engine's own metrics.
        target: labels of every series, as a scrape would add them.
        always: gives the labels of alerts of no objective that fire.
    """

    def __init__(
        self,
        board: Board,
        exposition: Exposition,
        registry: CollectorRegistry,
        target: Mapping[str, str],
        always: Callable[[], Sequence[Mapping[str, str]]] = tuple,
    ) -> None:
        self.board = board
        self.exposition = exposition
        self.registry = registry
        self.target = dict(target)
        self.always = always
        self._heads: list[str] = []
        self._encoded: dict[str, bytes] = {}
        self._series: list[bytes] = []

    def take(self) -> Samples:
        """Every series now.

        Raises:
            ValueError: the clock says a time that can't be sent.
        """
        stamp = encode_time(int(time.time() * 1000))
        heads, values = self._read()
        vanished: list[bytes] = []
        held = values.nbytes
        if heads != self._heads:
            vanished, fresh = self._change(heads)
            held += fresh
        series = self._series
        if vanished:
            series = series + vanished
            values = np.concatenate([values, stale(len(vanished))])
            held += _POINTER * (len(series) + len(vanished))
        return Samples(stamp, time.monotonic(), series, values, held)

    def _read(self) -> tuple[list[str], Floats]:
        own = samples_of(generate_latest(self.registry).decode())
        shown = self.board.snapshot(), self.board.active_alerts(), self.always()
        blocks = [*self.exposition.blocks(*shown), own]
        heads: list[str] = []
        for block_heads, _ in blocks:
            heads += block_heads
        return heads, np.concatenate([values for _, values in blocks])

    def _change(self, heads: list[str]) -> tuple[list[bytes], int]:
        """Take other series; those that vanished, and the bytes of memory that the new ones need."""
        known = self._encoded
        self._encoded = {head: known.get(head) or self._encode(head) for head in heads}
        vanished = [known[head] for head in known.keys() - self._encoded.keys()]
        fresh = sum(len(self._encoded[head]) for head in self._encoded.keys() - known.keys())
        self._heads = heads
        self._series = [self._encoded[head] for head in heads]
        return vanished, fresh + _POINTER * len(heads)

    def _encode(self, head: str) -> bytes:
        return encode_series(with_target(labels_of(head), self.target))
