"""The audit of dependencies: a real pip-audit, and a stand-in for OSV, which is not reached everywhere."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from scripts import audit

LOCK = """\
click==8.1.0 --hash=sha256:{0}
rich==13.0.0 --hash=sha256:{0}
""".format("0" * 64)
KNOWN = {
    "schema_version": "1.4.0",
    "id": "GHSA-1",
    "aliases": ["CVE-1"],
    "summary": "bad",
    "affected": [
        {
            "package": {"name": "rich", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "13.9.0"}]}],
        }
    ],
}


class Osv(BaseHTTPRequestHandler):
    """Knows of one vulnerability, once it is told."""

    vulnerable = False

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        hit = self.vulnerable and asked["package"]["name"] == "rich"
        body = json.dumps({"vulns": [KNOWN]} if hit else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def osv() -> Iterator[tuple[str, ...]]:
    server = HTTPServer(("127.0.0.1", 0), Osv)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield ("-s", "osv", "--osv-url", f"http://127.0.0.1:{server.server_port}/v1/query")
    server.shutdown()
    server.server_close()


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "requirements.lock"
    path.write_text(LOCK)
    return path


NOBODY = ("-s", "osv", "--osv-url", "http://127.0.0.1:9/v1/query")


def test_a_vulnerability_fails(
    lock: Path,
    osv: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Osv, "vulnerable", True)
    assert audit.main(lock, [NOBODY, osv]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[-1] == "audit: rich 13.0.0: CVE-1 GHSA-1, mended in 13.9.0"


def test_nothing_known_is_said(
    lock: Path, osv: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit.main(lock, [osv]) == 0
    assert capsys.readouterr().out == "audit: nothing known of 2 packages\n"


def test_nobody_to_ask_is_no_clean_bill(lock: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.main(lock, [NOBODY]) == 0
    said = capsys.readouterr()
    assert said.out == "audit: NOT DONE: the vulnerability services could not be asked from here\n"
    assert "osv: " in said.err


def test_packages_that_are_passed_over_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = audit.Found()
    skipped = {"name": "b", "skip_reason": "Dependency not found on PyPI and could not be audited"}
    found.add(json.dumps({"dependencies": [{"name": "a", "version": "1", "vulns": []}, skipped]}))
    monkeypatch.setattr(audit, "audit", lambda *_: found)
    assert audit.main() == 0
    assert capsys.readouterr().out.splitlines() == [
        "audit: NOT WHOLE: nobody could be asked about b",
        "audit: nothing known of 1 packages",
    ]
    # Another service's answer counts.
    found.add(json.dumps({"dependencies": [{"name": "b", "version": "1", "vulns": []}]}))
    assert found.silent == set()
