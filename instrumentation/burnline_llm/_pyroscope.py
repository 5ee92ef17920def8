"""Profiles all the time, by Pyroscope's own agent: an extra."""

from collections.abc import Callable


def start(service: str | None, address: str) -> Callable[[], object]:
    """Start the agent; what ends it.

    Args:
        service: name of the application in Pyroscope.
        address: such as `http://pyroscope:4040`.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import pyroscope  # type: ignore[import-not-found]  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ImportError(
            "setup(pyroscope=…) needs its agent: pip install 'burnline-llm[pyroscope]'"
        ) from error
    pyroscope.configure(application_name=service or "unknown_service", server_address=address)
    stop: Callable[[], object] = pyroscope.shutdown
    return stop
