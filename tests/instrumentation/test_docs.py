"""The examples of the page and the README run as they stand, with a real client against a local provider."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.instrumentation.provider import Provider

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", ["docs/instrumentation.md", "instrumentation/README.md"])
def test_examples_run(server: Provider, page: str) -> None:
    blocks = _FENCE.findall((ROOT / page).read_text())
    assert blocks
    code = "\n".join(blocks).replace("9464", "0").replace("127.0.0.1:4318", "127.0.0.1:9")
    code += """
from prometheus_client import REGISTRY
assert not [s for m in REGISTRY.collect() if m.name == "llm_instrumentation_errors" for s in m.samples]
assert REGISTRY.get_sample_value("llm_requests_total", {"model": "gpt-4o", "status": "ok"}) >= 1
assert REGISTRY.get_sample_value("llm_active_requests") == 0
if "telemetry" in globals():
    telemetry.shutdown(0.1)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "OPENAI_BASE_URL": f"{server.url}/v1", "OPENAI_API_KEY": "x"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
