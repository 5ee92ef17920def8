"""From the YAML form of an SLO to the domain's `Objective`, with what only the whole SLO shows."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from slo._fields import RESERVED_LABELS
from slo._forms import AlertForm
from slo.burn import DEFAULT_TIERS, TierPlan, resolve_tiers
from slo.columns import Field
from slo.document import Document, Path
from slo.durations import format_duration
from slo.model import (
    Absent,
    CalendarWindow,
    CounterSli,
    HistogramSli,
    Objective,
    RollingWindow,
    Severity,
    Slices,
    SpanSli,
    Tier,
    label_name,
)
from slo.problems import Note, Problem, SelectorError
from slo.promql import MetricSelector
from slo.spec import (
    AbsentForm,
    AlertsForm,
    BudgetHeadForm,
    CalendarForm,
    HeadForm,
    MetricsForm,
    SloForm,
    SpansForm,
    TierForm,
)
from slo.traceql import Filter, parse_field

DEFAULT_EXPLAIN = tuple(
    Field("span", name)
    for name in (
        "gen_ai.request.model",
        "gen_ai.provider.name",
        "gen_ai.operation.name",
        "error.type",
        "tenant.id",
    )
)
# Labels that grouped series have beside the groups' own.
_SERIES_LABELS = frozenset({"alertname", "window", "result", *RESERVED_LABELS})


@dataclass(slots=True)
class Telling:
    """What the compilers share; `problems` and `notes` collect what there is to say."""

    path: str
    document: Document
    head: HeadForm | BudgetHeadForm
    problems: list[Problem] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def tell(self, at: Path, what: str, mend: str, *, key: bool = False) -> None:
        """Say what is wrong at a path of the document."""
        position = self.document.keys.get(at) if key else None
        self.problems.append(Problem(self.path, position or self.document.position(at), what, mend))

    def plans(self, alerts: AlertsForm, at: Path) -> list[TierPlan]:
        """The tiers wanted: the default ones, changed or switched off, and the user's own."""
        plans = {plan.name: plan for plan in DEFAULT_TIERS}
        for name, form in alerts.tiers.items():
            here = (*at, "tiers", name)
            if isinstance(form, TierForm):
                plan = self._plan(plans.get(name), name, form, here)
                if plan is not None:
                    plans[name] = plan
            elif plans.pop(name, None) is None:
                known = ", ".join(plan.name for plan in DEFAULT_TIERS)
                self.tell(
                    here,
                    f"there is no tier {name} to switch off",
                    f"write one of {known}",
                    key=True,
                )
        off = {s for s, form in (("page", alerts.page), ("ticket", alerts.ticket)) if form == "off"}
        return [plan for plan in plans.values() if plan.severity not in off]

    def _plan(self, base: TierPlan | None, name: str, form: TierForm, at: Path) -> TierPlan | None:
        if form.share is not None and form.factor is not None:
            self.tell(at, f"tier {name} has both share and factor", "keep one of the two", key=True)
            return None
        severity = form.severity or (base.severity if base else None)
        short = form.short or (base.short if base else None)
        long = form.long or (base.long if base else None)
        share, factor = form.share, form.factor
        if share is None and factor is None and base is not None:
            share = base.share
        lacking = [
            n for n, v in (("severity", severity), ("short", short), ("long", long)) if not v
        ]
        if share is None and factor is None:
            lacking.append("share")
        if severity is None or short is None or long is None or lacking:
            self.tell(
                at,
                f"tier {name} lacks {', '.join(lacking)}",
                "add them, or use the name of a default tier: "
                + ", ".join(plan.name for plan in DEFAULT_TIERS),
                key=True,
            )
            return None
        if long <= short:
            where = "long" if form.long else "short"
            self.tell(
                (*at, where),
                f"the long window ({format_duration(long)}) of tier {name} is not longer than the "
                f"short one ({format_duration(short)})",
                "write a long window of several times the short one",
            )
            return None
        return TierPlan(name, severity, short, long, share, factor, written=True)

    def check_labels(self, objective: Objective, at: Path) -> None:
        """Labels that the user gives and that groups have, too, are a problem."""
        for path, labels in self._label_maps(at):
            for name in labels:
                if name in objective.group_labels:
                    self.tell(
                        (*path, name),
                        f"the label {name} is also a group in by",
                        "remove it, or group by something else",
                        key=True,
                    )

    def _label_maps(self, at: Path) -> Iterator[tuple[Path, list[str]]]:
        for path in (
            ("labels",),
            (*at, "labels"),
            (*at, "alerts", "page", "labels"),
            (*at, "alerts", "ticket", "labels"),
        ):
            depth = len(path)
            yield (
                path,
                [str(k[-1]) for k in self.document.keys if k[:-1] == path and len(k) > depth],
            )


