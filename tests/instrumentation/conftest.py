from collections.abc import Iterator

import pytest

from tests.instrumentation.provider import Provider, provider
from tests.instrumentation.telemetry import Seen, seen


@pytest.fixture
def told() -> Iterator[Seen]:
    with seen(thresholds=(2.0, 30.0)) as made:
        yield made


@pytest.fixture(scope="module")
def server() -> Iterator[Provider]:
    with provider() as running:
        yield running
