"""Which columns of a series' file hold the time and the value."""

import re
from typing import Final

from engine.recordings._series_lines import BadSeries
from engine.recordings._timestamps import form_of

TIME_NAMES: Final = ("timestamp", "time", "ts", "date", "datetime")
_MOST_SHOWN = 200


def separator(head: str) -> str:
    """That of the columns: the one that stands most often in the header, outside quotes."""
    bare = re.sub(r'"[^"]*"', "", head)
    return max(",;\t", key=bare.count)


def find(columns: list[str], wanted: tuple[str, ...], what: str, place: str) -> int:
    """The place of the one column that has a wanted name; the first name goes before the others.

    Args:
        columns: the header.
        wanted: names, in upper or lower case.
        what: `time` or `value`.
        place: of the header, `path:line`.

    Raises:
        BadSeries: there is none, or more than one.
    """
    lowered = [column.lower() for column in columns]
    names = {name.lower() for name in wanted}
    if wanted[0].lower() in lowered:
        names = {wanted[0].lower()}
    places = [number for number, name in enumerate(lowered) if name in names]
    if len(places) == 1:
        return places[0]
    raise BadSeries(f"{place}: {_problem(columns, wanted, what, places)}")


def _problem(columns: list[str], wanted: tuple[str, ...], what: str, places: list[int]) -> str:
    shown = ", ".join(columns)
    if len(shown) > _MOST_SHOWN:
        shown = f"{shown[:_MOST_SHOWN]}..."
    if _looks_like_data(columns):
        return f"no names of columns ({shown}); write a first line: timestamp,value"
    if places:
        found = ", ".join(columns[number] for number in places)
        return (
            f"more than one column of {what} ({found}); "
            f"rename all but one, or choose with --{what}-column"
        )
    return (
        f"no column {' or '.join(wanted)} among {shown}; "
        f"rename one, or name it with --{what}-column"
    )


def _looks_like_data(columns: list[str]) -> bool:
    try:
        form_of(columns[0])
    except ValueError:
        return False
    return True
