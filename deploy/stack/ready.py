"""Waits until all of the stack answers, and says where to look: some images have no shell for a check.

`python deploy/stack/ready.py NAME=URL...`; ends with 1, and names those that do not answer within five
minutes.
"""

import sys
import time
import urllib.error
import urllib.request

PATIENCE = 300.0


def answers(url: str) -> str:
    """Why it is not ready; empty where it is."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return "" if answer.status < 300 else f"status {answer.status}"
    except (OSError, ValueError) as error:
        return str(error)


def main(places: dict[str, str], patience: float) -> int:
    """Ask each until it answers."""
    limit = time.monotonic() + patience
    waiting = dict(places)
    while True:
        reasons = {name: answers(url) for name, url in waiting.items()}
        for name, reason in reasons.items():
            if not reason:
                print(f"ready: {name}", flush=True)
        waiting = {name: url for name, url in waiting.items() if reasons[name]}
        if not waiting:
            print(
                "All is ready. Grafana: http://localhost:3000  Prometheus: http://localhost:9090"
                "  Alertmanager: http://localhost:9093  Burnline: http://localhost:9464/metrics"
            )
            return 0
        if time.monotonic() > limit:
            for name, url in waiting.items():
                print(f"not ready: {name} at {url}: {reasons[name]}", file=sys.stderr)
            return 1
        time.sleep(1)


if __name__ == "__main__":
    asked = dict(argument.split("=", 1) for argument in sys.argv[1:])
    sys.exit(main(asked, PATIENCE))
