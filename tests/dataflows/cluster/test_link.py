"""Processes meet, hear of each other, and miss who is gone; real sockets, in threads."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from dataflows.cluster import link as link_module
from dataflows.cluster.cards import Agreed, Card
from dataflows.cluster.link import Link, Refused, Stopped
from dataflows.settings import ClusterSettings

SAME = {"--shards": "16"}
Met = tuple[Link, Agreed]


def free_addresses(count: int) -> tuple[str, ...]:
    """Addresses of this machine that were free a moment ago."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return tuple(f"127.0.0.1:{each.getsockname()[1]}" for each in sockets)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def _meet(
    pool: ThreadPoolExecutor, addresses: tuple[str, ...], process: int, card: Card | None = None
) -> Future[Met]:
    settings = ClusterSettings(process, addresses)
    return pool.submit(Link.meet, settings, card or Card(process, len(addresses), SAME), 8)


def _until(condition: object) -> None:
    assert callable(condition)
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_all_meet_whoever_comes_first_and_hear_of_each_other(pool: ThreadPoolExecutor) -> None:
    addresses = free_addresses(3)
    meetings = [_meet(pool, addresses, 2), _meet(pool, addresses, 1), _meet(pool, addresses, 0)]
    (two, of_two), (one, of_one), (zero, of_zero) = (m.result(20) for m in meetings)
    assert sorted((*of_zero.create, *of_one.create, *of_two.create)) == list(range(8))
    heard: dict[int, list[tuple[int, object]]] = {0: [], 1: [], 2: []}
    for number, link in enumerate((zero, one, two)):
        link.on_message = lambda process, message, n=number: heard[n].append(
            (process, message["burning"])
        )
    zero.tell({"burning": "0"})
    one.tell({"burning": "1"})
    _until(lambda: sum(map(len, heard.values())) == 4)
    assert heard == {0: [(1, "1")], 1: [(0, "0")], 2: [(0, "0"), (1, "1")]} or heard[2] == [
        (1, "1"),
        (0, "0"),
    ]
    assert [link.lost() for link in (zero, one, two)] == [None] * 3
    # Who ends as it should is not missed.
    one.close(bye=True)
    _until(lambda: zero._peers[1].left)
    assert zero.lost() is None
    # Who is gone without a word is, everywhere.
    two.close(bye=False)
    _until(lambda: zero.lost() == 2)
    zero.close(bye=True)


def test_the_others_hear_who_is_lost(pool: ThreadPoolExecutor) -> None:
    addresses = free_addresses(3)
    links = [m.result(20)[0] for m in [_meet(pool, addresses, n) for n in range(3)]]
    links[2].close(bye=False)
    _until(lambda: links[0].lost() == 2 and links[1].lost() == 2)
    for link in links[:2]:
        link.close(bye=False)


def test_without_process_0_it_is_missed(pool: ThreadPoolExecutor) -> None:
    addresses = free_addresses(2)
    links = [m.result(20)[0] for m in [_meet(pool, addresses, n) for n in range(2)]]
    links[0].close(bye=False)
    _until(lambda: links[1].lost() == 0)
    links[1].close(bye=False)


def test_who_hangs_is_silent_then_lost(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "SILENT_SECONDS", 0.3)
    monkeypatch.setattr(link_module, "BEAT_SECONDS", 0.05)
    addresses = free_addresses(3)
    links = [m.result(20)[0] for m in [_meet(pool, addresses, n) for n in range(3)]]
    links[2].settings = ClusterSettings(2, addresses)
    links[2]._closing = True  # beats no more, as a stopped process
    _until(lambda: 2 in links[0].silent() and 2 in links[1].silent())
    assert links[0].lost() is None
    monkeypatch.setattr(link_module, "LOST_SECONDS", 0.3)
    _until(lambda: links[0].lost() == 2 and links[1].lost() == 2)
    for link in links:
        link.close(bye=False)


def test_all_are_told_what_does_not_fit(pool: ThreadPoolExecutor) -> None:
    addresses = free_addresses(2)
    other = Card(1, 2, {"--shards": "32"})
    for meeting in (_meet(pool, addresses, 0), _meet(pool, addresses, 1, other)):
        with pytest.raises(Refused, match="process 1 has --shards 32 and process 0 has 16"):
            meeting.result(20)


def test_a_process_of_a_larger_cluster_is_refused(pool: ThreadPoolExecutor) -> None:
    addresses = free_addresses(3)
    zero = _meet(pool, addresses[:2], 0)
    with pytest.raises(Refused, match="there is no process 2"):
        _meet(pool, addresses, 2).result(20)
    one = _meet(pool, addresses[:2], 1)
    for meeting in (zero, one):
        meeting.result(20)[0].close(bye=True)


def test_a_process_may_be_started_anew_before_all_have_come(pool: ThreadPoolExecutor) -> None:
    addresses = free_addresses(3)
    zero = _meet(pool, addresses, 0)
    gone = threading.Event()
    first = pool.submit(Link.meet, ClusterSettings(1, addresses), Card(1, 3, SAME), 8, gone.is_set)
    time.sleep(0.7)
    gone.set()
    with pytest.raises(Stopped):
        first.result(20)
    links = [m.result(20)[0] for m in [_meet(pool, addresses, 1), _meet(pool, addresses, 2), zero]]
    assert all(link.lost() is None for link in links)
    for link in links:
        link.close(bye=True)


@pytest.mark.parametrize("process", [0, 1])
def test_an_address_that_is_taken_is_said(process: int) -> None:
    addresses = free_addresses(2)
    port = int(addresses[process].rpartition(":")[2])
    said = f"process {process} can't use its address .* in use"
    with socket.create_server(("127.0.0.1", port)), pytest.raises(Refused, match=said):
        Link.meet(ClusterSettings(process, addresses), Card(process, 2, SAME), 8)


def test_an_address_of_another_machine_is_said() -> None:
    addresses = ("192.0.2.1:9999", "127.0.0.1:9999")
    with pytest.raises(Refused, match=r"can't use its address 192\.0\.2\.1:9999"):
        Link.meet(ClusterSettings(0, addresses), Card(0, 2, SAME), 8)


def test_a_name_that_nobody_knows_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "LOST_SECONDS", 0.1)
    addresses = ("nowhere.invalid:9999", "127.0.0.1:9999")
    with pytest.raises(Refused, match=r"nowhere\.invalid can't be resolved"):
        Link.meet(ClusterSettings(0, addresses), Card(0, 2, SAME), 8)


def test_strangers_are_turned_away(pool: ThreadPoolExecutor) -> None:
    addresses = free_addresses(2)
    zero = _meet(pool, addresses, 0)
    port = int(addresses[0].rpartition(":")[2])
    _until(lambda: _answers(port, b"GET / HTTP/1.0\r\n\r\n") == b"")
    assert _answers(port, b'{"card": {"process": 1}}\n') == b""
    links = [m.result(20)[0] for m in (_meet(pool, addresses, 1), zero)]
    for link in links:
        link.close(bye=True)


def _answers(port: int, said: bytes) -> bytes | None:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(said)
            return connection.recv(100)
    except ConnectionRefusedError:
        return None
    except ConnectionResetError:
        return b""
