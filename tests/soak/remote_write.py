"""A Prometheus that is killed and stays away, another that hangs: what is missing afterwards."""

import re
import signal
import threading
import time
import urllib.parse
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.end_to_end.engines import Call, Engine, send
from tests.servers import eventually, free_port, get_json, receiver
from tests.soak.alertmanagers import Proxy
from tests.soak.watch import SLOS, Watch


def prometheus_gone(directory: Path, seconds: float, interval: int = 5) -> dict[str, Any]:
    """Kill the receiver for so long, while another hangs all the time.

    Args:
        directory: of every file.
        seconds: how long it is gone.
        interval: from one sample of a series to the next.

    Raises:
        AssertionError: samples are missing, or the flow waited.
    """
    directory.mkdir(parents=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}/api/v1/write"
    hanging = Proxy("")
    hanging.mode = "hang"
    engine = Engine(
        directory,
        SLOS,
        BURNLINE_REMOTE_WRITE=f"{url} {hanging.url}/api/v1/write",
        BURNLINE_REMOTE_WRITE_INTERVAL=f"{interval}s",
    )
    stop, watch = threading.Event(), Watch(engine)
    threads = [
        threading.Thread(target=lambda: watch.run(stop), daemon=True),
        threading.Thread(target=lambda: _traffic(engine, stop), daemon=True),
    ]
    try:
        with receiver(directory, port, signal.SIGKILL):
            engine.start()
            for thread in threads:
                thread.start()
            eventually(lambda: _of(engine, "samples_total", url) > 900, 60)  # three times all
        time.sleep(seconds)
        waiting = _of(engine, "pending_samples", url)
        with receiver(directory, port):
            began = time.monotonic()
            eventually(lambda: _of(engine, "pending_samples", url) == 0, 120)
            caught_up = time.monotonic() - began
            times = _stored(f"http://127.0.0.1:{port}")
        longest = max(b - a for a, b in pairwise(times))
        seen = {
            "case": "prometheus-gone",
            "fault_seconds": round(seconds),
            "samples_waiting": waiting,
            "caught_up_after": round(caught_up, 1),
            "samples_of_a_series": len(times),
            "longest_gap_between_samples": round(longest, 2),
            "dropped": _of(engine, "dropped_samples_total", url),
            "flow": watch.summary(),
        }
        assert seen["dropped"] == 0, seen
        assert longest < interval + 2, seen
        assert times[-1] - times[0] > seconds, seen
        assert max(watch.lags) < 5, seen
        return seen
    finally:
        stop.set()
        hanging.close()
        if engine.process is not None:
            engine.stop(signal.SIGKILL)


def _traffic(engine: Engine, stop: threading.Event) -> None:
    while not stop.wait(2.0):
        send(engine, [Call(time.time(), tenant="steady") for _ in range(5)])


def _of(engine: Engine, name: str, url: str) -> float:
    page = engine.get("/metrics")
    found = re.findall(
        rf"^burnline_remote_write_{name}{{.*url=\"{re.escape(url)}\"}} (\S+)$", page, re.MULTILINE
    )
    return sum(map(float, found))


def _stored(prometheus: str) -> list[float]:
    """When a series has samples."""
    asked = urllib.parse.urlencode({"query": "burnline_slo_decided_timestamp_seconds[1h]"})
    (series,) = get_json(f"{prometheus}/api/v1/query?{asked}")["data"]["result"]
    return [float(at) for at, _ in series["values"]]