@dataclass(slots=True)
class Compiler(Telling):
    """Compiles the SLOs of one document."""

    def compile(self, form: SloForm, at: Path) -> Objective | None:
        """The objective of the SLO at a path of the document; None where it has problems."""
        before = len(self.problems)
        sli = self._sli(form, (*at, "sli"))
        by = self._by(form, at)
        explain = self._explain(form, at)
        window = _window(form)
        plans = self.plans(form.alerts, (*at, "alerts"))
        self._check_slices(form, at)
        if len(self.problems) > before or sli is None:
            return None
        alerts = form.alerts
        objective = Objective(
            service=self.head.service,
            name=form.name,
            target=form.objective,
            window=window,
            sli=sli,
            slices=Slices(form.sli.slices.length, form.sli.slices.target)
            if form.sli.slices
            else None,
            by=by,
            by_names=tuple(form.by),
            evidence=form.evidence,
            explain=explain,
            labels={**self.head.labels, **form.labels}
            | ({"alertname": alerts.name} if alerts.name else {}),
            annotations={**self.head.annotations, **form.annotations},
            alert_labels={s: dict(a.labels) for s, a in severities(alerts) if a.labels},
            alert_annotations={
                s: dict(a.annotations) for s, a in severities(alerts) if a.annotations
            },
            absent=_absent(form),
        )
        tiers = self._tiers(objective, plans, at)
        self.check_labels(objective, at)
        self._caution(form, at)
        return None if len(self.problems) > before else replace(objective, tiers=tiers)

    def _sli(self, form: SloForm, at: Path) -> SpanSli | CounterSli | HistogramSli | None:
        spans, metrics = form.sli.spans, form.sli.metrics
        if (spans is None) == (metrics is None):
            what = "both spans and metrics" if spans else "neither spans nor metrics"
            self.tell(at, f"sli has {what}", "give it one of the two")
            return None
        if spans is not None:
            return self._spans(spans, (*at, "spans"))
        return None if metrics is None else self._metrics(metrics, (*at, "metrics"))

    def _spans(self, form: SpansForm, at: Path) -> SpanSli | None:
        if not self._either(form.bad, form.good, at):
            return None
        return SpanSli(form.total, form.bad, form.good)

    def _metrics(self, form: MetricsForm, at: Path) -> CounterSli | HistogramSli | None:
        if form.histogram is not None or form.above is not None:
            extra = [n for n in ("total", "bad", "good") if getattr(form, n) is not None]
            for name in extra:
                self.tell(
                    (*at, name), f"{name} beside a histogram", "keep histogram and above", key=True
                )
            if form.histogram is None:
                self.tell(
                    at, "histogram is missing", "add histogram:, the metric that above splits"
                )
            elif form.above is None:
                self.tell(at, "above is missing", "add above:, the bound over which events are bad")
            elif not extra:
                return HistogramSli(form.histogram, form.above)
            return None
        if form.total is None:
            self.tell(at, "total is missing", "add total:, the counter of all events")
        fine = self._either(form.bad, form.good, at)
        if form.total is None or not fine:
            return None
        return CounterSli(form.total, form.bad, form.good)

    def _either(
        self,
        bad: Filter | MetricSelector | None,
        good: Filter | MetricSelector | None,
        at: Path,
    ) -> bool:
        if bad is None and good is None:
            self.tell(at, "neither bad nor good is given", "add bad:, the events that burn budget")
        elif bad is not None and good is not None:
            self.tell((*at, "good"), "both bad and good are given", "keep one of the two", key=True)
        return (bad is None) != (good is None)

    def _by(self, form: SloForm, at: Path) -> tuple[Field, ...]:
        """The fields of `by`; for metrics the label's name in a field whose scope says nothing."""
        fields: list[Field] = []
        labels: dict[str, str] = {}
        for i, name in enumerate(form.by):
            here = (*at, "by", i)
            try:
                group = Field("span", name) if form.sli.metrics else parse_field(name)
            except SelectorError as error:
                self.tell(here, error.message, error.mend)
                continue
            label = label_name(group.name)
            if label in _SERIES_LABELS or label.startswith(("sloth_", "__")):
                self.tell(here, f"the label {label} is Burnline's own", "group by something else")
            elif label in labels:
                self.tell(
                    here, f"{name} and {labels[label]} both become the label {label}", "keep one"
                )
            labels[label] = name
            fields.append(group)
        return tuple(fields)

    def _explain(self, form: SloForm, at: Path) -> tuple[Field, ...]:
        if form.sli.metrics is not None:
            if form.explain:
                self.tell((*at, "explain"), "explain needs spans", "remove it", key=True)
            return ()
        if form.explain is None:
            return DEFAULT_EXPLAIN
        return tuple(dict.fromkeys(form.explain))

    def _check_slices(self, form: SloForm, at: Path) -> None:
        slices = form.sli.slices
        if slices and isinstance(form.window, int) and form.window < 60 * slices.length:
            self.tell(
                (*at, "sli", "slices"),
                f"a window of {format_duration(form.window)} holds too few slices of "
                f"{format_duration(slices.length)}",
                "write shorter slices or a longer window, of 60 slices at least",
            )

    def _tiers(self, objective: Objective, plans: list[TierPlan], at: Path) -> tuple[Tier, ...]:
        tiers, sentences = resolve_tiers(objective.target, objective.period, plans)
        where = (*at, "alerts", "tiers")
        for sentence in sentences:
            name = sentence.split()[1]
            position = self.document.keys.get((*where, name)) or self.document.position(
                (*at, "objective")
            )
            self.notes.append(Note(self.path, position, f"{objective.id}: {sentence}"))
        if plans and not tiers:
            position = self.document.position((*at, "objective"))
            text = f"{objective.id}: no tier is left, so no burn rate alerts; write alerts.tiers"
            self.notes.append(Note(self.path, position, text))
        return tiers

    def _caution(self, form: SloForm, at: Path) -> None:
        for name in ("total", "bad", "good"):
            which = getattr(form.sli.spans, name, None)
            if isinstance(which, Filter):
                for caution in which.cautions:
                    position = self.document.position((*at, "sli", "spans", name), caution.position)
                    self.notes.append(Note(self.path, position, caution.text))


def _window(form: SloForm) -> RollingWindow | CalendarWindow:
    if isinstance(form.window, CalendarForm):
        return CalendarWindow(form.window.calendar, form.window.time_zone)
    return RollingWindow(form.window)


def _absent(form: SloForm) -> Absent | None:
    if isinstance(form.absent, AbsentForm):
        return Absent(form.absent.after, form.absent.severity)
    return None if form.absent is None else Absent(form.absent, "page")


def severities(alerts: AlertsForm) -> Iterator[tuple[Severity, AlertForm]]:
    """What is said of the alerts of each severity."""
    if isinstance(alerts.page, AlertForm):
        yield "page", alerts.page
    if isinstance(alerts.ticket, AlertForm):
        yield "ticket", alerts.ticket
