"""What decorators stand above: a function, or else an error that says where to put them."""

import inspect


def check(function: object, decorator: str) -> None:
    """Refuse what is no function.

    Args:
        function: what the decorator stands above.
        decorator: its name.

    Raises:
        TypeError: says what it is, and what to write.

    >>> check(int, "observe")
    Traceback (most recent call last):
    ...
    TypeError: @observe stands above a function, and int is a class; put it above one of its methods
    """
    if isinstance(function, staticmethod | classmethod):
        kind = type(function).__name__
        raise TypeError(f"write @{decorator} below @{kind}, next to {function.__name__}()")
    if inspect.isclass(function):
        raise TypeError(
            f"@{decorator} stands above a function, and {function.__name__} is a class; "
            "put it above one of its methods"
        )
    if not callable(function):
        raise TypeError(f"@{decorator} stands above a function, and {function!r} is none")
