"""What all tests rely on."""

import signal


def pytest_configure() -> None:
    """Ctrl-C works in what the tests start, also where a shell runs them in the background, without it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
