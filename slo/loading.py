"""SLO files' texts to objectives and monitors: everything that is wrong in any of them is told at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from slo._fields import shown
from slo._shape import shape_problems
from slo.anomalies.compile import MonitorCompiler
from slo.anomalies.model import Monitor
from slo.anomalies.spec import MonitorForm
from slo.budgets import BudgetCompiler
from slo.compile import Compiler
from slo.document import Document, Path, read_documents
from slo.model import Objective
from slo.presets.expanding import expand, lend_places
from slo.presets.library import presets
from slo.problems import Note, Position, Problem
from slo.spec import API_VERSION, PRESET_FORMS, BudgetForm, BudgetHeadForm, HeadForm, SloForm

_F = TypeVar("_F", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of SLO files.

    Attributes:
        objectives: the SLOs and cost budgets without problems, in the order of the files.
        problems: what is wrong, by file and place. With any, the objectives should not be used.
        notes: what may surprise, by file and place.
        counts: SLOs a file, problems or not.
        monitors: what is watched for anomalies: those without problems, in the order of the files; the
            default ones where no file has `anomalies`.
        watched: monitors a file, of files that have `anomalies`.
        budgeted: cost budgets a file, of files that have any.
    """

    objectives: tuple[Objective, ...]
    problems: tuple[Problem, ...]
    notes: tuple[Note, ...]
    counts: Mapping[str, int]
    monitors: tuple[Monitor, ...] = ()
    watched: Mapping[str, int] = field(default_factory=dict)
    budgeted: Mapping[str, int] = field(default_factory=dict)


def load(texts: Mapping[str, str]) -> Loaded:
    """The objectives of SLO files.

    Args:
        texts: path (as problems shall name it) to the YAML text.

    >>> load({"a.yaml": "apiVersion: burnline/v2"}).problems[0].what
    "apiVersion is 'burnline/v2'"
    """
    loader = _Loader()
    for path, text in texts.items():
        loader.read(path, text)
    return Loaded(
        tuple(loader.objectives),
        tuple(sorted(set(loader.problems))),
        tuple(sorted(set(loader.notes))),
        loader.counts,
        tuple(loader.monitors) if loader.watched else default_monitors(),
        loader.watched,
        loader.budgeted,
    )


@cache
def default_monitors() -> tuple[Monitor, ...]:
    """What is watched where no file says what to watch: `slo/anomalies/defaults.yaml`.

    >>> [monitor.id for monitor in default_monitors()]
    ['defaults-services', 'defaults-models']
    """
    loader = _Loader()
    loader.read(
        "defaults.yaml", files("slo.anomalies").joinpath("defaults.yaml").read_text("utf-8")
    )
    if loader.problems:
        raise ValueError(f"the packaged monitors cannot be used: {loader.problems[0]}")
    return tuple(loader.monitors)


