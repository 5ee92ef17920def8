"""Apache Kafka's jars, from Maven Central into `.kafka/jars/`: `python -m tests.kafka.jars` fetches them."""

import fcntl
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).parents[2]
POM = Path(__file__).with_name("pom.xml")
JARS = ROOT / ".kafka" / "jars"
STAMP = JARS / ".fetched"
FETCH_SECONDS = 600


class UnavailableError(Exception):
    """What is missing here, and how to get it."""


def fetch() -> None:
    """Fetch them, where they are not there as the pom has them.

    Raises:
        UnavailableError: They, or the Java to run them, can't be had here.
    """
    JARS.parent.mkdir(exist_ok=True)
    with (JARS.parent / "lock").open("w") as lock:  # tests may run in several processes
        fcntl.flock(lock, fcntl.LOCK_EX)
        _fetch()


def _fetch() -> None:
    if shutil.which("java") is None:
        raise UnavailableError(
            "no java on the PATH (17 or newer; Debian: apt-get install openjdk-17-jre-headless)"
        )
    if STAMP.exists() and STAMP.read_text() == _pins():
        return
    if shutil.which("mvn") is None:
        raise UnavailableError(
            "no mvn on the PATH to fetch Kafka with (Debian: apt-get install maven)"
        )
    shutil.rmtree(JARS, ignore_errors=True)
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={JARS}"]
    command = ["mvn", "-B", "-q", "-f", str(POM), *goal]
    done = subprocess.run(command, check=False, timeout=FETCH_SECONDS, capture_output=True)
    if done.returncode:
        told = (done.stdout + done.stderr).decode(errors="replace").strip().splitlines()
        raise UnavailableError(
            f"Maven could not fetch Kafka from Maven Central: {told[0] if told else 'it says nothing'}"
        )
    STAMP.write_text(_pins())


def _pins() -> str:
    return sha256(POM.read_bytes()).hexdigest()


if __name__ == "__main__":
    try:
        fetch()
    except UnavailableError as why:
        sys.exit(f"burnline: {why}")
