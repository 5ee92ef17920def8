import io
import json

import pytest
import structlog

from engine import metrics
from engine.log import configure, log, log_change
from slo.decision import SeriesKey
from tests.engine.boards import alert, grouped, shown


@pytest.fixture(autouse=True)
def _as_before() -> object:
    yield
    structlog.reset_defaults()


def test_json_away_from_a_terminal_and_no_secrets() -> None:
    out = io.StringIO()
    configure(out)
    log.info(
        "sent",
        url="http://user:hunter2@host:9093/x",
        authorization="Bearer hunter2",
        api_key="hunter2",
        n=1,
    )
    log.debug("not written")
    told = json.loads(out.getvalue())
    assert "hunter2" not in out.getvalue()
    assert told["url"] == "http://***@host:9093/x"
    assert (told["event"], told["level"], told["n"]) == ("sent", "info", 1)


def test_lines_for_people() -> None:
    out = io.StringIO()
    configure(out, json=False)
    try:
        raise ValueError("inside")  # noqa: TRY301 - it is for the traceback
    except ValueError:
        log.exception("it broke")
    assert "it broke" in out.getvalue()
    assert "inside" in out.getvalue()


def test_alerts_in_the_log() -> None:
    out = io.StringIO()
    configure(out)
    by = grouped()
    key = SeriesKey(by.id, ("m1", ""))
    log_change([shown(alert(key), by)], [shown(alert(key, ends_at=2e9), by)])
    fires, ended = map(json.loads, out.getvalue().splitlines())
    assert (fires["event"], ended["event"]) == ("alert fires", "alert ended")
    assert fires["group"] == {"span.gen_ai.request.model": "m1", "span.tenant.id": ""}


def test_every_series_has_a_help_and_a_fitting_name() -> None:
    families = list(metrics.EngineMetrics().registry.collect())
    own = [(f.name, f.documentation) for f in families if f.name.startswith("burnline_")]
    own += [(s.name, s.help) for s in metrics.SLO_SERIES]
    assert len({name for name, _ in own}) == len(own)
    assert all(text.endswith(".") for _, text in own)
    for series in metrics.SLO_SERIES:
        assert not series.unit or series.name.endswith(f"_{series.unit}")
