"""The Grafana dashboards in deploy/grafana/, made of pages: what they show is data, `_kit` draws it.

Write them anew with `python -m scripts.dashboards`.
"""

from scripts.dashboards import anomalies, costs, engine, llm, slos
from scripts.dashboards._page import Page

PAGES: tuple[Page, ...] = (llm.PAGE, slos.PAGE, costs.PAGE, anomalies.PAGE, engine.PAGE)
