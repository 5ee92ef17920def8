"""`python -m tests.kafka`: a broker to try things with, until Ctrl-C; fetched first where it is not here."""

import signal
import sys
import tempfile
from pathlib import Path
from threading import Event

from tests.certificates import Authority
from tests.kafka.broker import PASSWORD, USER, broker
from tests.kafka.jars import UnavailableError, fetch


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        fetch()
    except UnavailableError as why:
        sys.exit(f"burnline: {why}")
    with tempfile.TemporaryDirectory() as directory:
        authority = Authority(Path(directory), "ca")
        with broker(Path(directory), authority) as running:
            for name in ("PLAINTEXT", "SASL_PLAINTEXT", "SASL_SSL", "SSL"):
                print(f"{name:15} {running.listener(name)}")
            print(
                f"user {USER}, password {PASSWORD} (PLAIN, SCRAM-SHA-256); CA {authority.pem}",
                flush=True,
            )
            try:
                Event().wait()
            except KeyboardInterrupt:
                print()


if __name__ == "__main__":
    main()
