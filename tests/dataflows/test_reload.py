"""SLO files that change while the engine runs: what is used, what is refused, what is said."""

from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from dataflows.data_dir import StartError
from dataflows.reload import Reloader, Watch, differences
from engine import price_files
from engine.slo_files import load_paths
from engine.telemetry.metrics import EngineMetrics
from slo.anomalies.model import Monitor
from slo.model import Objective
from tests.servers import eventually

SLOS = """\
apiVersion: burnline/v1
service: chat
slos:
  - name: availability
    objective: 99
    sli:
      spans: {total: '{ name =~ "chat.*" }', bad: '{ status = error }'}
  - name: requests
    objective: 99.5
    sli:
      metrics: {total: 'requests_total{path!="/"}', bad: 'requests_total{status="error"}'}
"""


class Setup:
    def __init__(self, directory: Path, *, watch: bool = False, anomalies: bool = False) -> None:
        self.file = directory / "slos.yaml"
        self.file.write_text(SLOS)
        self.accepted: list[dict[str, Objective]] = []
        self.monitors: list[dict[str, Monitor]] = []
        self.metrics = EngineMetrics()
        loaded = load_paths([self.file])
        objectives = loaded.objectives
        self.reloader = Reloader(
            [self.file],
            objectives,
            self.accept,
            self.metrics,
            Watch([self.file]) if watch else None,
            loaded.monitors if anomalies else None,
        )

    def accept(self, objectives: tuple[Objective, ...], monitors: tuple[Monitor, ...]) -> None:
        self.accepted.append({o.id: o for o in objectives})
        self.monitors.append({m.id: m for m in monitors})

    def reload(self, text: str) -> list[dict[str, object]]:
        self.file.write_text(text)
        with capture_logs() as logs:
            self.reloader.reload("a test")
        return [dict(entry) for entry in logs]

    def successful(self) -> float | None:
        return self.metrics.registry.get_sample_value("burnline_config_last_reload_successful")

    def succeeded_at(self) -> float:
        name = "burnline_config_last_reload_success_timestamp_seconds"
        return self.metrics.registry.get_sample_value(name) or 0.0


@pytest.fixture(autouse=True)
def _as_before() -> object:
    yield
    structlog.reset_defaults()


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path)


def test_a_good_file_is_handed_on_and_what_changed_is_told(setup: Setup) -> None:
    began = setup.succeeded_at()
    assert began
    [entry] = setup.reload(
        SLOS.replace("99\n", "99.9\n").replace('status="error"', 'status="failed"')
        + "  - {name: more, objective: 90, sli: {spans: {total: '{}', bad: '{ status = error }'}}}\n"
    )
    assert entry["log_level"] == "info"
    assert entry["added"] == ["chat-more"]
    assert entry["new_generation"] == ["chat-requests"]
    assert entry["changed"] == ["chat-availability: target 99 -> 99.9 %"]
    assert "removed" not in entry
    assert set(setup.accepted[0]) == {"chat-availability", "chat-requests", "chat-more"}
    assert setup.successful() == 1
    assert setup.succeeded_at() >= began
    [back] = setup.reload(SLOS)
    assert back["removed"] == ["chat-more"]


MONITOR = """\
  - name: calls
    spans: '{ }'
    watch: [rate]
"""


def test_monitors_are_reloaded_too_and_alone(tmp_path: Path) -> None:
    setup = Setup(tmp_path, anomalies=True)
    [entry] = setup.reload(SLOS + "anomalies:\n" + MONITOR)
    assert entry["monitors_added"] == ["chat-calls"]
    assert entry["monitors_removed"] == ["defaults-services", "defaults-models"]
    assert "added" not in entry
    [entry] = setup.reload("apiVersion: burnline/v1\nservice: chat\nanomalies:\n" + MONITOR)
    assert set(entry["removed"]) == {"chat-availability", "chat-requests"}
    [entry] = setup.reload(
        "apiVersion: burnline/v1\nservice: chat\nanomalies:\n"
        + MONITOR.replace("rate", "errors")
        + "    severity: page\n"
    )
    assert entry["monitors_new_generation"] == ["chat-calls"]
    assert [set(found) for found in setup.monitors] == [{"chat-calls"}] * 3
    [entry] = setup.reload(SLOS)
    assert set(setup.monitors[-1]) == {"defaults-services", "defaults-models"}


