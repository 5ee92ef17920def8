"""The documentation says what is so: its SLO files load, its commands exist, its links lead somewhere."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest
import yaml
from burnline_llm import _setup

from dataflows.cli import main
from dataflows.options import SECRETS
from scripts import metrics_page
from slo import load

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        ROOT / "SECURITY.md",
        *(ROOT / "docs").rglob("*.md"),
    ]
)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


class Piece(NamedTuple):
    """A piece of a page: `page:line`, and its text."""

    place: str
    text: str


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _blocks(language: str) -> list[Piece]:
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in _FENCE.finditer(text):
            if match[1] == language:
                line = text.count("\n", 0, match.start(2)) + 1
                found.append(Piece(f"{_name(page)}:{line}", match[2]))
    return found


def _inline() -> Iterator[Piece]:
    for page in PAGES:
        prose = _FENCE.sub(lambda match: "\n" * match[0].count("\n"), page.read_text())
        for number, line in enumerate(prose.splitlines(), 1):
            for match in _INLINE.finditer(line):
                yield Piece(f"{_name(page)}:{number}", match[1])


def _commands() -> Iterator[Piece]:
    """What stands behind `burnline` in the blocks of commands, and in the systemd unit."""
    for block in [*_blocks(""), *_blocks("sh")]:
        for line in block.text.replace("\\\n", " ").splitlines():
            yield from _command(Piece(block.place, line.removeprefix("$ ")))
    unit = (ROOT / "deploy" / "burnline.service").read_text()
    for line in re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE):
        yield from _command(Piece("deploy/burnline.service", line))


def _command(line: Piece) -> Iterator[Piece]:
    words = shlex.split(line.text, comments=True) if "burnline" in line.text else []
    if words and Path(words[0]).name == "burnline":
        yield Piece(line.place, shlex.join(words[1:]))


def _ids(pieces: list[Piece]) -> dict[str, object]:
    return {"argvalues": pieces, "ids": [f"{p.place} {p.text.split(chr(10))[0]}" for p in pieces]}


SLO_BLOCKS = [block for block in _blocks("yaml") if "apiVersion:" in block.text]
SLI_BLOCKS = [block for block in _blocks("yaml") if re.search(r"^sli:", block.text, re.MULTILINE)]
COMMANDS = list(_commands())
INLINE_COMMANDS = [p for p in _inline() if re.match(r"burnline( |$)", p.text)]


@pytest.mark.parametrize("block", **_ids(SLO_BLOCKS))
def test_slo_files_load(block: Piece) -> None:
    loaded = load({block.place: block.text})
    assert not loaded.problems
    assert loaded.objectives or loaded.watched


@pytest.mark.parametrize("block", **_ids(SLI_BLOCKS))
def test_parts_of_slo_files_load(block: Piece) -> None:
    body = re.sub("^", "    ", block.text, flags=re.MULTILINE)
    head = "apiVersion: burnline/v1\nservice: s\nslos:\n  - name: n\n    objective: 99\n"
    assert not load({block.place: head + body}).problems


@pytest.mark.parametrize("block", **_ids(_blocks("yaml")))
def test_yaml_is_yaml(block: Piece) -> None:
    list(yaml.safe_load_all(block.text))


def test_there_is_something_to_test() -> None:
    """The tests here would also pass if they found nothing."""
    assert {piece.place.split(":")[0] for piece in SLO_BLOCKS} == {
        "README.md",
        "docs/anomalies.md",
        "docs/cost-budgets.md",
        "docs/metrics-slis.md",
        "docs/presets.md",
        "docs/slo-reference.md",
    }
    assert len(SLI_BLOCKS) >= 2
    commands = {piece.text.split()[0] for piece in COMMANDS}
    assert commands == {"validate", "run", "backtest", "demo", "detect", "price"}
    assert len(INLINE_COMMANDS) > 3


@pytest.mark.parametrize("command", **_ids(COMMANDS))
def test_shown_commands_are_taken(command: Piece, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each as it stands, its values too; the systemd unit's settings come from its environment."""
    monkeypatch.setenv("BURNLINE_SLOS", "slos")
    name, *arguments = shlex.split(command.text)
    main.commands[name].make_context(name, arguments, parent=_context())


@pytest.mark.parametrize("command", **_ids(INLINE_COMMANDS))
def test_mentioned_commands_exist(command: Piece) -> None:
    _, *words = command.text.split()
    if words and not words[0].startswith("-"):
        _parse(main.commands[words[0]], [word for word in words[1:] if word != "--help"])


