"""The commands as people type them, and mistype them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
from click.testing import CliRunner, Result

from dataflows.cli import main
from engine.price_files import table

BURNLINE = Path(sys.executable).parent / "burnline"
ROOT = Path(__file__).parent.parent.parent
GOOD = """\
apiVersion: burnline/v1
service: chat
slos:
  - name: a
    objective: 99
    sli: {spans: {total: '{ }', bad: '{ status = error }'}}
"""
FILES = {
    "good.yaml": GOOD.encode(),
    "twin.yaml": GOOD.encode(),
    "broken.yaml": b"apiVersion: burnline/v1\nservice: [\n",
    "latin1.yaml": GOOD.replace("chat", "caf\xe9").encode("latin-1"),
    "typo.yaml": GOOD.replace("objective", "objectiv").encode(),
    "filter.yaml": GOOD.replace("status = error", "status = err").encode(),
    "none.yaml": b"",
    "text.csv": b"ts,value\n1,2\n",
    "cut.jsonl": b'{"resourceSpans": []}\n{"resourceSpans": [',
    "other.jsonl": b'{"level": "info"}\n',
    "a file": b"",
    "bad.csv": b"a,b\n1,2\n",
}


class Wrong(NamedTuple):
    """A mistake: the arguments, the exit code, and what standard error (or output) says."""

    arguments: str
    code: int
    says: str
    output: str = ""


FREE = "--otlp-grpc 127.0.0.1:0 --otlp-http 127.0.0.1:0"
BACKTEST, RUN = "backtest --slos good.yaml", "run --slos good.yaml --data-dir data"
USAGE = [
    Wrong("valdate good.yaml", 2, "No such command 'valdate'. Did you mean 'validate'?"),
    Wrong("--verbos", 2, "No such option '--verbos'"),
    Wrong("validate", 2, "Missing argument 'PATHS...'"),
    Wrong("validate --quiet good.yaml", 2, "No such option '--quiet'"),
    Wrong("schema slos.yaml", 2, "unexpected extra argument (slos.yaml)"),
    Wrong("backtest --data a.jsonl", 2, "Missing option '--slos'"),
    Wrong(BACKTEST, 2, "Missing option '--data'"),
    Wrong("backtest --slso good.yaml", 2, "No such option '--slso'. (Did you mean one of: "),
    Wrong("run", 2, "Missing option '--slos'"),
    Wrong(RUN + " extra", 2, "unexpected extra argument (extra)"),
    Wrong(RUN + " --otlp-grpc 4317", 2, "'4317' is no HOST:PORT; write such as 127.0.0.1:4317"),
    Wrong(RUN + " --http 127.0.0.1:99999", 2, "'127.0.0.1:99999' is no HOST:PORT; write such as"),
    Wrong(RUN + " --alertmanager am:9093", 2, "'am:9093' is no URL; write such as http://"),
    Wrong(RUN + " --spool-size 4GB", 2, "'4GB' is no size; write a whole number of KiB, MiB"),
    Wrong(RUN + " --stale-after 5", 2, "'5' is no duration; write whole units, such as 30s"),
    Wrong(RUN + " --workers 0", 2, "'--workers': 0 is not in the range 1<=x<=64"),
    Wrong(RUN + " --traces collector:4318", 2, "'collector:4318' is no URL; write such as"),
    Wrong(RUN + " --traces-ratio 2", 2, "2.0 is not in the range 0<=x<=1"),
    Wrong(RUN + " --log-level loud", 2, "'loud' is not one of 'debug', 'info', 'warning', 'error'"),
    Wrong(RUN + " --log-format xml", 2, "'xml' is not one of 'auto', 'json', 'text'"),
    Wrong(RUN + " --remote-write prom:9090", 2, "'prom:9090' is no URL; write such as http://"),
    Wrong(RUN + " --remote-write-interval 0s", 2, "'0s' is no duration"),
    Wrong(RUN + " --remote-write-label a-b=c", 2, "'a-b=c' is no label; write NAME=VALUE such as"),
    Wrong(RUN + " --remote-write-label __name__=c", 2, "'__name__=c' is no label"),
    Wrong(RUN + " --remote-write-label region=", 2, "'region=' is no label"),
    Wrong("price", 2, "Missing option '--model'"),
    Wrong("price --model x --input -1", 2, "-1 is not in the range x>=0"),
    Wrong("price --model x --at soon", 2, "'soon' does not match the formats"),
    Wrong("demo --seconds 2", 2, "--seconds 2 is too short for a page to come; write 15 or more"),
    Wrong("demo --seconds soon", 2, "'soon' is not a valid float"),
    Wrong("demo --json", 2, "--json prints when the demo ends; add --seconds 40"),
]
INPUT = [
    Wrong("backtest --slos nope.yaml --data x", 1, "nope.yaml:1:1: there is no such file; check"),
    Wrong(
        "backtest --slos latin1.yaml --data x", 1, "latin1.yaml:2:13: not UTF-8 (byte 0xe9); save"
    ),
    Wrong("backtest --slos broken.yaml --data x", 1, "broken.yaml:3:1: "),
    Wrong("backtest --slos folder --data x", 1, "folder:1:1: the directory has no *.yaml or *.yml"),
    Wrong(
        "backtest --slos good.yaml --slos twin.yaml --data x", 1, "twin.yaml:4:11: chat has an SLO"
    ),
    Wrong(
        BACKTEST + " --data nope", 1, "burnline: nope: No such file or directory; check the path"
    ),
    Wrong(BACKTEST + " --data folder", 1, "burnline: folder is a directory; name the files in it"),
    Wrong(BACKTEST + " --data text.csv", 1, "text.csv: neither OTLP's JSON nor protobuf messages"),
    Wrong(BACKTEST + " --data cut.jsonl", 1, "cut.jsonl:2: not JSON"),
    Wrong(BACKTEST + " --data other.jsonl", 1, "other.jsonl:1: neither resourceSpans, resource"),
    Wrong(
        BACKTEST + " --data good.yaml", 1, "good.yaml: neither OTLP's JSON nor protobuf messages"
    ),
    Wrong("run --slos nope.yaml", 1, "nope.yaml:1:1: there is no such file; check the path"),
    Wrong("run --slos typo.yaml", 1, "typo.yaml:5:5: "),
    Wrong(
        "run --slos good.yaml --data-dir good.yaml", 1, "can't be used (Not a directory); make it"
    ),
    Wrong(f"{RUN} {FREE} --http 999.1.1.1:80", 1, "pass --http HOST:PORT"),
    Wrong(RUN + " --traces http://127.0.0.1:4318", 1, "is this engine's own receiver"),
    Wrong(RUN + " --traces http://localhost:4317/v1/traces", 1, "is this engine's own receiver"),
    Wrong(RUN + " --traces http://host:port", 1, "is no address (Port could not be cast"),
    Wrong(
        f"{RUN} {FREE} --http 127.0.0.1:0 --remote-write http://u:pw@h:9090",
        1,
        "--remote-write: http://h:9090 is no remote write address; write it whole: http://HOST",
    ),
    Wrong(
        f"{RUN} --prices nope.yaml", 1, "the file of prices has problems:\nnope.yaml: can't be read"
    ),
    Wrong(
        f"{RUN} --prices good.yaml", 1, "good.yaml:1:1: `apiVersion` is no key of a file of prices"
    ),
    Wrong(f"{BACKTEST} --data x --prices nope.yaml", 1, "nope.yaml: can't be read"),
    Wrong("price --model x --prices nope.yaml", 1, "nope.yaml: can't be read (No such file"),
    Wrong("price --model nope --input 1", 1, "unpriced (model): no price is known for this"),
    Wrong("price --model gpt-4o --input 1", 1, "unpriced (usage): ", "found as genai-prices "),
    Wrong(RUN + " --otlp-grpc 999.1.1.1:80", 1, "pass --otlp-grpc HOST:PORT"),
    Wrong("demo --seconds 15 --traffic nope.csv", 1, "nope.csv: No such file or directory; name a"),
    Wrong("demo --seconds 15 --traffic folder", 1, "folder: "),
    Wrong("demo --seconds 15 --traffic bad.csv", 1, "bad.csv:1: "),
]
VALIDATED = [
    Wrong("validate nope.yaml", 1, "1 problem in 1 file", "nope.yaml:1:1: there is no such file; "),
    Wrong("validate folder", 1, "1 problem in 1 file", "folder:1:1: the directory has no *.yaml"),
    Wrong("validate latin1.yaml", 1, "1 problem in 1 file", "latin1.yaml:2:13: not UTF-8 (byte"),
    Wrong("validate broken.yaml", 1, "1 problem in 1 file", "broken.yaml:3:1: "),
    Wrong("validate typo.yaml", 1, "2 problems in 1 file", "typo.yaml:5:5: "),
    Wrong("validate filter.yaml", 1, "1 problem in 1 file", "filter.yaml:6:50: err is no field"),
    Wrong("validate none.yaml", 1, "1 problem in 1 file", "none.yaml:1:1: the file has no SLOs; "),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with `FILES`, the current one; no variable of ours is set."""
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("BURNLINE_")]:
        monkeypatch.delenv(name)
    return tmp_path


