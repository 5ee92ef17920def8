"""Credentials on the command line and in the environment: mistakes are named, secrets are not shown."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from dataflows.cli import main
from dataflows.options import SECRETS, settings_from_environment
from dataflows.settings import Settings

ROOT = Path(__file__).parent.parent.parent
SLOS = """\
apiVersion: burnline/v1
service: chat
slos:
  - name: a
    objective: 99
    sli: {spans: {total: '{ }', bad: '{ status = error }'}}
"""
WRONG, BROKEN = "wrong-tok-c9d0e1f2", "broken tok e5f6a7b8"
FREE = dict.fromkeys(("BURNLINE_OTLP_GRPC", "BURNLINE_OTLP_HTTP", "BURNLINE_HTTP"), "127.0.0.1:0")

MISTAKES = [
    ({"BURNLINE_TLS_CERT": "c.pem"}, 1, "--tls-cert needs --tls-key beside it; give both"),
    ({"BURNLINE_TLS_KEY": "k.pem"}, 1, "--tls-key needs --tls-cert beside it; give both"),
    (
        {"BURNLINE_TLS_CLIENT_CA": "c.pem"},
        1,
        "--tls-client-ca needs --tls-cert and --tls-key beside it",
    ),
    (
        {"BURNLINE_ALERTMANAGER_CERT": "c.pem"},
        1,
        "--alertmanager-cert needs --alertmanager-key beside it; give both",
    ),
    ({"BURNLINE_OTLP_TOKEN": ""}, 2, "BURNLINE_OTLP_TOKEN is empty; give it a value, or unset"),
    ({"BURNLINE_TLS_CLIENT_CA": ""}, 2, "BURNLINE_TLS_CLIENT_CA is empty; give it a value, or"),
    ({"BURNLINE_OTLP_TOKEN": BROKEN}, 1, "BURNLINE_OTLP_TOKEN, line 1: a token has no spaces"),
    (
        {"BURNLINE_HTTP_TOKEN_FILE": WRONG},
        1,
        "--http-token-file: No such file or directory; give the path of a file that is there",
    ),
    (
        {"BURNLINE_ALERTMANAGER_TOKEN": WRONG, "BURNLINE_ALERTMANAGER_TOKEN_FILE": "t"},
        1,
        "--alertmanager-token-file and BURNLINE_ALERTMANAGER_TOKEN are both set; drop one",
    ),
    (
        {"BURNLINE_ALERTMANAGER": f"htp://u:{WRONG}@am:9093"},
        2,
        "'***@am:9093' is no URL; write such as http://127.0.0.1:9093",
    ),
    (
        {"BURNLINE_ALERTMANAGER": f"http://u:x/{WRONG}@am:9093"},
        1,
        "--alertmanager: an Alertmanager's address can't be read; write http://HOST:PORT",
    ),
    (
        {"BURNLINE_EXTERNAL_URL": f"http://u:{WRONG}@burnline.example.org"},
        1,
        "--external-url has credentials, and every alert shows it; write it without",
    ),
]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slos.yaml").write_text(SLOS)
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("BURNLINE_")]:
        monkeypatch.delenv(name)
    for name, value in (FREE | {"BURNLINE_SLOS": "slos.yaml"}).items():
        monkeypatch.setenv(name, value)


def _check(said: str, says: str) -> None:
    assert says in said
    assert "Traceback" not in said
    for secret in (WRONG, "e5f6a7b8"):
        assert secret not in said


@pytest.mark.parametrize(("variables", "code", "says"), MISTAKES)
def test_mistakes(variables: Mapping[str, str], code: int, says: str) -> None:
    result = CliRunner().invoke(main, ["run"], env=variables)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    _check(result.output, says)
    assert result.exit_code == code


@pytest.mark.parametrize(("variables", "code", "says"), [MISTAKES[0], MISTAKES[4], MISTAKES[6]])
def test_bytewaxs_runner_is_told_too(variables: Mapping[str, str], code: int, says: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "bytewax.run", "dataflows.live"],
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    _check(ran.stdout + ran.stderr, says)
    assert ran.returncode == code


def test_secrets_are_in_no_option(monkeypatch: pytest.MonkeyPatch) -> None:
    """So in no command line; they come from the environment, for both ways to start."""
    taken = {option for parameter in main.commands["run"].params for option in parameter.opts}
    assert not taken & {f"--{name.replace('_', '-')}" for name in SECRETS}
    for number, variable in enumerate(SECRETS.values()):
        monkeypatch.setenv(variable, f"secret-{number}")
    settings = settings_from_environment()
    assert [getattr(settings, name) for name in SECRETS] == [
        f"secret-{number}" for number in range(len(SECRETS))
    ]
    assert "secret" not in repr(settings)


def test_nothing_is_asked_for_unless_told() -> None:
    bare = Settings(slos=())
    assert {getattr(bare, name) for name in SECRETS} == {None}
    assert {bare.otlp_grpc[:9], bare.otlp_http[:9], bare.http[:9]} == {"127.0.0.1"}
