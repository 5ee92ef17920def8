"""SLO files' texts to objectives: everything that is wrong in any of them is told at once."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from slo._fields import shown
from slo._shape import shape_problems
from slo.compile import Compiler
from slo.document import Document, Path, read_documents
from slo.model import Objective
from slo.problems import Note, Position, Problem
from slo.spec import API_VERSION, HeadForm, SloForm


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of SLO files.

    Attributes:
        objectives: the SLOs without problems, in the order of the files.
        problems: what is wrong, by file and place. With any, the objectives should not be used.
        notes: what may surprise, by file and place.
        counts: SLOs a file, problems or not.
    """

    objectives: tuple[Objective, ...]
    problems: tuple[Problem, ...]
    notes: tuple[Note, ...]
    counts: Mapping[str, int]


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
    )


class _Loader:
    def __init__(self) -> None:
        self.objectives: list[Objective] = []
        self.problems: list[Problem] = []
        self.notes: list[Note] = []
        self.counts: dict[str, int] = {}
        self._seen: dict[str, tuple[str, str, Position]] = {}

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
        slos = data.get("slos")
        slos = slos if isinstance(slos, list) else []
        self.counts[path] += len(slos)
        head = self._validated(path, document, (), HeadForm, data)
        forms = [
            (("slos", i), self._validated(path, document, ("slos", i), SloForm, slo))
            for i, slo in enumerate(slos)
        ]
        usable = isinstance(head, HeadForm)
        if not isinstance(head, HeadForm):
            # The SLOs are checked all the same, so that all problems are told at once.
            head = HeadForm.model_construct(
                service=str(data.get("service")), labels={}, annotations={}, slos=[]
            )
        compiler = Compiler(path, document, head, self.problems, self.notes)
        for slo_path, form in forms:
            if isinstance(form, SloForm):
                self._unique(path, document, (*slo_path, "name"), head.service, form.name)
                objective = compiler.compile(form, slo_path)
                if objective is not None and usable:
                    self.objectives.append(objective)

    def _validated(
        self,
        path: str,
        document: Document,
        at: Path,
        form: type[HeadForm] | type[SloForm],
        data: object,
    ) -> HeadForm | SloForm | None:
        try:
            return form.model_validate(data)
        except ValidationError as error:
            self.problems.extend(shape_problems(path, document, at, form, error))
            return None

    def _unique(self, path: str, document: Document, at: Path, service: str, name: str) -> None:
        identity = f"{service}-{name}"
        position = document.position(at)
        first = self._seen.setdefault(identity, (path, f"{service}/{name}", position))
        if first[2] is position:
            return
        place = f"{first[0]}:{first[2].line}"
        if first[1] == f"{service}/{name}":
            what = f"{service} has an SLO {name} already ({place})"
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