def run(*arguments: object) -> Result:
    words = [str(argument) for argument in arguments]
    return CliRunner().invoke(main, words, prog_name="burnline", terminal_width=100)


def _check(case: Wrong, code: int, output: str, errors: str) -> None:
    assert code == case.code, errors
    assert case.says in errors
    assert case.output in output if case.output else not output
    assert "Traceback" not in errors


@pytest.mark.parametrize("case", USAGE + INPUT + VALIDATED, ids=lambda case: case.arguments)
@pytest.mark.usefixtures("folder")
def test_mistakes(case: Wrong) -> None:
    """In this process; whatever a command raises besides its own exit would be a traceback."""
    result = run(*case.arguments.split())
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    _check(case, result.exit_code, result.stdout, result.stderr)
    if case in USAGE:
        assert result.stderr.startswith("Usage: burnline")


@pytest.mark.parametrize(
    "case", [USAGE[0], INPUT[0], INPUT[7], INPUT[14], VALIDATED[0]], ids=lambda case: case.arguments
)
@pytest.mark.usefixtures("folder")
def test_mistakes_as_a_process(case: Wrong) -> None:
    ran = subprocess.run(
        [BURNLINE, *case.arguments.split()], capture_output=True, text=True, check=False
    )
    _check(case, ran.returncode, ran.stdout, ran.stderr)


