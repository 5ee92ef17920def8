"""setup(), each time in a process of its own: providers are one for a process."""

import os
import re
import subprocess
import sys
import textwrap
import threading
from functools import partial

import burnline_llm as llm
import pytest
from burnline_llm import _setup
from opentelemetry import trace


def run(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**{k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}, **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_prices_alone_load_no_opentelemetry() -> None:
    run("""
        import sys
        import burnline_llm.prices
        loaded = [name for name in sys.modules if name.startswith(("opentelemetry", "prometheus"))]
        assert not loaded, loaded
    """)


def test_without_setup_calls_run() -> None:
    done = run("""
        import burnline_llm as llm
        with llm.attributed(tenant="a"), llm.call(provider="openai", model="gpt-4o") as call:
            call.usage(input_tokens=1000, output_tokens=10)
            with call.attempt():
                pass
        from prometheus_client import REGISTRY
        assert REGISTRY.get_sample_value("llm_cost_dollars_total", {"model": "gpt-4o"}) == 0.0026
    """)
    assert done.stderr == ""


def test_it_serves_metrics_and_is_idempotent() -> None:
    run("""
        import urllib.request
        import burnline_llm as llm
        from opentelemetry import trace
        with llm.setup("gateway", metrics_port=0, thresholds=(2,)) as telemetry:
            assert llm.setup("other") is telemetry
            with llm.call(model="gpt-4o") as call:
                assert call.span.is_recording()
            assert trace.get_tracer_provider().resource.attributes["service.name"] == "gateway"
            url = f"http://127.0.0.1:{telemetry.metrics_port}/metrics"
            page = urllib.request.urlopen(url).read().decode()
            assert 'llm_requests_total{model="gpt-4o",status="ok"} 1.0' in page
            assert 'le="2.0"' in page
        with llm.call(model="gpt-4o"):
            pass  # after the end, too
    """)


def test_providers_of_the_application_are_used_as_they_are() -> None:
    run("""
        import burnline_llm as llm
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        provider, exporter = TracerProvider(), InMemorySpanExporter()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        trace.set_tracer_provider(provider)
        llm.setup("gateway").shutdown()
        assert trace.get_tracer_provider() is provider
        with llm.call(model="m"):
            pass
        assert len(exporter.get_finished_spans()) == 1  # nor is it shut down with ours
    """)


def test_an_exporter_that_is_down_is_told_once_and_holds_nothing_up() -> None:
    done = run(
        """
        import logging, burnline_llm as llm
        logging.basicConfig(format="%(levelname)s %(message)s")
        telemetry = llm.setup("gateway", otlp_endpoint="http://127.0.0.1:9")
        for _ in range(3):
            for _ in range(10):
                with llm.call(model="m"):
                    pass
            telemetry.flush(0.3)
        telemetry.shutdown(0.5)
        """,
        OTEL_BSP_SCHEDULE_DELAY="50",
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith(("ERROR", "WARNING"))]
    assert len(lines) == 1, done.stderr


def test_a_port_that_is_taken_does_not_stop_the_application() -> None:
    done = run("""
        import socket, burnline_llm as llm
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            telemetry = llm.setup("gateway", metrics_port=taken.getsockname()[1])
            assert telemetry.metrics_port is None
    """)
    assert "Choose another metrics_port, or 0 for a free one" in done.stderr


def test_a_fork_goes_on() -> None:
    run("""
        import gc, os, burnline_llm as llm
        telemetry = llm.setup("gateway", otlp_endpoint="http://127.0.0.1:9")
        with llm.call(model="m") as call:
            stream = call.stream(iter("ab"))
        list(stream)
        child = os.fork()
        if child == 0:
            with llm.call(model="m") as call:
                stream = call.stream(iter("ab"))
            next(stream)
            stream.me = stream
            del stream, call
            gc.collect()
            from burnline_llm import _streams
            _streams.flush(20)
            from prometheus_client import REGISTRY
            os._exit(int(REGISTRY.get_sample_value("llm_active_requests")))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        telemetry.shutdown(0.1)
    """)


def test_opentelemetry_s_own_switch_is_honoured() -> None:
    run(
        """
        import burnline_llm as llm
        llm.setup("gateway")
        with llm.call(model="m") as call:
            assert not call.span.is_recording()
        """,
        OTEL_SDK_DISABLED="true",
    )


@pytest.mark.parametrize("text", ["prices: [", "prices:\n- provider: openai\n"])
def test_wrong_prices_are_told_at_the_start(tmp_path, text: str) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    done = run(f"""
        import burnline_llm as llm
        from burnline_llm.prices import PricesError
        try:
            llm.setup("gateway", prices={str(path)!r})
        except PricesError as error:
            print(error)
    """)
    assert f"{path}:" in done.stdout


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("otlp_endpoint='localhost:4318'", "otlp_endpoint='localhost:4318' is no URL"),
        ("otlp_endpoint=''", "otlp_endpoint='' is no URL"),
        ("unsampled_endpoint='b:4318'", "unsampled_endpoint='b:4318' is no URL"),
        ("otlp_endpoint='http://c:4318/v1/traces'", "write 'http://c:4318'"),
        ("metrics_port=70000", "metrics_port=70000: write a number"),
        ("metrics_port='9464'", "metrics_port='9464': write a number"),
        ("thresholds=2.0", "thresholds=2.0: write seconds above 0, such as"),
        ("thresholds=(2, float('nan'))", "thresholds=(2, nan): write seconds"),
        ("sample=5", "sample=5 is no share"),
        ("sample='0.1'", "sample='0.1' is no share"),
        ("slow=-1", "slow=-1: write seconds above 0"),
        ("profile='slow'", "profile='slow': 'slow' is no mode"),
        ("profile='200%'", "profile='200%': '200%' is no mode"),
        ("logs='text'", "logs='text': write 'json'"),
        ("prices='nowhere.yaml'", "nowhere.yaml: can't be read"),
    ],
)
def test_what_means_nothing_is_refused_before_anything_is_changed(argument: str, said: str) -> None:
    before = trace.get_tracer_provider()
    with pytest.raises(ValueError, match=re.escape(said)):
        eval(f"llm.setup({argument})", {"llm": llm})  # noqa: S307 - the text stands in the test's name
    assert trace.get_tracer_provider() is before


def test_an_end_waits_for_all_steps_together_not_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    now, waited, hang = 0.0, [], threading.Event()

    def join(_thread: threading.Thread, seconds: float) -> None:
        nonlocal now
        waited.append(seconds)
        now += seconds

    monkeypatch.setattr(threading.Thread, "join", join)
    monkeypatch.setattr(_setup.time, "monotonic", lambda: now)
    _setup._bounded([partial(hang.wait, 10)] * 3, 5.0)
    hang.set()
    assert waited == [5.0, 0.0, 0.0]
