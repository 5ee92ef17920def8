"""`make bench-scale`: all of it, or the parts that are named."""

import argparse
import os
import platform
from datetime import UTC, datetime

from benchmarks.scale import (
    measuring,
    planning,
    recovery,
    reproduction,
    state,
    throughput,
    wire,
)

PARTS = {
    "throughput": throughput.main,
    "measuring": measuring.main,
    "wire": wire.main,
    "state": state.main,
    "recovery": recovery.main,
    "simulation": reproduction.main,
    "planning": planning.main,
}

parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.scale")
parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all of them by default")
wanted = parser.parse_args().parts or list(PARTS)
unknown = [part for part in wanted if part not in PARTS]
if unknown:
    parser.error(f"there is no part {unknown[0]!r}; there are {', '.join(PARTS)}")
print(
    f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {platform.machine()},"
    f" Python {platform.python_version()}, {platform.system()} {platform.release()},"
    f" load {os.getloadavg()[0]:.1f}",
    flush=True,
)
for part in wanted:
    print(f"\n{part}", flush=True)
    PARTS[part]()
