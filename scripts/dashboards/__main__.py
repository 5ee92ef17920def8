"""Writes deploy/grafana/burnline-*.json: `python -m scripts.dashboards`."""

from pathlib import Path

from scripts.dashboards import PAGES
from scripts.dashboards._kit import drawn

FOLDER = Path(__file__).parents[2] / "deploy" / "grafana"

for page in PAGES:
    (FOLDER / f"{page.uid}.json").write_text(drawn(page))
