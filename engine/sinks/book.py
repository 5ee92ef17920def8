"""The book of firing alerts: a small file, so that an alert keeps its start through any restart.

It holds those that ended a moment ago, too: whoever is killed before the end was sent tells it afterwards.
"""

import os
from collections.abc import Iterable
from math import nan
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from engine.telemetry.log import log
from slo.anomalies.decision import Incident, Member, Pairs, Reading
from slo.anomalies.messages import EntityKey, ReadingKey
from slo.decision import Alert, SeriesKey, Silence, SliceCount, Spent

_VERSION = 1


class Entry(NamedTuple):
    """An alert that fires, as it was last sent, and the shard that decides on it."""

    shard: str
    alert: Alert | Incident


def read_book(path: Path) -> list[Entry]:
    """The entries of a book; none where there is no book.

    A book that can't be read is set aside as `NAME.unreadable`: paging goes on without it.
    """
    return _read(path, "alerts")


def read_ended(path: Path) -> list[Entry]:
    """Those of a book that had ended a while before; as `read_book`."""
    return _read(path, "ended")


def _read(path: Path, section: str) -> list[Entry]:
    try:
        return _entries(orjson.loads(path.read_bytes()), section)
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        aside = path.with_name(f"{path.name}.unreadable")
        path.replace(aside)
        log.error(
            "the book of firing alerts is unreadable; set aside", path=str(aside), error=str(error)
        )
        return []


def write_book(path: Path, entries: Iterable[Entry], ended: Iterable[Entry] = ()) -> None:
    """Replace a book by another, whole or not at all.

    Raises:
        OSError: it could not be written; the old one is still there.
    """
    book = {"version": _VERSION, "alerts": _plain(entries), "ended": _plain(ended)}
    # Dataclasses are objects to orjson, at a tenth of the price of dictionaries made of them, but named
    # tuples are no tuples.
    text = orjson.dumps(book, default=list)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    with fresh.open("wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def to_plain(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """Entries as JSON has them, for other processes."""
    plain: list[dict[str, Any]] = orjson.loads(orjson.dumps(_plain(entries), default=list))
    return plain


def from_plain(plain: Iterable[dict[str, Any]]) -> list[Entry]:
    """Entries that another process of the same version wrote."""
    return [Entry(entry["shard"], _any(entry["alert"])) for entry in plain]


def _plain(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    return [{"shard": entry.shard, "alert": entry.alert} for entry in entries]


def _entries(data: dict[str, Any], section: str) -> list[Entry]:
    if data["version"] != _VERSION:
        raise ValueError(f"version {data['version']} is not {_VERSION}")
    return from_plain(data.get(section, ()))


def _any(data: dict[str, Any]) -> Alert | Incident:
    return _incident(data) if data["kind"] == "anomaly" else _alert(data)


def _alert(data: dict[str, Any]) -> Alert:
    objective, group, generation = data["series"]
    slices = tuple(
        SliceCount(tuple((name, value) for name, value in values), bad, total, lift)
        for values, bad, total, lift in data["slices"]
    )
    # Books of before there was `absent`, or cost budgets, have none.
    silence, spent = data.get("silence"), data.get("spent")
    fields = data | {
        "series": SeriesKey(objective, None if group is None else tuple(group), generation),
        "slices": slices,
        "errors": tuple((kind, count) for kind, count in data["errors"]),
        "trace_ids": tuple(data["trace_ids"]),
        "silence": None if silence is None else Silence(*silence),
        "spent": None if spent is None else Spent(*spent),
    }
    return Alert(**fields)


def _incident(data: dict[str, Any]) -> Incident:
    fields = data | {
        "labels": _pairs(data["labels"]),
        "annotations": _pairs(data["annotations"]),
        "members": tuple(_member(*member) for member in data["members"]),
        "trace_ids": tuple(data["trace_ids"]),
    }
    del fields["kind"]
    return Incident(**fields)


def _member(key: list[Any], group: list[Any], *rest: Any) -> Member:  # noqa: ANN401  as JSON has it
    (monitor, values, service, generation), feature = key
    entity = EntityKey(monitor, tuple(values), service, generation)
    unit, every, since, strangest, active, stays = rest
    # JSON has no NaN.
    reading = Reading(*(nan if number is None else number for number in strangest))
    return Member(
        ReadingKey(entity, feature), _pairs(group), unit, every, since, reading, active, stays
    )


def _pairs(pairs: list[list[str]]) -> Pairs:
    return tuple((name, value) for name, value in pairs)