def test_monitors_are_nobodys_business_where_anomalies_are_off(setup: Setup) -> None:
    [entry] = setup.reload(SLOS + "anomalies:\n" + MONITOR)
    assert "nothing is reloaded" in str(entry["event"])
    assert not setup.accepted


def test_the_same_again_does_nothing_and_says_so(setup: Setup) -> None:
    [entry] = setup.reload("# a comment\n" + SLOS)
    assert "nothing is reloaded" in str(entry["event"])
    assert not setup.accepted
    assert setup.successful() == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SLOS.replace("99\n", "100\n"), "slos.yaml:5:16: 100 % cannot be a target"),
        (SLOS.replace("status = error", "status ="), "slos.yaml:7:"),
        ("", "slos.yaml:1:1"),
        ("a: [1, 2", "slos.yaml:1:"),
        (SLOS + SLOS.partition("slos:\n")[2], "availability"),
    ],
)
def test_a_bad_file_changes_nothing_and_is_told_as_by_validate(
    setup: Setup, text: str, said: str
) -> None:
    began = setup.succeeded_at()
    logs = setup.reload(text)
    assert not setup.accepted
    assert setup.successful() == 0
    assert setup.succeeded_at() == began
    problems = [str(entry["problem"]) for entry in logs if "problem" in entry]
    assert problems == list(map(str, load_paths([setup.file]).problems))
    assert any(said in problem for problem in problems)
    # Mended it is fine again, also where it says what is used already.
    setup.reload(SLOS)
    assert (setup.successful(), setup.accepted) == (1, [])


def test_a_file_that_vanished_is_a_problem_and_no_empty_set(setup: Setup, tmp_path: Path) -> None:
    setup.file.unlink()
    with capture_logs() as logs:
        setup.reloader.reload("a test")
    assert "there is no such file" in str(logs)
    setup.reloader.paths = [tmp_path]
    with capture_logs() as logs:
        setup.reloader.reload("a test")
    assert "has no *.yaml or *.yml file" in str(logs)
    assert not setup.accepted
    assert setup.successful() == 0


@pytest.mark.parametrize(
    ("failure", "said"),
    [(StartError("watched.json can't be used"), "watched.json"), (ValueError("a bug"), "a bug")],
)
def test_what_cannot_be_accepted_is_refused_and_tried_again(
    setup: Setup, failure: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_objectives: object) -> None:
        raise failure

    other = SLOS.replace("99\n", "98\n")
    monkeypatch.setattr(setup.reloader, "accept", refuse)
    logs = setup.reload(other)
    assert setup.successful() == 0
    assert said in str(logs) or logs[0]["exc_info"]
    monkeypatch.undo()
    setup.reload(other)
    assert setup.successful() == 1
    assert len(setup.accepted) == 1


def test_a_reload_of_what_was_accepted_a_moment_ago_does_nothing(setup: Setup) -> None:
    other = SLOS.replace("99\n", "98\n")
    setup.reload(other)
    setup.reload(other)
    assert len(setup.accepted) == 1


def test_order_and_derived_figures_are_no_changes(setup: Setup) -> None:
    head, slos = SLOS.split("slos:\n")
    first, second = slos.split("  - name: requests")
    setup.reload(f"{head}slos:\n  - name: requests{second}{first}")
    assert not setup.accepted


def test_requests_before_and_after_the_start_are_served(setup: Setup) -> None:
    setup.file.write_text(SLOS.replace("99\n", "98\n"))
    for _ in range(3):
        setup.reloader.request("SIGHUP")
    setup.reloader.start()
    eventually(lambda: setup.accepted)
    setup.file.write_text(SLOS)
    setup.reloader.request("SIGHUP")
    eventually(lambda: len(setup.accepted) == 2)
    setup.reloader.stop()
    setup.file.write_text(SLOS.replace("99\n", "97\n"))
    setup.reloader.request("SIGHUP")
    assert len(setup.accepted) == 2


