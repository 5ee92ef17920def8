"""What a dashboard shows, as data."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

RATE = "[$__rate_interval]"


class Query(NamedTuple):
    """A query, and what its lines are called.

    Attributes:
        promql: `{E}` in it selects what is chosen above the panels, and `{E,` begins a longer selector.
        legend: a template of labels.
        exemplars: show them too: points that lead to a trace.
    """

    promql: str
    legend: str = "{{instance}}"
    exemplars: bool = False


class Panel(NamedTuple):
    """A panel of lines, of one number with levels from which it has another colour, or a table."""

    title: str
    text: str
    unit: str
    queries: tuple[Query, ...]
    levels: tuple[float, ...] | None = None
    colours: tuple[str, ...] = ("green", "orange", "red")
    kind: Literal["lines", "number", "table"] = "lines"
    width: int = 8
    decimals: int | None = None
    least: float | None = 0


class Choice(NamedTuple):
    """Something to choose above the panels: the values of a label of a series."""

    name: str
    query: str
    label: str = ""


class Page(NamedTuple):
    """A dashboard.

    Attributes:
        selector: what `{E}` stands for.
        glance: single numbers, in the first line.
        rows: a title, and the panels under it.
    """

    uid: str
    title: str
    text: str
    choices: tuple[Choice, ...]
    selector: str
    glance: tuple[Panel, ...]
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]
    refresh: str = "10s"

    def chosen(self, promql: str) -> str:
        """A query with the selection put in."""
        return promql.replace("{E}", f"{{{self.selector}}}").replace("{E,", f"{{{self.selector},")

    @property
    def panels(self) -> Iterator[Panel]:
        """All of them, in order."""
        yield from self.glance
        for _, row in self.rows:
            yield from row

    @property
    def queries(self) -> list[str]:
        """All of them, with Grafana's variables in them."""
        return [self.chosen(query.promql) for panel in self.panels for query in panel.queries]


def quantiles(
    name: str,
    by: str = "",
    among: tuple[float, ...] = (0.5, 0.99),
    *,
    where: str = "{E}",
    exemplars: bool = False,
) -> tuple[Query, ...]:
    """Quantiles of a classic histogram, each of the sum of its buckets' rates."""
    labels = f"le, {by}" if by else "le"
    legend = " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(",")) if by else ""
    return tuple(
        Query(
            f"histogram_quantile({q}, sum by ({labels}) (rate({name}_bucket{where}{RATE})))",
            f"p{round(q * 100)} {legend}".strip(),
            exemplars,
        )
        for q in among
    )
