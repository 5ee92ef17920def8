"""`make bench`: all of them, one after the other."""

import platform
from datetime import UTC, datetime

from benchmarks import content, exposition, latency, prices, remote_write, throughput

print(
    f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, Python {platform.python_version()}, "
    f"{platform.system()} {platform.release()}"
)
throughput.main()
content.main()
latency.main()
exposition.main()
remote_write.main()
prices.main()
