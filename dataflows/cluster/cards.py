"""What the processes of a cluster tell each other before they start, and whether it fits together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Plain = dict[str, Any]


class Unfit(Exception):  # noqa: N818 - a finding, not a fault of the program
    """The processes do not fit together; the message says what differs, and the mend."""


@dataclass(frozen=True, slots=True)
class Card:
    """A process as it comes to the roll call.

    Attributes:
        process: its number.
        processes: how many it says there are.
        same: what has to be the same in every process, by the name that people know it by.
        partitions: numbers of the recovery partitions in its data directory.
        count: how many partitions there are in all, as those say; 0 without any.
        alerts: entries of its book of firing alerts, as the book has them.
        watched: since when each objective is watched, as its data directory knows it.
    """

    process: int
    processes: int
    same: Mapping[str, str]
    partitions: tuple[int, ...] = ()
    count: int = 0
    alerts: tuple[Plain, ...] = ()
    watched: Mapping[str, Plain] = field(default_factory=dict)

    @staticmethod
    def of(plain: Plain) -> "Card":
        """From JSON.

        Raises:
            ValueError: it is none.
        """
        try:
            return Card(
                **plain
                | {
                    "partitions": tuple(map(int, plain["partitions"])),
                    "alerts": tuple(plain["alerts"]),
                }
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"no card: {error}") from error


@dataclass(frozen=True, slots=True)
class Agreed:
    """What a process is told when all have come.

    Attributes:
        create: numbers of the recovery partitions that it has to make; none where there are some already.
        alerts: entries of the books of all.
        watched: since when each objective is watched, by the earliest of all.
    """

    create: tuple[int, ...]
    alerts: tuple[Plain, ...]
    watched: Mapping[str, Plain]


def agree(cards: Sequence[Card], partitions: int) -> list[Agreed]:
    """What each process is told, in the order of their numbers.

    Args:
        cards: of all, in that order.
        partitions: how many recovery partitions to make where there are none; 0 where they are not ours.

    Raises:
        Unfit: something differs, or partitions are missing or there twice.
    """
    for card in cards:
        _compare(cards[0], card)
    create = _partitions(cards, partitions)
    alerts = tuple(entry for card in cards for entry in card.alerts)
    watched = _watched(cards)
    return [Agreed(create[card.process], alerts, watched) for card in cards]


def _compare(first: Card, other: Card) -> None:
    if other.processes != first.processes:
        raise Unfit(
            f"process {other.process} was told of {other.processes} processes and process "
            f"{first.process} of {first.processes}; give all the same --addresses"
        )
    for name, value in first.same.items():
        if other.same.get(name) != value:
            raise Unfit(
                f"process {other.process} has {name} {other.same.get(name)} and process {first.process} "
                f"has {value}; start all processes with the same"
            )


def _partitions(cards: Sequence[Card], wanted: int) -> list[tuple[int, ...]]:
    """Those that each process makes."""
    if not wanted:
        return [() for _ in cards]
    counts = {card.count for card in cards if card.count}
    if not counts:
        if wanted < len(cards):
            raise Unfit(
                f"{wanted} recovery partitions for {len(cards)} processes: state would be saved by some of "
                f"them only; begin with --recovery-partitions {len(cards)} or more"
            )
        return [tuple(range(card.process, wanted, len(cards))) for card in cards]
    if len(counts) > 1:
        raise Unfit(
            f"the recovery partitions are of different stores, of {min(counts)} and of {max(counts)} "
            "partitions; a data directory is of another cluster: move it away"
        )
    holders: dict[int, list[int]] = {}
    for card in cards:
        for number in card.partitions:
            holders.setdefault(number, []).append(card.process)
    twice = {number: who for number, who in holders.items() if len(who) > 1}
    if twice:
        number, who = next(iter(twice.items()))
        raise Unfit(
            f"recovery partition {number} is in the data directories of processes {_and(who)}; move the "
            "older one away"
        )
    count = counts.pop()
    missing = [number for number in range(count) if number not in holders]
    if missing:
        raise Unfit(
            f"recovery partitions {_and(missing)} of {count} are in no process's data directory; copy "
            "recovery/part-N.sqlite3 of the process that had them into the recovery directory of any "
            "process (docs/cluster.md, To change the number of processes)"
        )
    return [() for _ in cards]


def _watched(cards: Sequence[Card]) -> dict[str, Plain]:
    """The earliest of each objective, as it counts now: all count the same."""
    found: dict[str, Plain] = {}
    for card in cards:
        for objective, entry in card.watched.items():
            known = found.get(objective)
            if known is None or entry["since_ns"] < known["since_ns"]:
                found[objective] = dict(entry)
    return found


def _and(numbers: Sequence[int]) -> str:
    texts = [str(number) for number in numbers]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
