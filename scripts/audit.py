"""Asks for known vulnerabilities of what requirements.lock installs: `make audit`.

PyPI is asked first, then OSV about what PyPI did not answer for. Ends with 1 where something is
vulnerable. Where nobody could be asked it says so, and ends with 0: no network is no finding.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

LOCK = Path(__file__).parent.parent / "requirements.lock"
SERVICES = (("-s", "pypi"), ("-s", "osv"))
SECONDS = 600


@dataclass
class Found:
    """What is known by now.

    Attributes:
        answered: packages that a service knew.
        silent: packages that none has answered for.
        vulnerable: `name version: id, mended in ...`.
        troubles: services that failed, and how.
    """

    answered: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    vulnerable: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def add(self, report: str) -> None:
        """Take in pip-audit's JSON."""
        for dependency in json.loads(report)["dependencies"]:
            name = dependency["name"]
            if "skip_reason" in dependency:
                self.silent |= {name} - self.answered
                continue
            self.answered.add(name)
            self.silent.discard(name)
            for vulnerability in dependency["vulns"]:
                mended = ", ".join(vulnerability["fix_versions"]) or "no version yet"
                known = " ".join([vulnerability["id"], *vulnerability["aliases"]])
                self.vulnerable.append(
                    f"{name} {dependency['version']}: {known}, mended in {mended}"
                )


def audit(lock: Path, services: Sequence[Sequence[str]] = SERVICES) -> Found:
    """Ask the services in turn, until every package has an answer."""
    found = Found()
    for service in services:
        command = [sys.executable, "-m", "pip_audit", *service, "--format", "json"]
        command += [
            "--progress-spinner",
            "off",
            "--disable-pip",
            "--require-hashes",
            "-r",
            str(lock),
        ]
        try:
            ran = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=SECONDS
            )
            found.add(ran.stdout)
        except subprocess.TimeoutExpired:
            found.troubles.append(f"{service[1]}: no answer within {SECONDS} s")
        except ValueError:  # no JSON: it ended with an error
            last = (ran.stderr.strip() or "no answer").splitlines()[-1]
            found.troubles.append(f"{service[1]}: {last}")
        if found.answered and not found.silent:
            break
    return found


def main(lock: Path = LOCK, services: Sequence[Sequence[str]] = SERVICES) -> int:
    """Print what was found; the exit code."""
    found = audit(lock, services)
    for trouble in found.troubles:
        print(f"audit: {trouble}", file=sys.stderr)
    for line in sorted(set(found.vulnerable)):
        print(f"audit: {line}", file=sys.stderr)
    if found.vulnerable:
        return 1
    if not found.answered:
        print("audit: NOT DONE: the vulnerability services could not be asked from here")
    elif found.silent:
        print(f"audit: NOT WHOLE: nobody could be asked about {', '.join(sorted(found.silent))}")
    if found.answered:
        print(f"audit: nothing known of {len(found.answered)} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