def _parse(command: click.Command, arguments: list[str]) -> None:
    command.make_parser(click.Context(command, parent=_context())).parse_args(arguments)


def _context() -> click.Context:
    """As the shell has it: click keeps a command's --help as its first context named it."""
    return click.Context(main, **main.context_settings)


def test_mentioned_options_and_variables_exist() -> None:
    options, variables = {"--help", "--version"}, {*SECRETS.values(), _setup._PROFILE}
    for command in main.commands.values():
        for parameter in command.params:
            options |= {*parameter.opts, *parameter.secondary_opts}
            variables.add(str(parameter.envvar))
    mentioned = [
        (place, match)
        for place, text in [*_inline(), *_blocks("")]
        if not re.match(r"(python|pip|uv|prometheus|apt-get|docker|curl) ", text)
        for match in re.findall(r"(?<![\w-])--[a-z][a-z-]+|BURNLINE_[A-Z_]+", text)
    ]
    assert len(mentioned) > 10
    assert [m for m in mentioned if m[1] not in options | variables] == []


def test_mentioned_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    pieces = [*_inline(), *_blocks("")]
    mentioned = {
        m for _, text in pieces for m in re.findall(r"^make ([a-z-]+)", text, re.MULTILINE)
    }
    assert {"demo", "test"} <= mentioned <= targets


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    text = _FENCE.sub("", page.read_text())
    for target in _LINK.findall(text):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            there = (page.parent / path) if path else page
            assert there.exists(), f"{_name(page)} links to {target}, which is not there"
            if anchor:
                assert anchor in _anchors(there), (
                    f"{_name(page)} links to {target}: no such heading"
                )


def _anchors(page: Path) -> set[str]:
    """The anchors that a page's headings get where it is shown."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readmes_problem_is_what_validate_prints(tmp_path: Path) -> None:
    """Its own SLO file with an objective of 100 has that very problem."""
    readme = (ROOT / "README.md").read_text()
    (shown,) = re.findall(r"^\$ burnline validate slos/\n(.*)$", readme, re.MULTILINE)
    (block,) = [block for block in SLO_BLOCKS if block.place.startswith("README.md")]
    broken = block.text.replace("objective: 99.9 ", "objective: 100 ")
    assert broken != block.text
    (tmp_path / "slos").mkdir()
    (tmp_path / "slos" / "chat.yaml").write_text(broken)
    burnline = Path(sys.executable).parent / "burnline"
    ran = subprocess.run(
        [burnline, "validate", "slos/"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (1, shown + "\n")


_COMPOSE = (
    str(Path(sys.executable).parent / "check-jsonschema"),
    "--builtin-schema",
    "vendor.compose-spec",
)
CHECKS = {
    "prometheus.yml": ("promtool", "check", "config"),
    "prometheus-rules.yml": ("promtool", "check", "rules"),
    "prometheus-llm-rules.yml": ("promtool", "check", "rules"),
    # Its files of credentials are on the machine of whoever uses it.
    "prometheus-closed.yml": ("promtool", "check", "config", "--syntax-only"),
    "alertmanager.yml": ("amtool", "check-config"),
    "compose.yaml": _COMPOSE,
    "compose.kafka.yaml": _COMPOSE,
}


def test_every_configuration_has_a_check() -> None:
    assert {path.name for path in (ROOT / "deploy").glob("*.y*ml")} == set(CHECKS)


@pytest.mark.servers
@pytest.mark.parametrize("name", CHECKS)
def test_configuration_is_accepted(name: str) -> None:
    tool, *arguments = CHECKS[name]
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed: apt install prometheus prometheus-alertmanager")
    path = ROOT / "deploy" / name
    ran = subprocess.run([tool, *arguments, path], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_page_of_metrics_is_up_to_date() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    assert page == metrics_page.page(), "write it anew: see the page's first lines"


def test_the_page_of_metrics_has_every_name() -> None:
    """Also of a family that is registered in a way that the page's script does not know."""
    page = (ROOT / "docs" / "metrics.md").read_text()
    source = (ROOT / "engine" / "telemetry" / "metrics.py").read_text()
    names = set(re.findall(r'"((?:burnline|sloth)_\w+|slo:[\w:]+|ALERTS)["{]', source))
    assert len(names) > 25
    missing = {name for name in names if not re.search(rf"`{name}(_total|\.\.\.)?`", page)}
    assert missing == set()
