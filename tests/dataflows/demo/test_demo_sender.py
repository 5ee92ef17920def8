import threading
import time

import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from dataflows.demo.sender import DeliveryError, Exporter, Sender
from dataflows.demo.servers import free_port
from dataflows.demo.trace import Trace, table_trace
from dataflows.demo.traffic import Incident, Traffic

OK = (200, {"Content-Type": "application/x-protobuf"}, b"")


def _calls(count=3):
    return Traffic(table_trace(1), 1, 1e9).until(1e9).at(np.arange(count))


def _spans(server):
    return [
        bytes(span.span_id)
        for _, _, body in server.requests
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def test_a_batch_is_posted_as_protobuf_over_one_connection(serve):
    server = serve(lambda _: OK)
    exporter = Exporter(f"http://{server.address}", threading.Event())
    exporter.send(_calls())
    exporter.send(_calls(2))
    exporter.close()
    assert exporter.spans == 5
    assert len(_spans(server)) == 5
    assert len(server.connections) == 1
    path, headers, _ = server.requests[0]
    assert (path, headers["Content-Type"]) == ("/v1/traces", "application/x-protobuf")


@pytest.mark.parametrize("status", [429, 503])
def test_it_waits_as_long_as_it_is_asked_to_and_sends_the_same_again(serve, status):
    answers = [(status, {"Retry-After": "1"}, b""), OK]
    moments = []

    def answer(_):
        moments.append(time.monotonic())
        return answers.pop(0)

    server = serve(answer)
    exporter = Exporter(f"http://{server.address}", threading.Event())
    exporter.send(_calls())
    assert exporter.spans == 3
    assert 1.0 <= moments[1] - moments[0] < 2.0
    assert server.requests[0][2] == server.requests[1][2]


def test_a_date_as_retry_after_means_the_usual_pause(serve):
    answers = [(503, {"Retry-After": "Wed, 21 Oct 2099 07:28:00 GMT"}, b""), OK]
    server = serve(lambda _: answers.pop(0))
    began = time.monotonic()
    Exporter(f"http://{server.address}", threading.Event()).send(_calls())
    assert time.monotonic() - began < 1


def test_a_refusal_is_an_error_at_once(serve):
    server = serve(lambda _: (400, {}, "no such thing"))
    exporter = Exporter(f"http://{server.address}", threading.Event())
    with pytest.raises(DeliveryError, match="refused the demo's spans: 400 no such thing"):
        exporter.send(_calls())
    assert len(server.requests) == 1


def test_no_receiver_is_an_error_once_patience_ends():
    exporter = Exporter(f"http://127.0.0.1:{free_port()}", threading.Event(), patience=0.2)
    with pytest.raises(DeliveryError, match=r"did not accept .* for 0.2 s:  ConnectionRefused"):
        exporter.send(_calls())


def test_history_first_then_live_then_stop(serve):
    server = serve(lambda _: OK)
    now = time.time()
    ones = np.ones(40, np.int64)
    traffic = Traffic(Trace(np.linspace(0, 30, 40), ones, ones, 31.0), 1, now)
    sender = Sender(f"http://{server.address}", traffic, now)
    sender.start()
    assert sender.history_sent.wait(10)
    assert 30 < sender.spans <= 40
    history = sender.spans
    traffic.live_at, traffic.incident = time.time(), Incident(time.time())
    sender.go_live()
    limit = time.monotonic() + 10
    while sender.spans < history + 100 and time.monotonic() < limit:
        time.sleep(0.05)
    sender.stop()
    assert sender.failure is None
    assert sender.spans >= history + 100
    assert len(_spans(server)) == len(set(_spans(server))) == sender.spans


def test_what_ends_the_thread_is_kept(serve):
    server = serve(lambda _: (404, {}, b""))
    now = time.time()
    sender = Sender(f"http://{server.address}", Traffic(table_trace(1), 1, now), now)
    sender.start()
    assert sender.history_sent.wait(10)
    sender.stop()
    assert isinstance(sender.failure, DeliveryError)


def test_stop_ends_a_long_wait(serve):
    server = serve(lambda _: (503, {"Retry-After": "600"}, b""))
    now = time.time()
    sender = Sender(f"http://{server.address}", Traffic(table_trace(1), 1, now), now)
    sender.start()
    while not server.requests:
        time.sleep(0.01)
    began = time.monotonic()
    sender.stop()
    assert time.monotonic() - began < 2
    assert sender.failure is None
