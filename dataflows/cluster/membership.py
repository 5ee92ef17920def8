"""Which process of which cluster this one is: from options, or from what Bytewax's runner takes."""

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from dataflows.settings import ClusterSettings

MOST_PROCESSES = 1024


class MembershipError(ValueError):
    """The cluster can't be made of what was said; the message names the mend."""


def membership(
    process: int | None, addresses: str | None, environment: Mapping[str, str]
) -> ClusterSettings | None:
    """Which process this one is; None where it is not one of several.

    Args:
        process: `--process-id`.
        addresses: `--addresses`, HOST:PORT of every process, parted by `;`.
        environment: its `BYTEWAX_` variables count where an option was not given.

    Raises:
        MembershipError: one without the other, or one that fits the other not.
    """
    if process is None:
        process = _process(environment)
    found = _addresses(addresses, environment)
    if process is None and found is None:
        return None
    if found is None:
        raise MembershipError(
            f"process {process} of which cluster? give every process the same --addresses "
            "HOST:PORT;HOST:PORT;... (or BYTEWAX_ADDRESSES, or BYTEWAX_HOSTFILE_PATH)"
        )
    if process is None:
        raise MembershipError(
            "--addresses without --process-id: say which of them this process is, from 0 (or set "
            "BYTEWAX_PROCESS_ID, or BYTEWAX_POD_NAME and BYTEWAX_STATEFULSET_NAME)"
        )
    _check(process, found)
    return ClusterSettings(process, found)


def runner_flags(arguments: Sequence[str]) -> tuple[int | None, str | None]:
    """What `python -m bytewax.run` was told by its flags.

    >>> runner_flags(["dataflows.live", "-i", "1", "--addresses=a:1;b:2"])
    (1, 'a:1;b:2')
    """
    process = _flag(arguments, "-i", "--process-id")
    return (
        None if process is None else _number("--process-id", process),
        _flag(arguments, "-a", "--addresses"),
    )


def split(address: str) -> tuple[str, int]:
    """Host and port.

    Raises:
        MembershipError: it is no HOST:PORT.
    """
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise MembershipError(
            f"{address!r} among --addresses is no HOST:PORT; write such as 10.0.0.1:9999"
        )
    return host, int(port)


def resolve(address: str) -> str:
    """Why an address can't be resolved; empty where it can."""
    host, port = split(address)
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        return f"{host} can't be resolved ({error.strerror or error})"
    return ""


def _process(environment: Mapping[str, str]) -> int | None:
    if "BYTEWAX_PROCESS_ID" in environment:
        return _number("BYTEWAX_PROCESS_ID", environment["BYTEWAX_PROCESS_ID"])
    pod = environment.get("BYTEWAX_POD_NAME")
    if pod is None:
        return None
    stateful_set = environment.get("BYTEWAX_STATEFULSET_NAME")
    if not stateful_set:
        raise MembershipError(
            f"BYTEWAX_POD_NAME is {pod}, and BYTEWAX_STATEFULSET_NAME is not set; set it to the name "
            "without the number at its end"
        )
    number = pod.removeprefix(f"{stateful_set}-")
    if number == pod:
        raise MembershipError(
            f"BYTEWAX_POD_NAME {pod} is not BYTEWAX_STATEFULSET_NAME {stateful_set} and a number; "
            "give both as Kubernetes has them"
        )
    return _number("BYTEWAX_POD_NAME", number)


def _addresses(given: str | None, environment: Mapping[str, str]) -> tuple[str, ...] | None:
    if given is None:
        given = environment.get("BYTEWAX_ADDRESSES")
    if given is not None:
        return tuple(each.strip() for each in given.split(";") if each.strip())
    path = environment.get("BYTEWAX_HOSTFILE_PATH")
    if path is None:
        return None
    try:
        lines = Path(path).read_text().splitlines()
    except OSError as error:
        raise MembershipError(
            f"BYTEWAX_HOSTFILE_PATH {path} can't be read ({error.strerror}); it must hold a "
            "HOST:PORT of each process, one a line"
        ) from error
    return tuple(line.strip() for line in lines if line.strip())


def _check(process: int, addresses: Sequence[str]) -> None:
    for address in addresses:
        split(address)
    if not addresses or len(addresses) > MOST_PROCESSES:
        raise MembershipError(
            f"--addresses has {len(addresses)} processes; there may be 1 to {MOST_PROCESSES}"
        )
    twice = sorted({each for each in addresses if addresses.count(each) > 1})
    if twice:
        raise MembershipError(
            f"--addresses has {twice[0]} twice; each process needs an address of its own"
        )
    if not 0 <= process < len(addresses):
        raise MembershipError(
            f"--process-id {process} with {len(addresses)} --addresses; they are numbered from 0 to "
            f"{len(addresses) - 1}"
        )


def _number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise MembershipError(f"{name} {text!r} is no number; write such as 0") from None


def _flag(arguments: Sequence[str], short: str, long: str) -> str | None:
    for at, argument in enumerate(arguments):
        if argument in (short, long):
            return arguments[at + 1] if at + 1 < len(arguments) else None
        if argument.startswith(f"{long}="):
            return argument.removeprefix(f"{long}=")
        if argument.startswith(short) and not argument.startswith("--"):
            return argument.removeprefix(short)
    return None
