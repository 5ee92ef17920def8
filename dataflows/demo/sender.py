"""Sends the demo's traffic to an OTLP/HTTP receiver, as an SDK's exporter does."""

import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from dataflows.demo.otlp import request
from dataflows.demo.traffic import Calls, Traffic, batches

FLUSH_SECONDS = 0.5
PATIENCE = 60.0
LONGEST_WAIT = 10.0
_RETRIED = frozenset({429, 502, 503, 504})


class DeliveryError(RuntimeError):
    """The receiver cannot be reached, or refuses what the demo sends."""


class Exporter:
    """Posts requests over one kept connection, from one thread.

    Args:
        url: base URL of the receiver, `http://HOST:PORT`.
        stopped: ends waits early.
        patience: seconds for which a request is tried again.

    Attributes:
        spans: accepted so far.
    """

    def __init__(self, url: str, stopped: threading.Event, patience: float = PATIENCE) -> None:
        self.spans = 0
        self._address = urlsplit(url).netloc
        self._url = url
        self._stopped = stopped
        self._patience = patience
        self._connection = HTTPConnection(self._address, timeout=10)

    def send(self, calls: Calls) -> None:
        """Deliver a batch; waits as long as the receiver asks for.

        Raises:
            DeliveryError: refused, or not accepted in time.
        """
        body = request(calls)
        give_up = time.monotonic() + self._patience
        pause = 0.1
        while not self._stopped.is_set():
            try:
                status, wait, answer = self._post(body)
            except (OSError, HTTPException) as error:
                self._connection.close()
                status, wait, answer = 0, None, f"{type(error).__name__}: {error}"
            if status == 200:
                self.spans += len(calls)
                return
            if status and status not in _RETRIED:
                raise DeliveryError(f"{self._url} refused the demo's spans: {status} {answer}")
            if time.monotonic() > give_up:
                raise DeliveryError(
                    f"{self._url} did not accept the demo's spans for {self._patience:g} s: "
                    f"{status or ''} {answer}"
                )
            self._stopped.wait(min(pause if wait is None else wait, LONGEST_WAIT))
            pause = min(2 * pause, 2.0)

    def _post(self, body: bytes) -> tuple[int, float | None, str]:
        """(status, seconds to wait where asked for, the answer's beginning)."""
        headers = {"Content-Type": "application/x-protobuf", "User-Agent": "burnline-demo"}
        self._connection.request("POST", "/v1/traces", body, headers)
        response = self._connection.getresponse()
        answer = response.read()
        asked = response.headers.get("Retry-After", "")
        wait = float(asked) if asked.isascii() and asked.isdigit() else None
        return response.status, wait, answer[:200].decode("utf-8", "replace")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class Sender:
    """Sends the history, then waits for `go_live`, then sends what has ended every half second.

    Args:
        url: base URL of the receiver.
        traffic: what to send.
        history_end: Unix seconds.
        progress: told how many spans were accepted.

    Attributes:
        history_sent: set once the history is delivered, or failed to be.
        failure: what ended the thread too early, None while nothing did.
    """

    def __init__(
        self,
        url: str,
        traffic: Traffic,
        history_end: float,
        progress: Callable[[int], None] = lambda _spans: None,
    ) -> None:
        self.history_sent = threading.Event()
        self.failure: Exception | None = None
        self._traffic = traffic
        self._history_end = history_end
        self._progress = progress
        self._stopped = threading.Event()
        self._live = threading.Event()
        self._exporter = Exporter(url, self._stopped)
        self._thread = threading.Thread(target=self._run, name="demo-traffic", daemon=True)

    @property
    def spans(self) -> int:
        """Accepted so far."""
        return self._exporter.spans

    def start(self) -> None:
        """Begin with the history."""
        self._thread.start()

    def go_live(self) -> None:
        """Begin with the live part; `Traffic.live_at` is set by now."""
        self._live.set()

    def stop(self) -> None:
        """Stop, at the latest after the request under way."""
        self._stopped.set()
        self._live.set()
        if self._thread.is_alive():
            self._thread.join(timeout=15)

    def _run(self) -> None:
        try:
            self._send_history()
            self.history_sent.set()
            self._live.wait()
            while not self._stopped.wait(FLUSH_SECONDS):
                self._send_until(time.time())
        except Exception as failure:  # noqa: BLE001  raised again by the demo's main thread
            self.failure = failure
        finally:
            self.history_sent.set()
            self._exporter.close()

    def _send_history(self) -> None:
        # Minute by minute, so that a long trace is never held as calls in whole.
        moment = self._traffic.history_start
        while moment < self._history_end and not self._stopped.is_set():
            moment = min(moment + 60.0, self._history_end)
            self._send_until(moment)

    def _send_until(self, moment: float) -> None:
        for batch in batches(self._traffic.until(moment)):
            self._exporter.send(batch)
            self._progress(self._exporter.spans)