def test_a_watched_file_is_reloaded_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataflows.reload.LOOK_SECONDS", 0.05)
    setup = Setup(tmp_path, watch=True)
    setup.reloader.start()
    setup.file.write_text(SLOS.replace("99\n", "98\n"))
    eventually(lambda: setup.accepted)
    setup.file.write_text("broken: [")
    eventually(lambda: setup.successful() == 0)
    setup.file.write_text(SLOS)
    eventually(lambda: setup.successful() == 1 and len(setup.accepted) == 2)
    setup.reloader.stop()


def test_a_change_counts_once_it_is_stable(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("1")
    watch = Watch([tmp_path])
    assert [watch.look() for _ in range(3)] == [False] * 3
    found = []
    for text in ("12", "123", "123", "123"):
        file.write_text(text)
        found.append(watch.look())
    assert found == [False, False, True, False]
    # Another file, a name, a file that goes: each is a change.
    (tmp_path / "b.yml").write_text("2")
    assert [watch.look(), watch.look()] == [False, True]
    (tmp_path / "b.yml").rename(tmp_path / "c.yml")
    assert [watch.look(), watch.look()] == [False, True]
    (tmp_path / "notes.txt").write_text("not read")
    assert [watch.look(), watch.look()] == [False, False]
    (tmp_path / "c.yml").unlink()
    file.unlink()
    assert [watch.look(), watch.look()] == [False, True]
    assert not watch.look()


def test_a_kubernetes_volume_swaps_a_link(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    for name in ("..first", "..second"):
        (volume / name).mkdir(parents=True)
        (volume / name / "slos.yaml").write_text(SLOS + f"# {name}\n")
    (volume / "..data").symlink_to("..first")
    (volume / "slos.yaml").symlink_to("..data/slos.yaml")
    watch = Watch([volume])
    assert not watch.look()
    (volume / "..new").symlink_to("..second")
    (volume / "..new").replace(volume / "..data")
    assert [watch.look(), watch.look(), watch.look()] == [False, True, False]


def test_differences_name_what_else_changed(tmp_path: Path) -> None:
    before = {o.id: o for o in Setup(tmp_path).reloader.objectives.values()}
    file = tmp_path / "slos.yaml"
    file.write_text(
        SLOS.replace(
            "    objective: 99.5\n", "    objective: 99.5\n    labels: {team: x}\n    window: 7d\n"
        )
    )
    after = {o.id: o for o in load_paths([file]).objectives}
    assert differences(before, after) == {"changed": ["chat-requests: window, labels"]}


def test_prices_are_reloaded_with_the_slos(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    file = tmp_path / "prices.yaml"
    file.write_text("prices: [{model: ours, input: 1, output: 1}]")
    setup.reloader.prices = file
    before = price_files.table()
    try:
        price_files.use(price_files.load(file))
        setup.reload(SLOS)
        assert setup.accepted == []  # nothing has changed
        file.write_text("prices: [{model: ours, input: 2, output: 2}]")
        logs = setup.reload(SLOS)
        assert len(setup.accepted) == 1
        assert price_files.table().version == price_files.load(file).version
        assert any(entry["event"] == "prices are reloaded" for entry in logs)
        version = {"version": price_files.table().version}
        registry = setup.metrics.registry
        assert registry.get_sample_value("burnline_price_table_info", version) == 1

        used = price_files.table()
        file.write_text("prices: [{model: ours, inptu: 2}]")
        logs = setup.reload(SLOS)
        assert next(e["problem"] for e in logs if "problem" in e) == (
            f"{file}:1:24: `inptu` is no key of a price; did you mean `input`?"
        )
        assert price_files.table() is used
        assert setup.successful() == 0
    finally:
        price_files.use(before)


def test_prices_of_a_reload_that_is_refused_are_not_used(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    file = tmp_path / "prices.yaml"
    file.write_text("prices: [{model: ours, input: 1, output: 1}]")
    setup.reloader.prices = file
    before = price_files.table()

    def refuse(*_anything: object) -> None:
        raise StartError("not so")

    setup.reloader.accept = refuse
    setup.reload(SLOS)
    assert price_files.table() is before
