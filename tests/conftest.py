"""What all tests rely on."""

import signal

from hypothesis import settings

# Machines are busy: how long an example takes says nothing of what is tested.
settings.register_profile("burnline", deadline=None)
settings.load_profile("burnline")


def pytest_configure() -> None:
    """Ctrl-C works in what the tests start, also where a shell runs them in the background, without it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
