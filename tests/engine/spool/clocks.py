"""A world with true time, and a wall clock that may be off it."""

from dataclasses import dataclass, field

from engine.spool.clock import SECOND_NS, Clock

START = 1_780_000_000 * SECOND_NS
HOUR = 3600 * SECOND_NS


@dataclass
class World:
    """Nanoseconds that have passed since `START`, and those that the wall clock is off."""

    passed: int = 0
    off: int = 0
    steps: list[float] = field(default_factory=list)

    def wall(self) -> int:
        return START + self.passed + self.off

    def clock(self, not_before_ns: int = 0) -> Clock:
        return Clock(
            wall=self.wall,
            steady=lambda: self.passed,
            not_before_ns=not_before_ns,
            on_step=self.steps.append,
        )

    def run(self, clock: Clock, nanoseconds: int) -> None:
        """Let time pass, with a reading every second."""
        end = self.passed + nanoseconds
        while self.passed < end:
            self.passed = min(end, self.passed + SECOND_NS)
            clock.read()
