"""How the processes of a cluster meet, and what they tell each other beside the flow.

Bytewax has the flow's data go from worker to worker, and says little of who is missing, gone or hung. So
the processes talk to each other over a connection of their own: each to process 0, at the very address that
Bytewax then uses for the flow. A message is a line of JSON.

Before the flow there is the roll call: everybody shows a card, and is told to go once all have come and all
cards fit together. Afterwards the connections stay open. Whoever is gone is missed at once, and whoever hangs
when nothing is heard of it any more.
"""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, BinaryIO

from dataflows.cluster.cards import Agreed, Card, Unfit, agree
from dataflows.cluster.membership import resolve, split
from dataflows.settings import ClusterSettings
from engine.telemetry.log import log

BEAT_SECONDS = 2.0
# A process of which nothing is heard for so long is unwell, and is given up for lost after as long again.
SILENT_SECONDS = 30.0
LOST_SECONDS = 60.0
SAY_EVERY = 10.0
RETRY_SECONDS = 0.5
CARD_SECONDS = 10.0
# A book of a hundred thousand alerts.
LONGEST_LINE = 256 << 20

Plain = dict[str, Any]


class Refused(Exception):  # noqa: N818 - an answer
    """The processes do not fit together, or can't meet; the message says why, and the mend."""


class Stopped(Exception):  # noqa: N818 - what was asked
    """The process was told to stop before all had come."""


