"""Real Alertmanagers that tell a recording webhook, each behind a proxy that can be broken."""

import json
import shutil
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from tests.servers import eventually, free_port

CONFIG = """\
route:
  receiver: nobody
  routes:
    - receiver: people
      matchers: ['severity="page"']
      group_by: ['...']
      group_wait: 0s
      group_interval: {interval}s
      repeat_interval: 4h
receivers:
  - name: nobody
  - name: people
    webhook_configs: [{{url: '{url}', send_resolved: true}}]
"""


class Notification(NamedTuple):
    """What people are told."""

    at: float
    tenant: str
    status: str
    starts_at: float


class _Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Webhook:
    """Records every alert of every notification."""

    def __init__(self) -> None:
        self.notifications: list[Notification] = []
        told = self.notifications

        class Handler(_Quiet):
            def do_POST(self) -> None:
                for alert in json.loads(self.body())["alerts"]:
                    started = datetime.fromisoformat(alert["startsAt"]).timestamp()
                    tenant = alert["labels"]["tenant_id"]
                    told.append(Notification(time.time(), tenant, alert["status"], started))
                self.answer(200)

        self.server = _serve(Handler, 0)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"

    def of(self, tenant: str, status: str) -> list[Notification]:
        return [n for n in list(self.notifications) if (n.tenant, n.status) == (tenant, status)]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Proxy:
    """Stands in front of an Alertmanager.

    Attributes:
        mode: `pass`; `hang` (accepts and never answers); `slow` (answers after 8 s); `500`; `poison` (400 to
            each batch with the tenant `poison`).
    """

    def __init__(self, target: str) -> None:
        self.mode = "pass"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.seen = 0
        proxy = self

        class Handler(_Quiet):
            def do_POST(self) -> None:
                body, mode = self.body(), proxy.mode
                proxy.seen += 1
                if mode == "hang":
                    eventually(lambda: proxy.mode != "hang", 3600)
                    self.close_connection = True
                elif proxy.server is None:  # cut; a connection of before is cut, too
                    self.close_connection = True
                elif mode == "500":
                    self.answer(500, b'"broken"')
                elif mode == "poison" and b'"poison"' in body:
                    self.answer(400, b'"no such label"')
                else:
                    if mode == "slow":
                        time.sleep(8)
                    self.answer(*_forward(f"{target}{self.path}", body))

        self._handler = Handler
        self.server: ThreadingHTTPServer | None = None
        self.connect()

    def connect(self) -> None:
        self.server = _serve(self._handler, self.port)

    def cut(self) -> None:
        """Refuse connections: the network between is gone, the Alertmanager is not."""
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def close(self) -> None:
        self.mode = "pass"
        self.cut()


class Alertmanager:
    """One of a pair, restartable on its ports; `peer` is the gossip port of the other."""

    def __init__(
        self, directory: Path, webhook: Webhook, interval: int, gossip: int, peer: int
    ) -> None:
        directory.mkdir()
        self.directory = directory
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = directory / "alertmanager.yml"
        self.config.write_text(CONFIG.format(url=webhook.url, interval=interval))
        self.gossip, self.peer = gossip, peer
        self.proxy = Proxy(self.url)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.directory / "alertmanager.log").open("ab") as log:
            self.process = subprocess.Popen(
                (
                    "prometheus-alertmanager",
                    f"--config.file={self.config}",
                    f"--storage.path={self.directory / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    f"--cluster.listen-address=127.0.0.1:{self.gossip}",
                    f"--cluster.peer=127.0.0.1:{self.peer}",
                    "--cluster.peer-timeout=1s",
                    "--cluster.gossip-interval=50ms",
                    "--cluster.settle-timeout=3s",
                    "--cluster.reconnect-interval=1s",
                    "--cluster.pushpull-interval=2s",
                ),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        eventually(self._ready, 30)

    def stop(self, number: int = signal.SIGTERM, *, wipe: bool = False) -> None:
        self.process.send_signal(number)
        self.process.wait(20)
        if wipe:
            shutil.rmtree(self.directory / "data", ignore_errors=True)

    def listed(self) -> dict[str, float]:
        """The tenants whose page fires here, and since when."""
        asked = f"{self.url}/api/v2/alerts?filter=severity%3Dpage"
        with urllib.request.urlopen(asked, timeout=5) as answer:
            found: list[dict[str, Any]] = json.load(answer)
        return {
            a["labels"]["tenant_id"]: datetime.fromisoformat(a["startsAt"]).timestamp()
            for a in found
        }

    def close(self) -> None:
        self.proxy.close()
        if self.process is not None and self.process.poll() is None:
            self.stop()

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def pair(directory: Path, webhook: Webhook, interval: int) -> list[Alertmanager]:
    """Two that gossip: of what both know, people are told once.

    Args:
        directory: of their files.
        webhook: what they tell.
        interval: the `group_interval`; by default it is 5 minutes, longer than a test wants to wait.
    """
    first, second = free_port(), free_port()
    found = [
        Alertmanager(directory / "am-0", webhook, interval, first, second),
        Alertmanager(directory / "am-1", webhook, interval, second, first),
    ]
    for one in found:
        one.start()
    return found


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    block_on_close = False  # of a proxy that hangs, too

    def handle_error(self, *_: object) -> None:
        """The peer has gone: what a broken network is for."""


def _serve(handler: type[BaseHTTPRequestHandler], port: int) -> ThreadingHTTPServer:
    server = _Server(("127.0.0.1", port), handler)
    threading.Thread(target=lambda: server.serve_forever(0.05), daemon=True).start()
    return server


def _forward(url: str, body: bytes) -> tuple[int, bytes]:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except (TimeoutError, OSError):
        return 502, b'"no Alertmanager there"'
