"""SLO files from disk."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from slo.document import LONGEST_TEXT
from slo.loading import Loaded, load
from slo.problems import Position, Problem

SUFFIXES = (".yaml", ".yml")


def load_paths(paths: Iterable[str | Path]) -> Loaded:
    """The objectives and monitors of files, and of every *.yaml and *.yml file below directories.

    What cannot be read is a problem like any other; nothing is raised.
    """
    texts: dict[str, str] = {}
    problems: list[Problem] = []
    for path in paths:
        try:
            files = list(_files(Path(path)))
        except OSError as error:
            problems.append(_problem(Path(path), f"cannot be read: {error.strerror}", "allow it"))
            continue
        if not files:
            problems.append(
                _problem(Path(path), "the directory has no *.yaml or *.yml file", "name another")
            )
        for file in files:
            text = _read(file)
            if isinstance(text, Problem):
                problems.append(text)
            else:
                texts[str(file)] = text
    loaded = load(texts)
    return replace(loaded, problems=tuple(sorted({*problems, *loaded.problems})))


def digest(paths: Iterable[str | Path]) -> bytes:
    """A digest of what `load_paths` would read: it differs when a name, a text or a problem does."""
    whole = hashlib.blake2b()
    for path in paths:
        try:
            found = [(str(file), str(_read(file))) for file in _files(Path(path))]
        except OSError as error:
            found = [(str(path), str(error))]
        whole.update(repr((str(path), found)).encode())
    return whole.digest()


def content_digest(paths: Iterable[str | Path]) -> str:
    """A short digest of the texts alone: the same on machines that keep the same files elsewhere."""
    texts: list[str] = []
    for path in paths:
        try:
            texts += [str(_read(file)) for file in _files(Path(path))]
        except OSError as error:
            texts.append(str(error))
    return hashlib.blake2b(repr(sorted(texts)).encode(), digest_size=6).hexdigest()


def _files(path: Path) -> Iterator[Path]:
    """The file itself, or a directory's SLO files in the order of their names.

    Names that start with a dot, and what lies in `..data` of a Kubernetes volume, are left out.
    """
    if not path.is_dir():
        yield path
        return
    for entry in sorted(path.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir() and not entry.is_symlink():
            yield from _files(entry)
        elif entry.suffix in SUFFIXES and entry.is_file():
            yield entry


def _read(path: Path) -> str | Problem:
    try:
        with path.open("rb") as file:
            data = file.read(4 * LONGEST_TEXT + 1)
    except FileNotFoundError:
        return _problem(path, "there is no such file", "check the path")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        return _problem(path, f"cannot be read: {reason}", "check the path and its permissions")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        what = f"not UTF-8 (byte 0x{data[error.start]:02x})"
        return Problem(str(path), Position(line, column), what, "save the file as UTF-8")


def _problem(path: Path, what: str, mend: str) -> Problem:
    return Problem(str(path), Position(1, 1), what, mend)