class _Loader:
    def __init__(self) -> None:
        self.objectives: list[Objective] = []
        self.problems: list[Problem] = []
        self.notes: list[Note] = []
        self.counts: dict[str, int] = {}
        self.monitors: list[Monitor] = []
        self.watched: dict[str, int] = {}
        self.budgeted: dict[str, int] = {}
        self._seen: dict[tuple[str, str], tuple[str, str, Position, str]] = {}

    def read(self, path: str, text: str) -> None:
        self.counts[path] = 0
        documents, problems = read_documents(path, text)
        self.problems.extend(problems)
        used = [document for document in documents if document.data is not None]
        if not used and not problems:
            self._tell(
                path, Position(1, 1), "the file has no SLOs", f"write apiVersion: {API_VERSION}"
            )
        for document in used:
            self._document(path, document)

    def _document(self, path: str, document: Document) -> None:
        data = document.data
        if not isinstance(data, dict):
            at = document.position(())
            self._tell(
                path, at, f"{shown(data)} instead of SLOs", f"write apiVersion: {API_VERSION}"
            )
            return
        if data.get("apiVersion") != API_VERSION:
            self._wrong_version(path, document, data)
            return
        if data.get("kind") == "CostBudget":
            self._budgets(path, document, data)
            return
        if data.get("kind") not in (None, "SLO") and "kind" in data:
            what = f"{shown(data['kind'])} is no kind of document"
            at = document.position(("kind",))
            self._tell(path, at, what, "write CostBudget, or SLO")
            return
        self._slos(path, document, data)

    def _slos(self, path: str, document: Document, data: Mapping[str, object]) -> None:
        if "budgets" in data and "kind" not in data:
            what, mend = "budgets in a document of SLOs", "write kind: CostBudget, and SLOs apart"
            self._tell(path, document.position(("budgets",)), what, mend)
            return
        if "slos" not in data and "anomalies" not in data:
            at = document.position(())
            self._tell(path, at, "slos is missing", "add slos:, or anomalies:")
        head = self._validated(path, document, (), HeadForm, data)
        usable = head is not None
        # What is below is checked without a head, too, so that all problems are told at once.
        head = head or HeadForm.model_construct(service=str(data.get("service")))
        slos, monitors = (_listed(data, key) for key in ("slos", "anomalies"))
        self.counts[path] += len(slos)
        compiler = Compiler(path, document, head, self.problems, self.notes)
        for i, slo in enumerate(slos):
            form = self._slo(path, document, ("slos", i), slo, head.service)
            if form is not None:
                self._unique(path, document, ("slos", i, "name"), head.service, form.name)
                objective = compiler.compile(form, ("slos", i))
                if objective is not None and usable:
                    self.objectives.append(objective)
        if "anomalies" in data:
            self._monitors(path, document, head, monitors, usable=usable)

    def _slo(
        self, path: str, document: Document, at: Path, slo: object, service: str
    ) -> SloForm | None:
        """An SLO's form; one that names a preset is that of what it stands for."""
        if isinstance(slo, dict) and "sli" not in slo and "preset" not in slo:
            for key in get_close_matches("preset", map(str, slo), 1, cutoff=0.7):
                position = document.keys.get((*at, key), document.position(at))
                self._tell(path, position, f"{key} is no key here", "did you mean preset?")
                return None
        if not isinstance(slo, dict) or "preset" not in slo:
            return self._validated(path, document, at, SloForm, slo)
        name = slo["preset"]
        preset = presets().get(name) if isinstance(name, str) else None
        if preset is None:
            near = get_close_matches(str(name), presets(), 1)
            mend = f"did you mean {near[0]}?" if near else f"write one of {', '.join(presets())}"
            position = document.position((*at, "preset"))
            self._tell(path, position, f"there is no preset {shown(name)}", mend)
            return None
        if self._validated(path, document, at, PRESET_FORMS[preset.name], slo) is None:
            return None
        lend_places(document, at)
        return self._validated(path, document, at, SloForm, expand(preset, slo, service))

    def _budgets(self, path: str, document: Document, data: Mapping[str, object]) -> None:
        head = self._validated(path, document, (), BudgetHeadForm, data)
        usable = head is not None
        head = head or BudgetHeadForm.model_construct(service=str(data.get("service")))
        written = _listed(data, "budgets")
        self.budgeted[path] = self.budgeted.get(path, 0) + len(written)
        compiler = BudgetCompiler(path, document, head, self.problems, self.notes)
        for i, one in enumerate(written):
            at = ("budgets", i)
            form = self._validated(path, document, at, BudgetForm, one)
            if form is not None:
                self._unique(path, document, (*at, "name"), head.service, form.name)
                objective = compiler.compile(form, at)
                if objective is not None and usable:
                    self.objectives.append(objective)

    def _monitors(
        self, path: str, document: Document, head: HeadForm, written: list[object], *, usable: bool
    ) -> None:
        self.watched[path] = self.watched.get(path, 0) + len(written)
        compiler = MonitorCompiler(
            path,
            document,
            head.service,
            head.labels,
            head.annotations,
            self.problems,
            self.notes,
        )
        for i, one in enumerate(written):
            at = ("anomalies", i)
            form = self._validated(path, document, at, MonitorForm, one)
            if form is not None:
                self._unique(path, document, (*at, "name"), head.service, form.name)
                monitor = compiler.compile(form, at)
                if monitor is not None and usable:
                    self.monitors.append(monitor)

    def _validated(
        self, path: str, document: Document, at: Path, form: type[_F], data: object
    ) -> _F | None:
        try:
            return form.model_validate(data)
        except ValidationError as error:
            self.problems.extend(shape_problems(path, document, at, form, error))
            return None

    def _unique(self, path: str, document: Document, at: Path, service: str, name: str) -> None:
        identity = f"{service}-{name}"
        kind = {"slos": "an SLO", "budgets": "a budget"}.get(str(at[0]), "a monitor")
        position = document.position(at)
        # An SLO and a budget of one name would be one objective.
        room = "monitor" if at[0] == "anomalies" else "objective"
        told = (path, f"{service}/{name}", position, kind)
        first = self._seen.setdefault((room, identity), told)
        if first[2] is position:
            return
        place = f"{first[0]}:{first[2].line}"
        if first[1] == f"{service}/{name}":
            what = f"{service} has {first[3]} {name} already ({place})"
        else:
            what = f"{service} with {name} gives the id {identity}, as {first[1]} does ({place})"
        self._tell(path, position, what, "choose another name")

    def _wrong_version(self, path: str, document: Document, data: Mapping[str, object]) -> None:
        mend = f"write apiVersion: {API_VERSION}"
        if "apiVersion" in data:
            at = document.position(("apiVersion",))
            self._tell(path, at, f"apiVersion is {shown(data['apiVersion'])}", mend)
        else:
            self._tell(path, document.position(()), "apiVersion is missing", mend)

    def _tell(self, path: str, position: Position, what: str, mend: str) -> None:
        self.problems.append(Problem(path, position, what, mend))


def _listed(data: Mapping[str, object], key: str) -> list[object]:
    found = data.get(key)
    return found if isinstance(found, list) else []
