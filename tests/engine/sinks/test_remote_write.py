import asyncio
import io
import json
import signal
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from engine.service import Service, ServiceConfig, ServiceError
from engine.sinks import remote_write as module
from engine.sinks._remote_backlog import Samples
from engine.sinks._remote_protobuf import encode_series, encode_time
from engine.sinks._remote_receiver import Receiver, retry_after
from engine.sinks._remote_samples import Recorder
from engine.sinks.board import Board
from engine.sinks.exposition import Exposition
from engine.sinks.remote_write import RemoteWrite, RemoteWriter
from engine.telemetry.log import configure
from engine.telemetry.metrics import EngineMetrics
from slo.decision import SeriesKey
from tests.engine.sinks.boards import NOW, alert, decision, grouped, objective
from tests.engine.sinks.test_exposition import HOSTILE
from tests.engine.sinks.test_remote_protobuf import read
from tests.servers import eventually, free_port, get_json, query, receiver

SINGLE = objective(labels={"team": "llm", "job": "chat"})
GROUPED = grouped()
S_KEY = SeriesKey(SINGLE.id, (), SINGLE.generation)
TARGET = {"job": "burnline", "instance": "h:9464"}


def board() -> Board:
    found = Board([SINGLE, GROUPED])
    rows = {SeriesKey(GROUPED.id, None, GROUPED.generation): (7, 70), S_KEY: (3, 10_000_000)}
    for number, value in enumerate([*HOSTILE, "plain", ""]):
        rows[SeriesKey(GROUPED.id, (value, "t"), GROUPED.generation)] = (number, 10 + number)
    found.publish(decision(rows, alerts=[alert(S_KEY)]))
    return found


# Samples


def test_samples_are_what_a_scrape_shows() -> None:
    shown, metrics = board(), EngineMetrics()
    exposition = Exposition()
    recorder = Recorder(shown, exposition, metrics.registry, TARGET)
    taken = recorder.take()
    assert recorder.take().series is taken.series, "encoded once"
    text = exposition.render(shown.snapshot(), shown.active_alerts()).decode()
    wanted = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = {"exported_job" if n == "job" else n: v for n, v in sample.labels.items()}
            name = frozenset({"__name__": sample.name, **labels, **TARGET}.items())
            wanted[name] = sample.value
    found = {
        frozenset(labels): value
        for labels, value, _ in read(
            module.encode_request(taken.series, taken.values, encode_time(1))
        )
    }
    assert len(found) == len(taken.series), "none twice"
    own = {labels for labels in found if labels not in wanted}
    assert {labels: found[labels] for labels in wanted} == wanted
    assert {dict(labels)["__name__"].split("_")[0] for labels in own} == {
        "burnline",
        "process",
        "python",
    }


def test_a_series_that_is_gone_ends_once() -> None:
    shown = board()
    recorder = Recorder(shown, Exposition(), EngineMetrics().registry, TARGET)
    before = recorder.take()
    shown.publish(decision({S_KEY: (3, 30)}, clock=NOW + 1))
    after, later = recorder.take(), recorder.take()
    ended = [
        (dict(labels)["__name__"], np.isnan(value))
        for labels, value, _ in read(
            module.encode_request(after.series, after.values, encode_time(1))
        )
    ]
    assert ("ALERTS", True) in ended
    gone = [name for name, stale in ended if stale]
    assert set(gone) >= {"burnline_slo_error_ratio", "burnline_slo_events_total", "ALERTS"}
    assert len(after.series) == len(before.series)
    assert len(later.series) == len(before.series) - len(gone)
    assert not np.isnan(later.values).any()


# Addresses


def test_addresses() -> None:
    one = Receiver("https://user:hunter2@example.org/api/v1/push?tenant=x&key=hunter2#f", 900)
    assert str(one.url) == "https://example.org/api/v1/push?tenant=x&key=hunter2"
    assert one.name == "https://example.org/api/v1/push"
    assert one.headers["Authorization"] == "Basic dXNlcjpodW50ZXIy"
    assert one.headers["X-Prometheus-Remote-Write-Version"] == "0.1.0"
    for bad in ("localhost:9090", "", "ftp://x/y", "http://h:9090", "http://u:hunter2@h:9090/"):
        with pytest.raises(ValueError, match="write it whole: http://HOST:PORT/api/v1/write") as e:
            Receiver(bad, 900)
        assert "hunter2" not in str(e.value)
    with pytest.raises(ServiceError, match="--remote-write"):
        Service.start(ServiceConfig(Board([]), remote_write=RemoteWrite(("http://h:9090",))))


