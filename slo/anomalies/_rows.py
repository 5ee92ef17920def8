"""Whose the rows of a bank are."""

from dataclasses import dataclass, field

from detectors import Bank
from slo.anomalies._evidence import Usual
from slo.anomalies._silence import Silence
from slo.anomalies.messages import ReadingKey


@dataclass(slots=True)
class Rows:
    """A bank, whose its rows are, and what is usual for them."""

    bank: Bank
    rows: dict[ReadingKey, int] = field(default_factory=dict)
    free: list[int] = field(default_factory=list)
    usual: Usual = field(default_factory=Usual)
    silence: Silence = field(default_factory=Silence)

    def keep(self, keys: list[ReadingKey]) -> None:
        """Have a row for each of these series and for no other."""
        wanted = set(keys)
        for key in [key for key in self.rows if key not in wanted]:
            self.free.append(self.rows.pop(key))
        for key in keys:
            if key not in self.rows:
                self.rows[key] = self._take()
        self.bank.grow(len(self.rows) + len(self.free))
        self.usual.grow(self.bank.rows)
        self.silence.grow(self.bank.rows)

    def _take(self) -> int:
        if not self.free:
            return len(self.rows)
        row = self.free.pop()
        self.bank.reset(row)
        self.usual.reset(row)
        self.silence.reset(row)
        return row
