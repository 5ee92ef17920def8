"""The dashboards: made as they stand, complete, of queries that Prometheus can read, leading to traces."""

import json
from pathlib import Path
from typing import Any

import promql_parser
import pytest

from scripts.dashboards import PAGES
from scripts.dashboards._kit import drawn
from scripts.dashboards._page import Page

FOLDER = Path(__file__).parents[2] / "deploy" / "grafana"
by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.uid)


@by_page
def test_the_committed_dashboard_is_the_one_that_is_made(page: Page) -> None:
    assert (FOLDER / f"{page.uid}.json").read_text() == drawn(page), (
        "write them anew: python -m scripts.dashboards"
    )


def test_nothing_else_is_committed() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == {page.uid for page in PAGES}


@by_page
def test_every_query_is_promql(page: Page) -> None:
    for query in page.queries:
        promql_parser.parse(query.replace("$__rate_interval", "1m"))
        assert "{E" not in query
        assert "{A}" not in query
        assert "{B}" not in query


@by_page
def test_every_panel_is_drawn(page: Page) -> None:
    panels = _panels(page)
    assert [panel["title"] for panel in panels] == [panel.title for panel in page.panels]
    drawn_queries = [target["expr"] for panel in panels for target in panel["targets"]]
    assert drawn_queries == page.queries
    for panel in panels:
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters)
        right = panel["gridPos"]["x"] + panel["gridPos"]["w"]
        assert right <= 24


@by_page
def test_every_choice_is_made_of_a_series_that_the_page_shows(page: Page) -> None:
    """And every variable in a query is a choice."""
    chosen = {choice.name for choice in page.choices}
    for query in page.queries:
        named = {part.split('"')[0] for part in query.split('"$')[1:]}
        assert named <= chosen, query


def test_latency_and_requests_lead_to_traces() -> None:
    (page,) = (page for page in PAGES if page.uid == "burnline-llm")
    led = {
        panel["title"]
        for panel in _panels(page)
        if any(target.get("exemplar") for target in panel["targets"])
    }
    assert {"Requests a second by model", "Latency", "Time to first token"} <= led


def _panels(page: Page) -> list[dict[str, Any]]:
    board = json.loads(drawn(page))
    return [panel for panel in _flat(board["panels"]) if panel["type"] != "row"]


def _flat(panels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for panel in panels for one in [panel, *_flat(panel.get("panels", []))]]
