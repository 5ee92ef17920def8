"""The terminal's view: objectives, budgets, burn rates, what fires and which slice burns.

Made from `Decision`s alone, as every sink is.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from slo.decision import Alert, Decision, SeriesKey, SliceCount, budget_remaining
from slo.durations import format_duration
from slo.model import Objective

WIDE = 100
NARROW_WINDOWS = (300, 3600, 21600)
WIDE_WINDOWS = (300, 1800, 3600, 21600, 86400)
MOST_GROUPS = 8
MOST_ALERTS = 4
_STYLES = {"page": "bold white on red", "ticket": "bold black on yellow", "info": "bold cyan"}
_ORDER = {"page": 0, "ticket": 1, "info": 2}


@dataclass(frozen=True, slots=True)
class Scene:
    """What the view shows beside the decisions.

    Attributes:
        now: Unix seconds.
        status: what is happening, in a line.
        story: what was made to fail, empty before.
        notes: further lines, such as what is missing on this machine.
        links: (name, address) of what a browser can open.
        page: the labels of the page as Alertmanager has it, None while it has none.
        page_at: Unix seconds at which it was first listed.
    """

    now: float
    status: str
    story: str = ""
    notes: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    page: Mapping[str, str] | None = None
    page_at: float | None = None


def show(
    objectives: Sequence[Objective], decisions: Iterable[Decision], scene: Scene, width: int
) -> RenderableType:
    """The whole view.

    Args:
        objectives: in the order in which they are shown.
        decisions: the newest of every shard.
        scene: all else.
        width: of the terminal, in columns; from `WIDE` on there are more windows.
    """
    decisions = list(decisions)
    by_id = {o.id: o for o in objectives}
    alerts = [alert for d in decisions for alert in d.alerts if alert.series.objective in by_id]
    parts: list[RenderableType] = [_head(scene), _table(objectives, decisions, alerts, width)]
    parts.extend(_alerts(alerts, by_id, scene.now))
    if scene.page is not None:
        parts.append(_page(scene.page, scene.page_at))
    parts.extend(_links(scene.links, width))
    parts.append(Text("Ctrl-C stops the demo and removes what it made.", style="dim"))
    return Group(*parts)


def _head(scene: Scene) -> Text:
    text = Text()
    text.append("Burnline demo", style="bold")
    text.append(f"  {clock_text(scene.now)}  {scene.status}")
    for note in scene.notes:
        text.append(f"\n{note}", style="dim")
    if scene.story:
        text.append(f"\n{scene.story}", style="magenta")
    return text


def _table(
    objectives: Sequence[Objective],
    decisions: Sequence[Decision],
    alerts: Sequence[Alert],
    width: int,
) -> Table:
    windows = WIDE_WINDOWS if width >= WIDE else NARROW_WINDOWS
    table = Table(box=None, padding=(0, 1), pad_edge=False, expand=False)
    # Where the terminal is narrow the names give way, the figures do not.
    table.add_column("SLO", no_wrap=True, overflow="ellipsis", min_width=12)
    names = [format_duration(window) for window in windows]
    names[0] = f"burn {names[0]}"
    left = "budget left" if width >= WIDE else "budget"
    for heading, least in (("target", 6), ("SLI", 8), (left, 6), *((name, 5) for name in names)):
        table.add_column(heading, justify="right", no_wrap=True, min_width=least)
    table.add_column("", no_wrap=True, min_width=6)
    worst: dict[SeriesKey, str] = {}
    for alert in sorted(alerts, key=lambda a: -_ORDER[a.severity]):
        worst[alert.series] = alert.severity
    rows = {key: (d, row) for d in decisions for row, key in enumerate(d.series)}
    for objective in objectives:
        # A grouped objective without traffic has no group yet, only its name to show.
        keys = [key for key in rows if key.objective == objective.id]
        own = [key for key in keys if (key.group is None) == bool(objective.by)]
        table.add_row(*_cells(objective, own[:1], rows, windows, worst, objective.name))
        groups = sorted(
            (key for key in keys if key.group), key=lambda key: (_left(objective, *rows[key]), key)
        )
        for key in groups[:MOST_GROUPS]:
            name = "  " + " ".join(_plain(value) or "(none)" for value in key.group or ())
            table.add_row(*_cells(objective, [key], rows, windows, worst, name, part=True))
        if len(groups) > MOST_GROUPS:
            table.add_row(Text(f"  and {len(groups) - MOST_GROUPS} more", style="dim"))
    return table


def _cells(
    objective: Objective,
    keys: Sequence[SeriesKey],
    rows: Mapping[SeriesKey, tuple[Decision, int]],
    windows: Sequence[int],
    worst: Mapping[SeriesKey, str],
    name: str,
    *,
    part: bool = False,
) -> list[Text]:
    target = "" if part else f"{float(100 * objective.target):g} %"
    cells = [Text(name), Text(target)]
    if not keys:
        return [*cells, *(Text("-", style="dim") for _ in range(2 + len(windows))), Text("idle")]
    decision, row = rows[keys[0]]
    bad, total = decision.period[row].tolist()
    left = budget_remaining(objective.target, bad, total)
    cells.append(Text(f"{1 - bad / total:.3%}" if total else "-"))
    cells.append(Text(f"{left:.0%}", style="bold red" if left <= 0 else ""))
    cells.extend(_burn(objective, decision, row, window) for window in windows)
    severity = worst.get(keys[0])
    frozen = "frozen" if decision.frozen[row] else ""
    cells.append(Text(severity.upper(), style=_STYLES[severity]) if severity else Text(frozen))
    return cells


def _left(objective: Objective, decision: Decision, row: int) -> float:
    bad, total = decision.period[row].tolist()
    return budget_remaining(objective.target, bad, total)


def _burn(objective: Objective, decision: Decision, row: int, window: int) -> Text:
    if window not in decision.windows:
        return Text("-", style="dim")
    column = decision.windows.index(window)
    bad, total = int(decision.bad[row, column]), int(decision.total[row, column])
    if not total:
        return Text("-", style="dim")
    rate = float(Fraction(bad, total) / (1 - objective.target))
    return Text(f"{rate:.2f}" if rate < 10 else f"{rate:.1f}", style=_heat(rate, objective))


def _heat(rate: float, objective: Objective) -> str:
    if rate > min((float(t.factor) for t in objective.tiers if t.severity == "page"), default=1e9):
        return "bold red"
    return "yellow" if rate > 1 else "green"


def _alerts(
    alerts: Sequence[Alert], objectives: Mapping[str, Objective], now: float
) -> list[RenderableType]:
    if not alerts:
        return [Text("nothing fires", style="green")]
    # Of the levels of a budget that are reached the highest says it all.
    highest = {a.series: a for a in sorted(alerts, key=lambda a: a.consumed or 0.0)}
    told = [a for a in alerts if a.kind != "budget" or a is highest[a.series]]
    ordered = sorted(told, key=lambda a: (_ORDER[a.severity], a.starts_at, a.series))
    lines: list[RenderableType] = []
    for alert in ordered[:MOST_ALERTS]:
        objective = objectives[alert.series.objective]
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(f" {alert.severity.upper()} ", style=_STYLES[alert.severity])
        group = "".join(f" {_plain(value)}" for value in alert.series.group or ())
        text.append(f" {objective.name}{group}", style="bold")
        if alert.kind == "budget":
            text.append(f"  {alert.consumed or 0:.0%} of the budget is gone")
        elif alert.kind == "absent":
            text.append("  has no traffic")
        else:
            tier = f"{format_duration(alert.short)}/{format_duration(alert.long)}"
            text.append(
                f"  burns {alert.burn_short:.1f} / {alert.burn_long:.1f} in {tier}"
                f" (limit {alert.factor:g})"
            )
        text.append(f"  for {max(0, now - alert.starts_at):.0f} s")
        lines.append(text)
        if alert.slices and alert.severity == "page":
            lines.append(_slice(alert.slices[0]))
    if len(ordered) > MOST_ALERTS:
        lines.append(Text(f"and {len(ordered) - MOST_ALERTS} more alerts", style="dim"))
    return lines


def _slice(found: SliceCount) -> Text:
    names = " and ".join(f"{_short(name)} {_plain(value)}" for name, value in found.values)
    text = Text("   burning: ")
    text.append(names, style="bold red")
    text.append(f": {found.bad:,} bad of {found.total:,}, lift {found.lift:.1f}")
    return text


def _links(links: Iterable[tuple[str, str]], width: int) -> Iterator[Text]:
    """As many to a line as it holds; none is broken, or a terminal could not open it."""
    line = ""
    for name, address in links:
        link = f"{name} {address}"
        if line and len(line) + 2 + len(link) > width:
            yield Text(line, style="dim", no_wrap=True)
            line = ""
        line = f"{line}  {link}" if line else link
    if line:
        yield Text(line, style="dim", no_wrap=True)


def _short(dimension: str) -> str:
    """The word of a dimension that says most: `span.gen_ai.request.model` is a model."""
    *before, last = dimension.split(".")
    return before[-1] if before and last in ("id", "name", "type") else last


def _plain(value: str) -> str:
    """A value without what would move the terminal's cursor; it comes from outside."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in value)


def _page(labels: Mapping[str, str], at: float | None) -> Text:
    own = ("alertname", "severity", "sloth_id")
    named = " ".join(f"{name}={labels[name]}" for name in own if name in labels)
    since = f" since {clock_text(at)}" if at is not None else ""
    text = Text("Alertmanager lists the page", style="bold red")
    text.append(f"{since}: {named}", style="not bold")
    return text


def clock_text(seconds: float) -> str:
    """The time of day in UTC.

    >>> clock_text(1_700_000_000.0)
    '22:13:20 UTC'
    """
    return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M:%S UTC")
