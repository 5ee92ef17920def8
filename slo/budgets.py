"""From the YAML form of a cost budget to the domain's `Objective`, whose counts are money and calls."""

from dataclasses import dataclass, replace
from fractions import Fraction

from slo._fields import BUDGET_LABELS
from slo.burn import TierPlan, resolve_spend_tiers
from slo.columns import Field
from slo.compile import DEFAULT_EXPLAIN, Telling, severities
from slo.document import Path
from slo.durations import format_duration
from slo.llm import CALL, COST
from slo.model import (
    CalendarUnit,
    CalendarWindow,
    Objective,
    RollingWindow,
    Severity,
    Spend,
    SpendSli,
    label_name,
)
from slo.problems import Note, SelectorError
from slo.spec import AlertsForm, BudgetForm
from slo.traceql import Filter, Logic, parse_field, parse_filter

# A share means nothing for an amount; whatever reads it passes cost budgets over.
_NO_TARGET = Fraction(1, 2)
_UNITS: dict[str, CalendarUnit] = {
    "hour": "hour",
    "day": "day",
    "week": "week",
    "month": "month",
    "quarter": "quarter",
}
_EXPLAIN = (
    *(each for each in DEFAULT_EXPLAIN if each.name != "error.type"),
    Field("span", "feature.name"),
    Field("span", "gen_ai.prompt.name"),
    Field("span", "user.id"),
)
_TAKEN = frozenset({"alertname", "alertstate", "window", "severity", "consumed", *BUDGET_LABELS})


@dataclass(slots=True)
class BudgetCompiler(Telling):
    """Compiles the cost budgets of one document."""

    def compile(self, form: BudgetForm, at: Path) -> Objective | None:
        """The objective of the budget at a path of the document; None where it has problems."""
        before = len(self.problems)
        by = self._by(form, at)
        plans = self.plans(form.alerts, (*at, "alerts"))
        window = self._window(form, at)
        if form.overrides and len(form.by) != 1:
            self.tell(
                (*at, "overrides"),
                f"overrides with {len(form.by) or 'no'} attributes in by",
                "write by with one attribute, whose values they name",
                key=True,
            )
        if len(self.problems) > before:
            return None
        levels = tuple(sorted(set(form.warn)))
        objective = Objective(
            service=self.head.service,
            name=form.name,
            target=_NO_TARGET,
            window=window,
            sli=SpendSli(self._calls(form, at), COST),
            by=by,
            by_names=tuple(form.by),
            evidence=None,
            explain=_EXPLAIN if form.explain is None else tuple(dict.fromkeys(form.explain)),
            labels={**self.head.labels, **form.labels}
            | ({"alertname": form.alerts.name} if form.alerts.name else {}),
            annotations={**self.head.annotations, **form.annotations},
            alert_labels={s: dict(a.labels) for s, a in severities(form.alerts) if a.labels},
            alert_annotations={
                s: dict(a.annotations) for s, a in severities(form.alerts) if a.annotations
            },
        )
        tiers, fixed, sentences = resolve_spend_tiers(objective.period, plans)
        self._note(objective, plans, sentences, at)
        self.check_labels(objective, at)
        self._check_own(at)
        spend = Spend(
            amount=form.dollars,
            overrides={(value,): amount for value, amount in form.overrides.items()},
            levels=levels,
            severities=tuple(_severity(level, form.alerts) for level in levels),
            fixed=fixed,
        )
        return None if len(self.problems) > before else replace(objective, tiers=tiers, spend=spend)

    def _calls(self, form: BudgetForm, at: Path) -> Filter:
        """The spans that are paid: whatever is selected, only those that stand for a model call."""
        if form.spans is None:
            own = parse_filter(f'{{ resource.service.name = "{self.head.service}" }}')
        else:
            own = form.spans
            for caution in own.cautions:
                position = self.document.position((*at, "spans"), caution.position)
                self.notes.append(Note(self.path, position, caution.text))
        call = parse_filter(f"{{ {CALL} = true }}")
        text = f"{call.text} && {own.text}"
        return Filter(Logic("&&", (call.expression, own.expression)), text)

    def _by(self, form: BudgetForm, at: Path) -> tuple[Field, ...]:
        fields: list[Field] = []
        labels: dict[str, str] = {}
        for i, name in enumerate(form.by):
            here = (*at, "by", i)
            try:
                group = parse_field(name)
            except SelectorError as error:
                self.tell(here, error.message, error.mend)
                continue
            label = label_name(group.name)
            if label in _TAKEN or label.startswith("__"):
                self.tell(here, f"the label {label} is Burnline's own", "group by something else")
            elif label in labels:
                self.tell(
                    here, f"{name} and {labels[label]} both become the label {label}", "keep one"
                )
            labels[label] = name
            fields.append(group)
        return tuple(fields)

    def _window(self, form: BudgetForm, at: Path) -> RollingWindow | CalendarWindow:
        if isinstance(form.per, str):
            return CalendarWindow(_UNITS[form.per], form.time_zone)
        if (*at, "time_zone") in self.document.keys:
            self.tell(
                (*at, "time_zone"),
                f"a time zone with the rolling period {format_duration(form.per)}",
                "remove it, or write per: day, week or month",
                key=True,
            )
        return RollingWindow(form.per)

    def _check_own(self, at: Path) -> None:
        for path, names in self._label_maps(at):
            for name in names:
                if name in BUDGET_LABELS:
                    self.tell(
                        (*path, name),
                        f"the label {name} is Burnline's own",
                        "choose another name",
                        key=True,
                    )

    def _note(
        self, objective: Objective, plans: list[TierPlan], sentences: tuple[str, ...], at: Path
    ) -> None:
        where = (*at, "alerts", "tiers")
        written = [s for s in sentences if (*where, s.split()[1]) in self.document.keys]
        for sentence in written:
            position = self.document.keys[*where, sentence.split()[1]]
            self.notes.append(Note(self.path, position, f"{objective.id}: {sentence}"))
        position = self.document.keys.get((*at, "per")) or self.document.position(at)
        off = [s for s in sentences if s not in written]
        for sentence in off:
            self.notes.append(Note(self.path, position, f"{objective.id}: {sentence}"))
        if plans and len(off) == len(plans):
            text = f"{objective.id}: no tier is left, so no burn rate alerts; write alerts.tiers"
            self.notes.append(Note(self.path, position, text))


def _severity(level: Fraction, alerts: AlertsForm) -> Severity | None:
    """A page once the money is gone, a ticket before; the other where one is off."""
    if level >= 1 and alerts.page != "off":
        return "page"
    return None if alerts.ticket == "off" else "ticket"
