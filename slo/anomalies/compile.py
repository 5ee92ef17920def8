"""From the YAML form of a monitor to the domain's `Monitor`, with what only the whole monitor shows."""

from dataclasses import dataclass, field, replace

from slo._fields import RESERVED_LABELS
from slo._forms import AlertForm
from slo.anomalies._fields import DURATION, LONGEST_FEATURE
from slo.anomalies.detector import detector_problem
from slo.anomalies.model import Detection, Feature, Monitor
from slo.anomalies.spec import FeatureForm, MonitorForm
from slo.columns import Field
from slo.document import Document, Path
from slo.durations import format_duration
from slo.model import label_name
from slo.problems import Note, Problem, SelectorError
from slo.promql import MetricSelector
from slo.traceql import Filter, parse_field

# Labels that series and alerts have beside the group's own.
_OWN_LABELS = frozenset({"alertname", "monitor", "feature", "service", *RESERVED_LABELS})
_PER = {1: "s", 60: "min", 3600: "h", 86400: "d"}
_SOURCES = ("rate", "errors", "of", "sum", "mean", "metric")
# A false alarm in every so-many-th interval is no alarm.
_INTERVALS_A_FALSE_ALARM = 10


@dataclass(slots=True)
class MonitorCompiler:
    """Compiles the monitors of one document; `problems` and `notes` collect what there is to say.

    Args:
        path: the file.
        document: its document.
        service: that the document is for.
        labels: of the document.
        annotations: of the document.
    """

    path: str
    document: Document
    service: str
    labels: dict[str, str]
    annotations: dict[str, str]
    problems: list[Problem] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def compile(self, form: MonitorForm, at: Path) -> Monitor | None:
        """The monitor at a path of the document; None where it has problems."""
        before = len(self.problems)
        features = self._features(form, at)
        by = self._by(form, at)
        self._check_detector(form, at)
        self._check_false_alarms(form, at)
        alerts = form.alerts if isinstance(form.alerts, AlertForm) else AlertForm()
        self._check_labels(by, alerts, at)
        self._caution(form.spans, (*at, "spans"))
        if len(self.problems) > before:
            return None
        return Monitor(
            service=self.service,
            name=form.name,
            spans=form.spans,
            features=features,
            by=by,
            by_names=tuple(form.by),
            every=form.every,
            false_alarms=form.false_alarms,
            detection=Detection(form.detector, form.parameters, form.together),
            severity=form.severity,
            labels={**self.labels, **alerts.labels},
            annotations={**self.annotations, **alerts.annotations},
            alerts=form.alerts != "off",
        )

    def _tell(self, at: Path, what: str, mend: str, *, key: bool = False) -> None:
        position = self.document.keys.get(at) if key else None
        self.problems.append(Problem(self.path, position or self.document.position(at), what, mend))

    def _features(self, form: MonitorForm, at: Path) -> tuple[Feature, ...]:
        features: dict[str, Feature] = {}
        for i, written in enumerate(form.watch):
            here = (*at, "watch", i)
            feature = self._feature(form, written, here)
            if feature is None:
                continue
            if feature.name in features:
                self._tell(here, f"a second feature {feature.name}", "give one of them a name:")
            if isinstance(written, FeatureForm):
                self._caution(written.errors, (*here, "errors"))
                self._caution(written.rate, (*here, "rate"))
            features[feature.name] = feature
        return tuple(features.values())

    def _feature(self, form: MonitorForm, written: FeatureForm | str, at: Path) -> Feature | None:
        if isinstance(written, str):
            source, given = written, FeatureForm()
        else:
            sources = [name for name in _SOURCES if getattr(written, name) is not None]
            if len(sources) != 1:
                self._tell(
                    at,
                    f"a feature with {' and '.join(sources) or 'nothing to measure'}",
                    f"give it one of {', '.join(_SOURCES)}",
                )
                return None
            source, given = sources[0], written
        if not self._fits(form, source, given, at):
            return None
        feature = _feature(source, given)
        if len(feature.name) > LONGEST_FEATURE or not feature.name:
            self._tell(at, "a feature without a name that fits", "give it a name:")
            return None
        return feature

    def _fits(self, form: MonitorForm, source: str, given: FeatureForm, at: Path) -> bool:
        before = len(self.problems)
        if form.spans is None and source != "metric":
            self._tell(
                at, f"{source} needs spans", "add spans: to the monitor, or write {metric: ...}"
            )
        if form.spans is not None and source == "metric":
            self._tell(
                at, "a metric beside spans", "put it into a monitor of its own, without spans:"
            )
        if source == "of" and given.quantile is None:
            self._tell(at, "quantile is missing", "add quantile:, such as 95")
        if given.quantile is not None and source not in ("of", "metric"):
            self._tell(
                (*at, "quantile"), f"quantile beside {source}", "write of: instead", key=True
            )
        counted = source in ("rate", "sum") or (source == "metric" and given.quantile is None)
        if given.per != 1 and not counted:
            self._tell(
                (*at, "per"), f"per beside {source}", "remove it: it is no rate or sum", key=True
            )
        if source == "rate" and given.rate is not None and given.name is None:
            self._tell(at, "a rate of some events without a name", "give it a name:")
        return len(self.problems) == before

    def _by(self, form: MonitorForm, at: Path) -> tuple[Field, ...]:
        fields: list[Field] = []
        labels: dict[str, str] = {}
        for i, name in enumerate(form.by):
            here = (*at, "by", i)
            try:
                group = Field("span", name) if form.spans is None else parse_field(name)
            except SelectorError as error:
                self._tell(here, error.message, error.mend)
                continue
            label = label_name(group.name)
            if label in _OWN_LABELS or label.startswith("__"):
                self._tell(here, f"the label {label} is Burnline's own", "group by something else")
            elif label in labels:
                self._tell(
                    here, f"{name} and {labels[label]} both become the label {label}", "keep one"
                )
            labels[label] = name
            fields.append(group)
        return tuple(fields)

    def _check_detector(self, form: MonitorForm, at: Path) -> None:
        problem = detector_problem(form.detector, form.parameters)
        if problem is not None:
            named = detector_problem(form.detector, {}) is None
            self._tell((*at, "parameters" if named else "detector"), *problem)
        elif form.together and form.detector == "default":
            self._tell(
                (*at, "together"),
                "together needs a detector of river",
                "name one, such as detector: river.anomaly.HalfSpaceTrees",
                key=True,
            )

    def _check_false_alarms(self, form: MonitorForm, at: Path) -> None:
        if form.false_alarms * form.every * _INTERVALS_A_FALSE_ALARM > 1:
            self._tell(
                (*at, "false_alarms"),
                f"more than one false alarm in {_INTERVALS_A_FALSE_ALARM} intervals of "
                f"{format_duration(form.every)}",
                "write fewer, such as 1 per week, or a shorter every:",
            )

    def _check_labels(self, by: tuple[Field, ...], alerts: AlertForm, at: Path) -> None:
        groups = {label_name(one.name) for one in by}
        for name in {*self.labels, *alerts.labels} & {*groups, *_OWN_LABELS}:
            place = (*at, "alerts", "labels", name) if name in alerts.labels else ("labels", name)
            what = "also a group in by" if name in groups else "Burnline's own"
            self._tell(place, f"the label {name} is {what}", "choose another name", key=True)

    def _caution(self, which: Filter | None, at: Path) -> None:
        for caution in which.cautions if which else ():
            position = self.document.position(at, caution.position)
            self.notes.append(Note(self.path, position, caution.text))