def test_credentials_that_break_an_address_are_not_quoted() -> None:
    for bad in (
        "http://u:hunt/er2@h:1/push",
        "http://u:hunt#er2@h:1/push",
        "http://u:hunter2@h:x/p",
    ):
        with pytest.raises(ValueError, match="%2F %3F %23 %40") as told:
            Receiver(bad, 900)
        assert "er2" not in str(told.value)


class _Access:
    """A token that is renewed at each request."""

    def __init__(self) -> None:
        self.asked = 0

    def headers(self) -> dict[str, str]:
        self.asked += 1
        return {"Authorization": f"Bearer {self.asked}", "X-Scope-OrgID": "t"}

    def ssl(self) -> bool:
        return True


def test_credentials_are_asked_for_at_each_request() -> None:
    async def work(fakes: list[Fake], writer: RemoteWriter, _m: EngineMetrics, _c: Clock) -> None:
        writer.config = replace(writer.config, access=_Access())  # type: ignore[arg-type]
        await until(lambda: fakes[0].headers.get("X-Scope-OrgID"))
        assert fakes[0].headers["Authorization"] == "Basic dTpw", "those in the address come first"
        del writer.receivers[0].headers["Authorization"]
        await until(lambda: fakes[0].headers["Authorization"].startswith("Bearer"))
        first = fakes[0].headers["Authorization"]
        await until(lambda: fakes[0].headers["Authorization"] != first)

    play(work)


def test_addresses_that_look_alike_are_told_apart() -> None:
    urls = tuple(f"http://h:1/push?tenant={n}" for n in (1, 2))
    writer = RemoteWriter(RemoteWrite(urls), EngineMetrics(), ThreadPoolExecutor(1))
    assert writer.describe() == "http://h:1/push, http://h:1/push (2)"


def test_retry_after_takes_dates() -> None:
    assert 50 < retry_after(formatdate(time.time() + 60, usegmt=True)) <= 60


# Receivers that fail


class Fake:
    """A receiver that answers as told; what it took, as (time, values)."""

    def __init__(self) -> None:
        self.answers: list[web.Response] = []  # of the next requests, before all is well
        self.status = 204
        self.hang = False
        self.taken: list[int] = []
        self.asked: list[tuple[float, int]] = []
        self.headers: dict[str, str] = {}

    async def post(self, request: web.Request) -> web.Response:
        series = read(await request.read())
        self.headers = dict(request.headers)
        self.asked.append((time.monotonic(), series[0][2]))
        if self.hang:
            await asyncio.sleep(60)
        answer = self.answers.pop(0) if self.answers else web.Response(status=self.status)
        if answer.status < 300:
            self.taken += [at for _, _, at in series]
        return answer


class Clock:
    """Samples of one series; time is a count of them."""

    def __init__(self, size: int = 1) -> None:
        self.count = 0
        self.size = size

    def take(self) -> Samples:
        self.count += 1
        series = [encode_series({"__name__": "a", "n": str(n)}) for n in range(self.size)]
        return Samples(
            encode_time(self.count), time.monotonic(), series, np.zeros(self.size), 8 * self.size
        )


@pytest.fixture(autouse=True)
def _shortened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_RETRY", 0.05)
    monkeypatch.setattr(module, "LONGEST_RETRY", 0.3)


