"""A crowd of bad clients round a service, and how a good one fares beside it.

python -m tests.engine.receivers.crowd --idle 10000 --heads 400 --bodies 300 --messages 300 --seconds 20
"""

import argparse
import resource
import time
from contextlib import ExitStack, suppress
from functools import partial
from typing import NamedTuple

from tests.engine.receivers import wire
from tests.engine.receivers.served import Served, served
from tests.engine.receivers.test_receivers import TRACE_METHOD, call, post, traces

MIB = 1 << 20


class Fared(NamedTuple):
    """What a good client saw.

    Attributes:
        requests: that it made; all were answered.
        slowest: seconds of the slowest, by what was asked.
        peak_mib: the most memory that the service had.
    """

    requests: int
    slowest: dict[str, float]
    peak_mib: int


def gather(stack: ExitStack, at: Served, idle: int, heads: int, bodies: int, messages: int) -> None:
    """Bad clients of every kind; their connections stay open until the stack is left."""
    _room_for(idle + heads + bodies + messages)
    for number in range(idle):
        address = (at.otlp_http, at.listen, at.otlp_grpc)[number % 3]
        with suppress(ConnectionError):
            stack.enter_context(wire.connect(address))
    for _ in range(heads):
        client = stack.enter_context(wire.connect(at.otlp_http))
        with suppress(ConnectionError):
            client.sendall(b"POST /v1/traces HTTP/1.1\r\nX-Slow: ")
    for _ in range(bodies):  # all that is sent is held, and more than may be in flight
        client = stack.enter_context(wire.connect(at.otlp_http))
        client.settimeout(0)
        with suppress(OSError):
            client.sendall(wire.head("/v1/traces", f"Content-Length: {60 * MIB}"))
            client.sendall(bytes(4 * MIB))
    for _ in range(messages):
        with suppress(ConnectionError, TimeoutError):
            client = stack.enter_context(wire.Http2(at.otlp_grpc))
            client.open(1, wire.grpc_head())
            client.send(1, wire.message(bytes(MIB), size=15 * MIB), seconds=0.01)


def fare(at: Served, seconds: float) -> Fared:
    """Ask as a good client does, all the time."""
    ways = {
        "http": lambda: post(f"http://{at.otlp_http}/v1/traces", traces())[0] == 200,
        "grpc": lambda: call(at.otlp_grpc, TRACE_METHOD, traces()) == b"",
        "metrics": lambda: post(f"http://{at.listen}/metrics", None, method="GET")[0] == 200,
        "healthz": lambda: post(f"http://{at.listen}/healthz", None, method="GET")[0] == 200,
    }
    slowest = dict.fromkeys(ways, 0.0)
    requests, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        for name, way in ways.items():
            began = time.monotonic()
            if not way():
                raise AssertionError(f"{name} is not served")
            slowest[name] = max(slowest[name], time.monotonic() - began)
            requests += 1
    return Fared(requests, slowest, at.peak_mib())


def _room_for(clients: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < clients + 200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(clients + 200, hard), hard))


def main() -> None:
    """Print how it went."""
    parser = argparse.ArgumentParser()
    for name, default in (("idle", 10_000), ("heads", 400), ("bodies", 300), ("messages", 300)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seconds", type=float, default=20.0)
    asked = parser.parse_args()
    with served() as at, ExitStack() as stack:
        say = partial(print, flush=True)
        before = at.peak_mib()
        began = time.monotonic()
        gather(stack, at, asked.idle, asked.heads, asked.bodies, asked.messages)
        say(f"gathered in {time.monotonic() - began:.1f} s; {before} MiB before")
        fared = fare(at, asked.seconds)
        slowest = ", ".join(f"{name} {1000 * took:.0f} ms" for name, took in fared.slowest.items())
        say(f"{fared.requests} good requests, all answered; slowest: {slowest}")
        say(f"peak {fared.peak_mib} MiB")


if __name__ == "__main__":
    main()
