"""How the demo tells what happens: a live view on a terminal, lines elsewhere."""

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from dataflows.demo.board import Board
from dataflows.demo.view import Scene, show
from slo.model import Objective

LINE_SECONDS = 10.0


class Teller(Protocol):
    """Tells the people in front of the demo."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def show(self, scene: Scene) -> None:
        """The state of things; called several times a second."""


class LiveTeller:
    """The live view."""

    def __init__(self, console: Console, objectives: Sequence[Objective], board: Board) -> None:
        self._console = console
        self._objectives = objectives
        self._board = board
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def show(self, scene: Scene) -> None:
        """Draw anew."""
        self._live.update(self._render(scene), refresh=True)

    def _render(self, scene: Scene) -> RenderableType:
        return show(self._objectives, self._board.decisions(), scene, self._console.width)


class LineTeller:
    """A line for each event, and the status every few seconds."""

    def __init__(
        self,
        console: Console,
        board: Board,
        interval: float = LINE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._board = board
        self._interval = interval
        self._clock = clock
        self._last = float("-inf")
        self._told: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def show(self, scene: Scene) -> None:
        """Write what is new."""
        for note in scene.notes:
            self._once(note, note)
        if scene.story:
            self._once("story", scene.story)
        page = self._board.page
        if page is not None:
            self._once(
                "page", f"the engine pages: burn {page.burn_short:.1f} / {page.burn_long:.1f}"
            )
        if self._board.top_slice:
            burning = " ".join(f"{name}={value}" for name, value in self._board.top_slice.items())
            self._once("slice", f"burning slice: {burning}")
        if scene.page is not None:
            self._once("listed", f"Alertmanager lists the page: {scene.page.get('alertname', '')}")
        if self._clock() - self._last >= self._interval:
            self._last = self._clock()
            self._say(scene.status)

    def _once(self, key: str, text: str) -> None:
        if key not in self._told:
            self._told.add(key)
            self._say(text)

    def _say(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)
