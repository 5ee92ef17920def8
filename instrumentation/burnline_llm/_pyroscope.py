"""Profiles all the time, by Pyroscope's own agent, and linked to traces by its span processor: an extra."""

from collections.abc import Callable

from opentelemetry.sdk.trace import TracerProvider


def start(service: str, address: str, traces: TracerProvider | None) -> Callable[[], object]:
    """Start the agent; what ends it.

    Args:
        service: name of the application in Pyroscope.
        address: such as `http://pyroscope:4040`.
        traces: its root spans are tagged in the profiles, and name their profile; None for no links.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import pyroscope  # type: ignore[import-not-found]  # noqa: PLC0415 - an extra
        from pyroscope.otel import (  # type: ignore[import-not-found]  # noqa: PLC0415
            PyroscopeSpanProcessor,
        )
    except ImportError as error:
        raise ImportError(
            "setup(pyroscope=…) needs its agent: pip install 'burnline-llm[pyroscope]'"
        ) from error
    pyroscope.configure(application_name=service, server_address=address)
    if traces is not None:
        traces.add_span_processor(PyroscopeSpanProcessor())
    stop: Callable[[], object] = pyroscope.shutdown
    return stop
