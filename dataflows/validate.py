"""`burnline validate`: what is wrong with SLO files, or what they say."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from engine.slo_files import load_paths
from slo.loading import Loaded


class Validation(NamedTuple):
    """The outcome of `burnline validate`.

    Attributes:
        exit_code: 0 when every file can be used, 1 when one has problems, 2 for wrong usage.
        lines: what goes to standard output: problems, notes and a line a file.
        errors: what goes to standard error.
    """

    exit_code: int
    lines: tuple[str, ...]
    errors: tuple[str, ...] = ()


def validate(paths: Sequence[str | Path]) -> Validation:
    """Check SLO files and directories of them; nothing is raised.

    Problems go to standard output, as with other linters, so that they can be piped on.
    """
    if not paths:
        return Validation(
            2, (), ("name at least one SLO file or directory: burnline validate PATH…",)
        )
    return _report(load_paths(paths))


def _report(loaded: Loaded) -> Validation:
    broken = {problem.path for problem in loaded.problems}
    places = [(p.path, p.position, str(p)) for p in loaded.problems]
    places += [(n.path, n.position, str(n)) for n in loaded.notes]
    lines = [line for _, _, line in sorted(places)]
    lines += [
        f"{path}: {_contents(loaded, path, count)}"
        for path, count in loaded.counts.items()
        if path not in broken
    ]
    if not loaded.problems:
        return Validation(0, tuple(lines))
    number = len(loaded.problems)
    problems = f"{number} problem{'' if number == 1 else 's'} in {len(broken)} "
    return Validation(1, tuple(lines), (problems + f"file{'' if len(broken) == 1 else 's'}",))


def _contents(loaded: Loaded, path: str, slos: int) -> str:
    """What a file holds: SLOs, and where it has such its monitors and cost budgets."""
    found = [(slos, "SLO")] if slos or path not in loaded.budgeted else []
    found += [(loaded.watched[path], "monitor")] if path in loaded.watched else []
    found += [(loaded.budgeted[path], "cost budget")] if path in loaded.budgeted else []
    return ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for count, name in found)
