"""The price table: bundled prices, own ones over them, and what each model was found as."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal, NamedTuple

from burnline_llm.prices import _bundled
from burnline_llm.prices._rates import Schedule, band
from burnline_llm.prices._usage import MOST_TOKENS, Usage, whole

Reason = Literal["model", "usage"]
# Names come from outside: what is remembered of them is bounded, and so is what is looked at.
MOST_REMEMBERED = 4096
LONGEST_NAME = 256
_new = tuple.__new__


class Priced(NamedTuple):
    """What a call cost.

    Attributes:
        usd: US dollars; None where unknown, which is not zero.
        reason: why it is unknown: `model` (no price) or `usage` (no tokens, or impossible ones).
        version: of the table that was asked.
    """

    usd: float | None
    reason: Reason | None
    version: str


# A set of own prices: a schedule, or None where it says nothing of the call.
Own = Callable[[str | None, str, str | None, Callable[[], Schedule | None]], Schedule | None]


class PriceTable:
    """Prices of all models; safe to share between threads.

    Args:
        own: asked first.
        version: of the own prices; empty for none.
    """

    def __init__(self, own: Own | None = None, version: str = "") -> None:
        bundled = _bundled.table_version()
        self.version = f"{bundled} + {version}" if version else bundled
        self._own = own
        self._known: dict[tuple[str | None, str | None, str | None], Schedule | None] = {}
        # What `cost` needs of most of them: the first rate, the period, whether it is that of all times.
        self._quick: dict[tuple[str | None, str | None, str | None], tuple[Any, ...]] = {}
        self._no_model = Priced(None, "model", self.version)
        self._no_usage = Priced(None, "usage", self.version)

    def cost(
        self,
        provider: str | None,
        model: str | None,
        usage: Usage,
        when: datetime | None = None,
        tier: str | None = None,
    ) -> Priced:
        """What a call cost; never raises.

        Args:
            provider: as instrumentation names it (`gen_ai.provider.name`); None for by the model alone.
            model: as the provider answered, or else as it was asked for.
            usage: its tokens.
            when: it ended; naive times are UTC. None for now.
            tier: its service tier, such as `flex`, `priority` or `batch`.

        Examples:
            >>> PriceTable().cost("openai", "gpt-4o", Usage(10_000, 1_000)).usd
            0.035
        """
        # Most of the time is what Python takes to call, unpack and answer, so this is written flat; what is
        # unknown, absent, or no number ends in an error, and all that is unusual goes the other way.
        told: Any = usage
        try:
            in_, out, r, w, g, h, fixed, scale, above, rates, ever = self._quick[
                provider, model, tier
            ]
            input_, output, read, write, reasoning, hour = told
            if above and input_ > above[0]:
                in_, out, r, w, g, h, fixed, scale, _, _ = rates[band(above, input_)]
            if not (ever or when is None) or input_ > MOST_TOKENS or output > MOST_TOKENS:
                pass
            elif read or write or reasoning or hour:
                read, write, reasoning, hour = read or 0, write or 0, reasoning or 0, hour or 0
                if 0 <= hour <= write and 0 <= read <= input_ - write and 0 <= reasoning <= output:
                    total = in_ * input_ + out * output + r * read + w * write
                    total += g * reasoning + h * hour + fixed
                    if total.__class__ is int:
                        return _new(Priced, (total / scale, None, self.version))
            elif input_ >= 0 and output >= 0:
                total = in_ * input_ + out * output + fixed
                if total.__class__ is int:
                    return _new(Priced, (total / scale, None, self.version))
        except (KeyError, TypeError):
            pass
        return self._unusual(provider, model, usage, when, tier)

    def _unusual(
        self,
        provider: str | None,
        model: str | None,
        usage: Usage,
        when: datetime | None,
        tier: str | None,
    ) -> Priced:
        """`cost` of any call."""
        schedule = self.schedule(provider, model, tier)
        if schedule is None:
            return self._no_model
        period = schedule.at(when)
        if not period.rates:
            return self._no_model
        counts = whole(usage)
        if counts is None or not period.measurable:
            return self._no_usage
        rate = period.rate(counts[0])
        if (usage.input is None and (rate.needs_input or period.above)) or (
            usage.output is None and rate.needs_output
        ):
            return self._no_usage
        total = sum(factor * count for factor, count in zip(rate, counts, strict=False))
        return Priced((total + rate.fixed) / rate.scale, None, self.version)

    def schedule(
        self, provider: str | None, model: str | None, tier: str | None = None
    ) -> Schedule | None:
        """All rates of a model, compiled when first asked for; None where it has no price."""
        key = (provider, model, tier)
        if not all(part is None or isinstance(part, str) for part in key):
            return None
        if key in self._known:
            return self._known[key]
        if not model or max(len(part or "") for part in key) > LONGEST_NAME:
            return None
        found = self._look_up(provider, model, tier)
        if len(self._known) >= MOST_REMEMBERED:
            # Seldom: real models are few, and each is found again at once.
            self._known, self._quick = {}, {}
        self._known[key] = found
        period = found and found.lasting()
        if found and period and period.measurable and period.rates:
            ever = len(found.periods) == 1
            self._quick[key] = (*period.rates[0][:8], period.above, period.rates, ever)
        return found

    def _look_up(self, provider: str | None, model: str, tier: str | None) -> Schedule | None:
        def bundled() -> Schedule | None:
            found = _bundled.find(provider, model)
            return None if found is None else _bundled.schedule(found, tier)

        return self._own(provider, model, tier, bundled) if self._own else bundled()
