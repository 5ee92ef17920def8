"""Own prices in YAML, with the place of whatever is wrong."""

import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

import yaml

from burnline_llm.prices._bundled import canonical
from burnline_llm.prices._entries import Entry
from burnline_llm.prices._problems import PricesError
from burnline_llm.prices._rates import KINDS, Period, Rate, rate

_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,18})?([eE]-?[0-9]{1,2})?")
_WHOLE = re.compile(r"[0-9]{1,12}")
_NAMES = ("provider", "model", "service_tier")
_KEYS = (*_NAMES, "from", "until", *KINDS, "request", "tiers", "multiplier")
_FIRST_DAY = date(1970, 1, 1)


def read_yaml(text: str, path: str) -> list[Entry]:
    """Entries of a file.

    Args:
        text: its content.
        path: its name, for messages.

    Raises:
        PricesError: something is wrong; every problem is told.
    """
    return _Reader(path).read(text)


class _Reader:
    def __init__(self, path: str) -> None:
        self.path = path
        self.problems: list[str] = []

    def read(self, text: str) -> list[Entry]:
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"
            raise PricesError(
                [f"{self.path}:{where}: no YAML: {error.problem}; mend it there"]
            ) from error
        except (yaml.YAMLError, RecursionError) as error:
            raise PricesError([f"{self.path}:1:1: no YAML: {error}; mend it"]) from error
        entries = []
        if root is None:
            self.problems.append(f"{self.path}:1:1: is empty; write `prices:` and a list")
        else:
            top = self._mapping(root, ("prices", "currency"), "of a file of prices")
            currency = top.get("currency")
            if currency is not None and currency.value != "USD":
                self._wrong(currency, "prices are in US dollars; convert them and write USD")
            if "prices" not in top:
                self._wrong(root, "holds no `prices`; write `prices:` and a list")
            for node in self._list(top.get("prices")):
                entry = self._entry(node)
                if entry is not None:
                    entries.append(entry)
        if self.problems:
            raise PricesError(self.problems)
        return entries

    def _entry(self, node: Any) -> Entry | None:  # noqa: ANN401  PyYAML's nodes have no types
        before = len(self.problems)
        values = self._mapping(node, _KEYS, "of a price")
        names = {key: self._text(values[key]) for key in _NAMES if key in values}
        since, until = self._day(values.get("from")), self._day(values.get("until"))
        if since is not None and until is not None and since >= until:
            self._wrong(
                values["until"], "is not after `from`; it is the first day without this price"
            )
        multiplier = self._number(values["multiplier"]) if "multiplier" in values else None
        priced = [key for key in values if key in KINDS or key in {"request", "tiers"}]
        if multiplier is None and not priced and len(self.problems) == before:
            self._wrong(node, "says no price; write `input` and `output`, or `multiplier`")
        if multiplier is not None and priced:
            self._wrong(values[priced[0]], "stands beside `multiplier`; write either")
        if not {"model", "provider"} & names.keys() and len(self.problems) == before:
            self._wrong(node, "names no `model` and no `provider`; name one, or write model: '*'")
        period = self._period(node, values) if priced else None
        if len(self.problems) > before:
            return None
        tier = names.get("service_tier")
        return Entry(
            place=f"{self.path}:{node.start_mark.line + 1}",
            provider=canonical(names.get("provider")),
            model=names.get("model", "*").lower(),
            tier=None if tier is None else tier.lower(),
            since=since,
            until=until,
            period=period,
            multiplier=multiplier,
        )

    def _period(self, node: Any, values: dict[str, Any]) -> Period:  # noqa: ANN401
        prices = {kind: self._number(values[kind]) for kind in KINDS if kind in values}
        if prices and not {"input", "output"} <= prices.keys():
            missing = "output" if "input" in prices else "input"
            self._wrong(node, f"has no `{missing}`; write `{missing}: 0` if those tokens are free")
        fixed = self._number(values["request"]) if "request" in values else Decimal(0)
        above: list[int] = []
        rates: list[Rate] = [rate(prices, fixed)]
        for tier in self._list(values.get("tiers")):
            inner = self._mapping(tier, ("above", *KINDS), "of a tier")
            start = inner.get("above")
            if start is None or not _WHOLE.fullmatch(str(start.value)):
                self._wrong(start or tier, "needs `above`, a whole number of input tokens")
                continue
            if above and int(start.value) <= above[-1]:
                self._wrong(start, "is not above the tier before; sort them")
            above.append(int(start.value))
            changed = {kind: self._number(inner[kind]) for kind in KINDS if kind in inner}
            rates.append(rate(prices | changed, fixed))
        return Period(tuple(above), tuple(rates))

    def _mapping(self, node: Any, keys: tuple[str, ...], what: str) -> dict[str, Any]:  # noqa: ANN401
        if not isinstance(node, yaml.MappingNode):
            self._wrong(node, f"is no mapping; write keys {what}: {', '.join(keys)}")
            return {}
        found: dict[str, Any] = {}
        for key, value in node.value:
            name = str(key.value)
            if name not in keys:
                close = get_close_matches(name, keys, 1)
                mend = f"did you mean `{close[0]}`?" if close else f"known are {', '.join(keys)}"
                self._wrong(key, f"`{name}` is no key {what}; {mend}")
            elif name in found:
                self._wrong(key, f"`{name}` stands here twice; delete one")
            else:
                found[name] = value
        return found

    def _list(self, node: Any) -> Iterator[Any]:  # noqa: ANN401
        if node is None:
            return
        if not isinstance(node, yaml.SequenceNode):
            self._wrong(node, "is no list; begin each item with `- `")
            return
        yield from node.value

    def _text(self, node: Any) -> str:  # noqa: ANN401
        if isinstance(node, yaml.ScalarNode) and node.value.strip():
            return str(node.value).strip()
        self._wrong(node, "is no name; write a text")
        return ""

    def _number(self, node: Any) -> Decimal:  # noqa: ANN401
        if isinstance(node, yaml.ScalarNode) and _NUMBER.fullmatch(node.value):
            return Decimal(node.value)
        self._wrong(node, "is no price; write dollars, such as 2.50, not negative")
        return Decimal(0)

    def _day(self, node: Any) -> int | None:  # noqa: ANN401
        if node is None:
            return None
        try:
            return (date.fromisoformat(str(node.value)) - _FIRST_DAY).days
        except ValueError:
            self._wrong(node, "is no day; write such as 2026-01-31")
            return None

    def _wrong(self, node: Any, problem: str) -> None:  # noqa: ANN401
        mark = node.start_mark
        shown = (
            f"{node.value!r} " if isinstance(node, yaml.ScalarNode) and problem[0] != "`" else ""
        )
        self.problems.append(f"{self.path}:{mark.line + 1}:{mark.column + 1}: {shown}{problem}")
