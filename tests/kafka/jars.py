"""Apache Kafka's jars, from Maven Central into `.kafka/jars/`: `python -m tests.kafka.jars` fetches them."""

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


def missing() -> str:
    """What there is not, to run a broker, and how to get it; empty when all is there."""
    if shutil.which("java") is None:
        return "no java on the PATH (17 or newer; Debian: apt-get install openjdk-17-jre-headless)"
    if not _fetched():
        return (
            "Apache Kafka's jars are not in .kafka/jars/: python -m tests.kafka.jars fetches them"
        )
    return ""


def fetch() -> None:
    """Fetch them, where they are not there as the pom has them.

    Raises:
        SystemExit: They can't be had here; says why.
    """
    if _fetched():
        return
    if shutil.which("mvn") is None:
        sys.exit(
            "burnline: no mvn on the PATH to fetch Apache Kafka with (Debian: apt-get install maven)"
        )
    shutil.rmtree(JARS, ignore_errors=True)
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={JARS}"]
    print("burnline: fetching Apache Kafka from Maven Central, once (50 MB)", file=sys.stderr)
    done = subprocess.run(["mvn", "-B", "-q", "-f", POM, *goal], check=False, timeout=FETCH_SECONDS)
    if done.returncode:
        sys.exit(
            "burnline: Maven could not fetch Apache Kafka (see above): is Maven Central reached?"
        )
    STAMP.write_text(_pins())


def _fetched() -> bool:
    return STAMP.exists() and STAMP.read_text() == _pins()


def _pins() -> str:
    return sha256(POM.read_bytes()).hexdigest()


if __name__ == "__main__":
    fetch()