@pytest.mark.usefixtures("folder")
def test_a_wrong_variable_is_named() -> None:
    result = CliRunner().invoke(main, ["run"], env={"BURNLINE_SLOS": "x", "BURNLINE_HTTP": "y"})
    assert result.exit_code == 2
    assert "'y' is no HOST:PORT; write such as 127.0.0.1:4317" in result.stderr


@pytest.mark.usefixtures("folder")
def test_bytewaxs_runner_is_told_too(folder: Path) -> None:
    """`python -m bytewax.run dataflows.live` takes its settings from the environment."""
    command = [sys.executable, "-m", "bytewax.run", "dataflows.live"]
    for variables, code, says in (
        ({}, 2, "Missing option '--slos'"),
        ({"BURNLINE_SLOS": "nope.yaml"}, 1, "nope.yaml:1:1: there is no such file"),
    ):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
        ran = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=folder, env=environment
        )
        assert (ran.returncode, ran.stdout) == (code, "")
        assert says in ran.stderr
        assert "Traceback" not in ran.stderr


@pytest.mark.usefixtures("folder")
def test_the_live_flows_module_starts_nothing_on_import(folder: Path) -> None:
    before = set(folder.iterdir())
    code = "import threading, dataflows.live; print(threading.active_count())"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "BURNLINE_SLOS": "good.yaml"},
    )
    assert (ran.stdout, ran.stderr) == ("1\n", "")
    assert set(folder.iterdir()) == before


@pytest.mark.usefixtures("folder")
def test_validate_says_what_is_good() -> None:
    result = run("validate", "good.yaml")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-1] == "good.yaml: 1 SLO"


def test_schema_is_the_committed_one() -> None:
    result = run("schema")
    assert result.exit_code == 0
    assert result.stdout == (ROOT / "slo" / "burnline-v1.schema.json").read_text()


def test_every_command_has_help_and_a_first_sentence() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert list(main.commands) == [
        "validate",
        "schema",
        "presets",
        "run",
        "backtest",
        "demo",
        "detect",
        "price",
    ]
    for name in main.commands:
        assert run(name, "-h").stdout == run(name, "--help").stdout
        first = main.commands[name].get_short_help_str(40).removesuffix("...")
        assert re.search(rf"^  {name} +{re.escape(first)}", result.stdout, re.MULTILINE)
    assert run("--version").stdout == "burnline, version 0.1.0\n"


def _json(result: Result) -> Any:
    assert (result.exit_code, result.stderr) == (0, "")

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(result.stdout, parse_constant=refuse)


@pytest.mark.parametrize("content", [b"", b"{}\n", orjson.dumps({"resourceLogs": [{}]})])
def test_a_recording_without_telemetry(folder: Path, content: bytes) -> None:
    (folder / "empty").write_bytes(content)
    command = ("backtest", "--slos", "good.yaml", "--data", "empty")
    report = _json(run(*command, "--json"))
    assert report["alerts"] == []
    assert (report["requests"], report["from"], report["to"]) == (0, None, None)
    assert [(o["total"], o["sli"], o["budget_remaining"]) for o in report["objectives"]] == [
        (0, None, 1.0)
    ]
    assert run(*command).stdout.startswith("no telemetry in these files\n\nNo alerts\n")


@pytest.mark.usefixtures("folder")
def test_price_tells_the_rule() -> None:
    asked = "price --provider openai --model gpt-4o --input 10000 --output 1000 --cached 8000"
    result = run(*asked.split())
    assert (result.exit_code, result.stderr) == (0, "")
    version = table().version
    assert result.stdout == (
        f"found as {version}: openai/gpt-4o\n"
        "USD per million tokens: input 2.5, output 10, cache_read 1.25, cache_write 2.5, reasoning 10, "
        "cache_write_1h 2.5\n"
        f"0.025 USD, by {version}\n"
    )
    then = run(
        *["price", "--model", "o3", "--input", "1000000", "--output", "0", "--at", "2025-01-01"]
    )
    assert then.stdout.splitlines()[-1] == f"10 USD, by {version}"


def test_price_by_own_prices(folder: Path) -> None:
    (folder / "mine.yaml").write_text("prices: [{model: a, input: 1, output: 2, request: 0.5}]")
    result = run(
        *["price", "--model", "a", "--input", "1000000", "--output", "0", "--prices", "mine.yaml"]
    )
    assert "found as mine.yaml:1\n" in result.stdout
    assert "USD a call: 0.5\n1.5 USD, by genai-prices " in result.stdout