def play(
    work: Callable[[list[Fake], RemoteWriter, EngineMetrics, Clock], Any],
    fakes: int = 1,
    size: int = 1,
    **config: Any,
) -> None:
    """Run work beside a writer and fake receivers."""

    async def main() -> None:
        found, runners, urls = [], [], []
        for _ in range(fakes):
            fake, app = Fake(), web.Application()
            app.router.add_post("/push", fake.post)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            found.append(fake)
            runners.append(runner)
            urls.append(f"http://u:p@127.0.0.1:{runner.addresses[0][1]}/push")
        metrics, clock = EngineMetrics(), Clock(size)
        with ThreadPoolExecutor(1) as executor:
            asked = RemoteWrite(tuple(urls), **{"interval": 0.05, **config})
            writer = RemoteWriter(asked, metrics, executor)
            await writer.start(clock.take)
            try:
                await work(found, writer, metrics, clock)
            finally:
                await writer.stop(0.2)
                for runner in runners:
                    await runner.cleanup()

    asyncio.run(main())


async def until(true: Callable[[], Any], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - what is waited for knows no events
            await asyncio.sleep(0.01)


def value(metrics: EngineMetrics, name: str, **labels: str) -> float:
    found = [
        sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == f"burnline_remote_write_{name}"
        and labels.items() <= sample.labels.items()
    ]
    assert found, f"no {name}"
    return sum(found)


def test_an_outage_leaves_no_hole_and_no_other_receiver_waits() -> None:
    async def work(fakes: list[Fake], _w: RemoteWriter, metrics: EngineMetrics, _c: Clock) -> None:
        down, well = fakes
        down.status = 503
        await until(lambda: len(well.taken) > 20 and len(down.asked) > 2)
        assert not down.taken
        assert value(metrics, "up") == 1
        assert value(metrics, "pending_samples") >= 20
        down.status = 204
        await until(lambda: len(down.taken) > 25)
        for fake in fakes:
            assert fake.taken == list(range(1, len(fake.taken) + 1)), "in order, each once"
        assert value(metrics, "up") == 2
        assert value(metrics, "failures_total") >= 2
        assert value(metrics, "dropped_samples_total") == 0
        assert down.headers["Authorization"] == "Basic dTpw"
        assert down.headers["Content-Encoding"] == "snappy"

    play(work, fakes=2)


def test_a_receiver_that_hangs_delays_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT", module.aiohttp.ClientTimeout(total=0.5))

    async def work(fakes: list[Fake], _w: RemoteWriter, _m: EngineMetrics, _c: Clock) -> None:
        slow, well = fakes
        slow.hang = True
        await until(lambda: len(well.taken) > 20 and len(slow.asked) > 1)
        slow.hang = False
        await until(lambda: len(slow.taken) > 20)
        assert slow.taken == list(range(1, len(slow.taken) + 1))

    play(work, fakes=2)


def test_a_receiver_is_left_alone_for_as_long_as_it_asks() -> None:
    async def work(fakes: list[Fake], _w: RemoteWriter, _m: EngineMetrics, _c: Clock) -> None:
        (fake,) = fakes
        fake.answers = [web.Response(status=429, headers={"Retry-After": "1"})]
        await until(lambda: fake.taken)
        (asked, first), (again, same) = [entry for entry in fake.asked if entry[1] == 1][:2]
        assert again - asked >= 1.0
        assert first == same

    play(work)


def test_what_is_refused_is_dropped_counted_and_told_once() -> None:
    log = io.StringIO()
    configure(log, json=True)

    async def work(fakes: list[Fake], _w: RemoteWriter, metrics: EngineMetrics, _c: Clock) -> None:
        (fake,) = fakes
        fake.status = 400
        await until(lambda: len(fake.asked) > 5)
        times = [at for _, at in fake.asked]
        assert times == sorted(set(times)), "not tried again"
        fake.status = 204
        await until(lambda: fake.taken)
        assert value(metrics, "dropped_samples_total", reason="refused") == fake.taken[0] - 1
        assert value(metrics, "failures_total") == 0
        assert value(metrics, "samples_total") >= 1
        assert log.getvalue().count("refuses samples") == 1
        assert "u:p" not in log.getvalue()

    play(work)


def test_the_backlog_is_bounded_and_what_is_dropped_is_counted() -> None:
    async def work(fakes: list[Fake], _w: RemoteWriter, metrics: EngineMetrics, c: Clock) -> None:
        (fake,) = fakes
        fake.status = 500
        await until(lambda: c.count > 15)
        assert value(metrics, "pending_samples") < 12
        fake.status = 200
        await until(lambda: len(fake.taken) > 10)
        dropped = value(metrics, "dropped_samples_total", reason="backlog")
        assert dropped == fake.taken[0] - 1 > 0
        assert fake.taken == list(range(fake.taken[0], fake.taken[-1] + 1))

    play(work, keep=0.4)


def test_many_series_go_in_chunks() -> None:
    async def work(fakes: list[Fake], _w: RemoteWriter, _m: EngineMetrics, _c: Clock) -> None:
        (fake,) = fakes
        await until(lambda: len(fake.taken) >= 10_000)
        assert fake.taken[:5000] == [1] * 5000
        assert [at for _, at in fake.asked[:3]] == [1, 1, 1]

    play(work, size=5000, interval=0.5)


def test_stopping_sends_the_last_and_counts_what_is_left() -> None:
    async def work(fakes: list[Fake], writer: RemoteWriter, m: EngineMetrics, c: Clock) -> None:
        well, down = fakes
        down.status = 500
        await until(lambda: well.taken and len(down.asked) > 1)
        await writer.stop(2.0)
        assert well.taken[-1] == c.count, "the last is of the end"
        assert value(m, "dropped_samples_total", reason="stopped") == c.count

    play(work, fakes=2, interval=10.0)


def test_samples_that_cannot_be_taken_are_told_and_taken_again() -> None:
    log = io.StringIO()
    configure(log, json=True)

    async def work(fakes: list[Fake], _w: RemoteWriter, _m: EngineMetrics, clock: Clock) -> None:
        clock.count = 1 << 42
        await until(lambda: "could not be taken" in log.getvalue())
        clock.count = 7
        await until(lambda: 8 in fakes[0].taken)

    play(work)


# A real Prometheus


def serve(url: str, shown: Board, **config: Any) -> Service:
    return Service.start(
        ServiceConfig(
            shown,
            otlp_grpc=None,
            otlp_http=None,
            listen="127.0.0.1:0",
            remote_write=RemoteWrite((url,), **config),
        )
    )


def root(url: str) -> str:
    return url.removesuffix("/api/v1/write")


def scraped(service: Service) -> dict[frozenset[tuple[str, str]], float]:
    with urllib.request.urlopen(f"http://{service.addresses['listen']}/metrics", timeout=5) as page:
        families = text_string_to_metric_families(page.read().decode())
        return {
            frozenset({"__name__": sample.name, **sample.labels}.items()): sample.value
            for family in families
            for sample in family.samples
        }


@pytest.mark.servers
def test_prometheus_has_what_a_scrape_shows(tmp_path: Path) -> None:
    shown = board()
    with receiver(tmp_path) as url:
        service = serve(url, shown, interval=0.2, labels={"cluster": "zürich 1"})
        try:
            pushed = eventually(lambda: _all(root(url), '{job="burnline"}'), 20)
            time.sleep(0.5)
            pushed, shown_now = _all(root(url), '{job="burnline"}'), scraped(service)
            assert {n for labels in pushed for n, v in labels if n == "instance"}
            bare = {
                frozenset(
                    ("job" if n == "exported_job" else n, v)
                    for n, v in labels
                    if n not in ("job", "instance", "cluster")
                ): sample
                for labels, sample in pushed.items()
            }
            assert {dict(labels)["cluster"] for labels in pushed} == {"zürich 1"}
            # A histogram and its like may have been born between the two looks.
            assert {k for k in shown_now if "slo" in dict(k)["__name__"]} <= bare.keys()
            missing = {dict(k)["__name__"] for k in shown_now.keys() - bare.keys()}
            assert not {name for name in missing if not name.startswith("burnline_scrape")}
            assert not bare.keys() - shown_now.keys()
            slo = {
                k: v
                for k, v in shown_now.items()
                if dict(k)["__name__"].startswith(("slo", "burnline_slo", "ALERTS"))
            }
            assert len(slo) > 60
            assert {k: bare[k] for k in slo} == slo
            # What is gone is gone at once, not after five minutes.
            assert query(root(url), "ALERTS")
            shown.publish(decision({S_KEY: (3, 30)}, clock=NOW + 1))
            eventually(lambda: not query(root(url), "ALERTS"), 20)
            assert not query(root(url), "burnline_slo_error_ratio")
            assert query(root(url), "slo:objective:ratio")
        finally:
            service.stop()


def _all(prometheus: str, selector: str) -> dict[frozenset[tuple[str, str]], float]:
    return {frozenset(labels.items()): v for labels, v in query(prometheus, selector)}


@contextmanager
def writing(
    url: str, take: Callable[[], Samples], interval: float
) -> Iterator[tuple[EngineMetrics, RemoteWriter]]:
    """A writer on a loop in a thread of its own."""
    metrics = EngineMetrics()
    loop = asyncio.new_event_loop()
    with ThreadPoolExecutor(2) as executor:
        executor.submit(loop.run_forever)
        writer = RemoteWriter(RemoteWrite((url,), interval), metrics, executor)
        asyncio.run_coroutine_threadsafe(writer.start(take), loop).result()
        yield metrics, writer
        asyncio.run_coroutine_threadsafe(writer.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)


@pytest.mark.servers
def test_a_prometheus_that_is_killed_has_no_hole(tmp_path: Path) -> None:
    shown, times = board(), []
    recorder = Recorder(shown, Exposition(), EngineMetrics().registry, TARGET)

    def take() -> Samples:
        samples = recorder.take()
        (_, _, at), *_ = read(module.encode_request(samples.series, samples.values, samples.stamp))
        times.append(at)
        return samples

    port = free_port()
    url = f"http://127.0.0.1:{port}/api/v1/write"
    with writing(url, take, 0.25) as (metrics, _):
        with receiver(tmp_path, port, signal.SIGKILL):
            eventually(lambda: value(metrics, "samples_total") > 500, 20)
        eventually(lambda: value(metrics, "up") == 0, 20)
        time.sleep(2)
        with receiver(tmp_path, port):
            eventually(lambda: value(metrics, "up") == 1, 30)
            eventually(lambda: value(metrics, "pending_samples") < 500, 30)
            there = stored(root(url))
    for reason in ("refused", "backlog"):
        assert value(metrics, "dropped_samples_total", reason=reason) == 0
    assert there[-1] - there[0] > 2000
    assert there == times[: len(there)]


def stored(prometheus: str) -> list[int]:
    """The times of a series' samples, milliseconds."""
    asked = urllib.parse.urlencode({"query": "burnline_slo_decided_timestamp_seconds[10m]"})
    (series,) = get_json(f"{prometheus}/api/v1/query?{asked}")["data"]["result"]
    return [round(at * 1000) for at, _ in series["values"]]


@pytest.mark.servers
def test_samples_out_of_order_neither_loop_nor_stop_those_in_order(tmp_path: Path) -> None:
    """A clock that was set back: Prometheus refuses what is older than what it has."""
    log = io.StringIO()
    configure(log, json=True)
    start = int(time.time() * 1000)
    clock = Clock()
    clock.count = start
    with receiver(tmp_path) as url, writing(url, clock.take, 0.1) as (metrics, _):
        eventually(lambda: value(metrics, "samples_total") > 3, 20)
        newest, clock.count = clock.count, start - 60_000
        eventually(lambda: value(metrics, "dropped_samples_total", reason="refused") > 3, 20)
        clock.count = newest + 1000
        taken = value(metrics, "samples_total")
        eventually(lambda: value(metrics, "samples_total") > taken + 3, 20)
        assert value(metrics, "failures_total") == 0
    told = [json.loads(line) for line in log.getvalue().splitlines() if "refuses" in line]
    assert len(told) == 1
    assert "out of order" in told[0]["answer"]


@pytest.mark.servers
def test_a_prometheus_that_takes_no_remote_write_says_why(tmp_path: Path) -> None:
    log = io.StringIO()
    configure(log, json=True)
    with (
        receiver(tmp_path, refuses=True) as url,
        writing(url, Clock().take, 0.1) as (metrics, _),
    ):
        eventually(lambda: value(metrics, "dropped_samples_total", reason="refused") > 3, 20)
        assert value(metrics, "up") == 0
    (told,) = [json.loads(line) for line in log.getvalue().splitlines() if "refuses" in line]
    assert "404: remote write receiver needs to be enabled" in told["answer"]