class _Peer:
    """A connection to another process."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection = connection
        self.lines: BinaryIO = connection.makefile("rb")
        self.process = -1
        self.card: Card | None = None
        self.heard = time.monotonic()
        self.left = False
        self._lock = threading.Lock()

    def send(self, message: Plain) -> bool:
        """Whether it could be sent."""
        line = json.dumps(message).encode() + b"\n"
        try:
            with self._lock:
                self.connection.sendall(line)
        except OSError:
            return False
        return True

    def read(self) -> Plain | None:
        """The next message; None at the end, or where it is no message."""
        try:
            line = self.lines.readline(LONGEST_LINE)
            message = json.loads(line) if line.endswith(b"\n") else None
        except (OSError, ValueError):
            return None
        self.heard = time.monotonic()
        return message if isinstance(message, dict) else None

    def close(self) -> None:
        with contextlib.suppress(OSError):  # it is closed already
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()


class Link:
    """This process among the others; made by `meet`.

    Attributes:
        on_message: told (process, message) of what others tell, on a thread of the link.
    """

    def __init__(self, settings: ClusterSettings) -> None:
        self.settings = settings
        self.on_message: Callable[[int, Plain], None] = lambda _process, _message: None
        self._peers: dict[int, _Peer] = {}
        self._changed = threading.Condition()
        self._lost: int | None = None
        self._silent_elsewhere: dict[int, float] = {}
        # The roll call is over: who goes away from now on is missed.
        self._started = False
        self._closing = False

    @staticmethod
    def meet(
        settings: ClusterSettings,
        card: Card,
        partitions: int,
        stopping: Callable[[], bool] = lambda: False,
    ) -> tuple["Link", Agreed]:
        """Wait until all processes have come.

        Args:
            settings: who this is.
            card: what it shows.
            partitions: see `cards.agree`.
            stopping: asked now and then.

        Raises:
            Refused: the processes do not fit together, or this one's address can't be used.
            Stopped: `stopping` said so.
        """
        link = Link(settings)
        try:
            met = link._call_roll if settings.process == 0 else link._answer
            agreed = met(card, partitions, stopping)
        except BaseException:
            link.close(bye=False)
            raise
        threading.Thread(target=link._beat, name="burnline-beat", daemon=True).start()
        return link, agreed

    def tell(self, message: Plain) -> None:
        """Tell all other processes."""
        for peer in list(self._peers.values()):
            peer.send(message | {"from": self.settings.process})

    def lost(self) -> int | None:
        """A process that is gone without a word, or hung for too long; None while there is none."""
        if self._lost is None:
            for process, seconds in self.silent().items():
                if seconds > LOST_SECONDS:
                    self._lose(process)
        return self._lost

    def silent(self) -> dict[int, float]:
        """The processes of which nothing has been heard for a while, and seconds since."""
        now = time.monotonic()
        found = dict(self._silent_elsewhere)
        for process, peer in list(self._peers.items()):
            if not peer.left and now - peer.heard > SILENT_SECONDS:
                found[process] = now - peer.heard
        return found

    def close(self, *, bye: bool) -> None:
        """End the connections; with `bye` the others know that this one ended as it should."""
        self._closing = True
        for peer in list(self._peers.values()):
            if bye:
                peer.send({"bye": True})
            peer.close()

    # The roll call, by process 0.

    def _call_roll(self, card: Card, partitions: int, stopping: Callable[[], bool]) -> Agreed:
        self._await_own_name(stopping)
        listener = self._listen()
        said = time.monotonic() - SAY_EVERY + 2.0
        try:
            listener.settimeout(0.2)
            while missing := self._missing():
                if stopping():
                    raise Stopped
                if time.monotonic() - said >= SAY_EVERY:
                    said = time.monotonic()
                    self._say_waiting(missing)
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                peer = _Peer(connection)
                threading.Thread(
                    target=self._receive, args=(peer,), name="burnline-peer", daemon=True
                ).start()
        finally:
            # Bytewax listens there next, and nobody may come before it does.
            listener.close()
        peers = [self._peers[process] for process in sorted(self._peers)]
        cards = [card, *(peer.card for peer in peers if peer.card is not None)]
        try:
            agreed = agree(cards, partitions)
        except Unfit as unfit:
            for peer in peers:
                peer.send({"refused": str(unfit)})
            raise Refused(str(unfit)) from unfit
        for peer in peers:
            peer.send({"agreed": asdict(agreed[peer.process])})
        return agreed[0]

    def _missing(self) -> list[int]:
        with self._changed:
            everyone = range(1, len(self.settings.addresses))
            missing = [process for process in everyone if process not in self._peers]
            self._started = not missing
            return missing

    def _await_own_name(self, stopping: Callable[[], bool]) -> None:
        """Kubernetes makes a pod's name known a moment after the pod begins."""
        until = time.monotonic() + LOST_SECONDS
        own = self.settings.addresses[self.settings.process]
        while (problem := resolve(own)) and time.monotonic() < until:
            if stopping():
                raise Stopped
            time.sleep(RETRY_SECONDS)
        if problem:
            raise Refused(f"this process's own address {own}: {problem}; correct --addresses")

    def _listen(self) -> socket.socket:
        host, port = split(self.settings.addresses[self.settings.process])
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        try:
            return socket.create_server((host, port), family=family, backlog=128)
        except OSError as error:
            raise Refused(
                f"process {self.settings.process} can't use its address {host}:{port} ({error.strerror}); "
                "stop what listens there, or correct --addresses and --process-id"
            ) from error

    def _receive(self, peer: _Peer) -> None:
        """At process 0: all that comes over a connection."""
        peer.connection.settimeout(CARD_SECONDS)
        said = peer.read()
        try:
            card = Card.of((said or {})["card"])
        except (KeyError, TypeError, ValueError):
            peer.close()
            return
        if not 0 < card.process < len(self.settings.addresses):
            peer.send(
                {"refused": f"there is no process {card.process}; give all the same --addresses"}
            )
            peer.close()
            return
        peer.connection.settimeout(None)
        peer.process, peer.card = card.process, card
        with self._changed:
            before = self._peers.get(card.process)
            self._peers[card.process] = peer
        if before is not None:  # it was started anew, or twice
            before.close()
        self._listen_to(peer, relay=True)

    # The roll call, by the others.

    def _answer(self, card: Card, _partitions: int, stopping: Callable[[], bool]) -> Agreed:
        self._await_own_name(stopping)
        self._listen().close()  # sees that the address is free
        said = time.monotonic() - SAY_EVERY + 2.0
        while True:
            if stopping():
                raise Stopped
            if time.monotonic() - said >= SAY_EVERY:
                said = time.monotonic()
                self._say_waiting([0])
            peer = self._connect()
            if peer is None:
                time.sleep(RETRY_SECONDS)
                continue
            answer = self._show(peer, card, stopping)
            if answer is None:
                peer.close()
                continue
            if "refused" in answer:
                peer.close()
                raise Refused(str(answer["refused"]))
            agreed: Plain = answer["agreed"]
            peer.connection.settimeout(None)
            peer.process = 0
            self._peers[0], self._started = peer, True
            threading.Thread(
                target=self._listen_to, args=(peer,), name="burnline-peer", daemon=True
            ).start()
            return Agreed(tuple(agreed["create"]), tuple(agreed["alerts"]), agreed["watched"])

    def _connect(self) -> _Peer | None:
        try:
            return _Peer(
                socket.create_connection(split(self.settings.addresses[0]), timeout=CARD_SECONDS)
            )
        except OSError:
            return None

    def _show(self, peer: _Peer, card: Card, stopping: Callable[[], bool]) -> Plain | None:
        """Show the card and wait for the answer; None where process 0 went away."""
        if not peer.send({"card": asdict(card)}):
            return None
        answers: list[Plain | None] = []
        # The answer may take long, until all have come; a stop must not wait for it.
        peer.connection.settimeout(None)
        reader = threading.Thread(target=lambda: answers.append(peer.read()), daemon=True)
        reader.start()
        while reader.is_alive():
            reader.join(0.2)
            if stopping():
                peer.close()
                raise Stopped
        answer = answers[0]
        return answer if answer is not None and {"agreed", "refused"} & answer.keys() else None

    # Afterwards.

    def _listen_to(self, peer: _Peer, *, relay: bool = False) -> None:
        while (message := peer.read()) is not None:
            self._hear(peer, message, relay=relay)
        with self._changed:
            if self._peers.get(peer.process) is not peer:
                return  # another has taken its place
            if not self._started:
                del self._peers[peer.process]
                return
        if not (peer.left or self._closing):
            self._lose(peer.process)

    def _hear(self, peer: _Peer, message: Plain, *, relay: bool) -> None:
        if "bye" in message:
            peer.left = True
        elif "beat" in message:
            self._silent_elsewhere = {int(p): s for p, s in message.get("silent", {}).items()}
        elif "lost" in message:
            self._lose(int(message["lost"]))
        else:
            if relay:
                for other in list(self._peers.values()):
                    if other is not peer:
                        other.send(message)
            self.on_message(int(message.get("from", peer.process)), message)

    def _lose(self, process: int) -> None:
        if self._lost is None and not self._closing:
            self._lost = process
            for other in list(self._peers.values()):
                if other.process != process:
                    other.send({"lost": process})

    def _beat(self) -> None:
        while not self._closing:
            # What process 0 knows of the others they can't know of each other.
            silent = self.silent() if self.settings.process == 0 else {}
            for peer in list(self._peers.values()):
                others = {str(p): seconds for p, seconds in silent.items() if p != peer.process}
                peer.send({"beat": True, "silent": others})
            time.sleep(BEAT_SECONDS)

    def _say_waiting(self, missing: list[int]) -> None:
        addresses = self.settings.addresses
        unresolved = [problem for p in missing[:10] if (problem := resolve(addresses[p]))]
        log.info(
            "waiting for other processes of the cluster",
            process=self.settings.process,
            processes=len(addresses),
            missing=[f"{p} ({addresses[p]})" for p in missing[:10]],
            **({"unresolved": unresolved} if unresolved else {}),
        )
