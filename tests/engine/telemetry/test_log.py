import io
import json
import logging
import re

import pytest
import structlog

from engine.telemetry import masking, metrics
from engine.telemetry.log import configure, log, log_change
from slo.decision import SeriesKey
from tests.engine.sinks.boards import alert, grouped, shown


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setattr(masking, "_known", ())
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


def test_what_libraries_log_is_written_likewise() -> None:
    out = io.StringIO()
    for _ in range(2):  # said once, however often it is set up
        configure(out)
    masking.keep_secret("tok-0123456789")
    library = logging.getLogger("aiohttp.server")
    try:
        raise ValueError("b'Authorization: Bearer tok-0123456789'")  # noqa: TRY301 - as below
    except ValueError:
        library.exception("Error handling request from %s", "127.0.0.1")
    library.info("not written")
    (line,) = out.getvalue().splitlines()
    told = json.loads(line)
    assert told["event"] == "Error handling request from 127.0.0.1"
    assert (told["level"], told["logger"]) == ("error", "aiohttp.server")
    assert "Bearer ***" in told["exception"]
    assert "tok-0123456789" not in line


def test_lines_for_people() -> None:
    out = io.StringIO()
    configure(out, json=False)
    try:
        raise ValueError("inside")  # noqa: TRY301 - it is for the traceback
    except ValueError:
        log.exception("it broke")
    assert "it broke" in out.getvalue()
    assert "inside" in out.getvalue()


def test_secrets_are_masked_wherever_they_stand() -> None:
    masking.keep_secret("tok-0123456789")
    masking.keep_secret("tok-0123456789-longer")
    masking.keep_secret("short")
    out = io.StringIO()
    configure(out)
    try:
        raise ValueError("tok-0123456789-longer in an error")  # noqa: TRY301 - as above
    except ValueError as error:
        log.exception("at https://u:p@ss/w0rd@host/x?api_key=k1&n=1 tok-0123456789", error=error)
    log.info("n", inner={"a": ["Bearer abc.def", {"tok-0123456789": 1}], "gen_ai.token.type": "in"})
    log.info("short", count=3, share=0.5, on=True, nothing=None)
    text = out.getvalue()
    for secret in ("0123456789", "longer", "p@ss", "w0rd", "k1", "abc.def"):
        assert secret not in text
    _, nested, plain = map(json.loads, text.splitlines())
    assert nested["inner"] == {"a": ["Bearer ***", {"***": 1}], "gen_ai.token.type": "in"}
    assert (plain["event"], plain["count"], plain["share"]) == ("short", 3, 0.5)
    assert (plain["on"], plain["nothing"]) == (True, None)


def test_a_traceback_shows_no_values() -> None:
    out = io.StringIO()
    configure(out, json=False)
    password = "hunter2"  # noqa: F841  it is for the traceback
    try:
        raise ValueError("inside")  # noqa: TRY301 - it is for the traceback
    except ValueError:
        log.exception("it broke")
    assert "inside" in out.getvalue()
    assert "hunter2" not in re.sub('password = "hunter2".*', "", out.getvalue())


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
