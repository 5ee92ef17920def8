"""Sends the stream to an engine that may be gone at any moment.

A lane sends its payloads one after another, each until it is acknowledged. Where the connection breaks
after a request was sent, nobody knows whether it was stored (OTLP has no identity of a request): the
payload is *doubtful*, and its lane waits until someone has looked at the dead engine's disk.
"""

import http.client
import queue
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Literal

import grpc

from tests.end_to_end.engines import Engine
from tests.soak.stream import LANES, Lane, Payload

Outcome = Literal["acknowledged", "refused", "unsent", "doubtful"]
RETRY_SECONDS = 0.05
TIMEOUT = 60.0
_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_RECONNECT = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
)


class Sender:
    """The lanes to one engine.

    Attributes:
        counts: outcomes of requests.
        recent: (Unix seconds, payload) of the newest acknowledgements.
        late: seconds after it was due that the latest payload was taken.
        failure: what a lane failed with; it sends no more.
    """

    def __init__(self, engine: Engine) -> None:
        self.counts: Counter[Outcome] = Counter()
        self.recent: deque[tuple[float, Payload]] = deque(maxlen=200)
        self.late = 0.0
        self.failure: Exception | None = None
        self.open = threading.Event()
        self.open.set()
        self._lanes = {lane: _Lane(self, engine, lane) for lane in LANES}

    def put(self, payload: Payload) -> None:
        self._lanes[payload.lane].waiting.put(payload)

    def pause(self) -> list[Payload]:
        """Begin no more requests; the doubtful ones, once no request is under way."""
        self.open.clear()
        while any(lane.sending for lane in self._lanes.values()):
            time.sleep(0.002)
        return [lane.doubtful for lane in self._lanes.values() if lane.doubtful]

    def resume(self, stored: Callable[[Payload], bool]) -> None:
        """Go on, on new connections; a doubtful payload is sent again unless it is stored."""
        for lane in self._lanes.values():
            lane.connect()
            if lane.doubtful:
                lane.settle(stored=stored(lane.doubtful))
        self.open.set()

    def idle(self) -> bool:
        """Whether all is acknowledged."""
        if self.failure:
            raise self.failure
        return all(lane.waiting.unfinished_tasks == 0 for lane in self._lanes.values())

    @property
    def doubtful(self) -> bool:
        return any(lane.doubtful for lane in self._lanes.values())


class _Lane:
    def __init__(self, sender: Sender, engine: Engine, lane: Lane) -> None:
        self.waiting: queue.Queue[Payload] = queue.Queue()
        self.sending = False
        self.doubtful: Payload | None = None
        self._sender = sender
        self._settled = threading.Event()
        self._stored = False
        self._engine = engine
        self._name = lane
        self._post: Callable[[Payload], Outcome]
        self.connect()
        threading.Thread(target=self._run, name=lane, daemon=True).start()

    def connect(self) -> None:
        """Anew: what is sent on a connection to a dead engine would be doubtful for nothing."""
        ports = self._engine.ports
        self._post = _Grpc(ports["grpc"]) if self._name == "spans-grpc" else _Http(ports["http"])

    def settle(self, *, stored: bool) -> None:
        self.doubtful = None
        self._stored = stored
        self._settled.set()

    def _run(self) -> None:
        try:
            while True:
                payload = self.waiting.get()
                while not self._sent(payload):
                    time.sleep(RETRY_SECONDS)
                self._sender.late = max(self._sender.late, time.time() - payload.at)
                self.waiting.task_done()
        except Exception as failure:  # noqa: BLE001  raised again by `idle`
            self._sender.failure = failure
            self.sending = False

    def _sent(self, payload: Payload) -> bool:
        sender = self._sender
        sender.open.wait()
        self.sending = True
        if not sender.open.is_set():  # closed in between
            self.sending = False
            return False
        self._settled.clear()
        outcome = self._post(payload)
        sender.counts[outcome] += 1
        if outcome == "acknowledged":
            sender.recent.append((time.time(), payload))
        if outcome == "doubtful":
            self.doubtful = payload
        self.sending = False
        if outcome == "doubtful":
            self._settled.wait()
            return self._stored
        return outcome == "acknowledged"


class _Http:
    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: http.client.HTTPConnection | None = None

    def __call__(self, payload: Payload) -> Outcome:
        if self._connection is None:
            fresh = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT)
            try:
                fresh.connect()
            except OSError:
                return "unsent"
            fresh.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connection = fresh
        try:
            self._connection.request(
                "POST",
                f"/v1/{payload.signal}",
                payload.body,
                {"Content-Type": "application/x-protobuf"},
            )
            answer = self._connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            self._connection = None
            return "doubtful"
        if answer.status == 200:
            return "acknowledged"
        if answer.status in (429, 503) and answer.headers["Retry-After"]:
            return "refused"
        raise AssertionError(f"{answer.status} for {payload.number}")


class _Grpc:
    def __init__(self, port: int) -> None:
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=_RECONNECT)
        self._export = self._channel.unary_unary(_EXPORT)

    def __call__(self, payload: Payload) -> Outcome:
        try:
            self._export(payload.body, timeout=TIMEOUT)
        except grpc.RpcError as error:
            answered = any(
                name == "grpc-status-details-bin" for name, _ in error.trailing_metadata() or ()
            )
            if answered and error.code() in (
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                grpc.StatusCode.UNAVAILABLE,
            ):
                return "refused"
            if "onnect" in (error.details() or "") and "refused" in (error.details() or ""):
                return "unsent"
            return "doubtful"
        return "acknowledged"