def _feature(source: str, given: FeatureForm) -> Feature:
    """The feature of a form that has been checked."""
    match source:
        case "rate":
            name, unit = "rate", f"1/{_per(given.per)}"
            made = Feature(name, "rate", bad=given.rate, unit=unit, per=given.per)
        case "errors":
            made = Feature("errors", "errors", bad=given.errors)
        case "of":
            share = given.quantile or 0.0
            name = f"{_percentile(share)}_{_short(given.of)}"
            made = Feature(name, "quantile", of=given.of, quantile=share, unit=_unit(given.of))
        case "sum":
            unit = f"{_unit(given.sum) or 1}/{_per(given.per)}"
            made = Feature(
                f"sum_{_short(given.sum)}", "sum", of=given.sum, unit=unit, per=given.per
            )
        case "mean":
            made = Feature(
                f"mean_{_short(given.mean)}", "mean", of=given.mean, unit=_unit(given.mean)
            )
        case _:
            name = _metric_name(given.metric)
            if given.quantile is not None:
                name = f"{_percentile(given.quantile)}_{name}"
            made = Feature(
                name, "metric", selector=given.metric, quantile=given.quantile, per=given.per
            )
    return replace(made, name=given.name or made.name, unit=given.unit or made.unit)


def _per(seconds: int) -> str:
    return _PER.get(seconds) or format_duration(seconds)


def _percentile(share: float) -> str:
    return "p" + f"{share * 100:.6g}".replace(".", "_")


def _short(which: Field | None) -> str:
    return "" if which is None else label_name(which.name.rpartition(".")[2] or which.name)


def _unit(which: Field | None) -> str:
    if which is None:
        return ""
    if which == DURATION or which.name.endswith(("time_to_first_chunk", "_seconds")):
        return "s"
    if which.name.endswith(("_tokens", ".tokens")):
        return "tokens"
    return "USD" if which.name == "burnline.cost.usd" else ""


def _metric_name(selector: MetricSelector | None) -> str:
    for matcher in selector.names if selector else ():
        if matcher.operator == "=":
            return label_name(matcher.value)
    return ""
